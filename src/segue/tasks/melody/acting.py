"""How a note is chosen from scores: greedily, sampled, or at random now and then.

Letters: `B` compositions, `V` classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segue.tasks.melody.lstm import log_softmax

__all__ = ["annealed", "choose", "sample"]

Narrow = NDArray[np.float32]
Ints = NDArray[np.int64]


def sample(probabilities: Narrow, rng: np.random.Generator) -> Ints:
    """Draw one class from each row of probabilities, [B, V]."""
    edges = np.cumsum(probabilities, axis=1)
    drawn = rng.random((len(edges), 1), dtype=np.float32) * edges[:, -1:]
    # float32 rounds up to the edge itself once in a while: never past the last class
    last = probabilities.shape[1] - 1
    return np.asarray(np.minimum((edges <= drawn).sum(axis=1), last))


def choose(
    scores: Narrow,
    rng: np.random.Generator,
    *,
    temperature: float = 1.0,
    greedy: bool = False,
    epsilon: float | NDArray[np.floating] = 0.0,
    n_random: int = 38,
) -> tuple[Ints, Narrow]:
    """Choose a class for each row of scores, [B, V].

    Args:
        scores: the policy's.
        rng: source of all randomness.
        temperature: the policy is softmax(scores / temperature).
        greedy: take the best class instead of sampling.
        epsilon: probability of a uniform class instead, one for all or [B].
        n_random: uniform classes are 0 .. n_random - 1.

    Returns:
        (classes [B], probability with which each was chosen [B]).
    """
    rows = np.arange(len(scores))
    if greedy:
        actions = scores.argmax(axis=1)
        chosen = np.ones(len(scores), dtype=np.float32)
    else:
        probabilities = np.exp(log_softmax(scores / np.float32(temperature)))
        actions = sample(probabilities, rng)
    if np.any(epsilon):
        at_random = rng.random(len(scores)) < epsilon
        drawn = rng.integers(0, n_random, size=len(scores))
        best = actions
        actions = np.where(at_random, drawn, actions)
        uniform = np.asarray(epsilon) / n_random * (actions < n_random)
        of_policy = (actions == best) if greedy else probabilities[rows, actions]
        chosen = np.asarray((1 - np.asarray(epsilon)) * of_policy + uniform, dtype=np.float32)
    elif not greedy:
        chosen = probabilities[rows, actions]
    return actions, chosen


def annealed(done: int, total: int, final: float, start: float = 1.0) -> float:
    """Return a probability that falls linearly from `start` to `final` within `total` steps."""
    return final if done >= total else start - done * (start - final) / total
