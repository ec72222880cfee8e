"""What every agent does: train from a prior in a run of its own, and answer as a recommender.

An agent is a `CandidateModel`: it is saved, loaded and asked as every other model is. Which
sessions it learns from and which it is judged by while it learns is decided here, for all agents:
blocks of the training sessions, described by models of what was before them; of the newest block
every third session is kept for judging.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Self

import numpy as np

from segue.core.errors import DataError, UsageError
from segue.core.progress import Advance, silent
from segue.core.run import Run
from segue.tasks.playlist.agents.blocks import Asking, describe, question_blocks
from segue.tasks.playlist.agents.questions import Questions
from segue.tasks.playlist.data.prepared import Prepared
from segue.tasks.playlist.models.fused import Fused
from segue.tasks.playlist.models.reranker import CandidateModel
from segue.tasks.playlist.sessions import UNKNOWN, Sessions

__all__ = ["Agent", "learning_questions"]

_JUDGING = 3
"""One in so many sessions of the newest block is judged by and not learned from."""


class Agent(CandidateModel):
    """An agent of `tune`."""

    @abstractmethod
    def train(
        self, run: Run[Any], prior: Fused, data: Prepared, advance: Advance = silent
    ) -> dict[str, Any]:
        """Learn from the training and validation sessions of `data`.

        Args:
            run: new, or continued from a checkpoint of the same agent.
            prior: what it starts from, fitted on everything before the test.
            data: its test sessions are not touched.
            advance: told the share of the work that is done.

        Returns:
            What was measured on the sessions kept for judging, as JSON-like values;
            `interrupted_at` when a signal asked to stop.

        Raises:
            DataError: there is nothing to learn from.
        """

    def fit(
        self,
        sessions: Sessions,
        n_tracks: int,
        *,
        validation: Sessions | None = None,
        advance: Advance = silent,
    ) -> Self:
        """Refuse: an agent is trained by `tune`.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            f"the agent '{self.name}' is not fitted by pretrain",
            advice=f"Train it with `segue playlist tune --agent {self.name}`",
        )


def learning_questions(
    prior: Fused,
    data: Prepared,
    asking: Asking,
    judging: Asking,
    n: int,
    *,
    answerable: bool,
    advance: Advance = silent,
) -> tuple[Questions, Questions]:
    """Return questions to learn from and questions to be judged by.

    Args:
        prior: settings and weights of the rankers that describe the questions.
        data: its training sessions are cut at 7/9 and 8/9; the validation sessions are the newest
            block. Without validation sessions the training sessions are cut at 7, 8 and 9 tenths.
        asking: makes questions to learn from.
        judging: makes questions to be judged by.
        n: candidates of a question.
        answerable: learn from those alone that have an answer among the candidates.
        advance: told the share of the work that is done.

    Raises:
        DataError: no question to learn from, or none to be judged by.
    """
    if len(data.validation):
        train, newest = data.train, data.validation
    else:
        cut = round(0.9 * len(data.train))
        train, newest = data.train.part(0, cut), data.train.part(cut, len(data.train))
    cuts = [round(share * len(train) / 9) for share in (7, 8, 9)]
    kept = np.arange(len(newest)) % _JUDGING == _JUDGING - 1
    blocks = question_blocks(
        prior, train, cuts, asking, n, answerable=answerable, advance=lambda x: advance(0.6 * x)
    )
    latest = Fused(prior.config)
    latest.weights, latest.factor_weights = prior.weights, prior.factor_weights
    latest.fit(train, prior.n_tracks)
    queries, hidden = asking(newest.take(~kept))
    known = (hidden != UNKNOWN).any(axis=1)
    blocks.append(
        describe(latest, queries.take(known), hidden[known], n, answerable=answerable, half=True)
    )
    advance(0.2)
    judged = describe(latest, *judging(newest.take(kept)), n)
    if not len(judged):
        raise DataError(
            "no session is long enough to judge an agent by",
            where=data.name,
            advice="Prepare more sessions",
        )
    advance(0.2)
    return Questions.join(blocks), judged
