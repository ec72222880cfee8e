"""The planner: run decomposition, solved backwards, with a certified upper bound."""

from __future__ import annotations

import time

import numpy as np

from segue.tasks.soundtrack.agents.beam import beam_actions
from segue.tasks.soundtrack.agents.plan import Plan, check, finish
from segue.tasks.soundtrack.agents.relaxation import solve
from segue.tasks.soundtrack.agents.runs import Runs
from segue.tasks.soundtrack.scoring import score, unit_embeddings
from segue.tasks.soundtrack.tables import Tables

__all__ = ["Planner"]


class Planner:
    """Run-decomposition dynamic programme with a certified upper bound."""

    def __init__(self, seconds: str = "0.5") -> None:
        self._seconds = float(seconds)

    def plan(self, tables: Tables, rng: np.random.Generator) -> Plan:
        """Return the best plan found and its bound; see `Agent.plan`. Nothing is random."""
        started = time.perf_counter()
        check(tables)
        runs = Runs.of(tables)
        units = unit_embeddings(tables)
        candidates = [row for row in beam_actions(tables, 8)]
        bound, actions = solve(tables, runs, np.zeros(tables.n_tracks))
        bound += max(tables.weights.theme, 0.0)
        candidates.append(actions)
        for _ in range(2):
            mean = tables.embeddings[score(tables, actions).tracks].mean(axis=0)
            norm = float(np.linalg.norm(mean))
            if not tables.weights.theme or norm < 1e-6:
                break
            bonus = tables.weights.theme / tables.n_segments * (units @ (mean / norm))
            _, actions = solve(tables, runs, bonus)
            candidates.append(actions)
        best = max(candidates, key=lambda row: score(tables, row).return_)
        return finish(tables, best, started, bound)
