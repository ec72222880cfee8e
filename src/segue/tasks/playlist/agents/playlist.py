"""The multi-step agent: a playlist that is chosen track by track and paid for as a whole.

It is trained in two stages. First the scorer of the re-ranker, supervised, on the hidden tracks of
sessions; with it the greedy planner, whose strength is the best on the sessions kept for judging.
Then the policy of `plan_policy`, which begins as that planner, by what its playlists earn.

The stored agent is both: `recommend` answers with the policy's playlist, `planner` and `likeliest`
with what can be had without reinforcement learning.

Letters: `B` queries, `N` candidates, `K` tracks of a playlist.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segue.core.progress import Advance, silent
from segue.core.run import Run
from segue.tasks.playlist.agents.base import Agent, learning_questions
from segue.tasks.playlist.agents.blocks import ask_playlists
from segue.tasks.playlist.agents.config import PlaylistConfig, ScorerConfig
from segue.tasks.playlist.agents.earnings import Earnings
from segue.tasks.playlist.agents.plan_policy import NumpyPlanPolicy
from segue.tasks.playlist.agents.planner import choose_strength, greedy_lists, top_lists
from segue.tasks.playlist.agents.questions import Questions
from segue.tasks.playlist.data.prepared import Prepared
from segue.tasks.playlist.models.fused import Fused
from segue.tasks.playlist.ranking import Repeats
from segue.tasks.playlist.rewards import surprisals
from segue.tasks.playlist.sessions import Sessions

if TYPE_CHECKING:
    from segue.tasks.playlist.agents.stages import Stage

__all__ = ["ActorCritic", "ActorCriticConfig", "Playlist"]

Narrow = NDArray[np.float32]
Indices = NDArray[np.int64]


class Playlist(Agent):
    """Makes playlists."""

    name = "playlist"
    config_type = PlaylistConfig

    def train(
        self, run: Run[Any], prior: Fused, data: Prepared, advance: Advance = silent
    ) -> dict[str, Any]:
        """Learn; see `Agent.train`."""
        from segue.tasks.playlist.agents.objectives import cross_entropy
        from segue.tasks.playlist.agents.plan_stage import PlanStage
        from segue.tasks.playlist.agents.stages import train_stages
        from segue.tasks.playlist.agents.supervised import ScorerStage

        config: PlaylistConfig = self.config
        self.prior, self.n_tracks = prior, prior.n_tracks
        earnings = self.earnings()
        questions, judged = learning_questions(
            prior,
            data,
            lambda part: ask_playlists(part, config.length, config.least, config.earlier_places),
            lambda part: ask_playlists(part, config.length, config.least),
            config.n_candidates,
            answerable=False,
            advance=lambda x: advance(0.3 * x),
        )

        def returns(lists: Indices) -> dict[str, float]:
            total, parts = earnings.of(judged, lists[:, None])
            found = {name: float(values.mean()) for name, values in parts.items()}
            return {"return": float(total.sum(axis=2).mean()), **found}

        def scorer(_: Sequence[Stage]) -> Stage:
            learned = ScorerConfig(
                width=config.scorer_width,
                epochs=config.scorer_epochs,
                learning_rate=config.scorer_learning_rate,
                seed=config.seed,
            )
            return ScorerStage(
                "supervised",
                questions.take(questions.answerable()),
                cross_entropy,
                learned,
                lambda logits: returns(top_lists(logits, config.length)),
                judged,
            )

        def policy(stages: Sequence[Stage]) -> Stage:
            below = stages[0]
            assert isinstance(below, ScorerStage)
            logits = below.logits(judged)
            strength, _ = choose_strength(logits, judged, earnings)
            return PlanStage(below, questions, judged, logits, earnings, strength, config)

        stages, finished = train_stages(run, [scorer, policy], lambda x: advance(0.7 * x))
        if not finished:
            return {"interrupted_at": run.step}
        below, above = stages
        assert isinstance(below, ScorerStage)
        assert isinstance(above, PlanStage)
        first = judged.candidates.prior
        fused_strength, _ = choose_strength(first, judged, earnings)
        strengths = np.array([fused_strength, above.strength], dtype=np.float32)
        self._weights = {**below.arrays(), **above.arrays(), "plan.strengths": strengths}
        planned = greedy_lists(above.judged_logits, judged, earnings, above.strength)
        return {
            "agent": self.name,
            "playlists": len(questions),
            "judged": len(judged),
            "strength": float(above.strength),
            "return": above.report()["return"],
            "planner_return": returns(planned)["return"],
            "likeliest_return": returns(top_lists(above.judged_logits, config.length))["return"],
            "prior_return": returns(top_lists(first, config.length))["return"],
        }

    def earnings(self, length: int | None = None) -> Earnings:
        """Return the reward of playlists of `length` tracks, by default as trained."""
        past = self.prior.past
        length = length or self.config.length
        return Earnings(self.config.reward, length, past.vectors, surprisals(past.plays))

    def playlists(self, queries: Sessions, hidden: NDArray[np.int32]) -> dict[str, Any]:
        """Return the playlists of the agent and of all that it is compared with.

        Args:
            queries: [B].
            hidden: what the listener went on to, [B, K]; nobody looks at it.

        Returns:
            Name -> numbers of candidates [B, K]; and "questions", the candidates themselves.
        """
        questions = Questions.of(self.candidates(queries), queries, hidden)
        logits, first = self.scorer(questions.candidates), questions.candidates.prior
        earnings, length = self.earnings(), self.config.length
        fused, own = self._weights["plan.strengths"].tolist()
        return {
            "questions": questions,
            "fused": top_lists(first, length),
            "fused + planner": greedy_lists(first, questions, earnings, fused),
            "supervised": top_lists(logits, length),
            "supervised + planner": greedy_lists(logits, questions, earnings, own),
            self.name: self._policy().lists(logits, questions, earnings, self.scorer.scaling),
        }

    def recommend(
        self, queries: Sessions, n: int, *, repeats: Repeats = "allowed"
    ) -> tuple[NDArray[np.int32], Narrow]:
        """Return a playlist of `n` tracks for each query, [B, n], and scores that fall from 1.

        Where there are fewer candidates the rest is -1 with the score minus infinity.
        """
        candidates = self.candidates(queries)
        nothing = np.full((len(queries), 1), -1, dtype=np.int32)
        questions = Questions.of(candidates, queries, nothing)
        logits, tracks = self.scorer(candidates), candidates.tracks.copy()
        if repeats == "masked":
            tracks[questions.ago > 0] = -1
            logits = np.where(tracks >= 0, logits, np.float32(-1e9))
            candidates = type(candidates)(
                tracks=tracks,
                numbers=candidates.numbers,
                state=candidates.state,
                prior=candidates.prior,
            )
            questions = Questions(candidates=candidates, hits=questions.hits, ago=questions.ago)
        k = min(n, tracks.shape[1])
        lists = self._policy().lists(logits, questions, self.earnings(k), self.scorer.scaling)
        found = np.full((len(queries), n), -1, dtype=np.int32)
        found[:, :k] = np.take_along_axis(tracks, lists, axis=1)
        # no candidate left: the policy names one again, which is none
        found[:, :k][np.arange(k) >= candidates.mask.sum(axis=1)[:, None]] = -1
        scores = np.broadcast_to(1.0 - np.arange(n, dtype=np.float32) / max(n, 1), found.shape)
        return found, np.where(found >= 0, scores, -np.inf).astype(np.float32)

    def _policy(self) -> NumpyPlanPolicy:
        return NumpyPlanPolicy(self._weights, float(self._weights["plan.strengths"][1]))


class ActorCriticConfig(PlaylistConfig):
    """The multi-step agent with a learned value as its baseline."""

    critic: bool = True
    """Whether a learned value is the baseline, instead of the other playlists of the session."""


class ActorCritic(Playlist):
    """Makes playlists; learns with a critic."""

    name = "actor-critic"
    config_type = ActorCriticConfig
