"""From scores to ranks and to lists: the same for every model.

Scores of `B` queries over `V` tracks are an array [B, V], or a sparse matrix whose absent entries
are worse than every stored one and equal to each other.

A rank counts from 1. Equal scores share the middle of their ranks: the target's rank is one more
than the number of better tracks plus half of the number of equal ones. Ties broken by number would
favour whatever comes first in the vocabulary.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from segue.tasks.playlist.sessions import UNKNOWN, Sessions

__all__ = ["Repeats", "Scores", "mid_ranks", "top_tracks"]

Repeats = Literal["allowed", "masked"]
"""Whether a track of the query may be recommended; masked tracks have no rank."""
Scores = Any
"""NDArray[np.float32] [B, V], or scipy.sparse.csr_matrix of float32 [B, V]."""


def mid_ranks(
    scores: Scores, queries: Sessions, targets: NDArray[np.int32], *, repeats: Repeats
) -> NDArray[np.float64]:
    """Return the rank of each target, [B]; infinity where it cannot be recommended.

    Args:
        scores: [B, V].
        queries: [B] histories; with `repeats = "masked"` their tracks are left out.
        targets: [B]; `UNKNOWN` has the rank infinity.
        repeats: whether a track of the query may be recommended.
    """
    if sparse.issparse(scores):
        return _sparse_ranks(scores.tocsr(), queries, targets, repeats)
    ranks = np.empty(len(targets))
    for i, target in enumerate(targets):
        row = np.asarray(scores[i], dtype=np.float32)
        heard = queries[i] if repeats == "masked" else queries[i][:0]
        if target == UNKNOWN or target in heard:
            ranks[i] = np.inf
            continue
        value = row[target]
        if len(heard):
            row = row.copy()
            row[heard[heard >= 0]] = -np.inf
        ranks[i] = 1 + np.count_nonzero(row > value) + (np.count_nonzero(row == value) - 1) / 2
    return ranks


def top_tracks(
    scores: Scores, queries: Sessions, n: int, *, repeats: Repeats
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the best `n` tracks of each query and their scores, [B, n] each, best first.

    Equal scores come in the order of the vocabulary. Where there are fewer than `n` tracks the rest
    is -1 with the score minus infinity.
    """
    tracks = np.full((len(queries), n), -1, dtype=np.int32)
    values = np.full((len(queries), n), -np.inf, dtype=np.float32)
    matrix = scores.tocsr() if sparse.issparse(scores) else None
    for i in range(len(queries)):
        if matrix is not None:
            low, high = matrix.indptr[i], matrix.indptr[i + 1]
            columns, row = matrix.indices[low:high], matrix.data[low:high]
        else:
            row = np.asarray(scores[i], dtype=np.float32)
            columns = np.arange(len(row), dtype=np.int32)
        if repeats == "masked":
            keep = ~np.isin(columns, queries[i])
            columns, row = columns[keep], row[keep]
        if len(row) > n:  # everything that ties with the n-th stays, so that order decides
            edge = np.partition(row, len(row) - n)[len(row) - n]
            keep = row >= edge
            columns, row = columns[keep], row[keep]
        order = np.lexsort((columns, -row))[:n]
        tracks[i, : len(order)] = columns[order]
        values[i, : len(order)] = row[order]
    return tracks, values


def _sparse_ranks(
    scores: Any, queries: Sessions, targets: NDArray[np.int32], repeats: Repeats
) -> NDArray[np.float64]:
    n_tracks = scores.shape[1]
    owners = np.repeat(np.arange(len(targets)), np.diff(scores.indptr))
    columns, values = scores.indices, scores.data
    hidden = np.zeros(len(targets), dtype=np.int64)  # different tracks of the query
    heard = np.zeros(len(targets), dtype=np.bool_)  # the target is one of them
    if repeats == "masked":
        pairs = np.stack([queries.owners(), queries.tracks], axis=1)
        pairs = np.unique(pairs[queries.tracks >= 0], axis=0)
        hidden = np.bincount(pairs[:, 0], minlength=len(targets))
        keys = pairs[:, 0].astype(np.int64) * n_tracks + pairs[:, 1]
        keep = ~np.isin(owners.astype(np.int64) * n_tracks + columns, keys)
        owners, columns, values = owners[keep], columns[keep], values[keep]
        heard = np.isin(np.arange(len(targets), dtype=np.int64) * n_tracks + targets, keys)
    own = np.full(len(targets), -np.inf, dtype=np.float32)
    hit = columns == targets[owners]
    own[owners[hit]] = values[hit]
    found = np.zeros(len(targets), dtype=np.bool_)
    found[owners[hit]] = True
    stored = np.bincount(owners, minlength=len(targets))
    better = np.bincount(owners[values > own[owners]], minlength=len(targets))
    equal = np.bincount(owners[values == own[owners]], minlength=len(targets))
    ranks = np.where(
        found,
        1 + better + (equal - 1) / 2,
        1 + stored + (n_tracks - stored - hidden - 1) / 2,
    ).astype(np.float64)
    ranks[(targets == UNKNOWN) | heard] = np.inf
    return ranks
