"""Pictures of a run: what it learned over time, and models side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segue.core.files import atomic_path
from segue.core.tables import EvaluationTable

__all__ = ["draw_curves", "draw_models"]

_PANELS = {
    "loss": "loss, training",
    "validation_nats": "nats per word, validation",
    "reward": "reward of samples, training",
    "validation_cider_d": "CIDEr-D, validation",
    "validation_meteor_stem": "METEOR (exact+stem), validation",
    "validation_words": "mean words, validation",
}
_COLOURS = {"prior": "#4477aa", "tuned": "#cc6677", "baseline": "#999933"}
_OTHER = "#888888"


def draw_curves(path: Path, lines: Sequence[Mapping[str, Any]]) -> bool:
    """Draw the metrics of a run over its steps as PNG; return whether there was anything to draw.

    Args:
        path: where to.
        lines: of metrics.jsonl.
    """
    found = {name: _points(lines, name) for name in _PANELS}
    found = {name: points for name, points in found.items() if len(points) > 1}
    if not found:
        return False
    columns = min(3, len(found))
    rows = -(-len(found) // columns)
    figure, axes = _figure(rows, columns, (3.6 * columns, 2.8 * rows))
    for axis in axes.flat[len(found) :]:
        axis.set_axis_off()
    for axis, (name, points) in zip(axes.flat, found.items(), strict=False):
        axis.plot(*zip(*points, strict=True), marker=".")
        axis.set_title(_PANELS[name], fontsize=9)
        axis.set_xlabel("step", fontsize=8)
        axis.tick_params(labelsize=8)
    _save(figure, path)
    return True


def draw_models(path: Path, table: EvaluationTable, metrics: Sequence[str]) -> None:
    """Draw the models of a table side by side with their intervals, as PNG.

    Args:
        path: where to.
        table: of `evaluate`.
        metrics: a panel each.
    """
    height = 1.2 + 0.32 * len(table.rows)
    figure, axes = _figure(1, len(metrics), (3.4 * len(metrics) + 1.6, height))
    places = range(len(table.rows))
    for axis, metric in zip(axes.flat, metrics, strict=True):
        for place, row in zip(places, table.rows, strict=True):
            cell = row.metrics[metric]
            low = cell.value if cell.low is None else cell.low
            high = cell.value if cell.high is None else cell.high
            colour = _COLOURS.get(row.role, _OTHER)
            axis.plot([low, high], [place, place], color=colour, linewidth=2)
            axis.plot([cell.value], [place], color=colour, marker="o")
        axis.set_yticks(list(places), [row.model for row in table.rows], fontsize=8)
        axis.invert_yaxis()
        axis.set_title(metric, fontsize=9)
        axis.tick_params(labelsize=8)
    for axis in axes.flat[1:]:
        axis.tick_params(labelleft=False)
    _save(figure, path)


def _points(lines: Sequence[Mapping[str, Any]], name: str) -> list[tuple[int, float]]:
    return [
        (int(line["step"]), float(line[name]))
        for line in lines
        if isinstance(line.get(name), int | float)
    ]


def _figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)  # no window system, no global state
    return figure, figure.subplots(rows, columns, squeeze=False)


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png", metadata={"Software": None})
