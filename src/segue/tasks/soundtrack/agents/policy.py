"""Agents that ask a trained candidate-scoring policy, alone or with a small beam.

`policy` takes the best-scored action of every segment. `policy-beam/8` keeps the 8 beginnings of
the largest summed log-probability, adds the plan of `policy`, and hands out the best of the
complete plans by their true reward. Both use the shipped weights, or those of a run folder:
`policy/runs/soundtrack/mine`, `policy-beam/8/runs/soundtrack/mine`. No torch is needed.

Letters: `B` episodes, `C` candidates.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from segue.core.errors import ConfigError
from segue.rl.pointer import log_softmax
from segue.tasks.soundtrack.agents.plan import Plan, check, finish
from segue.tasks.soundtrack.agents.returns import returns
from segue.tasks.soundtrack.candidates import CandidateStack, Indices, Narrow
from segue.tasks.soundtrack.features import CandidateEpisodes
from segue.tasks.soundtrack.models import StoredPolicy, load_policy, shipped_policy
from segue.tasks.soundtrack.tables import Tables

__all__ = ["Policy", "PolicyBeam", "beam_plans", "greedy_plans"]


class Policy:
    """The policy's most probable action in every segment.

    Args:
        setting: folder of a policy; the shipped one when empty.
    """

    def __init__(self, setting: str = "") -> None:
        self._stored = load_policy(Path(setting)) if setting else shipped_policy()

    def plan(self, tables: Tables, rng: np.random.Generator) -> Plan:
        """Return the policy's plan; see `Agent.plan`. Nothing is random."""
        started = time.perf_counter()
        check(tables)
        stack = CandidateStack([tables], self._stored.n_candidates)
        return finish(tables, greedy_plans(self._stored, stack)[0], started)


class PolicyBeam:
    """A beam over the policy's probabilities.

    Args:
        setting: `N` or `N/FOLDER`: the number of beginnings kept, and where the policy is.
    """

    def __init__(self, setting: str = "8") -> None:
        width, _, folder = setting.partition("/")
        if not width.isdecimal() or not 1 <= int(width) <= 10_000:
            raise ConfigError(f"the beam width '{width}' must be a whole number from 1 to 10000")
        self._width = int(width)
        self._stored = load_policy(Path(folder)) if folder else shipped_policy()

    def plan(self, tables: Tables, rng: np.random.Generator) -> Plan:
        """Return the best plan of the beam; see `Agent.plan`. Nothing is random."""
        started = time.perf_counter()
        check(tables)
        stack = CandidateStack([tables], self._stored.n_candidates)
        plans = beam_plans(self._stored, stack, self._width)
        return finish(tables, plans[int(returns(tables, plans).argmax())], started)


def greedy_plans(stored: StoredPolicy, stack: CandidateStack) -> list[Indices]:
    """Return the policy's plan for every video, [T] library actions each."""
    lanes = np.arange(stack.n_videos)
    episodes = CandidateEpisodes(stack, lanes)
    plans = [np.empty(n, dtype=np.int64) for n in stack.n_segments]
    while len(lanes):
        actions = _logits(stored, episodes).argmax(axis=1)
        for lane, t, action in zip(
            lanes, episodes.segment, episodes.library_actions(actions), strict=True
        ):
            plans[lane][t] = action
        _, final = episodes.step(actions)
        if final.any():
            going = np.flatnonzero(~final)
            lanes, episodes = lanes[going], episodes.take(going)
    return plans


def beam_plans(stored: StoredPolicy, stack: CandidateStack, width: int) -> Indices:
    """Return probable plans for the first video, [<= width + 1, T] library actions.

    Beginnings are ranked by the sum of their actions' log-probabilities. The last plan is that of
    `greedy_plans`, which a narrow beam may lose.
    """
    # The last row of everything is the policy's own plan; it costs nothing in the same batch.
    episodes = CandidateEpisodes(stack, np.zeros(2, dtype=np.int64))
    likelihood = np.zeros(1, dtype=np.float32)
    plans = np.empty((2, 0), dtype=np.int64)
    for _ in range(int(stack.n_segments[0])):
        logits = _logits(stored, episodes)
        allowed = logits[:-1] > _HALF
        total = np.where(allowed, likelihood[:, None] + log_softmax(logits[:-1]), -np.inf)
        order = np.argsort(-total.ravel(), kind="stable")[: min(width, int(allowed.sum()))]
        parent, action = np.divmod(order, logits.shape[1])
        likelihood = total[parent, action]
        parent = np.append(parent, len(logits) - 1)
        action = np.append(action, logits[-1].argmax())
        episodes = episodes.take(parent)
        chosen = episodes.library_actions(action)
        plans = np.concatenate([plans[parent], chosen[:, None]], axis=1)
        episodes.step(action)
    return plans


_HALF = -5e8
"""Between the logit of what is forbidden and any other."""


def _logits(stored: StoredPolicy, episodes: CandidateEpisodes) -> Narrow:
    numbers = episodes.numbers()
    return stored.network(numbers.candidates, numbers.state, numbers.mask, numbers.prior)[0]
