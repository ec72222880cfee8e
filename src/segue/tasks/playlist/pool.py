"""Queries that playlists are to be made for, with all that is known before the first choice.

`Pool` is what `episodes` plays: queries with their candidates, and the listener who responds. The
numbers that an observation shows of a candidate are those of `Candidates`, then CANDIDATE_NUMBERS.

Letters: `Q` queries, `N` candidates, `V` tracks, `D` numbers of a track's vector.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError
from segue.rl.candidate_policy import CandidateLayout
from segue.tasks.playlist.candidates import Candidates
from segue.tasks.playlist.listeners import Listener
from segue.tasks.playlist.sessions import UNKNOWN, Sessions

__all__ = ["CANDIDATE_NUMBERS", "STATE_NUMBERS", "WINDOW", "Pool"]

Floats = NDArray[np.float64]

CANDIDATE_NUMBERS = (
    "prior minus best",
    "is there",
    "cosine to the closest of the list",
    "mean cosine to the list",
    "cosine to the newest track",
    "cosines to what was heard, fading",
    "1 / tracks ago",
    "log times heard",
    "mean cosine to what was liked",
    "mean cosine to what was skipped",
)
"""What is added to the numbers of a candidate; the last two are 0 where the listener is silent."""
STATE_NUMBERS = ("share made", "share liked", "share skipped", "newest skipped")
"""What is added to the numbers of a query; the last three are 0 where the listener is silent."""

WINDOW = 50
"""Tracks of a history that are looked at, as many as the original does."""
_WORST = -20.0
"""Logit below the best at which a candidate is out of the question."""


class Pool:
    """Queries that lists are to be made for.

    Args:
        candidates: of the prior, [Q, N].
        histories: what was heard before, [Q].
        listener: says what becomes of a choice.
        vectors: of the tracks, [V, D]; scaled to unit length here.
        surprisal: of the tracks, [V], see `rewards.surprisals`.
        heard: how often the listener has heard each candidate, [Q, N]; by default in the last 50
            tracks of `histories`.

    Raises:
        DataError: there is no query, or a query has no candidate.
    """

    def __init__(
        self,
        candidates: Candidates,
        histories: Sessions,
        listener: Listener,
        *,
        vectors: NDArray[Any],
        surprisal: Floats,
        heard: NDArray[Any] | None = None,
    ) -> None:
        assert len(candidates) == len(histories), (len(candidates), len(histories))
        empty = np.flatnonzero(~candidates.mask.any(axis=1))
        if not len(candidates) or len(empty):
            what = f"query {empty[0]} has no candidate" if len(empty) else "there is no query"
            raise DataError(what, advice="Leave such queries out before a pool is made")
        self.candidates, self.listener = candidates, listener
        long = np.linalg.norm(vectors, axis=1, keepdims=True)
        units = np.asarray(vectors / np.maximum(long, 1e-12), dtype=np.float32)
        self.vectors = np.concatenate([units, np.zeros_like(units[:1])])  # -1 is no track
        self.surprisal = np.asarray(surprisal, dtype=np.float64)
        self.recent = _newest_first(histories, WINDOW)
        """[Q, 50] what was heard, newest first; -1 where there was less."""
        self.heard = None if heard is None else np.asarray(heard, dtype=np.int64)
        best = np.where(candidates.mask, candidates.prior, -np.inf).max(axis=1, keepdims=True)
        relative = np.maximum(candidates.prior - best, _WORST)
        self.prior = np.where(candidates.mask, relative, 0.0).astype(np.float32)

    def __len__(self) -> int:
        return len(self.candidates)

    @property
    def n_candidates(self) -> int:
        """Candidates of a query, N."""
        return int(self.candidates.tracks.shape[1])

    @property
    def layout(self) -> CandidateLayout:
        """How an observation is laid out: the numbers of the query's candidates, then ours."""
        static = self.candidates.numbers.shape[2]
        return CandidateLayout(
            n_actions=self.n_candidates,
            candidate_numbers=static + len(CANDIDATE_NUMBERS),
            state_numbers=self.candidates.state.shape[1] + len(STATE_NUMBERS),
            prior_number=static,
            sharpness=1.0,
        )


def _newest_first(histories: Sessions, n: int) -> NDArray[np.int32]:
    """Return the last n tracks of each history, newest first, [Q, n]; -1 where there are fewer."""
    lengths = histories.lengths[:, None]
    places = histories.offsets[1:, None] - 1 - np.arange(n)[None, :]
    inside = np.arange(n)[None, :] < lengths
    if not len(histories.tracks):
        return np.full((len(histories), n), UNKNOWN, dtype=np.int32)
    return np.where(inside, histories.tracks[np.where(inside, places, 0)], UNKNOWN)
