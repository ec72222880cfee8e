"""`evaluate`: every model and agent of a run on the same questions, with paired intervals.

The true next track is ranked among all tracks of the vocabulary, never among a sample (Krichene and
Rendle, "On sampled metrics for item recommendation", 2020). Rows:

| row | role |
|---|---|
| `random` | random: the expected value of a random order |
| `fused` | prior: the ranker that the agents start from |
| other models | baseline; those that learn by chance are averaged over their seeds |
| agents that choose the next track | tuned |

Agents that make playlists are judged by `evaluate_playlists`.

Letters: `S` seeds, `B` questions, `K` tracks of a list.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import UsageError
from segue.core.progress import Advance, silent
from segue.core.seeding import generator
from segue.core.tables import Data, EvaluationTable, Role, Row, Value
from segue.tasks.playlist.agents.playlist import Playlist
from segue.tasks.playlist.config import EvaluateConfig
from segue.tasks.playlist.data.prepared import Prepared
from segue.tasks.playlist.metrics import CUTS, coverage, list_metrics, rank_metrics
from segue.tasks.playlist.models.base import Recommender
from segue.tasks.playlist.protocol import questions
from segue.tasks.playlist.ranking import Repeats
from segue.tasks.playlist.run_folder import (
    load_model,
    read_vocabulary,
    stored_agents,
    stored_models,
)
from segue.tasks.playlist.sessions import UNKNOWN, Sessions

__all__ = ["Questions", "ask", "evaluate", "natural_repeats"]

Floats = NDArray[np.float64]
PRIOR = "fused"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Questions:
    """What all models are asked."""

    queries: Sessions
    targets: NDArray[np.int32]
    """[B]; `UNKNOWN` for a track that training never saw, which everybody misses."""
    repeats: Repeats

    def __len__(self) -> int:
        return len(self.targets)


def ask(data: Prepared, config: EvaluateConfig) -> Questions:
    """Return the questions of an evaluation.

    Raises:
        DataError: the part has no session that is long enough.
    """
    sessions = data.test if config.part == "test" else data.validation
    queries, targets, _ = questions(sessions, "last" if config.protocol == "last" else "prefixes")
    if 0 < config.limit < len(targets):
        drawn = generator(config.seed, "questions").choice(
            len(targets), config.limit, replace=False
        )
        drawn.sort()
        queries, targets = queries.take(drawn), targets[drawn]
    repeats = natural_repeats(data) if config.repeats == "natural" else config.repeats
    return Questions(queries=queries, targets=targets, repeats=repeats)


def natural_repeats(data: Prepared) -> Repeats:
    """Return "allowed" where training sessions repeat tracks, "masked" where none ever does."""
    train = data.train
    known = train.tracks != UNKNOWN
    keys = train.owners()[known] * len(data.vocabulary) + train.tracks[known]
    return "allowed" if len(np.unique(keys)) < len(keys) else "masked"


def evaluate(
    run: Path, data: Prepared, config: EvaluateConfig, *, advance: Advance = silent
) -> EvaluationTable:
    """Ask every model and agent of `run`.

    Args:
        run: folder of `pretrain`, perhaps with agents of `tune`.
        data: that the run was made from.
        config: what is asked.
        advance: told the share of the work that is done.

    Raises:
        MissingModel: the run has no models.
        UsageError: the run was made from other data.
    """
    from segue.tasks.playlist.models.track_vectors import track_vectors

    _same_vocabulary(run, data)
    if config.protocol == "playlists":
        from segue.tasks.playlist.evaluate_playlists import evaluate_playlists

        return evaluate_playlists(run, data, config, advance=advance)
    asked = ask(data, config)
    rows = list(_systems(run))
    heard = data.before_test
    vectors = track_vectors(heard, len(data.vocabulary))
    scores: dict[str, dict[str, list[Floats]]] = {}
    roles: dict[str, Role] = {"random": "random"}
    covered: dict[str, list[float]] = {}
    for name, role, model in rows:
        roles[name] = role
        ranks, lists = model.answer(asked.queries, asked.targets, max(CUTS), repeats=asked.repeats)
        found = rank_metrics(ranks)
        found |= list_metrics(lists, asked.queries, vectors, data.vocabulary.plays)
        for metric, values in found.items():
            scores.setdefault(name, {}).setdefault(metric, []).append(values)
        covered.setdefault(name, []).append(coverage(lists, len(data.vocabulary)))
        advance(1 / len(rows))
    seeds = max((len(found) for found in covered.values()), default=1)
    table = EvaluationTable.from_scores(
        "playlist",
        Data(name=_title(data, config, asked), n=len(asked), fingerprint=data.fingerprint),
        {"random": _random(asked, len(data.vocabulary))}
        | {name: {m: np.stack(v) for m, v in found.items()} for name, found in scores.items()},
        roles,
        seeds=range(seeds),
        lower_is_better=("popularity@10", "repeats@10"),
        resamples=config.resamples,
        bootstrap_seed=config.seed,
    )
    return _with_coverage(table, covered)


def _systems(run: Path) -> Iterator[tuple[str, Role, Recommender]]:
    for name, folders in stored_models(run).items():
        for folder in folders:
            yield name, "prior" if name == PRIOR else "baseline", load_model(run, name, folder)
    for name, folders in stored_agents(run).items():
        for folder in folders:
            agent = load_model(run, name, folder)
            if not isinstance(agent, Playlist):  # those are judged by whole playlists
                yield name, "tuned", agent


def _random(asked: Questions, n_tracks: int) -> dict[str, Floats]:
    """Return the expected metrics of a random order of the tracks that are not masked."""
    ranks = np.arange(1, n_tracks + 1, dtype=np.float64)
    means = {name: values.mean() for name, values in rank_metrics(ranks).items()}
    return {name: np.full(len(asked), mean) for name, mean in means.items()}


def _with_coverage(table: EvaluationTable, covered: dict[str, list[float]]) -> EvaluationTable:
    def whole(row: Row) -> Row:
        if row.model not in covered:
            return row
        share = Value(value=float(np.mean(covered[row.model])))
        return replace(row, metrics=row.metrics | {"coverage@10": share})

    return replace(table, rows=tuple(whole(row) for row in table.rows))


def _title(data: Prepared, config: EvaluateConfig, asked: Questions) -> str:
    return f"{data.name}, {config.part}, {config.protocol}, repeats {asked.repeats}"


def _same_vocabulary(run: Path, data: Prepared) -> None:
    kept = read_vocabulary(run)
    if (kept.artists, kept.titles) != (data.vocabulary.artists, data.vocabulary.titles):
        raise UsageError(
            f"this run was made from other data than {data.name}: the tracks differ",
            where=run,
            advice="Give the folder that `segue playlist pretrain --data` was given",
        )
