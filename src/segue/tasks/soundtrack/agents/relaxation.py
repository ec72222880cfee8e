"""The relaxed planning problem: only immediate restarts are charged."""

from __future__ import annotations

import numpy as np

from segue.tasks.soundtrack.agents.runs import Runs
from segue.tasks.soundtrack.scoring import REPEAT, Indices
from segue.tasks.soundtrack.tables import Floats, Tables

__all__ = ["solve"]


def solve(tables: Tables, runs: Runs, bonus: Floats) -> tuple[float, Indices]:
    """Best plan when only immediate restarts are charged; bonus [K] is added per segment."""
    T, K = tables.n_segments, tables.n_tracks  # noqa: N806
    end = tables.switch_cost(np.arange(T))
    start_value = np.full((T + 1, T + 1, K), -np.inf)  # [s, c] c switches including this run's
    choice = np.zeros((T, T, K), dtype=np.int64)
    follow = np.full((T + 1, T + 1, K), -np.inf)  # [e, c, k] best rest after run of k with c
    after = np.zeros((T, T, K), dtype=np.int64)
    follow[T, :T] = end[:, None]
    lengths = np.arange(T + 1)
    for s in range(T - 1, -1, -1):
        for c in range(0, s + 1):
            options = (
                runs.value[s, s + 1 :] + lengths[1 : T - s + 1, None] * bonus + follow[s + 1 :, c]
            )
            choice[s, c] = options.argmax(axis=0) + s + 1
            start_value[s, c] = options.max(axis=0)
        if s:
            step = tables.weights.smoothness * float(tables.gate[s]) * tables.transition.T.copy()
            step[np.arange(K), np.arange(K)] += 2 * REPEAT
            for c in range(0, s):
                options = step + start_value[s, c + 1]
                after[s, c] = options.argmax(axis=1)
                follow[s, c] = options.max(axis=1)
    k = int(start_value[0, 0].argmax())
    best = float(start_value[0, 0, k])
    actions = np.full(T, K, dtype=np.int64)
    s, c = 0, 0
    while s < T:
        actions[s] = k
        e = int(choice[s, c, k])
        if e < T:
            k = int(after[e, c, k])
            c += 1
        s = e
    return best, actions
