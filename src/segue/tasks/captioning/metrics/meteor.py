"""METEOR 1.5's score from the counts of an alignment.

M. Denkowski and A. Lavie, "Meteor Universal: Language Specific Translation Evaluation for Any
Target Language", WMT 2014. A hypothesis is aligned with a reference word by word; matches are of
four kinds (exact, stem, synonym, paraphrase), content words count more than function words, recall
counts more than precision, and an alignment in many chunks is punished:

    L = delta * content words + (1 - delta) * function words
    P = sum over kinds of weight * matched L of the hypothesis / L of the hypothesis; R likewise
    F = P R / (alpha P + (1 - alpha) R)
    score = F (1 - gamma fragmentation ^ beta),  fragmentation = chunks / mean of matched words

A corpus is scored by the sums of the counts, not by the mean of the scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "ENGLISH",
    "FIELDS",
    "FUNCTION_WORDS",
    "Parameters",
    "best_reference",
    "corpus_score",
    "scores",
]

KINDS = ("exact", "stem", "synonym", "paraphrase")

FIELDS = (
    "hyp_len",
    "ref_len",
    "hyp_function",
    "ref_function",
    *(f"{kind}_{part}" for kind in KINDS for part in
      ("content_hyp", "content_ref", "function_hyp", "function_ref")),
    "chunks",
    "hyp_matched_words",
    "ref_matched_words",
)  # fmt: skip
"""The 23 counts of an alignment, in the order of METEOR's own program."""

FUNCTION_WORDS = frozenset(
    """
    a about after all also an and are as at be been but by can could first for from had has have he
    her his i if in into is it its last more new no not of on one or other out over people s said
    she so some than that the their there they this time to two up was we were what when which who
    will with would year years you " $ ' 's 't ( ) , - -- -lrb- -rrb- . : ? — ’ “ ”
    """.split()  # noqa: SIM905  it reads as a list of words
)
"""English words and marks that make up about a thousandth or more of a large body of news."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """METEOR's numbers; the defaults are those of English, version 1.5."""

    alpha: float = 0.85
    beta: float = 0.2
    gamma: float = 0.6
    delta: float = 0.75
    weights: tuple[float, float, float, float] = (1.0, 0.6, 0.8, 0.6)
    """Of exact, stem, synonym and paraphrase matches."""


ENGLISH = Parameters()


def scores(statistics: ArrayLike, parameters: Parameters = ENGLISH) -> NDArray[np.float64]:
    """Return the score of each alignment, [..., 23] -> [...], between 0 and 1."""
    counts = np.asarray(statistics, dtype=np.float64)
    return _score(counts, _chunks(counts), parameters)


def corpus_score(statistics: ArrayLike, parameters: Parameters = ENGLISH) -> float:
    """Return the score of a corpus from the counts of its items, [n, 23]; 0 for no items.

    An item matched completely in one chunk adds no chunk, as in METEOR's own program.
    """
    counts = np.asarray(statistics, dtype=np.float64).reshape(-1, len(FIELDS))
    return float(_score(counts.sum(axis=0), _chunks(counts).sum(), parameters))


def best_reference(statistics: ArrayLike, parameters: Parameters = ENGLISH) -> NDArray[np.int64]:
    """Return the counts of the best of several references, [k, 23] -> [23]; the first of equals."""
    counts = np.asarray(statistics, dtype=np.int64)
    best: NDArray[np.int64] = counts[int(np.argmax(scores(counts, parameters)))]
    return best


def _chunks(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    perfect = (
        (counts[..., 20] == 1)
        & (counts[..., 21] == counts[..., 0])
        & (counts[..., 22] == counts[..., 1])
    )
    return np.where(perfect, 0.0, counts[..., 20])


def _score(
    counts: NDArray[np.float64], chunks: NDArray[np.float64], p: Parameters
) -> NDArray[np.float64]:
    def share(side: int) -> NDArray[np.float64]:  # 0 hypothesis, 1 reference
        length, function = counts[..., side], counts[..., 2 + side]
        total = p.delta * (length - function) + (1 - p.delta) * function
        matched = np.zeros_like(total)
        for kind, weight in enumerate(p.weights):
            content, functional = counts[..., 4 + 4 * kind + side], counts[..., 6 + 4 * kind + side]
            matched = matched + weight * (p.delta * content + (1 - p.delta) * functional)
        return np.divide(matched, total, out=np.zeros_like(total), where=total > 0)

    precision, recall = share(0), share(1)
    below = p.alpha * precision + (1 - p.alpha) * recall
    mean = np.divide(precision * recall, below, out=np.zeros_like(below), where=below > 0)
    words = (counts[..., 21] + counts[..., 22]) / 2
    fragmentation = np.divide(chunks, words, out=np.zeros_like(below), where=words > 0)
    return np.asarray(mean * (1 - p.gamma * fragmentation**p.beta))
