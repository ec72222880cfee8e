"""Item-CF: tracks that are heard in the same sessions as those just heard.

The similarity of two tracks is the cosine of their columns in the binary matrix of sessions and
tracks: how many sessions hold both, over the root of the product of how many hold each. A query's
score of a track is the sum of its similarities to the query's tracks, the newest counting most:

    score(c) = sum over places k from the end of  decay^k  similarity(x_k, c)

Only the `neighbours` most similar tracks of each are kept. A track is most similar to itself; left
in, this recommends what was just heard again, which in music is often right.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray
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
    sum_rows,
)
from segue.tasks.playlist.models.kernels_ranking import SparseRecommender
from segue.tasks.playlist.sessions import Sessions

__all__ = ["ItemCF", "ItemCFConfig"]

_ALL = 1 << 40


class ItemCFConfig(Config):
    """Settings of Item-CF."""

    neighbours: int = Field(100, ge=1)
    """How many similar tracks are kept of each (the original: 30)."""
    keep_self: bool = True
    """Whether a track is one of its own neighbours (the original: no)."""
    decay: float = Field(0.6, gt=0, le=1)
    """Weight of a track of the query relative to the one after it; 1 forgets the order."""


class ItemCF(SparseRecommender):
    """Cosine similarity of tracks over sessions."""

    name = "item-cf"
    config_type = ItemCFConfig

    neighbours: Table
    """Similar tracks and their similarity, [V, V] with at most `config.neighbours` a row."""

    def fit(
        self,
        sessions: Sessions,
        n_tracks: int,
        *,
        validation: Sessions | None = None,
        advance: Advance = silent,
    ) -> Self:
        """Count who shares sessions with whom; `validation` is not looked at."""
        self.n_tracks = n_tracks
        rows = known_tracks(sessions, once=True)
        index = build_index(rows, n_tracks)
        self.neighbours = _neighbours(
            rows, index, n_tracks, self.config.neighbours, self.config.keep_self
        )
        advance(1.0)
        return self

    def table(self, queries: Sessions) -> Table:
        """Return the summed similarities, rows of [B, V]."""
        rows = known_tracks(queries)
        return sum_rows(rows, self.neighbours, self.n_tracks, self.config.decay, _ALL)

    def similar(self, track: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the neighbours of a track and their similarity, most similar first."""
        low, high = self.neighbours.indptr[track], self.neighbours.indptr[track + 1]
        tracks, values = self.neighbours.indices[low:high], self.neighbours.values[low:high]
        order = np.lexsort((tracks, -values))
        return tracks[order], values[order]

    def arrays(self) -> Arrays:
        """Return the table of neighbours."""
        return dict(self.neighbours._asdict())

    def restore(self, arrays: Arrays) -> None:
        """Put back what `arrays` returned."""
        self.neighbours = Table(**arrays)


@compiled
def _neighbours(
    rows: Rows, index: Index, n_tracks: int, n_neighbours: int, keep_self: bool
) -> Table:
    indptr = np.zeros(n_tracks + 1, dtype=np.int64)
    indices = np.empty(1024, dtype=np.int32)
    values = np.empty(1024, dtype=np.float32)
    inverse = np.empty(n_tracks)
    for t in range(n_tracks):
        inverse[t] = 1.0 / np.sqrt(max(index.starts[t + 1] - index.starts[t], 1))
    together = np.zeros(n_tracks, dtype=np.int32)
    touched = np.empty(n_tracks, dtype=np.int32)
    similarity = np.empty(n_tracks)
    begins = np.empty(len(rows.tracks), dtype=np.int32)
    ends = np.empty(len(rows.tracks), dtype=np.int32)
    for k in range(len(rows.tracks)):  # looked up beforehand: the loop below waits for less memory
        s = index.owners[index.places[k]]
        begins[k], ends[k] = rows.offsets[s], rows.offsets[s + 1]
    used = 0
    for t in range(n_tracks):
        n = 0
        for k in range(index.starts[t], index.starts[t + 1]):
            for p in range(begins[k], ends[k]):
                other = rows.tracks[p]
                if together[other] == 0:
                    touched[n] = other
                    n += 1
                together[other] += 1
        kept = 0
        for k in range(n):
            other = touched[k]
            if keep_self or other != t:
                touched[kept] = other
                similarity[kept] = together[other] * (inverse[t] * inverse[other])
                kept += 1
            together[other] = 0
        kept = keep_best(touched, similarity, kept, n_neighbours)
        indices, values = make_room(indices, values, used, kept)
        for k in range(kept):
            indices[used + k] = touched[k]
            values[used + k] = similarity[k]
        used += kept
        indptr[t + 1] = used
    return Table(indptr, indices[:used].copy(), values[:used].copy())
