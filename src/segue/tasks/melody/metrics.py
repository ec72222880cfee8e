"""Statistics of melodies: the domain metrics of RL Tuner's table, and the guard against collapse.

The metrics are counts of events that the rules define (Jaques et al. 2016, Table 1). A collapsed
model can score well in them, so two more numbers stand beside them: how many different patterns of
eight steps its pieces hold, and how many pieces copy sixteen steps or more from the training tunes.

Letters: `B` pieces, `N` notes of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segue.music.events import FIRST_ONSET
from segue.tasks.melody.composition import walk
from segue.tasks.melody.rules import (
    HOLD,
    HOLD_AFTER_PREFERRED,
    IN_KEY_FIFTH,
    IN_KEY_THIRD,
    REST,
    REST_AFTER_PREFERRED,
    RULES,
    RuleSettings,
    autocorrelation,
    in_key_classes,
    interval_codes,
    judge,
)

__all__ = [
    "COPY_STEPS",
    "PATTERN_STEPS",
    "SHARES",
    "PieceStatistics",
    "Tunes",
    "domain_statistics",
    "measure",
    "n_patterns",
    "shares",
]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

PATTERN_STEPS = 8
COPY_STEPS = 16

SHARES = {
    "excess_repeats": ("num_repeated_notes", "total_notes"),
    "not_in_key": ("notes_not_in_key", "total_notes"),
    "tonic_start": ("num_starting_tonic", "num_compositions"),
    "leaps_resolved": ("num_resolved_leaps", "leaps"),
    "in_motif": ("notes_in_motif", "total_notes"),
    "in_repeated_motif": ("notes_in_repeated_motif", "total_notes"),
    "unique_highest": ("num_high_unique", "num_compositions"),
    "unique_lowest": ("num_low_unique", "num_compositions"),
}
"""Derived metric -> the two counts that it is the ratio of."""

INTERVAL_COUNTS: dict[str, tuple[float, ...]] = {
    "num_rest_intervals": (REST, HOLD),
    "num_special_rest_intervals": (REST_AFTER_PREFERRED, HOLD_AFTER_PREFERRED),
    "num_in_key_preferred_intervals": (IN_KEY_FIFTH, IN_KEY_THIRD),
    "num_seconds": (2.0,),
    "num_thirds": (4.0,),
    "num_fourths": (5.0,),
    "num_fifths": (7.0,),
    "num_sixths": (9.0,),
    "num_sevenths": (11.0,),
}
COMPAT_INTERVAL_COUNTS = INTERVAL_COUNTS | {
    "num_rest_intervals": (REST,),
    "num_special_rest_intervals": (REST_AFTER_PREFERRED,),
    "num_in_key_preferred_intervals": (IN_KEY_FIFTH,),
}
"""The original forgets holds and thirds inside the tonic chord."""


@dataclass(frozen=True, slots=True)
class PieceStatistics:
    """Counts of every piece by name, [B] each, and the rules' rewards."""

    counts: dict[str, Floats]
    rules: dict[str, Floats]
    """Sum of each rule over the piece, [B]."""
    autocorrelations: Floats
    """[3, B] of the whole piece at lags 1 to 3; NaN for a piece of one class."""

    @property
    def rule_sum(self) -> Floats:
        """[B] the rules' sum over the piece, per note."""
        total = np.sum([*self.rules.values()], axis=0)
        return np.asarray(total / self.counts["total_notes"])


