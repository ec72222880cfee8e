"""Agents side by side on the same videos, with common random numbers.

For every seed and video one switch target is drawn from the video's budget, and all agents are
scored on it: the original redrew the target for each agent, which then differed by luck. The
target is in the tables, so every agent may know it; `targets="expected"` keeps the budget's
distribution instead and scores the switch term by its expectation, the same for everybody.

    share  = (R - random) / (bound - random), of the means over videos and seeds
    regret = bound - R

`random` is the mean of RANDOM_DRAWS uniform plans for each video and seed, `bound` the planner's
certified upper bound on any complete plan, so no share is above 1. Items are videos; seeds are
averaged video by video. Intervals are bootstraps over videos; that of the share, a ratio of means,
is linearised about the ratio (the delta method), so that long videos do not widen it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from segue.core.errors import UsageError
from segue.core.progress import Advance, silent
from segue.core.seeding import generator
from segue.core.tables import Data, EvaluationTable, Role, paired_bootstrap
from segue.tasks.soundtrack.agents import ROLES, make_agent
from segue.tasks.soundtrack.agents.plan import Plan
from segue.tasks.soundtrack.config import Mode, SoundtrackConfig
from segue.tasks.soundtrack.data import Dataset
from segue.tasks.soundtrack.prior import default_prior, split_videos
from segue.tasks.soundtrack.scoring import TERMS
from segue.tasks.soundtrack.tables import Floats, Tables, build_tables

__all__ = ["BOUND", "RANDOM_DRAWS", "Split", "Targets", "compare", "evaluate", "parse_agents"]

Split = Literal["train", "test", "all"]
Targets = Literal["drawn", "expected"]

BOUND = "upper bound"
"""Name of the row that holds the planner's certified bound."""
RANDOM_DRAWS = 5

_LOWER_IS_BETTER = ("regret", "target gap", "ms per video")


def evaluate(
    dataset: Dataset,
    agents: Sequence[str],
    config: SoundtrackConfig | None = None,
    *,
    split: Split = "test",
    mode: Mode = "test",
    targets: Targets = "drawn",
    seeds: Sequence[int] = (0,),
    advance: Advance = silent,
) -> EvaluationTable:
    """Score `agents` on the videos of a dataset.

    Args:
        dataset: the library and the videos.
        agents: names, see `segue.tasks.soundtrack.agents`.
        config: weights, division of the videos, spread of the budget.
        split: which videos of the division in `config`. With a single video all are the same.
        mode: "test" scores alignment unfaded, as the original's final evaluation does.
        targets: see the module.
        seeds: each draws its own targets and its own randomness of the agents.
        advance: called after each video and seed, with amounts that add up to 1.

    Raises:
        UnknownName: an agent or its setting does not exist.
        UsageError: no agent, no video in the split, or a reward that tables cannot hold.
    """
    config = config or SoundtrackConfig()
    if config.extra_terms or config.environment != "Discrete":
        what = "extra_terms" if config.extra_terms else f"environment '{config.environment}'"
        raise UsageError(
            f"the agents plan from reward tables, which do not hold {what}",
            where="evaluate",
            advice="Leave it out, or run the environment itself",
        )
    prior = default_prior(dataset, config)
    videos = _videos(dataset, config, split)
    tables = [
        build_tables(dataset, prior, v, config.weights.weights(), mode, None, config.kappa)
        for v in videos
    ]
    name = f"{dataset.name}, {split}" if split != "all" else dataset.name
    return compare(tables, agents, name, targets=targets, seeds=seeds, advance=advance)


def compare(
    tables: Sequence[Tables],
    agents: Sequence[str],
    name: str,
    *,
    targets: Targets = "drawn",
    seeds: Sequence[int] = (0,),
    advance: Advance = silent,
) -> EvaluationTable:
    """Score `agents` on videos given as tables; see `evaluate`."""
    if not agents:
        raise UsageError("no agent to evaluate", advice="Give --agents random,greedy,planner")
    if not seeds or not tables:
        raise UsageError("nothing to evaluate: no video or no seed")
    makers = {agent: make_agent(agent) for agent in dict.fromkeys(agents)}
    planner, random = make_agent("planner"), make_agent("random")
    bounds, floors = np.empty((len(seeds), len(tables))), np.empty((len(seeds), len(tables)))
    plans: dict[str, list[list[Plan]]] = {agent: [[] for _ in seeds] for agent in makers}
    scored = [[_with_target(t, targets, seed, v) for v, t in enumerate(tables)] for seed in seeds]

    for s, seed in enumerate(seeds):
        for v, video in enumerate(scored[s]):
            best: Plan | None = None
            for agent, maker in makers.items():
                plan = maker.plan(video, generator(seed, "agent", agent, v))
                plans[agent][s].append(plan)
                if agent == "planner":
                    best = plan
            best = best or planner.plan(video, generator(seed, "bound", v))
            assert best.upper_bound is not None
            bounds[s, v] = best.upper_bound
            rng = generator(seed, "random floor", v)
            floors[s, v] = np.mean([random.plan(video, rng).return_ for _ in range(RANDOM_DRAWS)])
            advance(1 / (len(seeds) * len(tables)))

    scores = {agent: _metrics(rows, scored, bounds, floors) for agent, rows in plans.items()}
    for term in TERMS:  # one that nobody earned or paid would be a column of zeros
        if not any(metrics[term].any() for metrics in scores.values()):
            for metrics in scores.values():
                del metrics[term]
    scores[BOUND] = {"return": bounds, "regret": np.zeros_like(bounds)}
    roles: dict[str, Role] = {agent: ROLES.get(agent, "baseline") for agent in makers}
    roles[BOUND] = "bound"
    table = EvaluationTable.from_scores(
        "soundtrack",
        Data(name=name, n=len(tables), fingerprint=_fingerprint(tables)),
        scores,
        roles,
        seeds=seeds,
        lower_is_better=_LOWER_IS_BETTER,
    )
    return replace(table, comparisons=(*table.comparisons, *_comparisons(scores, roles)))


