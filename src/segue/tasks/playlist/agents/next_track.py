"""The one-step agent: the re-ranker's network, trained by reinforcement instead of by the answers.

For each question it draws ordered lists of ten candidates, earns their NDCG, and learns by the
policy gradient of `objectives.list_gradient`. A single drawn candidate with a reward for a hit is
no substitute: it makes the policy too sure of one track. The supervised re-ranker knows the right
answer of every question and is better at this task; this agent shows what a reward alone teaches,
and can be given any other.
"""

from __future__ import annotations

from typing import Any

from segue.core.progress import Advance, silent
from segue.core.run import Run
from segue.tasks.playlist.agents.base import Agent, learning_questions
from segue.tasks.playlist.agents.blocks import ask_next
from segue.tasks.playlist.agents.config import NextTrackConfig
from segue.tasks.playlist.agents.drift import drift
from segue.tasks.playlist.data.prepared import Prepared
from segue.tasks.playlist.models.fused import Fused

__all__ = ["NextTrack"]


class NextTrack(Agent):
    """Ranks candidates for the next track."""

    name = "next-track"
    config_type = NextTrackConfig

    def train(
        self, run: Run[Any], prior: Fused, data: Prepared, advance: Advance = silent
    ) -> dict[str, Any]:
        """Learn; see `Agent.train`."""
        from segue.tasks.playlist.agents.objectives import list_gradient
        from segue.tasks.playlist.agents.stages import train_stages
        from segue.tasks.playlist.agents.supervised import ScorerStage, ndcg

        config: NextTrackConfig = self.config
        self.prior, self.n_tracks = prior, prior.n_tracks
        questions, judged = learning_questions(
            prior,
            data,
            lambda part: ask_next(part, config.earlier_places, 0),
            lambda part: ask_next(part, 0, 0),
            config.n_candidates,
            answerable=True,
            advance=lambda x: advance(0.4 * x),
        )
        objective = list_gradient(config.lists, config.length, config.entropy)
        before = ndcg(judged.candidates.prior, judged.hits, config.length)
        stage = ScorerStage(
            "reinforcement",
            questions,
            objective,
            config,
            lambda logits: (
                {"ndcg": ndcg(logits, judged.hits, config.length)}
                | drift(logits, judged.candidates)
            ),
            judged,
        )
        _, finished = train_stages(run, [lambda _: stage], lambda x: advance(0.6 * x))
        if not finished:
            return {"interrupted_at": run.step}
        self._weights = stage.arrays()
        return {
            "agent": self.name,
            "questions": len(questions),
            "judged": len(judged),
            "ndcg": stage.report()["ndcg"],
            "prior_ndcg": before,
        }
