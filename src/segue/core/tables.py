"""The evaluation table: models side by side on the same data, with intervals.

Every `evaluate` of every task makes one `EvaluationTable`. It holds a row for each model and, for
each tuned model, its paired comparison with its prior and with the strongest baseline on the same
items, because a mean without a paired interval says little about which model is better.

Intervals are percentile bootstraps over items (B. Efron, "Bootstrap methods: another look at the
jackknife", Annals of Statistics 7, 1979): `n` items are drawn with replacement and the mean is
taken again. In the paired form the same items are drawn for both models, so what both find easy or
hard cancels.

Letters: `S` seeds (training runs), `n` items (episodes, users, clips), `R` resamples.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segue.core.errors import DataError

__all__ = [
    "Comparison",
    "Data",
    "EvaluationTable",
    "Role",
    "Row",
    "Value",
    "bootstrap_interval",
    "paired_bootstrap",
]

Role = Literal["prior", "tuned", "baseline", "bound", "random"]
"""What a model is in a table; "bound" is a value that no model can pass, "random" the floor."""

_BLOCK = 1 << 21  # random indices drawn at a time: 16 MB whatever the number of items


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A metric's mean with its interval; `low` and `high` are None where there is one item only."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One model's metrics; names are the field's own, lower case."""

    model: str
    role: Role
    metrics: dict[str, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The difference a - b of one metric over the same `n` items."""

    a: str
    b: str
    metric: str
    difference: float
    low: float | None
    high: float | None
    n: int
    method: str = "paired bootstrap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """What was evaluated on."""

    name: str
    n: int
    fingerprint: str
    """`sha256:...` of the content, so that two tables can be known to be about the same data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationTable:
    """Models side by side; prints as a table, as JSON, Markdown or CSV."""

    task: str
    data: Data
    seeds: tuple[int, ...]
    rows: tuple[Row, ...]
    comparisons: tuple[Comparison, ...] = ()

    @classmethod
    def from_scores(
        cls,
        task: str,
        data: Data,
        scores: Mapping[str, Mapping[str, ArrayLike]],
        roles: Mapping[str, Role],
        *,
        seeds: Sequence[int] = (0,),
        lower_is_better: Iterable[str] = (),
        resamples: int = 2000,
        level: float = 0.95,
        bootstrap_seed: int = 0,
    ) -> Self:
        """Build rows and comparisons from the score of every model on every item.

        Each tuned model is compared, metric by metric, with every prior and with the strongest
        baseline (a random model or a bound counts as neither).

        Args:
            task: name of the task.
            data: what the items are.
            scores: model -> metric -> scores [n] or [S, n]; the same items in the same order for
                all models. Seeds are averaged item by item, so the interval is over items.
            roles: model -> role.
            seeds: seeds of the runs behind the scores.
            lower_is_better: metrics whose strongest baseline has the smallest value.
            resamples: number of bootstrap resamples, R.
            level: coverage of the intervals.
            bootstrap_seed: seed of the resampling; the same seed gives the same table.

        Raises:
            DataError: no items, a score that is not finite, or models with unequal items.
        """
        items = {m: {k: _items(v, f"{m}, {k}") for k, v in s.items()} for m, s in scores.items()}
        settings: dict[str, Any] = {"resamples": resamples, "level": level}

        def generator() -> np.random.Generator:  # a new one each: a row added changes no other
            return np.random.default_rng(bootstrap_seed)

        rows = tuple(
            Row(
                model=model,
                role=roles[model],
                metrics={
                    metric: bootstrap_interval(values, generator(), **settings)
                    for metric, values in metrics.items()
                },
            )
            for model, metrics in items.items()
        )
        smaller = set(lower_is_better)
        comparisons = [
            paired_bootstrap(
                items[a][metric], items[b][metric], generator(), names=(a, b, metric), **settings
            )
            for a, b, metric in _pairs(rows, smaller)
        ]
        return cls(
            task=task, data=data, seeds=tuple(seeds), rows=rows, comparisons=tuple(comparisons)
        )

    def row(self, model: str) -> Row:
        """Return the row of `model` (KeyError when there is none)."""
        return {row.model: row for row in self.rows}[model]

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Names of all metrics, in order of first use."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.metrics))

    def to_dict(self) -> dict[str, Any]:
        """Return the table as JSON-like values; `from_dict` reverses it."""
        return {
            "task": self.task,
            "data": asdict(self.data),
            "seeds": list(self.seeds),
            "rows": [asdict(row) for row in self.rows],
            "comparisons": [asdict(comparison) for comparison in self.comparisons],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild a table from `to_dict`.

        Raises:
            DataError: a key is missing, unknown or of the wrong kind.
        """
        try:
            rows = tuple(
                Row(
                    model=row["model"],
                    role=_role(row["role"]),
                    metrics={k: Value(**v) for k, v in row["metrics"].items()},
                )
                for row in values["rows"]
            )
            return cls(
                task=values["task"],
                data=Data(**values["data"]),
                seeds=tuple(values["seeds"]),
                rows=rows,
                comparisons=tuple(Comparison(**c) for c in values["comparisons"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"this is not an evaluation table: {error!r}") from None

    def to_json(self) -> str:
        """Return the table as one JSON object."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False, indent=2)

    def to_markdown(self) -> str:
        """Return the rows, then the comparisons, as Markdown tables."""
        head, *body = self._cells()
        lines = [_line(head), _line(["---", "---"] + ["---:"] * (len(head) - 2))]
        lines += [_line(row) for row in body]
        if self.comparisons:
            lines += ["", _line(_COMPARED), _line(["---"] * 3 + ["---:"] * 2)]
            lines += [_line(row) for row in self._comparison_cells()]
        return "\n".join(lines) + "\n"

    def to_csv(self) -> str:
        """Return one CSV line for each model and metric, in full precision."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["model", "role", "metric", "value", "low", "high"])
        for row in self.rows:
            for name, cell in row.metrics.items():
                writer.writerow([row.model, row.role, name, cell.value, cell.low, cell.high])
        return text.getvalue()

    def print(self, *, as_json: bool = False) -> None:
        """Print the table on stdout, for people or (`as_json`) as one JSON object."""
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        console = Console()
        if as_json:
            console.file.write(self.to_json() + "\n")
            return
        seeds = ", ".join(map(str, self.seeds))
        title = f"{self.task}: {self.data.name}, n = {self.data.n}, seeds {seeds}"
        tables = [(title, *self._cells())]
        if self.comparisons:
            tables.append(("a - b on the same items", _COMPARED, *self._comparison_cells()))
        for heading, head, *body in tables:
            table = Table(title=escape(str(heading)), title_justify="left")
            for i, name in enumerate(head):
                numeric = i >= (2 if head is not _COMPARED else 3)
                table.add_column(escape(name), justify="right" if numeric else "left")
            for row in body:
                table.add_row(*map(escape, row))
            if not console.is_terminal:  # a pipe has no width: never fold a number
                needed = Console(width=10_000).measure(table).maximum
                console = Console(width=max(80, needed))
            console.print(table)

    def _cells(self) -> list[list[str]]:
        names = self.metric_names
        lines = [["model", "role", *names]]
        for row in self.rows:
            cells = [_interval(row.metrics[n]) if n in row.metrics else "-" for n in names]
            lines.append([row.model, row.role, *cells])
        return lines

    def _comparison_cells(self) -> list[list[str]]:
        return [
            [
                c.a,
                c.b,
                c.metric,
                _interval(Value(value=c.difference, low=c.low, high=c.high)),
                str(c.n),
            ]
            for c in self.comparisons
        ]


def bootstrap_interval(
    values: ArrayLike,
    generator: np.random.Generator,
    *,
    resamples: int = 2000,
    level: float = 0.95,
) -> Value:
    """Return the mean of `values` [n] or [S, n] with its percentile bootstrap interval.

    Raises:
        DataError: no values, or one that is not finite.
    """
    items = _items(values, "values")
    mean = float(items.mean())
    if len(items) < 2:
        return Value(value=mean)
    tail = (1 - level) / 2
    low, high = np.quantile(_resampled_means(items, generator, resamples), [tail, 1 - tail])
    return Value(value=mean, low=float(low), high=float(high))


def paired_bootstrap(
    a: ArrayLike,
    b: ArrayLike,
    generator: np.random.Generator,
    *,
    names: tuple[str, str, str] = ("a", "b", "score"),
    resamples: int = 2000,
    level: float = 0.95,
) -> Comparison:
    """Compare two models on the same items: the mean of a - b and its interval.

    Args:
        a: scores [n] or [S, n] of the first model.
        b: scores of the second model on the same items in the same order.
        generator: source of the resampling.
        names: names of a, of b and of the metric, kept in the result.
        resamples: number of resamples.
        level: coverage of the interval.

    Raises:
        DataError: unequal numbers of items, none at all, or a score that is not finite.
    """
    first, second = _items(a, names[0]), _items(b, names[1])
    if len(first) != len(second):
        raise DataError(
            f"'{names[0]}' has {len(first)} items and '{names[1]}' {len(second)}",
            where=names[2],
            advice="A paired comparison needs both models on the same items.",
        )
    result = bootstrap_interval(first - second, generator, resamples=resamples, level=level)
    return Comparison(
        a=names[0],
        b=names[1],
        metric=names[2],
        difference=result.value,
        low=result.low,
        high=result.high,
        n=len(first),
    )


_COMPARED = ["a", "b", "metric", "a - b", "n"]


def _items(values: ArrayLike, where: str) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 2:  # [S, n] -> [n]
        array = array.mean(axis=0)
    if array.ndim != 1 or not array.size:
        raise DataError(f"no scores: an array of shape {array.shape}", where=where)
    if not np.isfinite(array).all():
        bad = int(np.flatnonzero(~np.isfinite(array))[0])
        raise DataError(
            f"score {bad} is {array[bad]}", where=where, advice="Scores must be finite."
        )
    return array


def _resampled_means(
    items: NDArray[np.float64], generator: np.random.Generator, resamples: int
) -> NDArray[np.float64]:
    n = len(items)
    block = max(1, _BLOCK // n)
    sizes = [min(block, resamples - done) for done in range(0, resamples, block)]
    return np.concatenate(
        [items[generator.integers(0, n, size=(size, n))].mean(axis=1) for size in sizes]
    )


def _pairs(rows: Sequence[Row], smaller: set[str]) -> list[tuple[str, str, str]]:
    """List (tuned, other, metric): each prior, then the strongest baseline by that metric."""
    pairs: dict[tuple[str, str, str], None] = {}
    for tuned in (row for row in rows if row.role == "tuned"):
        for metric in tuned.metrics:
            others = [row for row in rows if metric in row.metrics]
            for prior in (row for row in others if row.role == "prior"):
                pairs[tuned.model, prior.model, metric] = None
            sign = -1 if metric in smaller else 1
            baselines = [row for row in others if row.role in ("prior", "baseline")]
            if baselines:
                strongest = max(baselines, key=lambda row: sign * row.metrics[metric].value)
                pairs[tuned.model, strongest.model, metric] = None
    return list(pairs)


def _role(name: Any) -> Role:
    if name not in get_args(Role):
        raise DataError(f"unknown role {name!r}", advice=f"Known: {', '.join(get_args(Role))}")
    role: Role = name
    return role


def _interval(value: Value) -> str:
    if value.low is None or value.high is None:
        return f"{value.value:.4g}"
    return f"{value.value:.4g} [{value.low:.4g}, {value.high:.4g}]"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"
