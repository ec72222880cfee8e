"""User-CF and session-kNN: what those heard who heard the same.

Every past session is a profile. The query is compared with all profiles that share a track with it,
the nearest are kept, and their tracks are recommended by the similarity of the profiles that hold
them:

    similarity(q, p) = sum over tracks in both of weight(track) / (|q| |p|)
    score(c) = sum over the nearest p that hold c of similarity(q, p)

*User-CF* is the original's form: the query is a set, weight 1, lengths are those of binary vectors
(so the similarity is the cosine), 30 nearest. *Session-kNN* (Jannach and Ludewig, 2017) lets newer
tracks of the query weigh more, weight decay^k for the k-th from the end, and asks 500 profiles. Of
equally near profiles the newer is kept.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import Field

from segue.core.config import Config
from segue.core.progress import Advance, silent
from segue.tasks.playlist.models.base import Arrays
from segue.tasks.playlist.models.kernels import (
    Index,
    Rows,
    Table,
    build_index,
    compiled,
    keep_best,
    known_tracks,
    make_room,
)
from segue.tasks.playlist.models.kernels_ranking import SparseRecommender
from segue.tasks.playlist.sessions import Sessions

__all__ = ["SessionKNN", "SessionKNNConfig", "UserCF", "UserCFConfig"]


class UserCFConfig(Config):
    """Settings of User-CF."""

    neighbours: int = Field(30, ge=1)
    """How many profiles are asked (the original's value)."""
    decay: float = Field(1.0, gt=0, le=1)
    """Weight of a track of the query relative to the one after it; 1 makes the query a set."""


class SessionKNNConfig(UserCFConfig):
    """Settings of session-kNN."""

    neighbours: int = Field(500, ge=1)
    """How many past sessions are asked."""
    decay: float = Field(0.6, gt=0, le=1)
    """Weight of a track of the query relative to the one after it."""


class UserCF(SparseRecommender):
    """The tracks of the nearest profiles."""

    name = "user-cf"
    config_type = UserCFConfig

    rows: Rows
    """The profiles: sessions with each track once."""
    index: Index
    """Which profiles hold a track."""

    def fit(
        self,
        sessions: Sessions,
        n_tracks: int,
        *,
        validation: Sessions | None = None,
        advance: Advance = silent,
    ) -> Self:
        """Keep the profiles and index them; `validation` is not looked at."""
        self.n_tracks = n_tracks
        self.rows = known_tracks(sessions, once=True)
        self.index = build_index(self.rows, n_tracks)
        advance(1.0)
        return self

    def table(self, queries: Sessions) -> Table:
        """Return the summed similarities of the nearest profiles, rows of [B, V]."""
        return _nearest(
            known_tracks(queries, once=True),
            self.rows,
            self.index,
            self.n_tracks,
            self.config.neighbours,
            self.config.decay,
        )

    def arrays(self) -> Arrays:
        """Return the profiles."""
        return dict(self.rows._asdict())

    def restore(self, arrays: Arrays) -> None:
        """Put back what `arrays` returned."""
        self.rows = Rows(**arrays)
        self.index = build_index(self.rows, self.n_tracks)


class SessionKNN(UserCF):
    """The tracks of the nearest past sessions; newer tracks of the query weigh more."""

    name = "session-knn"
    config_type = SessionKNNConfig


@compiled
def _nearest(
    queries: Rows, rows: Rows, index: Index, n_tracks: int, n_neighbours: int, decay: float
) -> Table:
    n_queries, n_sessions = len(queries.offsets) - 1, len(rows.offsets) - 1
    indptr = np.zeros(n_queries + 1, dtype=np.int64)
    indices = np.empty(max(256 * n_queries, 1024), dtype=np.int32)
    values = np.empty(len(indices), dtype=np.float32)
    near = np.zeros(n_sessions)
    sessions = np.empty(n_sessions, dtype=np.int32)
    similarity = np.empty(n_sessions)
    sums = np.zeros(n_tracks)
    touched = np.empty(n_tracks, dtype=np.int32)
    used = 0
    for q in range(n_queries):
        low, high = queries.offsets[q], queries.offsets[q + 1]
        # 1. Every profile that shares a track, and what they share.
        n, weight, length = 0, 1.0, 0.0
        for p in range(high - 1, low - 1, -1):
            track = queries.tracks[p]
            for k in range(index.starts[track], index.starts[track + 1]):
                s = index.owners[index.places[k]]
                if near[s] == 0:
                    sessions[n] = s
                    n += 1
                near[s] += weight
            length += weight * weight
            weight *= decay
        # 2. The nearest.
        for k in range(n):
            s = sessions[k]
            size = rows.offsets[s + 1] - rows.offsets[s]
            similarity[k] = near[s] / np.sqrt(length * size)
            near[s] = 0.0
        n = keep_best(sessions, similarity, n, n_neighbours)
        # 3. Their tracks.
        n_touched = 0
        for k in range(n):
            s = sessions[k]
            for p in range(rows.offsets[s], rows.offsets[s + 1]):
                track = rows.tracks[p]
                if sums[track] == 0:
                    touched[n_touched] = track
                    n_touched += 1
                sums[track] += similarity[k]
        indices, values = make_room(indices, values, used, n_touched)
        for k in range(n_touched):
            indices[used + k] = touched[k]
            values[used + k] = sums[touched[k]]
            sums[touched[k]] = 0.0
        used += n_touched
        indptr[q + 1] = used
    return Table(indptr, indices[:used], values[:used])
