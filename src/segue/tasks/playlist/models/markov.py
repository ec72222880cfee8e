"""Markov chain: what followed the newest track before.

    score(c) = count(x -> c) / (count(x) + smoothing)

with x the newest track and count(x) the number of plays of x that had a successor. The smoothing
changes no order within a query; it makes scores of rarely played tracks small where models are
summed.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import Field

from segue.core.config import Config
from segue.core.progress import Advance, silent
from segue.tasks.playlist.models.base import Arrays
from segue.tasks.playlist.models.kernels import Table, known_tracks, sum_rows
from segue.tasks.playlist.models.kernels_ranking import SparseRecommender
from segue.tasks.playlist.sessions import Sessions

__all__ = ["Markov", "MarkovConfig"]


class MarkovConfig(Config):
    """Settings of the Markov chain."""

    smoothing: float = Field(5.0, ge=0)
    """Plays added below the line."""


class Markov(SparseRecommender):
    """Counts of the next track after the newest one."""

    name = "markov"
    config_type = MarkovConfig

    followers: Table
    """Share of each track's successors, [V, V]."""

    def fit(
        self,
        sessions: Sessions,
        n_tracks: int,
        *,
        validation: Sessions | None = None,
        advance: Advance = silent,
    ) -> Self:
        """Count successors; `validation` is not looked at."""
        self.n_tracks = n_tracks
        rows = known_tracks(sessions)
        inner = np.ones(len(rows.tracks), dtype=np.bool_)
        inner[rows.offsets[1:][np.diff(rows.offsets) > 0] - 1] = False  # the last has no successor
        before = np.flatnonzero(inner)
        pairs = rows.tracks[before].astype(np.int64) * n_tracks + rows.tracks[before + 1]
        keys, counts = np.unique(pairs, return_counts=True)
        first = keys // n_tracks
        totals = np.bincount(first, weights=counts, minlength=n_tracks)
        self.followers = Table(
            np.concatenate([[0], np.cumsum(np.bincount(first, minlength=n_tracks))]),
            (keys % n_tracks).astype(np.int32),
            (counts / (totals[first] + self.config.smoothing)).astype(np.float32),
        )
        advance(1.0)
        return self

    def table(self, queries: Sessions) -> Table:
        """Return the shares of the newest track's successors, rows of [B, V]."""
        return sum_rows(known_tracks(queries), self.followers, self.n_tracks, 1.0, 1)

    def arrays(self) -> Arrays:
        """Return the table of successors."""
        return dict(self.followers._asdict())

    def restore(self, arrays: Arrays) -> None:
        """Put back what `arrays` returned."""
        self.followers = Table(**arrays)
