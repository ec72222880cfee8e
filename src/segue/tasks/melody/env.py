"""Composing as an environment: many melodies at once, and one as a Gymnasium environment.

The prior listens along: after every note its log probabilities of the next one are known, and each
note is paid by the theory terms and judged by the prior.

Letters: `B` compositions, `N` notes of each, `V` = 38 classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from segue.core.errors import UsageError
from segue.music.events import N_CLASSES
from segue.tasks.melody.composition import Compositions
from segue.tasks.melody.lstm import Player, log_softmax
from segue.tasks.melody.rewards import TheoryReward

__all__ = ["BatchedMelody", "MelodyEnv", "Paid"]

Narrow = NDArray[np.float32]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Paid:
    """What one more note of each composition earned, [B] each."""

    theory: Floats
    """Sum of the weighted theory terms, times the scaler."""
    log_p: Floats
    """Log probability under the prior."""
    parts: dict[str, Floats] = field(default_factory=dict)
    """The weighted terms by name, before the scaler."""


class BatchedMelody:
    """`B` melodies that are composed in step.

    Args:
        prior: the note RNN that judges.
        reward: the theory terms.
        batch: number of melodies, B.
        n_notes: notes of each, N.
        scaler: factor of the theory terms.
    """

    def __init__(
        self,
        prior: Player,
        reward: TheoryReward,
        batch: int,
        n_notes: int = 32,
        scaler: float = 1.0,
    ) -> None:
        self.prior, self.reward = prior, reward
        self.batch, self.n_notes, self.scaler = batch, n_notes, scaler
        self.compositions = Compositions(batch, n_notes)
        self.state: Any = None
        """The prior's state, with the last note heard."""
        self._rows = np.arange(batch)
        self.observation: Ints = np.zeros(batch, dtype=np.int64)
        """[B] the last note, or what the composition was primed with."""
        self.log_p: Narrow = np.zeros((batch, N_CLASSES), dtype=np.float32)
        """[B, V] the prior's log probabilities of the next note."""

    def reset(self, primers: Ints) -> Ints:
        """Begin new melodies.

        Args:
            primers: [P, B] what was heard before, at least one row; not part of the melodies.

        Returns:
            The last row: the first observation, [B].
        """
        self.compositions.clear()
        state = self.prior.begin(self.batch)
        for row in primers:
            scores, state = self.prior.step(state, row)
        self.state, self.log_p = state, log_softmax(scores)
        self.observation = np.asarray(primers[-1], dtype=np.int64)
        return self.observation

    def step(self, actions: Ints, *, listen: bool = True) -> Paid:
        """Add one note to each melody.

        Args:
            actions: [B] classes.
            listen: False spares the prior after the last note, when nobody asks for `log_p`.
        """
        decision = self.compositions.decide(actions)
        log_p = self.log_p[self._rows, actions].astype(np.float64)
        decision.extras["log_p"] = log_p
        decision.extras["observation"] = self.observation
        theory, parts = self.reward(decision)
        self.compositions.append(decision)
        self.observation = decision.action
        if listen:
            scores, self.state = self.prior.step(self.state, decision.action)
            self.log_p = log_softmax(scores)
        return Paid(self.scaler * theory, log_p, parts)


class MelodyEnv(gymnasium.Env[dict[str, Any], np.int64]):
    """Compose a melody of sixteenths, one symbol at a time.

    ## Action space
    `Discrete(38)`: 0 a rest starts, 1 the note or rest goes on, 2..37 the onset of C3..B5.

    ## Observation space
    `Dict` of `note`, the last symbol (0..37), `beat`, notes so far (0..N), and `log_p`, the prior's
    log probabilities of the next symbol (float32 [38]; not below -1e4).

    ## Rewards
    `scaler * theory + log p`: the weighted theory terms of the note (see `rewards`) and its log
    probability under the prior. `info` holds both, and every term by name.

    ## Starting state
    A random symbol that is heard but not part of the melody, or the `primer` given.

    ## Episode end
    Terminates after N notes. Never truncates.

    ## Arguments
    `prior` judges; `reward` pays; `n_notes` is N (default 32); `scaler` multiplies the theory.
    `reset(options={"primer": [classes]})` begins after a primer.

    ## Version history
    1: first version.
    """

    metadata = {"render_modes": []}  # noqa: RUF012  Gymnasium's own form

    def __init__(
        self, prior: Player, reward: TheoryReward, n_notes: int = 32, scaler: float = 1.0
    ) -> None:
        self._melody = BatchedMelody(prior, reward, 1, n_notes, scaler)
        self.action_space = gymnasium.spaces.Discrete(N_CLASSES)
        self.observation_space = gymnasium.spaces.Dict(
            {
                "note": gymnasium.spaces.Discrete(N_CLASSES),
                "beat": gymnasium.spaces.Discrete(n_notes + 1),
                "log_p": gymnasium.spaces.Box(-1e4, 1e-4, (N_CLASSES,), np.float32),
            }
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin a melody."""
        super().reset(seed=seed)
        primer = (options or {}).get("primer")
        if primer is None:
            primer = [int(self.np_random.integers(N_CLASSES))]
        heard = np.asarray(primer, dtype=np.int64)
        if heard.ndim != 1 or not len(heard) or heard.min() < 0 or heard.max() >= N_CLASSES:
            raise UsageError(f"primer {primer!r} is not a list of classes 0 to {N_CLASSES - 1}")
        self._melody.reset(heard[:, None])
        return self._seen(), {}

    def step(self, action: np.int64) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Add one note."""
        paid = self._melody.step(np.array([action]))
        theory, log_p = float(paid.theory[0]), float(paid.log_p[0])
        info = {"theory": theory, "log_p": log_p} | {k: float(v[0]) for k, v in paid.parts.items()}
        ended = self._melody.compositions.beat == self._melody.n_notes
        return self._seen(), theory + log_p, ended, False, info

    def _seen(self) -> dict[str, Any]:
        log_p = np.clip(self._melody.log_p[0], -1e4, 0.0)
        beat = self._melody.compositions.beat
        return {"note": int(self._melody.observation[0]), "beat": beat, "log_p": log_p}
