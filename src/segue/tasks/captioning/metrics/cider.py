"""CIDEr-D: how much a caption has in common with the references, rare words counting more.

R. Vedantam, C. L. Zitnick, D. Parikh, "CIDEr: Consensus-based Image Description Evaluation", CVPR
2015, section 4 and appendix. Captions are vectors of n-grams weighted by tf * idf; the score is
their cosine, clipped so that repeating a word gains nothing, times a Gaussian of the difference in
length, averaged over n = 1 .. 4 and over the references, times ten. As in the program behind all
published figures the length is the number of bigrams and idf = ln(items / items with the n-gram).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.tasks.captioning.metrics.bleu import ngrams

__all__ = ["CiderD"]

ORDER = 4
SIGMA = 6.0
SCALE = 10.0

Tokens = Sequence[Hashable]
Gram = tuple[Hashable, ...]


@dataclass(frozen=True, slots=True)
class _Vector:
    weights: list[dict[Gram, float]]  # for each n
    norms: list[float]
    length: int


class CiderD:
    """CIDEr-D with the document frequencies of a body of references.

    Args:
        frequencies: n-gram -> number of items of which a reference holds it.
        n_items: number of items.
    """

    def __init__(self, frequencies: Mapping[Gram, int], n_items: int) -> None:
        self.frequencies = frequencies
        self.n_items = n_items
        self._log_items = math.log(n_items) if n_items else 0.0

    @classmethod
    def fit(cls, references: Iterable[Sequence[Tokens]]) -> CiderD:
        """Count the document frequencies of the references of every item, [n][k] tokens."""
        frequencies: Counter[Gram] = Counter()
        n_items = 0
        for item in references:
            n_items += 1
            frequencies.update(
                {gram for tokens in item for found in ngrams(tokens) for gram in found}
            )
        return cls(frequencies, n_items)

    def item(self, hypothesis: Tokens, references: Sequence[Tokens]) -> float:
        """Return the score of one caption, between 0 and 10."""
        mine = self._vector(hypothesis)
        total = sum(self._similarity(mine, self._vector(tokens)) for tokens in references)
        return SCALE * total / ORDER / len(references)

    def items(
        self, hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]]
    ) -> NDArray[np.float64]:
        """Return the score of every caption, [n]; their mean is the score of a corpus."""
        return np.array([self.item(h, r) for h, r in zip(hypotheses, references, strict=True)])

    def _vector(self, tokens: Tokens) -> _Vector:
        known, log_items = self.frequencies, self._log_items
        weights = [
            {
                gram: count * (log_items - math.log(max(1, known.get(gram, 0))))
                for gram, count in f.items()
            }
            for f in ngrams(tokens)
        ]
        norms = [math.sqrt(sum(w * w for w in table.values())) for table in weights]
        return _Vector(weights, norms, max(0, len(tokens) - 1))

    def _similarity(self, mine: _Vector, other: _Vector) -> float:
        total = 0.0
        for n in range(ORDER):
            theirs = other.weights[n]
            value = sum(
                min(weight, theirs[gram]) * theirs[gram]
                for gram, weight in mine.weights[n].items()
                if gram in theirs
            )
            if mine.norms[n] and other.norms[n]:
                value /= mine.norms[n] * other.norms[n]
            total += value
        return total * math.exp(-((mine.length - other.length) ** 2) / (2 * SIGMA**2))
