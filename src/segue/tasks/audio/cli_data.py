"""`segue audio prepare`: music rendered here, or a folder of audio files -> clips to learn from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from segue.core.options import config_options

__all__ = ["prepare"]


@click.command(no_args_is_help=True)
@click.option(
    "--out", required=True, metavar="DIR", type=click.Path(path_type=Path), help="Folder to write."
)
@click.option(
    "--clips",
    metavar="N",
    type=click.IntRange(min=1),
    help="Clips to render for training (default 4000); validation and test get a tenth each.",
)
@click.option(
    "--source",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder of audio files with captions, instead of rendering.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Seed of everything random (default 0).")
@config_options
def prepare(
    out: Path,
    clips: int | None,
    source: Path | None,
    seed: int | None,
    config_file: Path | None,
    assignments: tuple[str, ...],
    print_config: bool,
    as_json: bool,
) -> None:
    """Make clips with captions to learn from.

    Without --source, short pieces of four moods on ten instruments are composed and rendered, and
    60 % of the training captions are exchanged, as captions from the web are often wrong.

    A --source is a folder of audio files of any format, rate and length, with captions in
    captions.csv or captions.jsonl (file, caption and, if known, mood and instrument), in NAME.txt
    beside NAME.wav, or with names as in the EMOPIA data (Q1_... to Q4_...). Whatever cannot be used
    is counted by its reason.

    The same settings and files keep a folder that is there already; others replace it.

    \b
    segue audio prepare --out data/clips
    segue audio prepare --source recordings/ --out data/own --set seconds=10.24

    Settings are merged in this order, later wins: defaults, --config, --set, other options.
    """  # noqa: D301  click reads the backspace as "keep these lines"
    from segue.core.options import print_json
    from segue.core.progress import progress
    from segue.tasks.audio.data.config import PrepareConfig

    flags = {"clips": clips, "seed": seed}
    config = PrepareConfig.load(config_file, assignments, flags)
    if print_config:
        sys.stdout.write(config.to_toml())
        return
    if source is not None and clips is not None:
        raise click.UsageError("--clips is for rendered clips; a --source gives its own number.")
    from segue.tasks.audio.data.prepare import prepare as run

    with progress("cutting clips" if source else "rendering clips", 1.0) as advance:
        facts = run(out, config, source=source, advance=advance)
    if as_json:
        print_json(facts)
        return
    _print(facts)
    state = "was there already" if facts["reused"] else "is ready"
    sys.stderr.write(
        f"segue: {out} {state}: {sum(facts['splits'].values()):,} clips of "
        f"{facts['seconds']:g} s, {facts['fingerprint'][:23]}\n"
    )
    if facts["renderer"] == "additive" and config.timbre != "additive":
        sys.stderr.write(
            "segue: no sampled instruments are installed, so all are synthesised; "
            "`pip install --no-deps tinysoundfont` makes them sound real\n"
        )


def _print(facts: dict[str, Any]) -> None:
    """Print what was made and what was left out."""
    from rich.console import Console
    from rich.table import Table

    from segue.core.errors import printable

    console = Console(file=sys.stdout, markup=False, highlight=False)
    made = Table("split", "clips", title=printable(facts["name"]))
    for split, n in facts["splits"].items():
        made.add_row(split, f"{n:,}")
    console.print(made)
    for what in ("moods", "instruments"):
        counts = ", ".join(f"{name} {n:,}" for name, n in facts[what].items() if n)
        sys.stdout.write(f"{what}: {counts}\n")
    account = facts["account"]
    for key, title in (("left_out", "left out"), ("noted", "used as it is")):
        if account[key]:
            table = Table("reason", "number", "first", title=title)
            for reason, n in account[key].items():
                table.add_row(
                    printable(reason), f"{n:,}", printable(account["examples"][reason][0])
                )
            console.print(table)
