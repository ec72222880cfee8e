"""Agents side by side on the same videos, with common random numbers.

The number of switches that a video wants is not known to anybody, only its distribution. With
`targets="expected"` the switch term is paid by its expectation, the same for every agent and free
of luck. With `targets="drawn"` one target is drawn for every seed and video, and every agent knows
it and is scored on it (the original redrew it for each agent, which then differed by luck).
`planner@known` is what a planner could earn that knew the target, in the mean over targets.

    share  = (R - random) / (optimum - random), of the means over videos and seeds
    regret = optimum - R

`random` is the mean of a few uniform plans for each video and seed, `optimum` the best plan that
the planner or any agent in the table found, so no share is above 1. How much better a plan could be
that nobody found is the row `upper bound`: the planner's certificate.

Items are videos; seeds are averaged video by video. Intervals are bootstraps over videos; that of
the share, a ratio of means, is linearised about the ratio (the delta method), so that long videos
do not widen it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from segue.core.errors import UsageError
from segue.core.progress import Advance, silent
from segue.core.tables import Comparison, Data, EvaluationTable, Role, Row, paired_bootstrap
from segue.tasks.soundtrack.config import Mode, SoundtrackConfig
from segue.tasks.soundtrack.data import Dataset
from segue.tasks.soundtrack.playing import Played, Targets, play
from segue.tasks.soundtrack.preferences import PreferenceModel, with_preferences
from segue.tasks.soundtrack.prior import Prior, default_prior, split_videos
from segue.tasks.soundtrack.scoring import TERMS
from segue.tasks.soundtrack.tables import Floats, Tables, build_tables
from segue.tasks.soundtrack.truth import chance_retrieval, retrieval, true_tracks

__all__ = [
    "BOUND",
    "DEFAULT_AGENTS",
    "Split",
    "add_retrieval",
    "compare",
    "evaluate",
    "parse_agents",
    "play_dataset",
    "tabulate",
    "videos_of",
    "with_runs",
]

Split = Literal["train", "test", "all"]

BOUND = "upper bound"
"""Name of the row that holds the planner's certified bound."""

DEFAULT_AGENTS = (
    "random",
    "prior",
    "greedy",
    "greedy/alignment,same",
    "margin/0.2",
    "oracle_constrained_greedy",
    "beam/8",
    "beam/32",
    "beam/128",
    "planner",
    "planner@known",
    "policy",
    "policy-beam/8",
)
"""From chance to the best that is known, in about this order."""

_LOWER_IS_BETTER = ("regret", "target gap", "ms per video")


def evaluate(
    dataset: Dataset,
    agents: Sequence[str] | Mapping[str, str],
    config: SoundtrackConfig | None = None,
    *,
    split: Split = "test",
    mode: Mode = "test",
    targets: Targets = "expected",
    seeds: Sequence[int] = (0,),
    episodes: int | None = None,
    prior: Prior | None = None,
    advance: Advance = silent,
) -> EvaluationTable:
    """Score `agents` on the videos of a dataset; see `play_dataset` and `add_retrieval`."""
    config = config or SoundtrackConfig()
    played = play_dataset(
        dataset,
        agents,
        config,
        split=split,
        mode=mode,
        targets=targets,
        seeds=seeds,
        episodes=episodes,
        prior=prior,
        advance=advance,
    )
    videos = videos_of(dataset, config, split, episodes)
    return add_retrieval(tabulate(played), dataset, videos, played)


