"""`explain`: what each note of a melody earns, rule by rule, and what the prior thinks of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.music.events import (
    FIRST_ONSET,
    NOTE_OFF,
    events_from_classes,
    pitch_of_class,
)
from segue.music.theory import pitch_name
from segue.tasks.melody.composition import walk
from segue.tasks.melody.lstm import Player, log_softmax
from segue.tasks.melody.rewards import TheoryReward

__all__ = ["Explanation", "explain"]

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Explanation:
    """A melody with its rewards."""

    classes: Ints
    """[T]."""
    terms: dict[str, NDArray[np.float64]]
    """Weighted term -> [T]."""
    log_p: NDArray[np.float64]
    """[T] of each symbol under the prior; NaN for the first, before which nothing was heard."""

    @property
    def total(self) -> NDArray[np.float64]:
        """[T] sum of the terms."""
        return np.asarray(np.sum([*self.terms.values()], axis=0))

    def symbols(self) -> list[str]:
        """Return each step in words: a note name, "hold" or "rest"."""
        return [
            pitch_name(pitch_of_class(c)) if c >= FIRST_ONSET else
            ("rest" if c == NOTE_OFF else "hold")
            for c in map(int, self.classes)
        ]  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-like values."""
        return {
            "events": events_from_classes(self.classes).tolist(),
            "terms": {name: values.tolist() for name, values in self.terms.items()},
            "total": self.total.tolist(),
            "log_p": [None if np.isnan(v) else float(v) for v in self.log_p],
            "sum": float(self.total.sum()),
            "mean_log_p": float(np.nanmean(self.log_p)) if len(self.log_p) > 1 else None,
        }

    def rows(self, steps_per_bar: int) -> list[list[str]]:
        """Return a table: position, symbol, every term, total, log p; zeros are left empty."""
        lines = []
        for t, symbol in enumerate(self.symbols()):
            paid = [f"{v[t]:+.2f}" if abs(v[t]) > 5e-3 else "" for v in self.terms.values()]
            known = "" if np.isnan(self.log_p[t]) else f"{self.log_p[t]:.2f}"
            where = f"{t // steps_per_bar + 1}.{t % steps_per_bar + 1}"
            lines.append([where, symbol, *paid, f"{self.total[t]:+.2f}", known])
        return lines


def explain(
    classes: Sequence[int] | Ints,
    prior: Player,
    reward: TheoryReward,
    n_notes: int | None = None,
) -> Explanation:
    """Judge every note of a melody.

    Args:
        classes: [T] the melody.
        prior: the note RNN.
        reward: terms and weights.
        n_notes: length that the rules take the melody to have; default T.
    """
    notes = np.asarray(classes, dtype=np.int64)
    log_p = np.full(len(notes), np.nan)
    parts: dict[str, list[float]] = {name: [] for name in reward.names}
    state = prior.begin(1)
    for t, decision in enumerate(walk(notes[None], n_notes or len(notes))):
        if t:
            scores, state = prior.step(state, notes[t - 1 : t])
            log_p[t] = log_softmax(scores)[0, notes[t]]
        decision.extras["log_p"] = np.nan_to_num(log_p[t : t + 1])
        for name, values in reward(decision)[1].items():
            parts[name].append(float(values[0]))
    return Explanation(notes, {name: np.array(v) for name, v in parts.items()}, log_p)
