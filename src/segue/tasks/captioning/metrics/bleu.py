"""BLEU-1 to BLEU-4 of captions.

K. Papineni, S. Roukos, T. Ward, W.-J. Zhu, "BLEU: a Method for Automatic Evaluation of Machine
Translation", ACL 2002, as captions are scored by: the reference length is the one closest to the
hypothesis (the shorter of two equally close), and two small constants keep a score above zero where
no n-gram matches. A corpus is scored by the sums of its items' counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["bleu_corpus", "bleu_counts", "bleu_items", "ngrams"]

ORDER = 4
_TINY, _SMALL = 1e-15, 1e-9  # added to every numerator and every denominator

Tokens = Sequence[Hashable]


def ngrams(tokens: Tokens, order: int = ORDER) -> list[Counter[tuple[Hashable, ...]]]:
    """Return how often each n-gram occurs, one counter for each length 1 .. `order`."""
    return [
        Counter(zip(*(tokens[i:] for i in range(n)), strict=False)) for n in range(1, order + 1)
    ]


def bleu_counts(hypothesis: Tokens, references: Sequence[Tokens]) -> NDArray[np.int64]:
    """Count what BLEU needs of one item.

    Returns:
        [10]: length of the hypothesis, closest length of a reference, n-grams of length 1 .. 4 of
        the hypothesis, and how many of them a reference holds.
    """
    length = len(hypothesis)
    closest = min((abs(len(r) - length), len(r)) for r in references)[1]
    held: list[Counter[tuple[Hashable, ...]]] = [Counter() for _ in range(ORDER)]
    for reference in references:
        for have, more in zip(held, ngrams(reference), strict=True):
            have |= more
    matched = [
        sum(min(count, have[gram]) for gram, count in found.items() if gram in have)
        for found, have in zip(ngrams(hypothesis), held, strict=True)
    ]
    guessed = [max(0, length - n) for n in range(ORDER)]
    return np.array([length, closest, *guessed, *matched], dtype=np.int64)


def bleu_items(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return BLEU-1 .. BLEU-4 from the counts of items, [..., 10] -> [..., 4]."""
    counts = np.asarray(counts, dtype=np.float64)
    precision = (counts[..., 6:] + _TINY) / (counts[..., 2:6] + _SMALL)
    scores = np.cumprod(precision, axis=-1) ** (1 / np.arange(1, ORDER + 1))
    ratio = (counts[..., :1] + _TINY) / (counts[..., 1:2] + _SMALL)
    # An empty hypothesis has a ratio near 1e-16 and a brevity factor of zero.
    brevity = np.exp(np.minimum(0.0, 1 - 1 / np.maximum(ratio, _TINY)))
    return np.asarray(scores * brevity)


def bleu_corpus(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return BLEU-1 .. BLEU-4 of a corpus from the counts of its items, [n, 10] -> [4]."""
    return bleu_items(np.asarray(counts).sum(axis=0))
