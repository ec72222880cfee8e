"""What an agent is asked, with the answers: candidates, and which of them the listener went on to.

The last `hidden` tracks of a session are the answer, what is before them is the query. With one
hidden track this is the next track, with five it is a playlist. An answer that is not among the
candidates cannot be found by any choice among them; it still counts as missed.

Letters: `B` questions, `N` candidates, `K` hidden tracks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from segue.tasks.playlist.candidates import Candidates
from segue.tasks.playlist.sessions import Sessions

__all__ = ["LOOK_BACK", "Questions", "ago", "newest_tracks"]

LOOK_BACK = 50
"""How many of the newest tracks are looked through for a candidate."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Questions:
    """Queries described by candidates, and what was wanted."""

    candidates: Candidates
    """[B, N]; the numbers may be kept in half precision."""
    hits: NDArray[np.bool_]
    """Where a candidate is one of the hidden tracks, [B, N]."""
    ago: NDArray[np.int8]
    """How many tracks ago a candidate was heard, [B, N]: 1 is the newest, 0 is never."""

    def __len__(self) -> int:
        return len(self.hits)

    def take(self, which: NDArray[np.int64]) -> Self:
        """Return the questions with these numbers."""
        return type(self)(
            candidates=self.candidates.take(which), hits=self.hits[which], ago=self.ago[which]
        )

    def answerable(self) -> NDArray[np.int64]:
        """Return the numbers of the questions with an answer among their candidates.

        The others have no gradient: every choice earns the same.
        """
        return np.flatnonzero(self.hits.any(axis=1))

    @classmethod
    def of(cls, candidates: Candidates, queries: Sessions, hidden: NDArray[np.int32]) -> Self:
        """Compare candidates with the hidden tracks [B, K] and with the end of the queries."""
        tracks = candidates.tracks
        hits = np.zeros(tracks.shape, dtype=np.bool_)
        for column in range(hidden.shape[1]):
            hits |= tracks == hidden[:, column : column + 1]
        return cls(candidates=candidates, hits=hits & (tracks >= 0), ago=ago(tracks, queries))

    @classmethod
    def join(cls, parts: Sequence[Questions]) -> Self:
        """Return all questions of `parts`, one after the other."""
        fields = ("tracks", "numbers", "state", "prior")
        all_candidates = [part.candidates for part in parts]
        return cls(
            candidates=Candidates(
                **{f: np.concatenate([getattr(c, f) for c in all_candidates]) for f in fields}
            ),
            hits=np.concatenate([part.hits for part in parts]),
            ago=np.concatenate([part.ago for part in parts]),
        )


def ago(tracks: NDArray[np.int32], queries: Sessions) -> NDArray[np.int8]:
    """Return how many tracks ago each of [B, N] was last heard; 0 where it was not."""
    newest = newest_tracks(queries, LOOK_BACK)
    found = np.zeros(tracks.shape, dtype=np.int8)
    for back in range(LOOK_BACK, 0, -1):  # the newest place is written last and stays
        found[tracks == newest[:, LOOK_BACK - back, None]] = back
    found[tracks < 0] = 0
    return found


def newest_tracks(queries: Sessions, n: int) -> NDArray[np.int32]:
    """Return the last `n` tracks of each query, the newest last, [B, n]; -1 where there is none."""
    places = queries.offsets[1:, None] - np.arange(n, 0, -1)
    there = places >= queries.offsets[:-1, None]
    if not len(queries.tracks):
        return np.full(there.shape, -1, dtype=np.int32)
    return np.where(there, queries.tracks[np.where(there, places, 0)], -1).astype(np.int32)
