"""CIDEr-D of many captions whose words are numbers: a reward.

The same score as `cider.CiderD`, on arrays. Every n-gram of the references has a number: that of a
word is its own, that of a longer one is found by the number of its beginning and its last word in
one open-addressing table. Document frequencies come from the corpus, mostly the training
references; the vectors of the references are kept.

Letters: `B` captions, `L` words, `G` n-grams of two words or more, `T` places of the table.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from segue.tasks.captioning.metrics.cider import ORDER, SCALE, SIGMA
from segue.tasks.captioning.metrics.words import References

__all__ = ["CiderBatch"]

Array = NDArray[Any]


class CiderBatch:
    """CIDEr-D against known references.

    Args:
        references: sentences of the items that captions will be scored against.
        corpus: the items whose sentences the document frequencies come from; by default the
            references themselves.
    """

    def __init__(self, references: References, corpus: References | None = None) -> None:
        corpus = references if corpus is None else corpus
        self.references = references
        n_words = max((int(r.words.max(initial=-1)) for r in (references, corpus)), default=-1) + 1
        most = (ORDER - 1) * (len(references.words) + len(corpus.words)) + 1
        size = 1 << int(2 * most).bit_length()
        self._keys = np.zeros(size, dtype=np.uint64)
        self._numbers = np.zeros(size, dtype=np.int32)
        frequencies = np.zeros(n_words + most, dtype=np.int32)
        used = _count(
            corpus.words, corpus.sentences, corpus.items, self._keys, self._numbers, n_words, 0,
            frequencies,
        )  # fmt: skip
        used = _count(
            references.words, references.sentences, references.items, self._keys, self._numbers,
            n_words, used, np.zeros(0, dtype=np.int32),
        )  # fmt: skip
        counts = np.maximum(frequencies[: n_words + used], 1)
        self._idf = np.log(max(1, len(corpus))) - np.log(counts)
        self._new_idf = float(np.log(max(1, len(corpus))))
        self._n_words = n_words
        shape = (ORDER, len(references.words))
        self._grams, self._weights = np.zeros(shape, np.int64), np.zeros(shape)
        self._norms = np.zeros((len(references.sentences) - 1, ORDER))
        _vectors(
            references.words, references.sentences, *self._tables(), self._grams, self._weights,
            self._norms,
        )  # fmt: skip

    def scores(
        self, hypotheses: NDArray[np.int32], lengths: NDArray[np.int64], items: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return the score of each caption, [B], between 0 and 10.

        Args:
            hypotheses: numbers of words, [B, L].
            lengths: number of words of each caption, [B].
            items: which item of the references each caption describes, [B].
        """
        out = np.zeros(len(hypotheses))
        r = self.references
        _score_batch(
            np.ascontiguousarray(hypotheses, dtype=np.int32), np.asarray(lengths, dtype=np.int64),
            np.asarray(items, dtype=np.int64), r.sentences, r.items, *self._tables(), self._grams,
            self._weights, self._norms, out,
        )  # fmt: skip
        return out

    def _tables(self) -> tuple[Array, Array, int, Array, float]:
        return self._keys, self._numbers, self._n_words, self._idf, self._new_idf


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _place(keys: Array, key: Any) -> Any:
    """Return the place of a key, or the free one where it belongs; keys are never 0."""
    mask = np.uint64(len(keys) - 1)
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    at = (mixed >> np.uint64(29)) & mask
    while keys[at] != 0 and keys[at] != key:
        at = (at + np.uint64(1)) & mask
    return at


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _key(beginning: int, word: int) -> Any:
    return np.uint64(beginning + 1) << np.uint64(32) | np.uint64(word)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _count(
    words: Array, sentences: Array, items: Array, keys: Array, numbers: Array, n_words: int,
    used: int, frequencies: Array,
) -> int:  # fmt: skip
    """Number the n-grams of all sentences and count the items that hold each."""
    last = np.full(len(frequencies), -1, np.int64)
    for item in range(len(items) - 1):
        for s in range(items[item], items[item + 1]):
            for i in range(sentences[s], sentences[s + 1]):
                number = words[i]
                for n in range(ORDER):
                    if n:
                        if i + n >= sentences[s + 1]:
                            break
                        key = _key(number, words[i + n])
                        at = _place(keys, key)
                        if keys[at] == 0:
                            keys[at] = key
                            numbers[at] = n_words + used
                            used += 1
                        number = numbers[at]
                    if len(frequencies) and last[number] != item:
                        last[number] = item
                        frequencies[number] += 1
    return used


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _vector(
    sentence: Array, length: int, keys: Array, numbers: Array, n_words: int, idf: Array,
    new_idf: float, grams: Array, weights: Array, norms: Array,
) -> None:  # fmt: skip
    """Fill grams, weights [n, L] and norms [n]; the weight of an n-gram stands at its first place.

    An n-gram that the references do not hold has the number -1.
    """
    for n in range(ORDER):
        norms[n] = 0.0
        for i in range(length - n):
            if n == 0:
                grams[0, i] = sentence[i] if sentence[i] < n_words else -1
            elif grams[n - 1, i] < 0:
                grams[n, i] = -1
            else:
                key = _key(grams[n - 1, i], sentence[i + n])
                at = _place(keys, key)
                grams[n, i] = numbers[at] if keys[at] == key else -1
        for i in range(length - n):
            number, count, first = grams[n, i], 0, True
            for j in range(length - n):
                same = grams[n, j] == number
                if same and number < 0:
                    for k in range(n + 1):
                        same = same and sentence[i + k] == sentence[j + k]
                if same:
                    if j < i:
                        first = False
                        break
                    count += 1
            weights[n, i] = count * (idf[number] if number >= 0 else new_idf) if first else 0.0
            norms[n] += weights[n, i] ** 2
        norms[n] = np.sqrt(norms[n])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _vectors(
    words: Array, sentences: Array, keys: Array, numbers: Array, n_words: int, idf: Array,
    new_idf: float, grams: Array, weights: Array, norms: Array,
) -> None:  # fmt: skip
    for s in range(len(sentences) - 1):
        a, b = sentences[s], sentences[s + 1]
        _vector(
            words[a:b], b - a, keys, numbers, n_words, idf, new_idf, grams[:, a:b],
            weights[:, a:b], norms[s],
        )  # fmt: skip


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _score_batch(
    hypotheses: Array, lengths: Array, item_of: Array, sentences: Array, items: Array, keys: Array,
    numbers: Array, n_words: int, idf: Array, new_idf: float, grams: Array, weights: Array,
    norms: Array, out: Array,
) -> None:  # fmt: skip
    shape = (ORDER, hypotheses.shape[1])
    mine, my_weights, my_norms = np.zeros(shape, np.int64), np.zeros(shape), np.zeros(ORDER)
    for b in range(hypotheses.shape[0]):
        length = lengths[b]
        _vector(
            hypotheses[b], length, keys, numbers, n_words, idf, new_idf, mine[:, :],
            my_weights[:, :], my_norms,
        )  # fmt: skip
        first, end = items[item_of[b]], items[item_of[b] + 1]
        for s in range(first, end):
            start, other = sentences[s], sentences[s + 1] - sentences[s]
            total = 0.0
            for n in range(ORDER):
                value = 0.0
                for i in range(length - n):
                    if my_weights[n, i] > 0.0 and mine[n, i] >= 0:
                        for j in range(start, start + other - n):
                            if grams[n, j] == mine[n, i] and weights[n, j] > 0.0:
                                value += min(my_weights[n, i], weights[n, j]) * weights[n, j]
                                break
                if my_norms[n] > 0.0 and norms[s, n] > 0.0:
                    value /= my_norms[n] * norms[s, n]
                total += value
            gap = max(0, length - 1) - max(0, other - 1)
            out[b] += total * np.exp(-(gap**2) / (2 * SIGMA**2)) * SCALE / ORDER / (end - first)
