"""Our numbers beside those of the paper, in the paper's units.

N. Jaques et al. 2016 (arXiv 1611.02796), Table 1: 100,000 compositions of each model, trained on a
corpus of popular songs that is not public. Shares are in percent; log p is in nats per note.
"""

from __future__ import annotations

from segue.tasks.melody.evaluate import Evaluation

__all__ = ["PAPER", "WANTED", "print_beside_paper", "table_rows"]

PAPER: dict[str, dict[str, float]] = {
    "excess_repeats": {"prior": 63.3, "q": 0.0, "psi": 0.02, "g": 0.03},
    "autocorrelation_1": {"prior": -0.16, "q": -0.11, "psi": -0.10, "g": 0.55},
    "autocorrelation_2": {"prior": 0.14, "q": 0.03, "psi": -0.01, "g": 0.31},
    "autocorrelation_3": {"prior": -0.13, "q": 0.03, "psi": 0.01, "g": 0.17},
    "not_in_key": {"prior": 0.1, "q": 1.00, "psi": 0.60, "g": 28.7},
    "tonic_start": {"prior": 0.9, "q": 28.8, "psi": 28.7, "g": 0.0},
    "leaps_resolved": {"prior": 77.2, "q": 91.1, "psi": 90.0, "g": 52.2},
    "unique_highest": {"prior": 64.7, "q": 56.4, "psi": 59.4, "g": 37.1},
    "unique_lowest": {"prior": 49.4, "q": 51.9, "psi": 58.3, "g": 56.5},
    "in_motif": {"prior": 5.9, "q": 75.7, "psi": 73.8, "g": 69.3},
    "in_repeated_motif": {"prior": 0.007, "q": 0.11, "psi": 0.09, "g": 0.01},
    "log_p": {"pure_rl": -3.65},
}
"""Metric -> model -> the paper's value."""

WANTED = {
    "excess_repeats": "down", "autocorrelation_1": "to 0", "autocorrelation_2": "to 0",
    "autocorrelation_3": "to 0", "not_in_key": "down", "tonic_start": "up",
    "leaps_resolved": "up", "unique_highest": "up", "unique_lowest": "up", "in_motif": "up",
    "in_repeated_motif": "up", "rule_sum": "up", "log_p": "up", "patterns_share": "up",
    "copies": "down",
}  # fmt: skip
"""Metric -> which way is better, in the order of the table."""

_PLAIN = ("autocorrelation_1", "autocorrelation_2", "autocorrelation_3", "rule_sum", "log_p")


def table_rows(found: Evaluation) -> tuple[list[str], list[list[str]]]:
    """Return a heading and one line for each metric: every model, then the tunes and the paper."""
    models = found.table.rows
    head = ["metric", "wanted", *(row.model for row in models), "tunes", "paper prior/q/psi/g"]
    lines = []
    for metric, way in WANTED.items():
        if not any(metric in row.metrics for row in models):
            continue
        cells = [metric + ("" if metric in _PLAIN else " %"), way]
        for row in models:
            value = row.metrics.get(metric)
            spread = found.spread.get(row.model, {}).get(metric)
            cells.append("-" if value is None else _cell(metric, value.value, spread))
        tune = found.reference.get(metric)
        cells.append("-" if tune is None else _cell(metric, tune, None))
        paper = PAPER.get(metric, {})
        known = [paper.get(name) for name in ("prior", "q", "psi", "g")]
        cells.append(" / ".join(f"{v:g}" for v in known if v is not None) or "-")
        lines.append(cells)
    return head, lines


def print_beside_paper(found: Evaluation) -> None:
    """Print the table on stdout, metrics down and models across."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    head, lines = table_rows(found)
    data = found.table.data
    title = f"melody: {data.name}, {data.n} pieces a row; mean, +/- sd over training seeds"
    table = Table(title=escape(title), title_justify="left")
    for i, name in enumerate(head):
        table.add_column(escape(name), justify="left" if i < 2 else "right")
    for line in lines:
        table.add_row(*map(escape, line))
    console = Console()
    if not console.is_terminal:  # a pipe has no width: never fold a number
        console = Console(width=max(80, Console(width=10_000).measure(table).maximum))
    console.print(table)
    for c in found.table.comparisons:
        interval = f"[{c.low:+.3f}, {c.high:+.3f}]"
        console.print(escape(f"{c.metric}: {c.a} - {c.b} = {c.difference:+.3f} {interval}"))


def _cell(metric: str, value: float, spread: float | None) -> str:
    scale, digits = (1.0, 2) if metric in _PLAIN else (100.0, 2)
    if metric in ("in_repeated_motif", "excess_repeats"):
        digits = 3
    text = f"{scale * value:.{digits}f}"
    return text if spread is None else f"{text} +/-{scale * spread:.{digits}f}"
