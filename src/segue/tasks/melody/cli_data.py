"""`segue melody prepare`: files of notes -> a folder of melodies."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from segue.core.options import config_options

if TYPE_CHECKING:
    from segue.tasks.melody.prepare import Prepared

__all__ = ["prepare"]

_MOST_SHOWN = 10


@click.command(no_args_is_help=True)
@click.argument("sources", metavar="SOURCE...", nargs=-1)
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write.")
@config_options
def prepare(
    sources: tuple[str, ...],
    out: Path | None,
    config_file: Path | None,
    assignments: tuple[str, ...],
    print_config: bool,
    as_json: bool,
) -> None:
    """Make melodies for the note RNN out of files of notes.

    A SOURCE is a folder, a file (.mid, .abc, .musicxml, .mxl, .krn), or a part of music21's corpus,
    as in music21:oneills1850. Whatever gives no melody is counted by its reason and named in
    report.json. The same sources and settings keep a folder that is there already; others replace
    it.

    \b
    segue melody prepare tunes/ --out data/tunes
    segue melody prepare songs/ --out data/songs --set melodies.polyphony=highest

    Settings are merged in this order, later wins: defaults, --config, --set, other options.
    """  # noqa: D301  click reads the backspace as "keep these lines"
    from segue.core.options import print_json
    from segue.core.progress import progress_bars
    from segue.tasks.melody.prepare import PrepareConfig
    from segue.tasks.melody.prepare import prepare as run

    config = PrepareConfig.load(config_file, assignments)
    if print_config:
        sys.stdout.write(config.to_toml())
        return
    if not sources:
        raise click.UsageError("Missing argument 'SOURCE...'.")
    if out is None:
        raise click.UsageError("Missing option '--out'.")
    with progress_bars() as bars:
        report = run(sources, out, config, bars=bars)
    if as_json:
        print_json(report.to_dict())
        return
    _print(report)
    sys.stderr.write(
        f"segue: {out} {'was there already' if report.reused else 'is ready'}: "
        f"{report.n_melodies:,} melodies, {report.n_steps:,} steps; report.json names the rest\n"
    )


def _print(report: Prepared) -> None:
    """Print what was taken and what was left out."""
    from rich.console import Console
    from rich.table import Table

    from segue.core.errors import printable

    console = Console(file=sys.stdout, markup=False, highlight=False)
    taken = Table("split", "tunes", "melodies", "steps", title="melodies")
    for name, counts in report.splits.items():
        taken.add_row(name, *(f"{counts[key]:,}" for key in ("tunes", "melodies", "steps")))
    console.print(taken)
    left_out = Table("left out because", "number", title="files, parts and melodies")
    for reason, count in report.rejected.items():
        left_out.add_row(reason, f"{count:,}")
    console.print(left_out)
    lines = [
        f"{report.n_files:,} files, {report.n_tunes:,} tunes; {report.n_tunes_used:,} gave some",
        f"cut at the longest length: {report.n_truncated:,} melodies; cut where the meter or tempo "
        f"changes: {report.n_tunes_split:,} tunes",
        f"notes moved by octaves of their own: {report.n_folded:,}; melodies that equal an earlier "
        f"one: {report.n_copies:,}",
    ]
    for row in report.without[:_MOST_SHOWN]:
        lines.append(f"no melody in {row['source']} {row['title']}".rstrip() + f": {row['reason']}")
    if len(report.without) > _MOST_SHOWN:
        lines.append(f"... and in {len(report.without) - _MOST_SHOWN:,} more files and tunes")
    for line in lines:
        sys.stdout.write(printable(line) + "\n")
