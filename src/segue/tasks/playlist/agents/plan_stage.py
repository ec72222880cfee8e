"""Training of the planning policy, as a stage that follows the training of its scorer.

Letters: `B` questions, `N` candidates, `L` lists, `K` places.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from segue.core.seeding import generator, seed_everything
from segue.rl.torch_state import from_arrays, to_arrays
from segue.tasks.playlist.agents.config import PlaylistConfig
from segue.tasks.playlist.agents.earnings import Earnings
from segue.tasks.playlist.agents.learning import Schedule
from segue.tasks.playlist.agents.plan_network import (
    PlanNetwork,
    critic_loss,
    expected_loss,
    plan_arrays,
)
from segue.tasks.playlist.agents.plan_policy import plan_inputs
from segue.tasks.playlist.agents.questions import Questions
from segue.tasks.playlist.agents.supervised import ScorerStage

__all__ = ["PlanStage"]

_JUDGE_BATCH = 128


class PlanStage:
    """A stage of `stages.train_stages` that trains a planning policy.

    Args:
        below: the trained scorer.
        questions: to learn from.
        judged: to be judged by.
        judged_logits: of the scorer for `judged`, [B, N].
        earnings: what is played for.
        strength: of the planner that it starts from.
        config: how.
    """

    name = "reinforcement"

    def __init__(
        self,
        below: ScorerStage,
        questions: Questions,
        judged: Questions,
        judged_logits: NDArray[np.float32],
        earnings: Earnings,
        strength: float,
        config: PlaylistConfig,
    ) -> None:
        seed_everything(config.seed)
        self.strength, self.judged_logits = strength, judged_logits
        self._questions, self._judged, self._earnings = questions, judged, earnings
        self._scaling, self._config = below.scaling, config
        self._logits = below.logits(questions)
        self.network = PlanNetwork(
            candidates=questions.candidates.numbers.shape[2],
            state=questions.candidates.state.shape[1],
            length=config.length,
            width=config.width,
            strength=strength,
            sharpness=config.sharpness,
            trust=config.trust,
        )
        self._schedule = Schedule(
            len(questions), config.epochs, config.batch, config.learning_rate, config.seed
        )
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.updates, self.per_epoch = self._schedule.updates, self._schedule.per_epoch
        self.done = 0

    def update(self) -> dict[str, float]:
        """Draw lists for a batch of questions and learn from what they earn."""
        config, schedule = self._config, self._schedule
        for group in self.optimizer.param_groups:
            group["lr"] = schedule.rate_of(self.done)
        rows = schedule.rows(self.done)
        part = self._questions.take(rows)
        inputs = plan_inputs(self._logits[rows], part, self._earnings, self._scaling)
        rng = generator(config.seed, "lists", self.done)
        if config.critic:
            rollout = self.network.draw(inputs, config.lists, rng)
            rewards = torch.from_numpy(self._earnings.of(part, rollout.lists)[0])
            loss, facts = critic_loss(rollout, rewards, config.entropy)
        else:
            rollout = self.network.draw(inputs, config.lists, rng, part.hits)
            loss, facts = expected_loss(rollout, config.entropy)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()
        self.done += 1
        return facts

    def report(self) -> dict[str, float]:
        """Return what the most probable lists earn, in all and by term, and how sure they are."""
        sums: dict[str, float] = {}
        judged = self._judged
        with torch.no_grad():
            for low in range(0, len(judged), _JUDGE_BATCH):
                rows = np.arange(low, min(low + _JUDGE_BATCH, len(judged)))
                part = judged.take(rows)
                inputs = plan_inputs(self.judged_logits[rows], part, self._earnings, self._scaling)
                rollout = self.network.draw(inputs, 1, None)
                total, parts = self._earnings.of(part, rollout.lists)
                found = {name: float(values.sum()) for name, values in parts.items()}
                found["return"] = float(total.sum())
                found["entropy"] = float(rollout.entropy.mean(dim=2).sum())
                found["divergence"] = float(rollout.divergence.mean(dim=2).sum())
                sums = {name: sums.get(name, 0.0) + value for name, value in found.items()}
        return {name: value / len(judged) for name, value in sums.items()}

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return everything that `NumpyPlanPolicy` needs."""
        return plan_arrays(self.network)

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return arrays and JSON-like facts from which `restore` continues."""
        tree = {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}
        arrays, layout = to_arrays(tree)
        return arrays, {"layout": layout, "done": self.done}

    def restore(self, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        tree = from_arrays(arrays, facts["layout"])
        self.network.load_state_dict(tree["network"])
        self.optimizer.load_state_dict(tree["optimizer"])
        self.done = int(facts["done"])
