"""The model card that a run writes about itself: data, command, numbers, limits."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from segue.core.files import atomic_write, read_json
from segue.core.tables import EvaluationTable

__all__ = ["model_card", "write_card"]


def model_card(
    name: str,
    facts: Mapping[str, str],
    config: str,
    *,
    table: EvaluationTable | None = None,
    limits: Sequence[str] = (),
    figures: Mapping[str, str] | None = None,
) -> str:
    """Return the card as Markdown.

    Args:
        name: name of the run.
        facts: versions and the command, as `versions.json` has them.
        config: the resolved configuration as TOML.
        table: the evaluation; without one the card says that there is none.
        limits: what the model cannot do, one sentence each.
        figures: path of a picture relative to the card -> what it shows.
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
        *(f"![{caption}]({path})" for path, caption in (figures or {}).items()),
        "## Limits",
        "\n".join(f"- {text}" for text in limits) or "None were stated.",
        "## Configuration",
        _fenced(config.strip(), "toml"),
    ]
    return "\n\n".join(parts) + "\n"


def write_card(
    folder: Path,
    *,
    table: EvaluationTable | None = None,
    limits: Sequence[str] = (),
    figures: Mapping[str, str] | None = None,
) -> None:
    """Write README.md of a run folder from its versions.json and config.toml.

    Limits that an earlier card of the run states are kept, and `limits` are added.

    Args:
        folder: the run.
        table: the evaluation.
        limits: what the model cannot do, one sentence each.
        figures: path of a picture relative to the folder -> what it shows.
    """
    path = folder / "README.md"
    found = path.read_text(encoding="utf-8") if path.is_file() else ""
    stated = re.search(r"^## Limits\n\n((?:- .*\n)+)", found, re.MULTILINE)
    before = [line[2:] for line in stated[1].splitlines()] if stated else []
    card = model_card(
        folder.name,
        read_json(folder / "versions.json"),
        (folder / "config.toml").read_text(encoding="utf-8"),
        table=table,
        limits=list(dict.fromkeys([*before, *limits])),
        figures=figures,
    )
    atomic_write(path, card)


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
