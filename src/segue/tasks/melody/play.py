"""Composing with a note RNN: sampled or greedy, primed, and the best of several by the rules.

The best of k keeps, of k independent pieces, the one whose rules and half of whose log p sum up
highest. It needs no training, so it is also the strongest simple baseline: the prior, best of 64.

Letters: `n` pieces, `N` notes of each, `P` notes of a primer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segue.core.errors import UsageError
from segue.music.events import N_CLASSES
from segue.tasks.melody.acting import choose
from segue.tasks.melody.env import BatchedMelody
from segue.tasks.melody.lstm import Player
from segue.tasks.melody.rewards import TheoryReward, mode_weights
from segue.tasks.melody.rules import RuleSettings

__all__ = ["LOG_P_SHARE", "Composed", "Composer", "random_primers", "rule_composer", "same_primer"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

LOG_P_SHARE = 0.5
"""What a unit of log p counts against a unit of the rules when the best of k is chosen."""
_AT_ONCE = 4096
"""Pieces composed side by side; part of what a seed means."""


@dataclass(frozen=True, slots=True)
class Composed:
    """Pieces, and what they earned."""

    pieces: Ints
    """[n, N] classes."""
    log_p: Floats
    """[n, N] of each note under the prior."""
    theory: Floats
    """[n] sum of the weighted theory terms."""

    @property
    def mean_log_p(self) -> Floats:
        """[n] per note."""
        return np.asarray(self.log_p.mean(axis=1))


class Composer:
    """A policy that composes, and the prior that listens.

    Args:
        policy: what plays.
        prior: what judges; also part of the policy if `with_prior`.
        reward: the theory terms that pieces are chosen by.
        with_prior: play by the sum of both networks' scores, as after G learning.
    """

    def __init__(
        self, policy: Player, prior: Player, reward: TheoryReward, *, with_prior: bool = False
    ) -> None:
        self._policy, self._prior, self._reward = policy, prior, reward
        self._with_prior = with_prior

    def compose(
        self,
        primers: Ints,
        n_notes: int,
        rng: np.random.Generator,
        *,
        temperature: float = 1.0,
        greedy: bool = False,
        best_of: int = 1,
    ) -> Composed:
        """Compose one piece for each primer.

        Args:
            primers: [P, n] what is heard first; see `random_primers`.
            n_notes: length of the pieces, N.
            rng: source of all randomness.
            temperature: below 1 the policy is more certain, above 1 less.
            greedy: always take the best note.
            best_of: pieces to choose each one from.
        """
        if greedy and best_of > 1:
            raise UsageError("greedy pieces are all alike, so there is no best of several")
        many = np.repeat(primers, best_of, axis=1)
        parts = [
            self._play(many[:, i : i + _AT_ONCE], n_notes, rng, temperature, greedy)
            for i in range(0, many.shape[1], _AT_ONCE)
        ]
        pieces, log_p, theory = (np.concatenate(p) for p in zip(*parts, strict=True))
        score = (theory + LOG_P_SHARE * log_p.sum(axis=1)).reshape(-1, best_of)
        rows = np.arange(len(score)) * best_of + score.argmax(axis=1)
        return Composed(pieces[rows], log_p[rows], theory[rows])

    def probabilities(self, primer: Ints, piece: Ints) -> NDArray[np.float32]:
        """Return [N, 38] what the policy thought before each note of a piece [N]; primer [P]."""
        state = self._policy.begin(1)
        listener = self._prior.begin(1)
        found = []
        for t, symbol in enumerate([*primer, *piece[:-1]]):
            heard = np.array([symbol])
            scores, state = self._policy.step(state, heard)
            if self._with_prior:
                more, listener = self._prior.step(listener, heard)
                scores = scores + more
            if t >= len(primer) - 1:
                shifted = np.exp(scores[0] - scores[0].max())
                found.append(shifted / shifted.sum())
        return np.array(found, dtype=np.float32)

    def _play(
        self,
        primers: Ints,
        n_notes: int,
        rng: np.random.Generator,
        temperature: float,
        greedy: bool,
    ) -> tuple[Ints, Floats, Floats]:
        n = primers.shape[1]
        env = BatchedMelody(self._prior, self._reward, n, n_notes)
        state = self._policy.begin(n)
        for row in primers[:-1]:
            _, state = self._policy.step(state, row)
        heard = env.reset(primers)
        theory = np.zeros(n)
        notes, log_p = [], []
        for t in range(n_notes):
            scores, state = self._policy.step(state, heard)
            if self._with_prior:
                scores = scores + env.log_p
            heard, _ = choose(scores, rng, temperature=temperature, greedy=greedy)
            paid = env.step(heard, listen=t + 1 < n_notes)
            notes.append(heard)
            log_p.append(paid.log_p)
            theory += paid.theory
        return np.array(notes).T, np.array(log_p).T, theory


def rule_composer(
    policy: Player, prior: Player, algorithm: str, rules: RuleSettings | None = None
) -> Composer:
    """Return a composer whose pieces are judged and chosen by the nine rules, each counted once.

    Args:
        policy: what plays.
        prior: what listens.
        algorithm: how the policy was tuned; after G learning the prior plays, too.
        rules: their amounts.
    """
    reward = TheoryReward(mode_weights("music_theory_only"), rules)
    return Composer(policy, prior, reward, with_prior=algorithm == "g")


def random_primers(n: int, rng: np.random.Generator) -> Ints:
    """Return [1, n] random classes, RL Tuner's default way to begin."""
    return rng.integers(0, N_CLASSES, size=(1, n))


def same_primer(primer: ArrayLike, n: int) -> Ints:
    """Return [P, n] one primer for all pieces."""
    return np.repeat(np.asarray(primer, dtype=np.int64)[:, None], n, axis=1)
