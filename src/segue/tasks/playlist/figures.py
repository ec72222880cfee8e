"""Pictures of an evaluation and of learning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segue.core.files import atomic_path
from segue.core.tables import EvaluationTable

__all__ = ["draw_learning", "draw_table"]

_NOT_DRAWN = ("step", "epoch")
_COLOURS = {"prior": "tab:blue", "tuned": "tab:red", "baseline": "tab:gray", "random": "lightgray"}


def draw_table(path: Path, table: EvaluationTable, metric: str) -> None:
    """Draw one metric of every row with its interval, as PNG, the best row on top."""
    from matplotlib.figure import Figure

    rows = [row for row in table.rows if metric in row.metrics]
    rows.sort(key=lambda row: row.metrics[metric].value)
    figure = Figure(figsize=(7.5, 1.2 + 0.35 * len(rows)), layout="constrained")
    axis = figure.subplots()
    for place, row in enumerate(rows):
        value = row.metrics[metric]
        low = value.value if value.low is None else value.low
        high = value.value if value.high is None else value.high
        axis.barh(place, value.value, color=_COLOURS.get(row.role, "tab:gray"), alpha=0.8)
        axis.plot([low, high], [place, place], color="black", linewidth=1.5)
        axis.annotate(f"{value.value:.4f}", (high, place), xytext=(4, 0),
                      textcoords="offset points", va="center", fontsize=8)  # fmt: skip
    axis.set_yticks(np.arange(len(rows)), [f"{row.model} ({row.role})" for row in rows], fontsize=8)
    axis.set_xlabel(metric)
    axis.margins(x=0.12)
    axis.set_title(f"{table.data.name}, n = {table.data.n}", fontsize=9)
    _save(figure, path)


def draw_learning(path: Path, logs: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Draw what each network or agent logged, one panel a metric, as PNG.

    Args:
        path: where to.
        logs: name -> lines of its metrics.jsonl.
    """
    from matplotlib.figure import Figure

    panels: dict[str, list[tuple[str, list[float], list[float]]]] = {}
    for name, lines in logs.items():
        keys = dict.fromkeys(key for line in lines for key in line if key not in _NOT_DRAWN)
        for key in keys:
            points = [(line["step"], line[key]) for line in lines
                      if isinstance(line.get(key), int | float)]  # fmt: skip
            if len(points) > 1:
                steps, values = [x for x, _ in points], [y for _, y in points]
                panels.setdefault(key, []).append((name, steps, values))
    if not panels:
        return
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.2 * columns, 2.9 * rows), layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axis, (key, curves) in zip(axes, panels.items(), strict=False):
        for name, steps, values in curves:
            axis.plot(steps, values, marker=".", label=name)
        axis.set_title(key.replace("_", " "), fontsize=9)
        axis.grid(alpha=0.3)
        axis.tick_params(labelsize=7)
        axis.legend(fontsize=7)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
