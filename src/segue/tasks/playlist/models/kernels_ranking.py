"""Ranks and lists from sparse scores, compiled: equal to `ranking` in everything but time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from segue.tasks.playlist.models.base import Recommender
from segue.tasks.playlist.models.kernels import Table, compiled
from segue.tasks.playlist.ranking import Repeats
from segue.tasks.playlist.sessions import Sessions

__all__ = ["SparseRecommender"]

_BATCH = 4096


class SparseRecommender(Recommender):
    """A recommender whose scores are sparse; it writes `table` and the rest follows."""

    def table(self, queries: Sessions) -> Table:
        """Return the tracks that have a score and their scores, rows of [B, V]."""
        raise NotImplementedError

    def score(self, queries: Sessions) -> Any:
        """Return scores, scipy.sparse.csr_matrix [B, V] of float32."""
        table = self.table(queries)
        return sparse.csr_matrix(
            (table.values, table.indices, table.indptr), shape=(len(queries), self.n_tracks)
        )

    def recommend(
        self, queries: Sessions, n: int, *, repeats: Repeats = "allowed"
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the best `n` tracks of each query and their scores; see `ranking.top_tracks`."""
        tracks = np.full((len(queries), n), -1, dtype=np.int32)
        values = np.full((len(queries), n), -np.inf, dtype=np.float32)
        for start in range(0, len(queries), _BATCH):
            stop = min(start + _BATCH, len(queries))
            batch = queries.part(start, stop)
            _best(
                self.table(batch),
                batch.tracks,
                batch.offsets,
                repeats == "masked",
                self.n_tracks,
                tracks[start:stop],
                values[start:stop],
            )
        return tracks, values

    def ranks(
        self, queries: Sessions, targets: NDArray[np.int32], *, repeats: Repeats = "allowed"
    ) -> NDArray[np.float64]:
        """Return the rank of each target among all tracks, [B]; see `ranking.mid_ranks`."""
        ranks = np.empty(len(queries))
        for start in range(0, len(queries), _BATCH):
            stop = min(start + _BATCH, len(queries))
            batch = queries.part(start, stop)
            ranks[start:stop] = _ranks(
                self.table(batch),
                batch.tracks,
                batch.offsets,
                targets[start:stop].astype(np.int32),
                repeats == "masked",
                self.n_tracks,
            )
        return ranks


@compiled
def _ranks(
    table: Table,
    tracks: NDArray[np.int32],
    offsets: NDArray[np.int64],
    targets: NDArray[np.int32],
    masked: bool,
    n_tracks: int,
) -> NDArray[np.float64]:
    ranks = np.full(len(targets), np.inf)
    hidden = np.zeros(n_tracks, dtype=np.bool_)
    for q in range(len(targets)):
        target = targets[q]
        if target < 0:
            continue
        n_hidden = 0
        if masked:
            for p in range(offsets[q], offsets[q + 1]):
                if tracks[p] >= 0 and not hidden[tracks[p]]:
                    hidden[tracks[p]] = True
                    n_hidden += 1
        if not hidden[target]:
            found = False
            own = np.float32(0)
            for k in range(table.indptr[q], table.indptr[q + 1]):
                if table.indices[k] == target:
                    own, found = table.values[k], True
                    break
            better, equal = 0, 0
            for k in range(table.indptr[q], table.indptr[q + 1]):
                if hidden[table.indices[k]]:
                    continue
                if not found or table.values[k] > own:
                    better += 1
                elif table.values[k] == own:
                    equal += 1
            if not found:  # it ties with all that have no score
                equal = n_tracks - n_hidden - better
            ranks[q] = 1 + better + (equal - 1) / 2
        if masked:
            for p in range(offsets[q], offsets[q + 1]):
                if tracks[p] >= 0:
                    hidden[tracks[p]] = False
    return ranks


@compiled
def _best(
    table: Table,
    tracks: NDArray[np.int32],
    offsets: NDArray[np.int64],
    masked: bool,
    n_tracks: int,
    best: NDArray[np.int32],
    values: NDArray[np.float32],
) -> None:
    """Fill `best` and `values`, [B, n]: falling values, equal ones by rising numbers."""
    hidden = np.zeros(n_tracks, dtype=np.bool_)
    n = best.shape[1]
    for q in range(len(best)):
        if masked:
            for p in range(offsets[q], offsets[q + 1]):
                if tracks[p] >= 0:
                    hidden[tracks[p]] = True
        filled = 0
        for k in range(table.indptr[q], table.indptr[q + 1]):
            track, value = table.indices[k], table.values[k]
            if hidden[track]:
                continue
            if filled == n:
                last = values[q, n - 1]
                if value < last or (value == last and track > best[q, n - 1]):
                    continue
            # Insertion into a short sorted list: few get this far once it is full.
            at = min(filled, n - 1)
            while at > 0 and (
                values[q, at - 1] < value
                or (values[q, at - 1] == value and best[q, at - 1] > track)
            ):
                values[q, at], best[q, at] = values[q, at - 1], best[q, at - 1]
                at -= 1
            values[q, at], best[q, at] = value, track
            filled = min(filled + 1, n)
        if masked:
            for p in range(offsets[q], offsets[q + 1]):
                if tracks[p] >= 0:
                    hidden[tracks[p]] = False
