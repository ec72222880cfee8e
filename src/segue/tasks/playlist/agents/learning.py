"""Train a scorer by an objective, in pieces that can be stopped between any two updates.

AdamW (Loshchilov and Hutter, 2019) with a rate that falls to zero as a half cosine. The order of
the questions of an epoch and the chance of an update are named by the seed and by their number, so
what a training needs to go on is its weights, the optimiser's state and the number of updates.

Letters: `B` questions, `N` candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from segue.core.seeding import generator
from segue.rl.pointer import FORBIDDEN
from segue.rl.torch_state import from_arrays, to_arrays
from segue.tasks.playlist.agents.objectives import Objective
from segue.tasks.playlist.agents.questions import Questions
from segue.tasks.playlist.agents.scorer import Scaling, scorer_logits
from segue.tasks.playlist.candidates import Candidates

__all__ = ["Schedule", "ScorerTraining", "logits_of"]

Arrays = dict[str, NDArray[Any]]

_BATCH = 128


class Schedule:
    """Which questions are in an update, and how fast it learns.

    Args:
        n: number of questions.
        epochs: passes over them.
        batch: questions of an update.
        rate: of the first update; the last one's is nearly 0.
        seed: of the order.
    """

    def __init__(self, n: int, epochs: int, batch: int, rate: float, seed: int) -> None:
        self.n, self.batch, self.rate, self.seed = n, batch, rate, seed
        self.per_epoch = max(1, -(-n // batch)) if n else 0
        self.updates = self.per_epoch * epochs

    def rows(self, update: int) -> NDArray[np.int64]:
        """Return the questions of an update; updates count from 0."""
        epoch, place = divmod(update, self.per_epoch)
        order = generator(self.seed, "order", epoch).permutation(self.n)
        return np.sort(order[place * self.batch : (place + 1) * self.batch])

    def rate_of(self, update: int) -> float:
        """Return the learning rate of an update."""
        return self.rate * 0.5 * (1 + float(np.cos(np.pi * update / self.updates)))


class ScorerTraining:
    """A scorer, its optimiser and its questions.

    Args:
        network: of `make_scorer`.
        scaling: of what it sees.
        questions: each with an answer among its candidates (`Questions.answerable`).
        objective: what is descended.
        schedule: over these questions.
        weight_decay: of AdamW.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        scaling: Scaling,
        questions: Questions,
        objective: Objective,
        schedule: Schedule,
        weight_decay: float = 1e-2,
    ) -> None:
        self.network, self.scaling, self.questions = network, scaling, questions
        self._objective, self.schedule = objective, schedule
        self.optimizer = torch.optim.AdamW(
            network.parameters(), lr=schedule.rate, weight_decay=weight_decay
        )
        self.done = 0
        """Updates so far."""

    def update(self) -> dict[str, float]:
        """Make one update; return what is to be logged of it."""
        schedule = self.schedule
        for group in self.optimizer.param_groups:
            group["lr"] = schedule.rate_of(self.done)
        part = self.questions.take(schedule.rows(self.done))
        logits, _ = scorer_logits(self.network, self.scaling, part.candidates)
        rng = generator(schedule.seed, "update", self.done)
        loss, facts = self._objective(logits, torch.from_numpy(part.hits), rng)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()
        self.done += 1
        return facts

    def state(self) -> tuple[Arrays, dict[str, Any]]:
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


def logits_of(
    network: torch.nn.Module, scaling: Scaling, candidates: Candidates
) -> NDArray[np.float32]:
    """Return the logits of many queries, [B, N]; -1e9 where there is no candidate."""
    found = np.empty(candidates.tracks.shape, dtype=np.float32)
    with torch.no_grad():
        for low in range(0, len(candidates), _BATCH):
            rows = np.arange(low, min(low + _BATCH, len(candidates)))
            found[rows] = scorer_logits(network, scaling, candidates.take(rows))[0].numpy()
    return np.where(candidates.mask, found, np.float32(FORBIDDEN))
