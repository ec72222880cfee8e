"""Judge playlists: the last tracks of each session are hidden, and a list of as many is made.

Everything that is compared sees the same candidates. Rows:

| row | role |
|---|---|
| `fused` | prior: the ranker's best tracks |
| `fused + planner` | baseline: greedy by the expected gain of every reward term |
| `supervised` | baseline: the best tracks of a network that learned what was heard next |
| `supervised + planner` | baseline: the same planner on top of that network |
| agents | tuned |

Metrics: `return`, the mean reward of a list; `precision@K`, the share of its tracks that the
listener went on to; and each term of the reward without its weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError, MissingModel
from segue.core.progress import Advance, silent
from segue.core.seeding import generator
from segue.core.tables import Comparison, Data, EvaluationTable, Role, paired_bootstrap
from segue.tasks.playlist.agents.blocks import ask_playlists
from segue.tasks.playlist.agents.playlist import Playlist
from segue.tasks.playlist.config import EvaluateConfig
from segue.tasks.playlist.data.prepared import Prepared
from segue.tasks.playlist.run_folder import load_model, stored_agents
from segue.tasks.playlist.sessions import Sessions

__all__ = ["evaluate_playlists"]

Floats = NDArray[np.float64]
Scores = dict[str, dict[str, list[Floats]]]

_BATCH = 1024


def evaluate_playlists(
    run: Path, data: Prepared, config: EvaluateConfig, *, advance: Advance = silent
) -> EvaluationTable:
    """Compare the playlists of every agent of `run` that makes some.

    Raises:
        MissingModel: no agent of the run makes playlists.
        DataError: no session is long enough.
    """
    sessions = data.test if config.part == "test" else data.validation
    scores: Scores = {}
    roles: dict[str, Role] = {}
    agents = _agents(run)
    asked: list[tuple[int, int]] = []
    for agent in agents:
        asked.append((agent.config.length, agent.config.least))
        if asked[-1] != asked[0]:
            raise DataError(
                f"agents of this run make lists of {asked[0][0]} and of {asked[-1][0]} tracks",
                where=run,
                advice="Compare them in runs of their own",
            )
        n = _judge(agent, sessions, config, scores, roles)
        advance(1 / len(agents))
    length = asked[0][0]
    seeds = max(len(values) for found in scores.values() for values in found.values())
    stacked = {row: {m: np.stack(v) for m, v in found.items()} for row, found in scores.items()}
    table = EvaluationTable.from_scores(
        "playlist",
        Data(
            name=f"{data.name}, {config.part}, playlists of {length}",
            n=n,
            fingerprint=data.fingerprint,
        ),
        stacked,
        roles,
        seeds=range(seeds),
        resamples=config.resamples,
        bootstrap_seed=config.seed,
    )
    return replace(table, comparisons=_with_planner(table, stacked, config))


def _agents(run: Path) -> list[Playlist]:
    found = []
    for name, folders in stored_agents(run).items():
        models = [load_model(run, name, folder) for folder in folders]
        found += [model for model in models if isinstance(model, Playlist)]
    if not found:
        raise MissingModel(
            "no agent of this run makes playlists",
            where=run,
            advice="Train one with `segue playlist tune --data DIR --run RUN`",
        )
    return found


def _judge(
    agent: Playlist,
    sessions: Sessions,
    config: EvaluateConfig,
    scores: Scores,
    roles: dict[str, Role],
) -> int:
    """Add the scores of one agent and of its baselines; return the number of lists."""
    queries, hidden = ask_playlists(sessions, agent.config.length, agent.config.least)
    if not len(queries):
        raise DataError(f"no session has {agent.config.least} tracks or more")
    if 0 < config.limit < len(queries):
        drawn = np.sort(
            generator(config.seed, "playlists").choice(len(queries), config.limit, replace=False)
        )
        queries, hidden = queries.take(drawn), hidden[drawn]
    earnings = agent.earnings()
    parts: dict[str, dict[str, list[Floats]]] = {}
    for start in range(0, len(queries), _BATCH):
        stop = min(start + _BATCH, len(queries))
        made = agent.playlists(queries.part(start, stop), hidden[start:stop])
        questions = made.pop("questions")
        for row, lists in made.items():
            total, terms = earnings.of(questions, lists[:, None])
            hits = np.take_along_axis(questions.hits, lists, axis=1).mean(axis=1)
            into = parts.setdefault(row, {})
            into.setdefault("return", []).append(total.sum(axis=(1, 2)).astype(np.float64))
            into.setdefault(f"precision@{lists.shape[1]}", []).append(hits)
            for name, values in terms.items():
                weight = earnings.reward.parts[name][1]
                if weight and name != "hit":
                    into.setdefault(name, []).append(values[:, 0] / weight)
    for row, found in parts.items():
        roles[row] = "tuned" if row == agent.name else "prior" if row == "fused" else "baseline"
        for metric, pieces in found.items():
            scores.setdefault(row, {}).setdefault(metric, []).append(np.concatenate(pieces))
    return len(queries)


def _with_planner(
    table: EvaluationTable, scores: Mapping[str, Mapping[str, Floats]], config: EvaluateConfig
) -> tuple[Comparison, ...]:
    """Compare every metric of the agents with the baseline that has the best return."""
    baselines = [row for row in table.rows if row.role in ("prior", "baseline")]
    best = max(baselines, key=lambda row: row.metrics["return"].value).model
    found = {(c.a, c.b, c.metric): c for c in table.comparisons}
    for row in table.rows:
        for metric in row.metrics if row.role == "tuned" else ():
            key = (row.model, best, metric)
            if key not in found:
                found[key] = paired_bootstrap(
                    scores[row.model][metric],
                    scores[best][metric],
                    np.random.default_rng(config.seed),
                    names=key,
                    resamples=config.resamples,
                )
    return tuple(found[key] for key in sorted(found, key=lambda k: (k[0], k[2] != "return", k[2])))