def domain_statistics(
    pieces: ArrayLike, rules: RuleSettings | None = None, *, compat: bool = False
) -> PieceStatistics:
    """Count what happens in pieces.

    Args:
        pieces: [B, N] classes.
        rules: their key and thresholds.
        compat: count intervals as the original does, which forgets some.
    """
    rules = rules or RuleSettings()
    notes = np.atleast_2d(np.asarray(pieces, dtype=np.int64))
    batch, length = notes.shape
    names = [
        "notes_not_in_key", "num_starting_tonic", "num_repeated_notes", "notes_in_motif",
        "notes_in_repeated_motif", "num_resolved_leaps", "num_leap_twice", "num_octave_jumps",
        *INTERVAL_COUNTS,
    ]  # fmt: skip
    counts = {name: np.zeros(batch) for name in names}
    paid = {name: np.zeros(batch) for name in RULES}
    codes, member = interval_codes(rules.key), in_key_classes(rules.key)
    kinds = COMPAT_INTERVAL_COUNTS if compat else INTERVAL_COUNTS
    rho = np.full((3, batch), np.nan)
    for decision in walk(notes, length):
        a = decision.action
        _, parts = judge(decision, rules)
        for name, part in parts.items():
            paid[name] += part
        counts["notes_not_in_key"] += ~member[a]
        if decision.beat == 0:
            counts["num_starting_tonic"] += a == rules.tonic_class
        counts["num_repeated_notes"] += parts["repeat"] != 0 if rules.repeat else 0
        counts["notes_in_motif"] += decision.in_motif
        counts["notes_in_repeated_motif"] += decision.motif_repeated
        counts["num_resolved_leaps"] += decision.leap.outcome > 0
        counts["num_leap_twice"] += decision.leap.outcome < 0
        code = codes[decision.compositions.last_onset, a]
        counts["num_octave_jumps"] += code > 12
        for name, wanted in kinds.items():
            counts[name] += np.isin(code, wanted)
        if decision.final:
            highest, lowest = decision.extremes.unique
            counts["num_high_unique"] = highest.astype(np.float64)
            counts["num_low_unique"] = lowest.astype(np.float64)
            for lag in (1, 2, 3):
                above, below = autocorrelation(decision, lag)
                rho[lag - 1] = np.divide(above, below, out=rho[lag - 1], where=below > 0)
    counts["num_compositions"] = np.ones(batch)
    counts["total_notes"] = np.full(batch, float(length))
    counts["leaps"] = counts["num_resolved_leaps"] + counts["num_leap_twice"]
    return PieceStatistics(counts, paid, rho)


def shares(statistics: PieceStatistics) -> dict[str, float]:
    """Return the pooled metrics: ratios of summed counts, and mean autocorrelations without NaN.

    A ratio whose denominator is zero, such as leaps resolved where there are none, is NaN.
    """
    found = {}
    for name, (above, below) in SHARES.items():
        total = statistics.counts[below].sum()
        found[name] = float(statistics.counts[above].sum() / total) if total else float("nan")
    for lag, values in enumerate(statistics.autocorrelations, 1):
        known = values[~np.isnan(values)]
        found[f"autocorrelation_{lag}"] = float(known.mean()) if len(known) else float("nan")
    found["rule_sum"] = float(statistics.rule_sum.mean())
    return found


class Tunes:
    """Training tunes, to be searched for what pieces copy from them.

    Args:
        melodies: classes of each tune, [T_i].
    """

    def __init__(self, melodies: Sequence[Ints]) -> None:
        blocks = [_blocks(m[None], COPY_STEPS) for m in melodies if len(m) >= COPY_STEPS]
        self._blocks = np.unique(np.concatenate([b[0] for b in blocks])) if blocks else np.empty(0)

    def copied(self, pieces: Ints) -> NDArray[np.bool_]:
        """Return [B] whether a piece holds a block of 16 steps of a tune, with two onsets or more.

        A single note or a rest that goes on is nobody's melody, so a block needs two onsets.
        """
        if pieces.shape[1] < COPY_STEPS:
            return np.zeros(len(pieces), dtype=bool)
        blocks = _blocks(pieces, COPY_STEPS)
        windows = np.lib.stride_tricks.sliding_window_view(pieces, COPY_STEPS, axis=1)
        melodic = (windows >= FIRST_ONSET).sum(axis=2) >= 2
        return np.asarray((np.isin(blocks, self._blocks) & melodic).any(axis=1))


def n_patterns(pieces: Ints, steps: int = PATTERN_STEPS) -> int:
    """Return how many different patterns of `steps` steps pieces [B, N] hold."""
    return len(np.unique(_blocks(pieces, steps)))


def measure(
    pieces: Ints,
    log_p: Floats | None = None,
    tunes: Tunes | None = None,
    rules: RuleSettings | None = None,
) -> dict[str, float]:
    """Return all metrics of pieces [B, N]; `log_p` [B] is their mean log p per note."""
    found = shares(domain_statistics(pieces, rules))
    if log_p is not None:
        found["log_p"] = float(np.mean(log_p))
    found["patterns"] = float(n_patterns(pieces))
    if tunes is not None:
        found["copies"] = float(tunes.copied(pieces).mean())
    return found


def _blocks(pieces: Ints, steps: int) -> NDArray[Any]:
    """Return [B, N - steps + 1] a value for each window, equal where the windows are equal."""
    wide = np.ascontiguousarray(
        np.lib.stride_tricks.sliding_window_view(pieces.astype(np.uint8), steps, axis=1)
    )
    # windows as strings of bytes; +1 because trailing zero bytes would be dropped
    return np.asarray((wide + 1).astype(np.uint8).view(f"S{steps}")[..., 0])
