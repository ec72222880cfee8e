"""PPO on logged sessions as an agent of `tune`: plays the environment, starts as the fused ranker.

The last tracks of sessions are hidden; a playlist is made of the fused ranker's candidates and
earns the reward of `rewards`. Each session is described by a ranker that was fitted on earlier
sessions alone, as for the other agents. Nothing supervised comes before: this is what PPO and A2C
(`method = "a2c"`) learn from rewards alone, beside `playlist`, which starts from a supervised
planner. Letters: `B` queries, `N` candidates, `K` tracks of a playlist.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segue.core.errors import DataError
from segue.core.progress import Advance, silent
from segue.core.run import Run
from segue.tasks.playlist.agents.base import Agent
from segue.tasks.playlist.agents.blocks import ask_playlists
from segue.tasks.playlist.agents.ppo import PlaylistPolicy, PPOConfig, train_ppo
from segue.tasks.playlist.agents.questions import Questions
from segue.tasks.playlist.agents.scorer import Scaling
from segue.tasks.playlist.candidates import Candidates
from segue.tasks.playlist.data.prepared import Prepared
from segue.tasks.playlist.episodes import Episodes, play_all
from segue.tasks.playlist.listeners import LoggedListener
from segue.tasks.playlist.models.base import Arrays
from segue.tasks.playlist.models.features import make_candidates
from segue.tasks.playlist.models.fused import Fused
from segue.tasks.playlist.pool import Pool
from segue.tasks.playlist.ranking import Repeats, Scores
from segue.tasks.playlist.rewards import PRESETS, playlist_reward, surprisals
from segue.tasks.playlist.sessions import Sessions

__all__ = ["PPOAgent", "PPOAgentConfig", "playlist_pool"]

Narrow = NDArray[np.float32]

_POLICY = "policy."
_BATCH = 1024


class PPOAgentConfig(PPOConfig):
    """How PPO learns from logged sessions."""

    n_candidates: int = Field(100, ge=2)
    """Best candidates of the fused ranker that are chosen from."""
    least: int = Field(7, ge=2)
    """Tracks that a session must have to be learned from."""
    reward: dict[str, float] = Field(default_factory=lambda: dict(PRESETS["playlist"]))
    """Reward term -> weight, see `rewards`."""
    episodes: int = Field(256, ge=1)
    """Lists made side by side."""
    steps: int = Field(10, ge=1)
    """Decisions of each between two updates."""


def playlist_pool(
    prior: Fused, queries: Sessions, hidden: Sessions, n: int, scaling: Scaling | None
) -> tuple[Pool, Scaling]:
    """Describe queries and return them as a pool, with the scaling of the numbers.

    Args:
        prior: fitted on sessions before the queries.
        queries: [B]; those without a candidate must have been left out.
        hidden: what followed, [B].
        n: candidates of a query, N.
        scaling: of the numbers; measured on these queries where there is none.
    """
    parts = [
        make_candidates(prior, queries.part(low, min(low + _BATCH, len(queries))), n)
        for low in range(0, len(queries), _BATCH)
    ]
    fields = ("tracks", "numbers", "state", "prior")
    found = Candidates(**{f: np.concatenate([getattr(p, f) for p in parts]) for f in fields})
    scaling = scaling or Scaling.of(found)
    numbers, state = scaling(found)
    numbers *= found.mask[:, :, None]
    found = Candidates(tracks=found.tracks, numbers=numbers, state=state, prior=found.prior)
    pool = Pool(
        found,
        queries,
        LoggedListener(hidden),
        vectors=prior.past.vectors,
        surprisal=surprisals(prior.past.plays),
    )
    return pool, scaling


class PPOAgent(Agent):
    """Makes playlists; learns by PPO or A2C from their rewards alone."""

    name = "ppo"
    config_type = PPOAgentConfig

    def train(
        self, run: Run[Any], prior: Fused, data: Prepared, advance: Advance = silent
    ) -> dict[str, Any]:
        """Learn; see `Agent.train`."""
        config: PPOAgentConfig = self.config
        self.prior, self.n_tracks = prior, prior.n_tracks
        # Validation sessions choose the best network; the newest training sessions are played.
        cut = round(0.8 * len(data.train))
        known = len(data.validation) > 0
        early = data.train.part(0, cut if known else round(0.7 * len(data.train)))
        late = data.train.part(len(early), len(data.train) if known else cut)
        judged = data.validation if known else data.train.part(cut, len(data.train))
        train, scaling = self._pool(early, late, None)
        advance(0.1)
        validation, _ = self._pool(Sessions.join([early, late]), judged, scaling)
        advance(0.1)
        policy = train_ppo(run, config, train, validation, lambda x: advance(0.8 * x))
        if "interrupted_at" in policy.facts:
            return {"interrupted_at": policy.facts["interrupted_at"]}
        self._weights = {
            **scaling.arrays,
            **{_POLICY + name: value for name, value in policy.arrays.items()},
        }
        return {
            "agent": self.name,
            "method": config.method,
            "playlists": len(train),
            "judged": len(validation),
            "return": policy.facts["validation_return"],
            "prior_return": policy.facts["at_start"],
            "best_update": policy.facts["best_update"],
        }

    def _pool(
        self, before: Sessions, sessions: Sessions, scaling: Scaling | None
    ) -> tuple[Pool, Scaling]:
        config: PPOAgentConfig = self.config
        ranker = Fused(self.prior.config)
        ranker.weights, ranker.factor_weights = self.prior.weights, self.prior.factor_weights
        ranker.fit(before, self.n_tracks)
        queries, hidden = ask_playlists(sessions, config.length, config.least)
        if not len(queries):
            raise DataError(
                f"no session has the {config.least} tracks that a playlist is learned from",
                advice="Prepare longer sessions, or lower least and length",
            )
        rest = Sessions.from_flat(hidden.reshape(-1), np.full(len(hidden), hidden.shape[1]))
        return playlist_pool(ranker, queries, rest, config.n_candidates, scaling)

    def playlists(self, queries: Sessions, hidden: NDArray[np.int32]) -> dict[str, Any]:
        """Return the agent's playlists as numbers of candidates, and the candidates.

        Args:
            queries: [B].
            hidden: what the listener went on to, [B, K]; nobody looks at it.
        """
        candidates = make_candidates(self.prior, queries, self.config.n_candidates)
        questions = Questions.of(candidates, queries, hidden)
        tracks, _ = self.recommend(queries, self.config.length)
        places = np.stack([candidates.places(column) for column in tracks.T], axis=1)
        return {"questions": questions, self.name: np.maximum(places, 0)}

    def score(self, queries: Sessions) -> Scores:
        """Return the logits of the first track, sparse [B, V]; other tracks are worse."""
        from scipy import sparse

        pool = self._asked(queries)
        every = np.arange(len(queries))
        episodes = Episodes(pool, every, every, playlist_reward({"hit": 1.0}), length=1)
        logits = self._policy().logits(episodes.situation())
        here, tracks = pool.candidates.mask, pool.candidates.tracks
        starts = np.concatenate([[0], np.cumsum(here.sum(axis=1))])
        rows = sparse.csr_matrix(
            (logits[here], tracks[here], starts), shape=(len(queries), self.n_tracks)
        )
        rows.sort_indices()
        return rows

    def recommend(
        self, queries: Sessions, n: int, *, repeats: Repeats = "allowed"
    ) -> tuple[NDArray[np.int32], Narrow]:
        """Return a playlist of `n` tracks for each query, [B, n], and scores that fall from 1."""
        if repeats == "masked":
            return super().recommend(queries, n, repeats=repeats)
        pool = self._asked(queries)
        _, lists = play_all(pool, self._policy(), playlist_reward({"hit": 1.0}), length=n)
        scores = np.broadcast_to(1.0 - np.arange(n, dtype=np.float32) / max(n, 1), lists.shape)
        return lists, np.where(lists >= 0, scores, -np.inf).astype(np.float32)

    def restore(self, arrays: Arrays) -> None:
        """Put back what `arrays` returned; the prior is read by `load`."""
        self._weights = dict(arrays)
        self._policy()  # refuses what is none

    def _policy(self) -> PlaylistPolicy:
        weights = self._weights
        return PlaylistPolicy(
            {k.removeprefix(_POLICY): v for k, v in weights.items() if k.startswith(_POLICY)}
        )

    def _asked(self, queries: Sessions) -> Pool:
        nothing = Sessions.from_flat([], np.zeros(len(queries)))
        scaling = Scaling(self._weights)
        return playlist_pool(self.prior, queries, nothing, self.config.n_candidates, scaling)[0]
