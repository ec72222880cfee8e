"""Supervised training of a scorer, as one stage or in one go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from segue.core.progress import Advance, silent
from segue.core.seeding import seed_everything
from segue.tasks.playlist.agents.learning import Schedule, ScorerTraining, logits_of
from segue.tasks.playlist.agents.objectives import Objective, cross_entropy
from segue.tasks.playlist.agents.questions import Questions
from segue.tasks.playlist.agents.scorer import Scaling, make_scorer, scorer_arrays

__all__ = ["Learned", "ScorerStage", "ndcg", "train_scorer"]


class Learned(Protocol):
    """What a training of a scorer asks of its settings."""

    @property
    def width(self) -> int:
        """Units of every layer."""

    @property
    def epochs(self) -> int:
        """Passes over the questions."""

    @property
    def batch(self) -> int:
        """Questions of an update."""

    @property
    def learning_rate(self) -> float:
        """Of AdamW at the start."""

    @property
    def weight_decay(self) -> float:
        """Of AdamW."""

    @property
    def seed(self) -> int:
        """Of initial weights, order and chance."""


class ScorerStage:
    """A stage of `stages.train_stages` that trains a scorer.

    Args:
        name: of the stage, in the log.
        questions: each with an answer among its candidates.
        objective: what is descended.
        config: how.
        judge: what is measured of logits [B, N] on the validation questions.
        validation: those questions.
    """

    def __init__(
        self,
        name: str,
        questions: Questions,
        objective: Objective,
        config: Learned,
        judge: Callable[[NDArray[np.float32]], dict[str, float]],
        validation: Questions,
    ) -> None:
        torch.set_num_threads(1)  # spinning threads cost more than such small products gain
        seed_everything(config.seed)
        numbers, state = questions.candidates.numbers, questions.candidates.state
        self.name, self._judge, self._validation = name, judge, validation
        self.scaling = Scaling.of(questions.candidates)
        self.network = make_scorer(numbers.shape[2], state.shape[1], config.width)
        schedule = Schedule(
            len(questions), config.epochs, config.batch, config.learning_rate, config.seed
        )
        self._training = ScorerTraining(
            self.network, self.scaling, questions, objective, schedule, config.weight_decay
        )
        self.updates, self.per_epoch = schedule.updates, schedule.per_epoch
        self.update, self.state = self._training.update, self._training.state
        self.restore = self._training.restore

    @property
    def done(self) -> int:
        """Updates so far."""
        return self._training.done

    def logits(self, questions: Questions) -> NDArray[np.float32]:
        """Return the logits of the candidates, [B, N]."""
        return logits_of(self.network, self.scaling, questions.candidates)

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return everything that `NumpyScorer` needs."""
        return scorer_arrays(self.network, self.scaling)

    def report(self) -> dict[str, float]:
        """Measure the present network on the validation questions."""
        return self._judge(self.logits(self._validation))


def train_scorer(
    questions: Questions, config: Learned, advance: Advance = silent
) -> dict[str, NDArray[np.float32]]:
    """Train a scorer by cross-entropy and return its arrays.

    Args:
        questions: each with an answer among its candidates.
        config: how.
        advance: told the share of the work that is done.
    """
    stage = ScorerStage("supervised", questions, cross_entropy, config, lambda _: {}, questions)
    while stage.done < stage.updates:
        stage.update()
        advance(1 / stage.updates)
    return stage.arrays()


def ndcg(logits: NDArray[np.float32], hits: NDArray[np.bool_], k: int = 10) -> float:
    """Return the mean NDCG@k of one wanted track for each query, 0 where it is no candidate.

    Args:
        logits: [B, N].
        hits: [B, N].
        k: places that count.
    """
    own = np.where(hits, logits, -np.inf).max(axis=1, initial=-np.inf)[:, None]
    places = (logits > own).sum(axis=1) + ((logits == own).sum(axis=1) - 1) / 2
    found = hits.any(axis=1) & (places < k)
    return float(np.where(found, 1 / np.log2(places + 2.0), 0.0).mean()) if len(hits) else 0.0