def play_dataset(
    dataset: Dataset,
    agents: Sequence[str] | Mapping[str, str],
    config: SoundtrackConfig | None = None,
    *,
    split: Split = "test",
    mode: Mode = "test",
    targets: Targets = "expected",
    seeds: Sequence[int] = (0,),
    episodes: int | None = None,
    prior: Prior | None = None,
    taste: tuple[PreferenceModel, float] | None = None,
    advance: Advance = silent,
) -> Played:
    """Let `agents` decide the videos of a dataset.

    Args:
        dataset: the library and the videos.
        agents: names, see `segue.tasks.soundtrack.agents`, or row name -> name.
        config: weights, division of the videos, spread of the budget.
        split: which videos of the division in `config`. With a single video all are the same.
        mode: "test" scores alignment unfaded, as the original's final evaluation does.
        targets: see the module.
        seeds: each draws its own targets and its own randomness of the agents.
        episodes: at least this many, by as many consecutive seeds from the first of `seeds` as it
            takes; fewer than there are videos are the first videos.
        prior: of a run; None fits one on the training videos.
        taste: what people prefer, and its weight in the reward (`preferences`).
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
    prior = prior or default_prior(dataset, config)
    videos = videos_of(dataset, config, split, episodes)
    if episodes is not None:
        seeds = range(seeds[0], seeds[0] + -(-episodes // len(videos)))
    tables = [
        build_tables(dataset, prior, v, config.weights.weights(), mode, None, config.kappa)
        for v in videos
    ]
    if taste is not None:
        tables = [
            with_preferences(table, dataset.videos[v].embeddings, *taste)
            for v, table in zip(videos, tables, strict=True)
        ]
    name = f"{dataset.name}, {split}" if split != "all" else dataset.name
    return play(tables, agents, name, targets=targets, seeds=seeds, advance=advance)


def compare(
    tables: Sequence[Tables],
    agents: Sequence[str] | Mapping[str, str],
    name: str,
    *,
    targets: Targets = "expected",
    seeds: Sequence[int] = (0,),
    advance: Advance = silent,
) -> EvaluationTable:
    """Score `agents` on videos given as tables; see `play` and `tabulate`."""
    return tabulate(play(tables, agents, name, targets=targets, seeds=seeds, advance=advance))


def tabulate(played: Played) -> EvaluationTable:
    """Return metrics with their intervals, and paired comparisons.

    A tuned agent is compared with every prior and baseline, and with the tuned ones before it; a
    baseline with the strongest other one.
    """
    scores = {row: _metrics(row, played) for row in played.plans}
    for term in TERMS:  # one that nobody earned or paid would be a column of zeros
        if not any(metrics[term].any() for metrics in scores.values()):
            for metrics in scores.values():
                del metrics[term]
    scores[BOUND] = {"return": played.bounds, **_shares(played.bounds, played)}
    roles: dict[str, Role] = {**played.roles, BOUND: "bound"}
    first = played.tables[0]
    table = EvaluationTable.from_scores(
        "soundtrack",
        Data(name=played.name, n=len(first), fingerprint=_fingerprint(first)),
        scores,
        roles,
        seeds=played.seeds,
        lower_is_better=_LOWER_IS_BETTER,
    )
    return replace(table, comparisons=tuple(_comparisons(scores, roles)))


def add_retrieval(
    table: EvaluationTable, dataset: Dataset, videos: Sequence[int], played: Played
) -> EvaluationTable:
    """Add recall and median rank to the rows of prior and chance where true pairs are known.

    Args:
        table: of `tabulate`.
        dataset: what was played.
        videos: [n] which of its videos.
        played: the tables that the fit is read from.

    Raises:
        DataError: captions name a track that is not in the library.
    """
    truth = true_tracks(dataset)
    found = retrieval(played.tables[0], [truth[v] for v in videos])
    if not found:
        return table
    chance = chance_retrieval(len(dataset.tracks))
    rows = [
        replace(row, metrics=row.metrics | (found if row.role == "prior" else chance))
        if row.role in ("prior", "random")
        else row
        for row in table.rows
    ]
    if not any(row.role == "prior" for row in rows):
        rows.append(Row(model="prior", role="prior", metrics=found))
    return replace(table, rows=tuple(rows))


def with_runs(agents: Sequence[str], runs: Sequence[Path]) -> dict[str, str]:
    """Return row name -> agent: the policies of the runs take the place of the shipped one.

    Args:
        agents: names.
        runs: folders of trained policies. Without one, names stay as they are.
    """
    rows: dict[str, str] = {}
    for agent in agents:
        base, _, setting = agent.partition("/")
        whole = "/" in setting if base == "policy-beam" else bool(setting)
        if base not in ("policy", "policy-beam") or whole or not runs:
            rows[agent] = agent
            continue
        for run in runs:
            same = [other for other in runs if other.name == run.name]
            label = run.name if len(same) == 1 else str(run)
            if base == "policy":
                rows[label] = f"policy/{run}"
            else:
                rows[f"{label} + beam/{setting or 8}"] = f"policy-beam/{setting or 8}/{run}"
    return rows


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


def videos_of(
    dataset: Dataset, config: SoundtrackConfig, split: Split, episodes: int | None = None
) -> list[int]:
    """Return which videos of a dataset are in a split, at most the first `episodes`.

    Raises:
        UsageError: none is.
    """
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
    return sorted(chosen)[:episodes]


def _shares(returns: Floats, played: Played) -> dict[str, Floats]:
    """Return share and regret, [S, n] each; no share where any legal plan is as good as another."""
    gained, reach = returns - played.floors, played.optima - played.floors
    found = {"regret": played.optima - returns}
    if reach.mean() <= 1e-9:
        return found
    share = gained.mean() / reach.mean()
    # Their mean is the ratio of the means; their spread is that of the ratio.
    return {"share": share + (gained - share * reach) / reach.mean(), **found}


def _metrics(row: str, played: Played) -> dict[str, Floats]:
    """Return every metric of one agent, [S, n] each."""
    plans = played.plans[row]

    def each(value: Any) -> Floats:
        return np.array([[value(plan) for plan in plans_] for plans_ in plans], dtype=np.float64)

    returns = played.returns[row]
    metrics = {"return": returns, **_shares(returns, played)}
    metrics["switches"] = each(lambda plan: plan.switches)
    metrics["target gap"] = np.array(
        [
            [
                float(np.abs(plan.switches - t.target_values) @ t.target_probabilities)
                for plan, t in zip(some, tables, strict=True)
            ]
            for some, tables in zip(plans, played.tables, strict=True)
        ]
    )
    metrics["ms per video"] = each(lambda plan: 1000 * plan.seconds)
    for name in TERMS:
        metrics[name] = each(lambda plan, name=name: plan.terms[name])
    return metrics


def _comparisons(scores: dict[str, dict[str, Floats]], roles: dict[str, Role]) -> list[Comparison]:
    pairs: list[tuple[str, str]] = []
    others = [row for row, role in roles.items() if role in ("prior", "baseline")]
    tuned = [row for row, role in roles.items() if role == "tuned"]
    for row in others:
        rivals = [b for b in others if b != row]
        if rivals:
            pairs.append((row, max(rivals, key=lambda b: float(scores[b]["return"].mean()))))
    for index, row in enumerate(tuned):
        pairs += [(row, other) for other in [*others, *tuned[:index]]]
    return [
        paired_bootstrap(
            scores[a][metric], scores[b][metric], np.random.default_rng(0), names=(a, b, metric)
        )
        for a, b in pairs
        for metric in ("return", "share")
        if metric in scores[a] and (metric == "return" or a in tuned)
    ]


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
