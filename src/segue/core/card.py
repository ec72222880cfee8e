"""The model card that a run writes about itself: data, command, numbers, limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from segue.core.tables import EvaluationTable

__all__ = ["model_card"]


def model_card(
    name: str,
    facts: Mapping[str, str],
    config: str,
    *,
    table: EvaluationTable | None = None,
    limits: Sequence[str] = (),
) -> str:
    """Return the card as Markdown.

    Args:
        name: name of the run.
        facts: versions and the command, as `versions.json` has them.
        config: the resolved configuration as TOML.
        table: the evaluation; without one the card says that there is none.
        limits: what the model cannot do, one sentence each.
    """
    versions = ", ".join(f"{key} {text}" for key, text in facts.items() if key != "command")
    parts = [
        f"# {name}",
        "Written by the program at the end of the run.",
        "## How it was made",
        _fenced(facts.get("command", ""), "sh"),
        versions + ".",
        "## Data",
        _data(table),
        "## Numbers",
        _numbers(table),
        "## Limits",
        "\n".join(f"- {text}" for text in limits) or "None were stated.",
        "## Configuration",
        _fenced(config.strip(), "toml"),
    ]
    return "\n\n".join(parts) + "\n"


def _data(table: EvaluationTable | None) -> str:
    if table is None:
        return "Not evaluated; the configuration below names what was read."
    return f"{table.data.name}: {table.data.n} items, fingerprint `{table.data.fingerprint}`."


def _numbers(table: EvaluationTable | None) -> str:
    if table is None:
        return "Not evaluated."
    seeds = ", ".join(map(str, table.seeds))
    notes = f"Task {table.task}; seeds {seeds}; values with 95 % bootstrap intervals over items."
    if not any(row.role == "prior" for row in table.rows):
        notes += " The table holds no prior to compare with."
    return f"{notes}\n\n{table.to_markdown().strip()}"


def _fenced(text: str, language: str) -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}"
