"""Compiled: the fused score of every candidate, and the best candidates with what earned it.

`B` queries, `N` candidates of a query, `C` components, `V` tracks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segue.tasks.playlist.models.kernels import (
    Rows,
    Table,
    compiled,
    keep_best,
    make_room,
    sort_best,
)
from segue.tasks.playlist.models.kernels_components import Form, Past, Work, find_candidates

__all__ = ["best_candidates", "fused_rows"]


@compiled
def fused_rows(
    queries: Rows,
    past: Past,
    form: Form,
    work: Work,
    weights: NDArray[np.float32],
    factors: NDArray[np.float32],
    heard: float,
) -> Table:
    """Return the score of every candidate, rows of [B, V].

    Args:
        queries: [B].
        past: what was fitted.
        form: constants.
        work: room.
        weights: of the components, [C].
        factors: of the tracks, [V].
        heard: factor of tracks of the query.
    """
    n_queries = len(queries.offsets) - 1
    indptr = np.zeros(n_queries + 1, dtype=np.int64)
    indices = np.empty(max(512 * n_queries, 1024), dtype=np.int32)
    values = np.empty(len(indices), dtype=np.float32)
    maxima = np.empty(len(weights), dtype=np.float32)
    used = 0
    for q in range(n_queries):
        query = queries.tracks[queries.offsets[q] : queries.offsets[q + 1]]
        n = find_candidates(query, past, form, work)
        indices, values = make_room(indices, values, used, n)
        for k in range(n):
            indices[used + k] = work.tracks[k]
        _find_maxima(n, work, maxima)
        _scores(query, n, work, weights, factors, heard, maxima, values[used:])
        used += n
        indptr[q + 1] = used
    return Table(indptr, indices[:used], values[:used])


@compiled
def best_candidates(
    queries: Rows,
    past: Past,
    form: Form,
    work: Work,
    weights: NDArray[np.float32],
    factors: NDArray[np.float32],
    heard: float,
    tracks: NDArray[np.int32],
    scores: NDArray[np.float32],
    raw: NDArray[np.float32],
    maxima: NDArray[np.float32],
) -> None:
    """Fill in the best candidates, best first, and what the components say.

    Args:
        queries: [B].
        past: what was fitted.
        form: constants.
        work: room.
        weights: of the components, [C].
        factors: of the tracks, [V].
        heard: factor of tracks of the query.
        tracks: filled, [B, N]; left alone where there are fewer.
        scores: filled, [B, N].
        raw: filled with the components as they are, [B, N, C].
        maxima: filled with the greatest value of each among all candidates, [B, C].
    """
    values = np.empty(len(factors), dtype=np.float32)
    sorting = np.empty(len(factors))
    slots = np.empty(len(factors), dtype=np.int32)
    for q in range(len(tracks)):
        query = queries.tracks[queries.offsets[q] : queries.offsets[q + 1]]
        n = find_candidates(query, past, form, work)
        _find_maxima(n, work, maxima[q])
        _scores(query, n, work, weights, factors, heard, maxima[q], values)
        for k in range(n):
            slots[k] = -work.tracks[k]  # of equals the first in the vocabulary is kept
            sorting[k] = values[k]
            work.slots[work.tracks[k]] = k
        kept = keep_best(slots, sorting, n, tracks.shape[1])
        sort_best(slots, sorting, kept)
        for k in range(kept):
            tracks[q, k] = -slots[k]
            scores[q, k] = sorting[k]
            slot = work.slots[-slots[k]]
            for c in range(len(weights)):
                raw[q, k, c] = work.raw[slot, c]
        for k in range(n):
            work.slots[work.tracks[k]] = -1


@compiled
def _find_maxima(n: int, work: Work, maxima: NDArray[np.float32]) -> None:
    for c in range(len(maxima)):
        maxima[c] = 0
    for k in range(n):
        for c in range(len(maxima)):
            maxima[c] = max(maxima[c], work.raw[k, c])


@compiled
def _scores(
    query: NDArray[np.int32],
    n: int,
    work: Work,
    weights: NDArray[np.float32],
    factors: NDArray[np.float32],
    heard: float,
    maxima: NDArray[np.float32],
    scores: NDArray[np.float32],
) -> None:
    scaled = np.zeros(len(weights), dtype=np.float32)
    for c in range(len(weights)):
        if maxima[c] > 0:
            scaled[c] = weights[c] / maxima[c]
    for k in range(n):
        total = np.float32(0)
        for c in range(len(weights)):
            total += scaled[c] * work.raw[k, c]
        total *= factors[work.tracks[k]]
        for track in query:
            if track == work.tracks[k]:
                total *= np.float32(heard)
                break
        scores[k] = total
