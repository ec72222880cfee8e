"""Let agents decide the same videos: their plans and what the plans earn, side by side.

Letters: `S` seeds, `n` videos.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from segue.core.errors import UsageError
from segue.core.progress import Advance, silent
from segue.core.seeding import generator
from segue.core.tables import Role
from segue.tasks.soundtrack.agents import make_agent, role_of
from segue.tasks.soundtrack.agents.plan import Plan
from segue.tasks.soundtrack.tables import Floats, Tables

__all__ = ["KNOWN", "RANDOM_DRAWS", "Played", "Targets", "play"]

Targets = Literal["expected", "drawn"]

KNOWN = "@known"
"""Ending of the name of an agent that is told the switch target."""
RANDOM_DRAWS = 5

_NEGLIGIBLE = 1e-3
"""Targets less probable than this are not played for an agent that knows the target."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Played:
    """What every agent did on every video: `S` seeds, `n` videos."""

    name: str
    """Of the data."""
    seeds: tuple[int, ...]
    tables: tuple[tuple[Tables, ...], ...]
    """[S][n] as the agents saw them."""
    plans: dict[str, list[list[Plan]]]
    """Row name -> [S][n]; for an agent that is told the target, its likeliest plan."""
    returns: dict[str, Floats]
    """Row name -> [S, n]."""
    roles: dict[str, Role]
    bounds: Floats
    """[S, n] the planner's certified bounds."""
    optima: Floats
    """[S, n] best return found."""
    floors: Floats
    """[S, n] mean return of uniform plans."""


def play(
    tables: Sequence[Tables],
    agents: Sequence[str] | Mapping[str, str],
    name: str,
    *,
    targets: Targets = "expected",
    seeds: Sequence[int] = (0,),
    advance: Advance = silent,
) -> Played:
    """Let `agents` decide videos given as tables; see `play_dataset`."""
    if not agents:
        raise UsageError("no agent to evaluate", advice="Give --agents random,greedy,planner")
    if not seeds or not tables:
        raise UsageError("nothing to evaluate: no video or no seed")
    rows = dict(agents) if isinstance(agents, Mapping) else {agent: agent for agent in agents}
    makers = {row: make_agent(agent.removesuffix(KNOWN)) for row, agent in rows.items()}
    planner, random = make_agent("planner"), make_agent("random")
    shape = (len(seeds), len(tables))
    bounds, optima, floors = np.empty(shape), np.empty(shape), np.empty(shape)
    plans: dict[str, list[list[Plan]]] = {row: [[] for _ in seeds] for row in rows}
    returns = {row: np.empty(shape) for row in rows}
    seen = tuple(
        tuple(_with_target(t, targets, seed, v) for v, t in enumerate(tables)) for seed in seeds
    )
    for s, seed in enumerate(seeds):
        for v, video in enumerate(seen[s]):
            best: Plan | None = None
            for row, agent in rows.items():
                rng = generator(seed, "agent", agent, v)
                if agent.endswith(KNOWN):
                    plan, returns[row][s, v] = _told(makers[row], video, rng)
                else:
                    plan = makers[row].plan(video, rng)
                    returns[row][s, v] = plan.return_
                plans[row][s].append(plan)
                if agent == "planner":
                    best = plan
            best = best or planner.plan(video, generator(seed, "bound", v))
            assert best.upper_bound is not None
            bounds[s, v] = best.upper_bound
            fair = [returns[row][s, v] for row, agent in rows.items() if not agent.endswith(KNOWN)]
            optima[s, v] = max([best.return_, *fair])
            rng = generator(seed, "random floor", v)
            floors[s, v] = np.mean([random.plan(video, rng).return_ for _ in range(RANDOM_DRAWS)])
            advance(1 / (len(seeds) * len(tables)))
    return Played(
        name=name,
        seeds=tuple(seeds),
        tables=seen,
        plans=plans,
        returns=returns,
        roles={
            row: "bound" if agent.endswith(KNOWN) else role_of(agent) for row, agent in rows.items()
        },
        bounds=bounds,
        optima=optima,
        floors=floors,
    )


def _with_target(tables: Tables, targets: Targets, seed: int, video: int) -> Tables:
    if targets == "expected":
        return tables
    rng = generator(seed, "target", video)
    target = rng.choice(tables.target_values, p=tables.target_probabilities)
    return replace(tables, target_values=np.array([target]), target_probabilities=np.ones(1))


def _told(maker: Any, video: Tables, rng: np.random.Generator) -> tuple[Plan, float]:
    """Return (likeliest plan, mean return) of an agent that is told the target each time."""
    likely = video.target_probabilities >= min(_NEGLIGIBLE, video.target_probabilities.max())
    weight = video.target_probabilities[likely] / video.target_probabilities[likely].sum()
    plans = [maker.plan(_aimed(video, target), rng) for target in video.target_values[likely]]
    return plans[int(weight.argmax())], float(weight @ [plan.return_ for plan in plans])


def _aimed(tables: Tables, target: int) -> Tables:
    return replace(tables, target_values=np.array([target]), target_probabilities=np.ones(1))
