"""Popularity: what everybody plays, whatever was just heard.

The score of a track is the number of its plays in the training sessions. Plays are counted once
each; counting overlapping windows instead would favour what stands early in long sessions.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

from segue.core.config import Config
from segue.core.progress import Advance, silent
from segue.tasks.playlist.models.base import Arrays, Recommender
from segue.tasks.playlist.ranking import Repeats, Scores
from segue.tasks.playlist.sessions import UNKNOWN, Sessions

__all__ = ["Popularity", "PopularityConfig"]


class PopularityConfig(Config):
    """Popularity has no settings."""


class Popularity(Recommender):
    """Counts of plays."""

    name = "popularity"
    config_type = PopularityConfig

    plays: NDArray[np.float32]
    """[V]."""

    def fit(
        self,
        sessions: Sessions,
        n_tracks: int,
        *,
        validation: Sessions | None = None,
        advance: Advance = silent,
    ) -> Self:
        """Count plays; `validation` is not looked at."""
        self.n_tracks = n_tracks
        known = sessions.tracks[sessions.tracks != UNKNOWN]
        self.restore({"plays": np.bincount(known, minlength=n_tracks).astype(np.float32)})
        advance(1.0)
        return self

    def score(self, queries: Sessions) -> Scores:
        """Return the plays for every query, [B, V]; a view that must not be written to."""
        return np.broadcast_to(self.plays, (len(queries), self.n_tracks))

    def recommend(
        self, queries: Sessions, n: int, *, repeats: Repeats = "allowed"
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the best `n` tracks of each query and their scores; see `ranking.top_tracks`."""
        tracks = np.full((len(queries), n), -1, dtype=np.int32)
        values = np.full((len(queries), n), -np.inf, dtype=np.float32)
        for i in range(len(queries)):
            heard = queries[i] if repeats == "masked" else queries[i][:0]
            best = self._order[: n + len(heard)]
            best = best[~np.isin(best, heard)][:n]
            tracks[i, : len(best)] = best
            values[i, : len(best)] = self.plays[best]
        return tracks, values

    def ranks(
        self, queries: Sessions, targets: NDArray[np.int32], *, repeats: Repeats = "allowed"
    ) -> NDArray[np.float64]:
        """Return the rank of each target among all tracks, [B]; see `ranking.mid_ranks`."""
        ordered = self.plays[self._order[::-1]]  # rising
        own = self.plays[targets]
        above = self.n_tracks - np.searchsorted(ordered, own, side="right")
        equal = self.n_tracks - np.searchsorted(ordered, own, side="left") - above
        ranks = 1 + above + (equal - 1) / 2
        if repeats == "masked" and len(queries.tracks):
            known = queries.tracks >= 0
            pairs = queries.owners()[known] * self.n_tracks + queries.tracks[known]
            heard, track = np.divmod(np.unique(pairs), self.n_tracks)
            better = self.plays[track] > own[heard]
            ties = self.plays[track] == own[heard]
            ranks -= np.bincount(heard, weights=better + ties / 2, minlength=len(targets))
            ranks[heard[track == targets[heard]]] = np.inf
        ranks[targets == UNKNOWN] = np.inf
        return ranks.astype(np.float64)

    def arrays(self) -> Arrays:
        """Return the counts."""
        return {"plays": self.plays}

    def restore(self, arrays: Arrays) -> None:
        """Put back what `arrays` returned."""
        self.plays = arrays["plays"]
        self._order = np.lexsort((np.arange(len(self.plays)), -self.plays)).astype(np.int32)
