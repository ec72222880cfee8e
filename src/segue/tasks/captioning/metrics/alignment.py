"""METEOR 1.5 in process, for every beginning of a caption, by exact words and stems.

METEOR's own program needs Java and half a millisecond for a caption; a reward is asked for millions
of times. Here words are numbers, a stem is a class of numbers, and the alignment grows with the
caption: what is known after word l is the alignment of the first l + 1 words, so the scores of all
beginnings cost no more than the last one. Synonyms and paraphrases, the tables of METEOR's program,
are missing, so scores are a little lower than official ones.

An alignment matches as many words as possible, then in as few chunks, then over as small distances
as possible. In each class the number of matches is known beforehand (the smaller of both counts);
a word may stay alone only where its class has more words left than places. What remains open, which
of several equal words is matched where, is searched by a beam of states.

Two things differ from METEOR's program with the same two stages. It leaves words alone that several
words of one stem compete for, which are matched here; and its beam sometimes misses an alignment in
fewer chunks. `benchmarks/captioning_metrics.py` counts how often the score is another one.

Letters: `B` captions, `L` words, `V` word numbers, `N` sentences of references, `M` items.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from segue.tasks.captioning.metrics.meteor import ENGLISH, FIELDS, Parameters
from segue.tasks.captioning.metrics.words import References, WordCodes

__all__ = ["meteor_prefixes", "meteor_scores", "meteor_statistics"]

_BEAM = 40  # as METEOR's program
_PLACES = 128  # words of a reference that can be matched: the bits of a state
_FAR = 1 << 20  # one chunk outweighs any sum of distances

Floats = NDArray[np.float64]
Array = NDArray[Any]


def meteor_scores(
    codes: WordCodes,
    hypotheses: NDArray[np.int32],
    lengths: NDArray[np.int64],
    references: References,
    items: NDArray[np.int64],
    parameters: Parameters = ENGLISH,
) -> Floats:
    """Return the score of each caption against the best reference of its item, [B].

    Args:
        codes: the words behind the numbers.
        hypotheses: numbers of words, [B, L].
        lengths: number of words of each caption, [B].
        references: sentences of all items.
        items: which item each caption describes, [B].
        parameters: METEOR's numbers.
    """
    out = np.zeros((len(hypotheses), 1))
    _run(codes, hypotheses, lengths, references, items, parameters, out)
    return out[:, 0]


def meteor_prefixes(
    codes: WordCodes,
    hypotheses: NDArray[np.int32],
    lengths: NDArray[np.int64],
    references: References,
    items: NDArray[np.int64],
    parameters: Parameters = ENGLISH,
) -> Floats:
    """Return the score of words 0 .. l of each caption, [B, L]; 0 from the end of the caption on.

    Arguments as of `meteor_scores`.
    """
    out = np.zeros(hypotheses.shape)
    _run(codes, hypotheses, lengths, references, items, parameters, out)
    return out


def meteor_statistics(
    codes: WordCodes,
    hypotheses: NDArray[np.int32],
    lengths: NDArray[np.int64],
    references: References,
    items: NDArray[np.int64],
    parameters: Parameters = ENGLISH,
) -> NDArray[np.int64]:
    """Return METEOR's 23 counts for each caption and its best reference, [B, 23].

    Arguments as of `meteor_scores`; what the counts mean: `meteor.FIELDS`.
    """
    out = np.zeros((len(hypotheses), 1))
    found = _run(codes, hypotheses, lengths, references, items, parameters, out)
    statistics = np.zeros((len(found), len(FIELDS)), dtype=np.int64)
    lengths_and_function, counts = found[:, :4], found[:, 4:]
    exact_content, exact_function, content_h, content_r, stems, chunks = counts.T
    statistics[:, :4] = lengths_and_function
    statistics[:, 4] = statistics[:, 5] = exact_content
    statistics[:, 6] = statistics[:, 7] = exact_function
    statistics[:, 8], statistics[:, 9] = content_h, content_r
    statistics[:, 10], statistics[:, 11] = stems - content_h, stems - content_r
    statistics[:, 20] = chunks
    statistics[:, 21] = statistics[:, 22] = exact_content + exact_function + stems
    return statistics


def _run(
    codes: WordCodes,
    hypotheses: NDArray[np.int32],
    lengths: NDArray[np.int64],
    references: References,
    items: NDArray[np.int64],
    parameters: Parameters,
    out: Floats,
) -> NDArray[np.int64]:
    found = np.zeros((len(hypotheses), 10), dtype=np.int64)
    p = parameters
    numbers = np.array([p.alpha, p.beta, p.gamma, p.delta, p.weights[0], p.weights[1]])
    _score_batch(
        np.ascontiguousarray(hypotheses, dtype=np.int32),
        np.asarray(lengths, dtype=np.int64),
        references.words,
        references.sentences,
        references.items,
        np.asarray(items, dtype=np.int64),
        codes.stems,
        codes.function,
        numbers,
        out,
        found,
    )
    return found


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _score_batch(
    hypotheses: Array,
    lengths: Array,
    words: Array,
    sentences: Array,
    items: Array,
    item_of: Array,
    stems: Array,
    function: Array,
    numbers: Array,
    out: Array,
    found: Array,
) -> None:
    most = hypotheses.shape[1]
    counts = np.zeros((most, 6), np.int64)
    lo, hi = np.zeros((2, _BEAM), np.uint64), np.zeros((2, _BEAM), np.uint64)
    state = np.zeros((2, _BEAM, 4), np.int64)  # last place, matches, chunks and distance, counts
    places = np.zeros(_PLACES, np.int64)
    every = out.shape[1] == most and most > 1
    for b in range(hypotheses.shape[0]):
        n = lengths[b]
        hypothesis = hypotheses[b]
        best = -1.0
        for s in range(items[item_of[b]], items[item_of[b] + 1]):
            reference = words[sentences[s] : sentences[s + 1]]
            _align(hypothesis, n, reference, stems, function, lo, hi, state, places, counts)
            function_r = 0
            for word in reference:
                function_r += function[word]
            function_h, score = 0, 0.0
            for i in range(n):
                function_h += function[hypothesis[i]]
                if every or i == n - 1:
                    score = _score(
                        counts[i], i + 1, len(reference), function_h, function_r, numbers
                    )
                    at = i if every else 0
                    out[b, at] = max(out[b, at], score)
            if score > best:
                best = score
                found[b, 0], found[b, 1] = n, len(reference)
                found[b, 2], found[b, 3] = function_h, function_r
                for k in range(6):
                    found[b, 4 + k] = counts[n - 1, k] if n else 0


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _score(
    counts: Array,
    n: int,
    m: int,
    function_h: int,
    function_r: int,
    numbers: Array,
) -> float:
    exact_content, exact_function, content_h, content_r, stem, chunks = counts
    matches = exact_content + exact_function + stem
    if matches == 0:
        return 0.0
    alpha, beta, gamma, delta, exact_weight, stem_weight = numbers
    exact = exact_weight * (delta * exact_content + (1 - delta) * exact_function)
    precision = exact + stem_weight * (delta * content_h + (1 - delta) * (stem - content_h))
    precision /= delta * (n - function_h) + (1 - delta) * function_h
    recall = exact + stem_weight * (delta * content_r + (1 - delta) * (stem - content_r))
    recall /= delta * (m - function_r) + (1 - delta) * function_r
    mean = precision * recall / (alpha * precision + (1 - alpha) * recall)
    if chunks == 1 and matches == n and matches == m:
        return float(mean)
    return float(mean * (1 - gamma * (chunks / matches) ** beta))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _align(
    hypothesis: Array,
    n: int,
    reference: Array,
    stems: Array,
    function: Array,
    lo: Array,
    hi: Array,
    state: Array,
    places: Array,
    counts: Array,
) -> None:
    """Fill counts [L, 6] with those of the alignment of words 0 .. l, for every l."""
    m = min(len(reference), _PLACES)
    one, zero = np.uint64(1), np.uint64(0)
    now, size = 0, 1
    lo[0, 0] = hi[0, 0] = zero
    state[0, 0, :] = 0
    state[0, 0, 0] = -2
    for i in range(n):
        word = hypothesis[i]
        stem = stems[word]
        n_places = 0
        for j in range(m):
            if stems[reference[j]] == stem:
                places[n_places] = j
                n_places += 1
        if n_places == 0:
            for s in range(size):
                state[now, s, 0] = -2
        else:
            left = 0
            for later in range(i + 1, n):
                left += stems[hypothesis[later]] == stem
            after, grown = 1 - now, 0
            for s in range(size):
                free = 0
                for q in range(n_places + 1):
                    new_lo, new_hi = lo[now, s], hi[now, s]
                    last, matches = state[now, s, 0], state[now, s, 1]
                    cost, packed = state[now, s, 2], state[now, s, 3]
                    if q < n_places:
                        j = places[q]
                        if j < 64:
                            bit = one << np.uint64(j)
                            if new_lo & bit:
                                continue
                            new_lo |= bit
                        else:
                            bit = one << np.uint64(j - 64)
                            if new_hi & bit:
                                continue
                            new_hi |= bit
                        free += 1
                        if last != j - 1:
                            cost += _FAR
                        cost += abs(i - j)
                        last = j
                        matches += 1
                        other = reference[j]
                        if other == word:
                            packed += 1 << (10 * function[word])
                        else:
                            packed += 1 << 40
                            packed += (1 - function[word]) << 20
                            packed += (1 - function[other]) << 30
                    elif free == 0 or left >= free:
                        last = -2
                    else:
                        continue
                    grown = _insert(
                        lo[after], hi[after], state[after], grown,
                        new_lo, new_hi, last, matches, cost, packed,
                    )  # fmt: skip
            now, size = after, grown
        best = 0
        for s in range(1, size):
            more = state[now, s, 1] - state[now, best, 1]
            if more > 0 or (more == 0 and state[now, s, 2] < state[now, best, 2]):
                best = s
        packed = state[now, best, 3]
        for k in range(5):
            counts[i, k] = (packed >> (10 * k)) & 1023
        counts[i, 5] = state[now, best, 2] // _FAR


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _insert(
    lo: Array,
    hi: Array,
    state: Array,
    size: int,
    new_lo: int,
    new_hi: int,
    last: int,
    matches: int,
    cost: int,
    packed: int,
) -> int:
    """Add a state to the beam; return the size of the beam."""
    at, worst = -1, 0
    for s in range(size):
        if lo[s] == new_lo and hi[s] == new_hi and state[s, 0] == last:
            if cost >= state[s, 2]:
                return size
            at = s
            break
    if at < 0:
        if size < _BEAM:
            at, size = size, size + 1
        else:
            # A match that is still to come costs at most a chunk; count half.
            for s in range(size):
                if _rank(state[s, 1], state[s, 2]) > _rank(state[worst, 1], state[worst, 2]):
                    worst = s
            if _rank(matches, cost) >= _rank(state[worst, 1], state[worst, 2]):
                return size
            at = worst
    lo[at], hi[at] = new_lo, new_hi
    state[at, 0], state[at, 1], state[at, 2], state[at, 3] = last, matches, cost, packed
    return size


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _rank(
    matches: int,
    cost: int,
) -> int:
    return 2 * cost - matches * _FAR
