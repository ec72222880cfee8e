"""Pictures of a tuning: the reward over time, and what the network thought of each note."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.files import atomic_path
from segue.music.events import FIRST_ONSET, N_CLASSES, pitch_of_class
from segue.music.theory import pitch_name

__all__ = ["draw_curves", "draw_probabilities"]


def draw_curves(path: Path, lines: Sequence[Mapping[str, Any]], n_notes: int) -> None:
    """Draw reward, loss and targets over the notes played, as PNG.

    Args:
        path: where to.
        lines: of metrics.jsonl of a tuning.
        n_notes: notes of a composition, for the caption.
    """
    figure, axes = _figure(2, 2, (10.0, 6.4))
    steps = [line["step"] for line in lines]
    later = slice(1, None)  # the first line is written before any training
    panels = (
        ("rules per note, evaluation", [("eval_rule_sum", "rules", slice(None))]),
        ("log p per note, evaluation", [("eval_log_p", "log p", slice(None))]),
        ("reward per note, training",
         [("train_theory", "theory, scaled", later), ("train_log_p", "log p", later)]),
        ("learning", [("loss", "loss", later), ("target", "mean target", later)]),
    )  # fmt: skip
    for axis, (title, curves) in zip(axes.flat, panels, strict=True):
        for key, label, part in curves:
            values = [float(line.get(key, "nan")) for line in lines]
            axis.plot(steps[part], values[part], marker=".", label=label)
        axis.set_title(title, fontsize=10)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
        axis.set_xlabel("notes played", fontsize=8)
        axis.tick_params(labelsize=8)
    axes[1, 1].set_yscale("symlog")
    figure.suptitle(f"compositions of {n_notes} notes", fontsize=10)
    _save(figure, path)


def draw_probabilities(
    path: Path, probabilities: NDArray[np.floating[Any]], piece: NDArray[np.integer[Any]]
) -> None:
    """Draw the probability of every class at every step, and which one was played, as PNG.

    Args:
        path: where to.
        probabilities: [N, 38] before each note.
        piece: [N] classes.
    """
    steps = len(piece)
    figure, axes = _figure(1, 1, (min(20.0, 2.5 + steps / 5), 6.4))
    axis = axes.flat[0]
    image = axis.imshow(
        probabilities.T, origin="lower", aspect="auto", cmap="Reds", vmin=0, vmax=1,
        interpolation="nearest",
    )  # fmt: skip
    axis.plot(np.arange(steps), piece, linestyle="none", marker="o", markersize=3,
              markerfacecolor="none", markeredgecolor="black", label="played")  # fmt: skip
    marks = [0, 1, *range(FIRST_ONSET, N_CLASSES, 12), N_CLASSES - 1]
    names = ["rest", "hold", *(pitch_name(pitch_of_class(c)) for c in marks[2:])]
    axis.set_yticks(marks, names, fontsize=8)
    axis.set_xlabel("step (sixteenths)", fontsize=8)
    axis.legend(fontsize=8, loc="upper right")
    figure.colorbar(image, ax=axis, label="probability")
    _save(figure, path)


def _figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)  # no window system, no global state
    return figure, figure.subplots(rows, columns, squeeze=False)


def _save(figure: Any, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png", metadata={"Software": None})
