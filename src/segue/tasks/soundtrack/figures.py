"""Figures of an evaluation and of a training run, as PNG files.

`draw_episode` shows what each agent earned in every segment of one video, term by term;
`draw_returns` the distribution of the agents' returns; `draw_learning` everything that a run
logged; `draw_confusion` a confusion matrix. Nothing here decides or scores.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segue.core.errors import DataError
from segue.core.files import atomic_path
from segue.tasks.soundtrack.agents.plan import Plan
from segue.tasks.soundtrack.confusion import Confusion
from segue.tasks.soundtrack.scoring import TERMS
from segue.tasks.soundtrack.similarity_report import SHOWN, Similarities
from segue.tasks.soundtrack.tables import Floats

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "draw_confusion",
    "draw_episode",
    "draw_learning",
    "draw_returns",
    "draw_similarities",
]

_DPI = 110
_MOST_PANELS = 16


def draw_episode(path: Path, video: str, plans: Mapping[str, Plan]) -> None:
    """Draw the weighted terms of one video, segment by segment, one panel for each term.

    Args:
        path: the PNG file.
        video: its name, for the title.
        plans: agent -> plan of this video; at least one.
    """
    used = [name for name in TERMS if any(p.step_terms[name].any() for p in plans.values())]
    with _figure(path, len(used) + 1) as (figure, axes):
        for axis, name in zip(axes, [*used, "total"], strict=True):
            for color, (agent, plan) in enumerate(plans.items()):
                steps = (
                    np.sum(list(plan.step_terms.values()), axis=0)
                    if name == "total"
                    else plan.step_terms[name]
                )
                axis.plot(
                    steps, marker=".", linewidth=1, label=_text(agent), color=f"C{color % 10}"
                )
            axis.set_title(name)
            axis.set_xlabel("segment")
        axes[-1].legend(fontsize="x-small")
        figure.suptitle(f"Reward of each segment of {_text(video)}")


def draw_returns(path: Path, returns: Mapping[str, Floats], optima: Floats) -> None:
    """Draw a histogram and the quantiles of the returns, and the quantiles of the regrets.

    Args:
        path: the PNG file.
        returns: agent -> returns of any shape; at least one agent.
        optima: best returns found, of the same shape.
    """
    everything = np.concatenate([np.ravel(found) for found in returns.values()])
    edges = np.linspace(everything.min(), everything.max() + 1e-9, 41)
    with _figure(path, 3, columns=3) as (figure, axes):
        for number, (agent, found) in enumerate(returns.items()):
            style = {"color": f"C{number % 10}", "linestyle": "-" if number < 10 else "--"}
            share = (np.arange(found.size) + 0.5) / found.size
            axes[0].hist(np.ravel(found), bins=edges, histtype="step", **style)
            axes[1].plot(share, np.sort(np.ravel(found)), label=_text(agent), **style)
            axes[2].plot(share, np.sort(np.ravel(optima - found)), **style)
        axes[0].set(title="histogram", xlabel="return of a video", ylabel="videos")
        axes[1].set(title="quantiles", xlabel="share of the videos", ylabel="return of a video")
        axes[2].set(title="quantiles", xlabel="share of the videos", ylabel="regret of a video")
        axes[2].set_yscale("symlog", linthresh=0.1)
        figure.legend(loc="outside lower center", ncols=5, fontsize="x-small")
        figure.suptitle("Returns of the agents on the same videos, and what they miss")


def draw_learning(path: Path, metrics: Path) -> bool:
    """Draw everything numeric that a run logged, over its steps.

    Args:
        path: the PNG file.
        metrics: metrics.jsonl of a run.

    Returns:
        Whether there was anything to draw.

    Raises:
        DataError: a line is not JSON.
    """
    curves: dict[str, list[tuple[float, float]]] = {}
    for number, line in enumerate(metrics.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row: dict[str, Any] = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"line {number} is not JSON: {error}", where=metrics) from None
        for name, value in row.items():
            if name != "step" and isinstance(value, int | float) and not isinstance(value, bool):
                curves.setdefault(name, []).append((float(row["step"]), float(value)))
    drawn = list(curves.items())[:_MOST_PANELS]
    if not drawn:
        return False
    with _figure(path, len(drawn)) as (figure, axes):
        for axis, (name, points) in zip(axes, drawn, strict=True):
            axis.plot(*zip(*points, strict=True), marker="." if len(points) < 30 else "")
            axis.set_title(_text(name))
            axis.set_xlabel("step")
        figure.suptitle("What the run logged")
    return True


def draw_confusion(path: Path, found: Confusion) -> None:
    """Draw a confusion matrix; every row has its own scale, for only its order means anything."""
    matrix = np.array(found.matrix)
    low, high = matrix.min(axis=1, keepdims=True), matrix.max(axis=1, keepdims=True)
    with _figure(path, 1) as (figure, axes):
        axis = axes[0]
        axis.imshow((matrix - low) / np.maximum(high - low, 1e-9), cmap="Blues")
        for (i, j), cell in np.ndenumerate(matrix):
            axis.text(
                j, i, f"{cell:.1f}", ha="center", va="center", fontsize="x-small",
                weight="bold" if i == j else "normal",
                color="white" if cell > (low[i, 0] + 2 * high[i, 0]) / 3 else "black",
            )  # fmt: skip
        names = [_text(name[:16]) for name in found.names]
        axis.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize="x-small")
        axis.set_yticks(range(len(names)), names, fontsize="x-small")
        axis.set(xlabel="music of", ylabel="video")
        figure.suptitle(f"Own music first in {found.top_1:.0%} of the rows")


def draw_similarities(path: Path, found: Similarities) -> None:
    """Draw the curves of the tracks that fit a video best and worst."""
    with _figure(path, 2) as (figure, axes):
        ends = {"best": found.order[:SHOWN], "worst": found.order[::-1][:SHOWN]}
        for axis, (end, tracks) in zip(axes, ends.items(), strict=True):
            for k in tracks:
                axis.plot(found.values[:, k], marker=".", label=_text(found.tracks[k][:32]))
            axis.plot(found.values.mean(axis=1), color="0.6", label="mean of the library")
            axis.set(title=end, xlabel="segment", ylabel="similarity above the reference")
            axis.legend(fontsize="x-small")
        figure.suptitle(_text(found.video))


def _text(name: str) -> str:
    """Return a name as a figure can show it: no formulas, no letters that the font lacks."""
    known = "".join(c if c.isprintable() and c < "\u0250" else "?" for c in name)
    # A legend leaves out labels that begin with an underscore.
    return known.replace("$", r"\$").replace("_", " _", known.startswith("_"))


@contextmanager
def _figure(path: Path, n_panels: int, columns: int = 0) -> Iterator[tuple[Figure, Sequence[Any]]]:
    """Give a figure with panels; write it when the block ends."""
    # The object interface: no global state, no window, usable from any thread.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = columns or min(n_panels, 4 if n_panels > 4 else 2)
    rows = -(-n_panels // columns)
    size = (4.2 * columns, 3.4 * rows + 0.5) if n_panels > 1 else (6.0, 6.0)
    figure = Figure(figsize=size, dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    grid = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for unused in grid[n_panels:]:
        unused.set_visible(False)
    yield figure, list(grid[:n_panels])
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": "segue"})
