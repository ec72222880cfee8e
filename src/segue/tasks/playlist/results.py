"""What an evaluation leaves in a run folder: the table, pictures, and the model card.

RUN/evaluation-<protocol>.json    the table
RUN/figures/<protocol>.png        every model's metric with its interval
RUN/figures/learning.png          what networks and agents logged while they learned
RUN/README.md                     the model card, with the table of the last evaluation
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from segue.core.card import write_card
from segue.core.files import atomic_write
from segue.core.lock import FolderLock
from segue.core.tables import EvaluationTable
from segue.tasks.playlist.config import EvaluateConfig
from segue.tasks.playlist.figures import draw_learning, draw_table

__all__ = ["LIMITS", "save_evaluation", "shortened"]

_SHOWN = (
    "hit@10",
    "ndcg@10",
    "mrr",
    "diversity@10",
    "novelty@10",
    "repeats@10",
    "coverage@10",
    "return",
    "precision@5",
    "ndcg@5",
    "diversity",
    "near_3",
)
_COMPARED = ("ndcg@10", "return", "precision@5")

LIMITS = (
    "A listener's next track is known from the log only: what was not played counts as wrong.",
    "Tracks that nobody in the training data played are never recommended.",
    "The numbers hold for the data named above; other listeners can differ.",
)


def save_evaluation(run: Path, table: EvaluationTable, config: EvaluateConfig) -> None:
    """Write table, pictures and card.

    Raises:
        RunError: another process writes to the run.
    """
    lock = FolderLock(run)
    try:
        atomic_write(run / f"evaluation-{config.protocol}.json", table.to_json() + "\n")
        metric = "return" if config.protocol == "playlists" else "ndcg@10"
        figures = {f"figures/{config.protocol}.png": f"{metric} with 95 % intervals"}
        draw_table(run / "figures" / f"{config.protocol}.png", table, metric)
        curves = _logged(run)
        if curves:
            draw_learning(run / "figures" / "learning.png", curves)
            figures["figures/learning.png"] = "learning of networks and agents"
        write_card(run, table=table, limits=LIMITS, figures=figures)
    finally:
        lock.release()


def shortened(table: EvaluationTable) -> EvaluationTable:
    """Return the table with the columns that fit on a screen; the file has all of them."""
    playlists = "return" in table.metric_names
    shown = [name for name in _SHOWN if playlists or name != "ndcg@5"]
    rows = tuple(
        replace(row, metrics={name: row.metrics[name] for name in shown if name in row.metrics})
        for row in table.rows
    )
    comparisons = tuple(c for c in table.comparisons if c.metric in _COMPARED)
    return replace(table, rows=rows, comparisons=comparisons)


def _logged(run: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the metrics of everything in the run that learned step by step."""
    found = {}
    for path in sorted(run.glob("*/*/metrics.jsonl")) + sorted(
        run.glob("models/*/training/m*.jsonl")
    ):
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        folder = path.parent.parent if path.parent.name == "training" else path.parent
        stages = dict.fromkeys(line.get("stage", "") for line in lines)
        for stage in stages if len(lines) > 1 else ():  # one curve for each: they end elsewhere
            name = f"{folder.name}, {stage}" if stage else folder.name
            found[name] = [line for line in lines if line.get("stage", "") == stage]
    return found
