"""From what was heard to rows of a table: every metric of every player on every prompt.

An item is a prompt: its clips are averaged first, so intervals are over prompts, and variety can be
measured within each. Every player starts from the same noise, so comparisons are paired.

Letters: `S` training runs, `P` prompts, `c` clips of each, `D` features of the judge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from segue.core.tables import Comparison, Data, EvaluationTable, Role, Value
from segue.tasks.audio.evaluate_metrics import (
    frechet_distance,
    jackknifed,
    mean_distance,
    two_way_interval,
    vendi_score,
)
from segue.tasks.audio.hearing import Heard, right
from segue.tasks.audio.vocabulary import Prompt

__all__ = ["FRECHET", "LOWER_IS_BETTER", "Played", "over_runs", "played", "table_of"]

Floats = NDArray[np.float64]

FRECHET = "FAD (judge)"
"""Name of the metric, and of its embedding."""
LOWER_IS_BETTER = (FRECHET, "silent", "clipped")
_QUIETEST_LUFS = -70.0
"""What silence counts as in means: the absolute gate of the meter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What one player, trained once, made of the prompts."""

    metrics: dict[str, Floats]
    """Name -> [P], mean over the clips of each prompt."""
    embedding: Floats
    """[P, c, D]."""


def played(
    heard: Heard, reward: Floats, prompts: Sequence[Prompt], clips: int, centre: Floats | None
) -> Played:
    """Return the metrics of a player.

    Args:
        heard: P x c clips, those of a prompt one after another.
        reward: [P x c] what they earn.
        prompts: [P x c] what was asked for; the same c times.
        clips: c.
        centre: [D] of real clips, subtracted before cosines; None subtracts nothing.
    """
    moods = [prompt.mood for prompt in prompts]
    each = {
        "reward": reward,
        "p(target)": _probability(heard.emotion, moods),
        "judge p(mood)": _probability(heard.mood, moods),
        "judge mood": right(heard.mood, moods),
        "judge instrument": right(heard.instrument, [p.instrument for p in prompts]),
        "clap": heard.clap,
    }
    metrics = {name: values.reshape(-1, clips).mean(axis=1) for name, values in each.items()}
    metrics = {name: values for name, values in metrics.items() if np.isfinite(values).all()}
    embedding = heard.embedding.reshape(len(prompts) // clips, clips, -1)
    if clips > 1:
        metrics["vendi"] = np.array([vendi_score(group, centre) for group in embedding])
        outline = heard.outline.reshape(len(prompts) // clips, clips, -1)
        metrics["mel distance"] = np.array([mean_distance(group) for group in outline])
    for name, values in (
        ("LUFS", np.maximum(heard.lufs, _QUIETEST_LUFS)),
        ("silent", heard.silent),
        ("clipped", heard.clipped),
    ):
        metrics[name] = values.reshape(-1, clips).mean(axis=1)
    return Played(metrics=metrics, embedding=embedding)


def table_of(
    rows: Mapping[str, tuple[Role, Sequence[Played]]],
    data: Data,
    real: Floats | None,
    *,
    seeds: Sequence[int] = (0,),
) -> EvaluationTable:
    """Return the table of some players.

    Args:
        rows: name -> role, and what was played by each of its training runs.
        data: what the items are.
        real: [m, D] embeddings of real clips; None leaves the Fréchet distance out.
        seeds: of the training runs.
    """
    scores = {
        row: {name: np.stack([one.metrics[name] for one in each]) for name in each[0].metrics}
        for row, (_, each) in rows.items()
    }
    roles = {row: role for row, (role, _) in rows.items()}
    table = EvaluationTable.from_scores(
        "audio", data, scores, roles, seeds=seeds, lower_is_better=LOWER_IS_BETTER
    )
    if real is None:
        return table
    far = {row: _distance(each, real) for row, (role, each) in rows.items() if role != "bound"}
    values = {row: jackknifed(statistic, data.n) for row, statistic in far.items()}
    filled = tuple(
        replace(row, metrics={**row.metrics, FRECHET: values[row.model]})
        if row.model in values
        else row
        for row in table.rows
    )
    more = [
        _compared(a, b, far, data.n)
        for a in rows
        if roles[a] == "tuned"
        for b in rows
        if roles[b] == "prior"
    ]
    return replace(table, rows=filled, comparisons=(*table.comparisons, *more))


def over_runs(tuned: Sequence[Played], base: Played, seed: int = 0) -> dict[str, Value]:
    """Return metric -> tuned minus base, with intervals over training runs and prompts.

    `x` in a name means the ratio of the two instead: of diversity, where shares are asked for.
    """
    found = {}
    for name, values in base.metrics.items():
        if all(name in one.metrics for one in tuned):
            table = np.stack([one.metrics[name] - values for one in tuned])
            found[name] = two_way_interval(table, np.random.default_rng(seed))
            if name in ("vendi", "mel distance") and values.mean() > 0:
                ratio = np.stack([one.metrics[name] for one in tuned]) / values.mean()
                found[f"x {name}"] = two_way_interval(ratio, np.random.default_rng(seed))
    return found


def _probability(table: Floats, wanted: Sequence[int | None]) -> Floats:
    return np.array([np.nan if w is None else row[w] for row, w in zip(table, wanted, strict=True)])


def _distance(each: Sequence[Played], real: Floats) -> Callable[[NDArray[np.int64]], float]:
    """Return the mean over training runs of the distance of the clips of some prompts."""

    def statistic(index: NDArray[np.int64]) -> float:
        width = real.shape[1]
        return float(
            np.mean([frechet_distance(p.embedding[index].reshape(-1, width), real) for p in each])
        )

    return statistic


def _compared(
    a: str, b: str, far: Mapping[str, Callable[[NDArray[np.int64]], float]], n: int
) -> Comparison:
    value = jackknifed(lambda index: far[a](index) - far[b](index), n)
    return Comparison(
        a=a, b=b, metric=FRECHET, difference=value.value, low=value.low, high=value.high, n=n,
        method="paired jackknife",
    )  # fmt: skip
