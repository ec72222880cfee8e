"""Playlists without reinforcement learning: the best tracks, or the best step by step.

`top_lists` takes the likeliest tracks. `greedy_lists` chooses one track after the other, each the
best by what it is expected to add to the reward of the whole list:

    score_n = gain_k p_n + strength known_n(apart_n)

`p_n` is the softmax of a scorer, gain and known part come from `earnings`. The strength says how
much to trust what is known for certain against p; `choose_strength` takes the one whose lists earn
the most on validation questions. This is maximal marginal relevance (Carbonell and Goldstein, 1998)
for the reward at hand.

Letters: `B` questions, `N` candidates, `K` places.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from segue.rl.pointer import FORBIDDEN
from segue.tasks.playlist.agents.earnings import Earnings, Known, cosines
from segue.tasks.playlist.agents.questions import Questions

__all__ = ["STRENGTHS", "choose_strength", "greedy_lists", "softmax", "top_lists"]

Narrow = NDArray[np.float32]
Indices = NDArray[np.int64]

STRENGTHS = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0, 8.0)
"""Tried by `choose_strength`; the best one lies inside on real listening."""
_BATCH = 256


def softmax(logits: Narrow) -> Narrow:
    """Return probabilities [B, N]; 0 where the logit is -1e9."""
    grown = np.exp(logits - logits.max(axis=1, keepdims=True))
    grown[logits <= FORBIDDEN] = 0.0
    return np.asarray(grown / np.maximum(grown.sum(axis=1, keepdims=True), 1e-30))


def top_lists(logits: Narrow, length: int) -> Indices:
    """Return the likeliest candidates in order, [B, K]."""
    return np.argsort(-logits, axis=1, kind="stable")[:, :length].astype(np.int64)


def greedy_lists(
    logits: Narrow, questions: Questions, earnings: Earnings, strength: float
) -> Indices:
    """Return the lists of the planner, [B, K] numbers of candidates.

    Args:
        logits: of a scorer, [B, N].
        questions: B; their answers are not looked at.
        earnings: what is planned for.
        strength: of the known part.
    """
    lists = [found[0] for _, found in _planned(logits, questions, earnings, (strength,))]
    return np.concatenate(lists) if lists else np.zeros((0, earnings.length), dtype=np.int64)


def _planned(
    logits: Narrow, questions: Questions, earnings: Earnings, strengths: Sequence[float]
) -> Iterator[tuple[Questions, list[Indices]]]:
    """Yield some of the questions and the lists of each strength, until all are done."""
    for low in range(0, len(questions), _BATCH):
        part = questions.take(np.arange(low, min(low + _BATCH, len(questions))))
        p, known = softmax(logits[low : low + _BATCH]), earnings.known(part)
        near = cosines(earnings.vectors, part.candidates.tracks)
        closed = ~part.candidates.mask
        yield part, [_greedy(p, known, near, closed, strength) for strength in strengths]


def _greedy(
    p: Narrow, known: Known, near: Narrow, closed: NDArray[np.bool_], strength: float
) -> Indices:
    apart, closed, rows = np.zeros_like(p), closed.copy(), np.arange(len(p))
    lists = np.zeros((len(p), len(known.gains)), dtype=np.int64)
    for place, gain in enumerate(known.gains):
        score = gain * p + np.float32(strength) * (known.base + known.slope * apart)
        chosen = np.where(closed, FORBIDDEN, score).argmax(axis=1)
        lists[:, place] = chosen
        closed[rows, chosen] = True
        apart += 1.0 - near[rows, chosen]
    return lists


def choose_strength(
    logits: Narrow,
    questions: Questions,
    earnings: Earnings,
    strengths: Sequence[float] = STRENGTHS,
) -> tuple[float, dict[float, float]]:
    """Return the strength whose lists earn the most, and the mean return of each.

    Args:
        logits: of a scorer that has not learned from these questions, [B, N].
        questions: of validation.
        earnings: what is planned for.
        strengths: to try.
    """
    sums = np.zeros(len(strengths))
    for part, lists in _planned(logits, questions, earnings, strengths):
        # [B, strengths, K]: as if each strength were a list of its own
        sums += earnings.of(part, np.stack(lists, axis=1))[0].sum(axis=(0, 2))
    means = (sums / max(len(questions), 1)).tolist()
    return strengths[int(np.argmax(means))], dict(zip(strengths, means, strict=True))
