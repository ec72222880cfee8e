"""`segue captioning evaluate` and `caption`: how good captioners are, and what they say."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from segue.core.options import config_options

__all__ = ["caption", "evaluate"]


@click.command(no_args_is_help=True)
@click.option("--data", type=click.Path(path_type=Path), help="Folder made by `prepare`.")
@click.option(
    "--run",
    "runs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Run of `tune` or `pretrain`; runs that differ by their seed alone share a row. May be "
    "repeated.",
)
@click.option("--split", metavar="NAME", help="test, val_1, val_2, both... (default: see below).")
@click.option("--proposals", is_flag=True, help="Caption events that the runs find, too.")
@click.option("--diagnose", is_flag=True, help="Samples by temperature, on validation segments.")
@click.option("--seed", type=click.IntRange(min=0), help="Of drawn captions (default 0).")
@config_options
def evaluate(
    data: Path | None,
    runs: tuple[Path, ...],
    split: str | None,
    proposals: bool,
    diagnose: bool,
    seed: int | None,
    config_file: Path | None,
    assignments: tuple[str, ...],
    print_config: bool,
    as_json: bool,
) -> None:
    """Compare warm start, tuned captioners and baselines by every metric, with intervals.

    The warm start of a tuned run is found beside it. Without --split it is the split `test`, else
    val_1 and val_2, else the validation split. Table, captions and model card are written into the
    first run. `--set official=false` leaves METEOR's own program out.

    \b
    segue captioning evaluate --data data/own --run runs/captioning/tuned
    segue captioning evaluate --data data/activitynet --run runs/a-0 --run runs/a-1 --split both
    segue captioning evaluate --data data/own --run runs/captioning/tuned --proposals
    segue captioning evaluate --data data/own --run runs/captioning/warm --diagnose

    Settings are merged in this order, later wins: defaults, --config, --set, other options.
    """  # noqa: D301  click reads the backspace as "keep these lines"
    from segue.core.options import print_json
    from segue.core.progress import progress
    from segue.tasks.captioning.data.folder import load_prepared
    from segue.tasks.captioning.evaluate import EvaluateConfig
    from segue.tasks.captioning.evaluate import evaluate as run
    from segue.tasks.captioning.results import diagnosed, print_evaluation, write_evaluation

    flags = {"split": split, "seed": seed, "proposals": proposals or None}
    config = EvaluateConfig.load(config_file, assignments, flags)
    if print_config:
        sys.stdout.write(config.to_toml())
        return
    if data is None or not runs:
        raise click.UsageError(f"Missing option '{'--run' if data else '--data'}'.")
    prepared = load_prepared(data)
    if diagnose:
        with progress("Drawing captions", float(len(runs))) as advance:
            tables = {str(r): diagnosed(r, prepared, config.limit, advance) for r in runs}
        if as_json:
            print_json({name: table.to_dict() for name, table in tables.items()})
        for table in () if as_json else tables.values():
            table.print()
        return
    with progress("Captioning", 1.0) as advance:
        found = run(runs, prepared, config, advance=advance)
    write_evaluation(runs[0], found)
    if as_json:
        print_json(found.to_dict())
    else:
        print_evaluation(found)


@click.command(no_args_is_help=True)
@click.argument("source", metavar="VIDEO|FEATURES", type=click.Path(path_type=Path))
@click.option(
    "--run", "run_folder", type=click.Path(path_type=Path), required=True, help="Who speaks."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write to.")
@click.option(
    "--segments",
    metavar="FILE|proposals|shots",
    help="Events to caption: a JSON file, or what finds them (default: the run's proposal network, "
    "if it has one, else shots).",
)
@click.option(
    "--backbone",
    "backbones",
    multiple=True,
    metavar="NAME|DIR",
    help="What makes the film's features, as for `features`.",
)
@config_options
def caption(
    source: Path,
    run_folder: Path,
    out: Path,
    segments: str | None,
    backbones: tuple[str, ...],
    config_file: Path | None,
    assignments: tuple[str, ...],
    print_config: bool,
    as_json: bool,
) -> None:
    """Caption a film: SRT, WebVTT and JSON, and the text on the screen.

    VIDEO is a film, with or without sound. FEATURES is one of its feature files, NAME_visual.npy or
    NAME_audio.npy, beside the others. Features must be of the kind that the run has learned from.

    \b
    segue captioning caption trip.mp4 --run runs/tuned --out captions
    segue captioning caption trip.mp4 --run runs/tuned --out captions --segments cuts.json
    segue captioning caption trip.mp4 --run runs/tuned --out captions --segments shots

    Settings are merged in this order, later wins: defaults, --config, --set, other options.
    """  # noqa: D301  click reads the backspace as "keep these lines"
    from segue.core.errors import printable
    from segue.core.options import print_json
    from segue.core.progress import progress
    from segue.tasks.captioning.caption import CaptionConfig
    from segue.tasks.captioning.caption import caption as run

    ways = segments if segments in ("auto", "proposals", "shots") else None
    file = Path(segments) if segments is not None and ways is None else None
    flags = {"backbones": list(backbones) or None, "segments": ways}
    config = CaptionConfig.load(config_file, assignments, flags)
    if print_config:
        sys.stdout.write(config.to_toml())
        return
    with progress("Watching", None) as advance:
        found = run(source, run_folder, out, config, segments=file, advance=advance)
    if as_json:
        print_json(found.to_dict())
        return
    for each in found.subtitles:
        times = f"{each.start_s:8.2f} {each.end_s:8.2f}"
        sys.stdout.write(f"{times}  {printable(each.text)}\n")
    if found.left_out:
        sys.stderr.write(f"segue: {found.left_out} events were left out: nothing to see there\n")
    events = {"file": "events of the file", "film": "the whole film"}.get(
        found.segments, f"events by {found.segments}"
    )
    sys.stderr.write(
        f"segue: {events}, by {' and '.join(found.modalities)}; written: {found.files[0]} ...\n"
    )
