"""METEOR as NLTK 3.5 computes it: the reward of the original program.

S. Banerjee and A. Lavie, "METEOR: An Automatic Metric for MT Evaluation with Improved Correlation
with Human Judgments", 2005, with one alignment that is not searched: from the last word of the
caption to the first, each takes the last free equal word of the reference; then the words that are
left do the same by Porter's stems, then by synonyms. With m matches in c chunks,

    P = m / words of the caption,  R = m / words of the reference
    score = P R / (alpha P + (1 - alpha) R) * (1 - gamma (c / m) ^ beta),  .9, 3, .5

It counts every word alike and is not comparable with METEOR 1.5. Without WordNet the third stage
finds nothing. A fault of that program is kept, since its rewards contain it: a word that its stem
has matched stays free for a synonym, is then counted twice, and a score can exceed 1.

Letters: `B` captions, `L` words, `V` word numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from segue.tasks.captioning.metrics.stemmers import porter
from segue.tasks.captioning.metrics.wordnet import WordNet
from segue.tasks.captioning.metrics.words import References, WordCodes

__all__ = ["Synonyms", "nltk_codes", "nltk_prefixes", "nltk_scores"]

ALPHA, BETA, GAMMA = 0.9, 3.0, 0.5

Floats = NDArray[np.float64]
Array = NDArray[Any]


def nltk_codes(words: Sequence[str] = ()) -> WordCodes:
    """Return codes whose classes are Porter's stems, for the functions below."""
    return WordCodes(words, stem=porter)


class Synonyms:
    """Which numbers of words share a sense.

    Args:
        wordnet: the database.
        codes: the words; new ones are looked up when they are asked for.
    """

    def __init__(self, wordnet: WordNet, codes: WordCodes) -> None:
        self._wordnet, self._codes = wordnet, codes
        self._of: NDArray[np.int32] = np.zeros(0, dtype=np.int32)
        self._offsets = np.zeros(1, dtype=np.int64)

    def tables(self) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return the numbers of all words' synonyms, and where those of word v begin, [V + 1]."""
        numbers, known = self._codes.numbers, len(self._offsets) - 1
        if known < len(self._codes):
            rows: list[list[int]] = []
            for word in self._codes.words:
                found = self._wordnet.synonyms(word)
                rows.append(sorted(numbers[other] for other in found if other in numbers))
            self._of = np.array([n for row in rows for n in row], dtype=np.int32)
            self._offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
        return self._of, self._offsets


def nltk_scores(
    codes: WordCodes,
    hypotheses: NDArray[np.int32],
    lengths: NDArray[np.int64],
    references: References,
    items: NDArray[np.int64],
    synonyms: Synonyms | None = None,
) -> Floats:
    """Return the score of each caption against the best reference of its item, [B].

    Args:
        codes: the words behind the numbers, from `nltk_codes`.
        hypotheses: numbers of words, [B, L].
        lengths: number of words of each caption, [B].
        references: sentences of all items.
        items: which item each caption describes, [B].
        synonyms: of the same codes; None leaves the third stage out.
    """
    out = np.zeros((len(hypotheses), 1))
    _run(codes, hypotheses, lengths, references, items, synonyms, out, False)
    return out[:, 0]


def nltk_prefixes(
    codes: WordCodes,
    hypotheses: NDArray[np.int32],
    lengths: NDArray[np.int64],
    references: References,
    items: NDArray[np.int64],
    synonyms: Synonyms | None = None,
) -> Floats:
    """Return the score of words 0 .. l of each caption, [B, L]; 0 from the end of the caption on.

    Arguments as of `nltk_scores`.
    """
    out = np.zeros(hypotheses.shape)
    _run(codes, hypotheses, lengths, references, items, synonyms, out, True)
    return out


def _run(
    codes: WordCodes,
    hypotheses: NDArray[np.int32],
    lengths: NDArray[np.int64],
    references: References,
    items: NDArray[np.int64],
    synonyms: Synonyms | None,
    out: Floats,
    every: bool,
) -> None:
    alike, offsets = synonyms.tables() if synonyms else (np.zeros(0, np.int32), np.zeros(1, int))
    _score_batch(
        np.ascontiguousarray(hypotheses, dtype=np.int32),
        np.asarray(lengths, dtype=np.int64),
        references.words,
        references.sentences,
        references.items,
        np.asarray(items, dtype=np.int64),
        codes.stems,
        alike,
        offsets,
        out,
        every,
    )


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _score_batch(
    hypotheses: Array, lengths: Array, words: Array, sentences: Array, items: Array,
    item_of: Array, stems: Array, alike: Array, offsets: Array, out: Array, every: bool,
) -> None:  # fmt: skip
    place = np.zeros((2, hypotheses.shape[1]), np.int64)
    longest = 0
    for s in range(len(sentences) - 1):
        longest = max(longest, sentences[s + 1] - sentences[s])
    taken = np.zeros((2, longest), np.bool_)
    for b in range(hypotheses.shape[0]):
        n = lengths[b]
        for s in range(items[item_of[b]], items[item_of[b] + 1]):
            reference = words[sentences[s] : sentences[s + 1]]
            for end in range(1 if every else n, n + 1):
                if end:
                    score = _score(
                        hypotheses[b, :end], reference, stems, alike, offsets, place, taken
                    )
                    at = end - 1 if every else 0
                    out[b, at] = max(out[b, at], score)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _score(
    hypothesis: Array, reference: Array, stems: Array, alike: Array, offsets: Array,
    place: Array, taken: Array,
) -> float:  # fmt: skip
    # Row 0: exact words and stems; row 1: exact words and synonyms, see above.
    n, m = len(hypothesis), len(reference)
    place[:, :n] = -1
    taken[:, :m] = False
    matches = 0
    for stage in range(3 if len(offsets) > 1 else 2):
        row = stage // 2
        for i in range(n - 1, -1, -1):
            if place[row, i] >= 0:
                continue
            word = hypothesis[i]
            for j in range(m - 1, -1, -1):
                if taken[row, j]:
                    continue
                other = reference[j]
                if stage == 0:
                    same = word == other
                elif stage == 1:
                    same = stems[word] == stems[other]
                else:
                    same = False
                    for k in range(offsets[word], offsets[word + 1]):
                        same = same or alike[k] == other
                if same:
                    place[row, i] = j
                    taken[row, j] = True
                    matches += 1
                    if stage == 0:
                        place[1, i] = j
                        taken[1, j] = True
                    break
    if matches == 0:
        return 0.0
    chunks, last_i, last_j = 0, -2, -2
    for i in range(n):
        for row in range(2):
            j = place[row, i]
            if j >= 0 and (row == 0 or hypothesis[i] != reference[j]):
                if i != last_i + 1 or j != last_j + 1:
                    chunks += 1
                last_i, last_j = i, j
    precision, recall = matches / n, matches / m
    mean = precision * recall / (ALPHA * precision + (1 - ALPHA) * recall)
    return float((1 - GAMMA * (chunks / matches) ** BETA) * mean)
