"""`segue captioning prepare` and `features`: caption files and films -> data to learn from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from segue.core.options import config_options

if TYPE_CHECKING:
    from segue.tasks.captioning.data.prepare import PreparedReport

__all__ = ["features", "prepare"]


@click.command(no_args_is_help=True)
@click.argument("source", metavar="SOURCE", type=click.Path(path_type=Path))
@click.option(
    "--features",
    "folders",
    multiple=True,
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder of .npy features. May be repeated.",
)
@click.option(
    "--out", required=True, metavar="DIR", type=click.Path(path_type=Path), help="Folder to write."
)
@config_options
def prepare(
    source: Path,
    folders: tuple[Path, ...],
    out: Path,
    config_file: Path | None,
    assignments: tuple[str, ...],
    print_config: bool,
    as_json: bool,
) -> None:
    """Make data to learn from out of captions and features.

    SOURCE is a file of captions, or a folder with one for each split (train, val_1, val_2, ...):
    the CSV or JSON of ActivityNet Captions, the JSON of MSR-VTT or VATEX, or JSON lines with video,
    start, end, duration and sentence; .gz is read as well. Whatever cannot be used is counted by
    its reason. The feature files stay where they are.

    \b
    segue captioning prepare captions/ --features i3d/ --features vggish/ --out data/activitynet
    segue captioning prepare captions.jsonl --features features/ --out data/own

    Settings are merged in this order, later wins: defaults, --config, --set, other options.
    """  # noqa: D301  click reads the backspace as "keep these lines"
    from segue.core.options import print_json
    from segue.core.progress import progress
    from segue.tasks.captioning.data.config import PrepareConfig
    from segue.tasks.captioning.data.prepare import prepare as run

    config = PrepareConfig.load(config_file, assignments)
    if print_config:
        sys.stdout.write(config.to_toml())
        return
    with progress("preparing captions", 1.0) as advance:
        report = run(source, folders, out, config, advance=advance)
    if as_json:
        print_json(report.to_dict())
        return
    _print(report)
    sys.stderr.write(f"segue: {out} is ready: {report.n_words:,} words, {report.fingerprint}\n")


@click.command(no_args_is_help=True)
@click.argument("videos", metavar="VIDEO...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, metavar="DIR", type=click.Path(path_type=Path), help="Folder to write."
)
@click.option(
    "--backbone",
    "backbones",
    multiple=True,
    metavar="NAME|DIR",
    help="clip, clap, or the folder of such a model. May be given once for pictures and once for "
    "sound. Default: features that need no model.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks.")
def features(
    videos: tuple[Path, ...], out: Path, backbones: tuple[str, ...], as_json: bool
) -> None:
    """Make features of films, as `prepare --features` and `caption` read them.

    A VIDEO is a file with a picture, of any codec; sound is not needed. Each gives NAME_visual.npy
    and, with sound, NAME_audio.npy.

    \b
    segue captioning features films/*.mp4 --out features/
    segue captioning features films/*.mp4 --out features/ --backbone models/clip
    """  # noqa: D301
    from segue.core.errors import printable
    from segue.core.options import print_json
    from segue.core.progress import progress
    from segue.tasks.captioning.features import extract_features

    with progress("watching films", len(videos)) as advance:
        report = extract_features(videos, out, backbones, advance=advance)
    if as_json:
        print_json(report.to_dict())
    else:
        for name, row in report.films.items():
            sound = f"{row['audio'][0]} x {row['audio'][1]}" if row["audio"] else "no sound"
            picture = f"{row['visual'][0]} x {row['visual'][1]}"
            sys.stdout.write(printable(f"{name}: picture {picture}, sound {sound}") + "\n")
    for why in report.failed.values():
        sys.stderr.write(f"segue: left out: {printable(why)}\n")
    n_new = len(report.films) - len(report.reused)
    sys.stderr.write(f"segue: {out}: {n_new} made, {len(report.reused)} were there already\n")


def _print(report: PreparedReport) -> None:
    """Print what was taken and what was left out."""
    from rich.console import Console
    from rich.table import Table

    console = Console(file=sys.stdout, markup=False, highlight=False)
    columns = ("videos", "segments", "captions", "words", "unknown_words")
    with_features = ("segments_with_visual", "segments_with_audio")
    heads = ("split", "videos", "segments", "captions", "words", "unknown", "visual", "audio")
    taken = Table(*heads, title=report.name)
    for name, counts in report.splits.items():
        taken.add_row(name, *(f"{counts[key]:,}" for key in (*columns, *with_features)))
    console.print(taken)
    for key, title in (("dropped", "left out"), ("noted", "used as it is")):
        if rows := report.account[key]:
            table = Table("reason", "number", "first", title=title)
            for reason, count in rows.items():
                table.add_row(reason, f"{count:,}", report.account["examples"][reason][0])
            console.print(table)
