"""`segue playlist prepare` and `segue playlist audit`: data, and whether it can be trusted."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segue.core.options import config_options

if TYPE_CHECKING:
    from segue.tasks.playlist.data.audit import Audit
    from segue.tasks.playlist.data.inflation import Inflation

__all__ = ["audit", "prepare"]

_SPLITS = ("time", "last", "session", "given", "windows_leaky")


@click.command(no_args_is_help=True)
@click.argument("source", metavar="SOURCE", type=click.Path(path_type=Path), required=False)
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write.")
@click.option(
    "--split",
    type=click.Choice(_SPLITS),
    help="How sessions are divided (default: as the source says, else time, else last).",
)
@click.option("--seed", type=click.IntRange(min=0), help="Seed of what is drawn (default 0).")
@config_options
def prepare(
    source: Path | None,
    out: Path | None,
    split: str | None,
    seed: int | None,
    config_file: Path | None,
    assignments: tuple[str, ...],
    print_config: bool,
    as_json: bool,
) -> None:
    """Make sessions, a vocabulary and a split out of a log of listening.

    SOURCE is the raw log of Last.fm-1K, JSON lines of ListenBrainz, a table (delimited text or
    parquet) of user, time and track, or a file of ready-made sessions. Every row that is left out
    is counted by its reason, with the first such row. The split windows_leaky is the original's: it
    leaks, and is there to show how much.

    \b
    segue playlist prepare lastfm-dataset-1K/ --out data/listening
    segue playlist prepare log.csv --out data/mine --set track_column=song --set min_plays=3

    Settings are merged in this order, later wins: defaults, --config, --set, other options.
    """  # noqa: D301  click reads the backspace as "keep these lines"
    from segue.core.options import print_json
    from segue.core.progress import progress
    from segue.tasks.playlist.data.config import PrepareConfig
    from segue.tasks.playlist.data.prepare import prepare as run

    flags = {"split": split, "seed": seed}
    config = PrepareConfig.load(config_file, assignments, flags)
    if print_config:
        sys.stdout.write(config.to_toml())
        return
    if source is None:
        raise click.UsageError("Missing argument 'SOURCE'.")
    if out is None:
        raise click.UsageError("Missing option '--out'.")
    with progress("Preparing", 1.0) as advance:
        facts = run(source, out, config, advance=advance)
    if as_json:
        print_json(facts)
        return
    _print_facts(facts)
    if facts["leaks"]:
        sys.stderr.write(
            "segue: this split leaks: what is measured on it is worthless; see "
            "`segue playlist audit`\n"
        )
    sys.stderr.write(
        f"segue: {out} is ready: {facts['sessions']:,} sessions, {facts['tracks']:,} tracks\n"
    )


@click.command(no_args_is_help=True)
@click.option("--data", type=click.Path(path_type=Path), help="Folder made by `prepare`.")
@click.option("--inflation", is_flag=True, help="Measure what leaking windows are worth here.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks.")
def audit(data: Path | None, inflation: bool, as_json: bool) -> None:
    """Find out whether training data hold the answers of the test; fail if they do.

    --inflation measures the original's Item-CF on these sessions, divided in three ways: windows at
    random (leaking), whole sessions at random, and by time.

    \b
    segue playlist audit --data data/listening
    segue playlist audit --data data/nowplaying --inflation
    """  # noqa: D301  click reads the backspace as "keep these lines"
    from segue.core.options import print_json
    from segue.core.progress import progress
    from segue.tasks.playlist.data.audit import examine
    from segue.tasks.playlist.data.prepared import load_prepared

    if data is None:
        raise click.UsageError("Missing option '--data'.")
    prepared = load_prepared(data)
    found = examine(prepared)
    rows: list[Inflation] = []
    if inflation:
        from segue.tasks.playlist.data.inflation import inflation as measure

        with progress("Measuring the inflation", 1.0) as advance:
            rows = measure(prepared, advance=advance)
    if as_json:
        more = {"inflation": [row.to_dict() for row in rows]} if inflation else {}
        print_json({**found.to_dict(), **more})
    else:
        _print_audit(found, rows)
    found.check()


def _print_facts(facts: dict[str, Any]) -> None:
    """Print what is in the parts, and what was left out and why."""
    rows = [
        [name, *(f"{counts[key]:,}" for key in ("sessions", "plays", "questions"))]
        for name, counts in facts["parts"].items()
    ]
    title = f"{facts['name']}, split {facts['split']}"
    _print_table(title, ["part", "sessions", "plays", "questions"], rows)
    lines = [
        [reason, f"{found['count']:,}", f"{found['first_row']:,}"]
        for reason, found in facts["dropped"].items()
    ]
    read, used = facts["rows"]["read"], facts["rows"]["used"]
    title = f"{read:,} rows read, {used:,} used"
    if lines:
        _print_table(title, ["left out because", "rows", "first row"], lines)
    else:
        sys.stdout.write(f"{title}; none was left out\n")
    for count, text in (
        (facts.get("duplicates", 0), "plays repeat the same track at the same second"),
        (facts.get("rare_plays", 0), "plays of rare tracks were left out of sessions"),
        (facts.get("short_pieces", 0), "pieces of long sessions were too short"),
        (facts["unknown"]["test"], "test plays are of tracks that occur nowhere else"),
        (facts["cut"].get("users_without_question", 0), "sessions are too short for a question"),
    ):
        if count:
            sys.stdout.write(f"{count:,} {text}\n")


def _print_audit(found: Audit, inflation: list[Inflation]) -> None:
    columns = {
        "answers in training": "answers_seen",
        "sessions in training": "sessions_seen",
        "same content": "same_content",
        "later of the user": "later_of_user",
        "later of others": "later_of_others",
        "unknown track": "unknown",
    }
    rows = [
        [part.part, f"{part.questions:,}", *(f"{getattr(part, c):.2%}" for c in columns.values())]
        for part in found.findings
    ]
    title = f"{found.name}, split {found.split}: shares of the questions"
    _print_table(title, ["part", "questions", *columns], rows)
    if inflation:
        names = ["split", "questions", "hit@10", "ndcg@10", "mrr@20"]
        lines = [
            [r.split, f"{r.questions:,}", f"{r.hit_10:.4f}", f"{r.ndcg_10:.4f}", f"{r.mrr_20:.4f}"]
            for r in inflation
        ]
        _print_table("the original's Item-CF on the same sessions", names, lines)
        first, last = inflation[0], inflation[-1]
        if last.ndcg_10 > 0:
            times = first.ndcg_10 / last.ndcg_10
            sys.stdout.write(f"leaking windows multiply NDCG@10 by {times:.1f}\n")


def _print_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from segue.core.errors import printable

    table = Table(title=escape(printable(title)), title_justify="left")
    for i, name in enumerate(head):
        table.add_column(escape(name), justify="right" if i else "left")
    for row in rows:
        table.add_row(*map(escape, row))
    console = Console(file=sys.stdout, highlight=False)
    if not console.is_terminal:  # a pipe has no width: never fold a number
        needed = Console(width=10_000).measure(table).maximum
        console = Console(file=sys.stdout, highlight=False, width=max(80, needed))
    console.print(table)