def parse_agents(text: str) -> list[str]:
    """Split a comma list of agent names; `greedy/alignment,same` stays one name.

    Raises:
        UsageError: the list is empty.
    """
    names: list[str] = []
    terms = {*TERMS, *(f"{t}_reward" for t in TERMS), "same_track_penalty", "illegal_penalty"}
    for piece in filter(None, (part.strip() for part in text.split(","))):
        if piece in terms and names and "/" in names[-1]:
            names[-1] += f",{piece}"
        else:
            names.append(piece)
    if not names:
        raise UsageError("no agent to evaluate", advice="Give --agents random,greedy,planner")
    return names


def _videos(dataset: Dataset, config: SoundtrackConfig, split: Split) -> list[int]:
    n_videos = len(dataset.videos)
    train, test = split_videos(n_videos, config.data.split_ratio, config.data.split_seed)
    everything = list(range(n_videos))
    # One video is its own training set (see `default_prior`) and then also its own test set.
    chosen = everything if n_videos == 1 else {"train": train, "test": test}.get(split, everything)
    if not chosen:
        raise UsageError(
            f"the {split} split of {n_videos} videos is empty",
            where=dataset.name,
            advice="Change data.split_ratio, or evaluate --split all",
        )
    return sorted(chosen)


def _with_target(tables: Tables, targets: Targets, seed: int, video: int) -> Tables:
    if targets == "expected":
        return tables
    rng = generator(seed, "target", video)
    target = rng.choice(tables.target_values, p=tables.target_probabilities)
    return replace(tables, target_values=np.array([target]), target_probabilities=np.ones(1))


def _metrics(
    plans: list[list[Plan]], scored: list[list[Tables]], bounds: Floats, floors: Floats
) -> dict[str, Floats]:
    """Return every metric of one agent, [S, n] each."""

    def each(value: Any) -> Floats:
        return np.array([[value(plan) for plan in row] for row in plans], dtype=np.float64)

    target = np.array(
        [[float(t.target_values @ t.target_probabilities) for t in row] for row in scored]
    )
    returns, switches = each(lambda plan: plan.return_), each(lambda plan: plan.switches)
    metrics = {"return": returns}
    gained, reach = returns - floors, bounds - floors
    if reach.mean() > 1e-9:  # else every legal plan is as good as any other
        share = gained.mean() / reach.mean()
        # Their mean is the ratio of the means; their spread is that of the ratio.
        metrics["share"] = share + (gained - share * reach) / reach.mean()
    metrics["regret"] = bounds - returns
    metrics["switches"] = switches
    metrics["target gap"] = np.abs(switches - target)
    metrics["ms per video"] = each(lambda plan: 1000 * plan.seconds)
    for name in TERMS:
        metrics[name] = each(lambda plan, name=name: plan.terms[name])
    return metrics


def _comparisons(scores: dict[str, dict[str, Floats]], roles: dict[str, Role]) -> list[Any]:
    """Compare the return of every agent that is not tuned with the strongest other baseline."""
    baselines = [agent for agent, role in roles.items() if role in ("prior", "baseline")]
    found = []
    for agent, role in roles.items():
        others = [b for b in baselines if b != agent]
        if role in ("bound", "random", "tuned") or not others:
            continue
        strongest = max(others, key=lambda b: float(scores[b]["return"].mean()))
        found.append(
            paired_bootstrap(
                scores[agent]["return"],
                scores[strongest]["return"],
                np.random.default_rng(0),
                names=(agent, strongest, "return"),
            )
        )
    return found


def _fingerprint(tables: Sequence[Tables]) -> str:
    digest = hashlib.sha256()
    for video in tables:
        for name in (
            "lengths_s",
            "durations_s",
            "alignment",
            "transition",
            "gate",
            "embeddings",
            "target_values",
            "target_probabilities",
        ):
            digest.update(np.ascontiguousarray(getattr(video, name)).tobytes())
        digest.update(repr((video.weights, video.fade_per_s)).encode())
    return f"sha256:{digest.hexdigest()}"
