"""`segue score`: the product's command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from segue.core.options import config_options, print_json

__all__ = ["command"]


@click.command(name="score", no_args_is_help=True)
@click.argument("video", type=click.Path(path_type=Path))
@click.option("--library", type=click.Path(path_type=Path), help="Folder of music.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for results.")
@click.option(
    "--compose",
    is_flag=False,
    flag_value="",
    metavar="[all|gaps]",
    help="Compose music: for the whole film, or where nothing in the library fits.",
)
@click.option(
    "--generate",
    metavar="RUN|FOLDER",
    help="Let a model of `segue audio` play instead: a run, AudioLDM2's folder, or nano.",
)
@click.option(
    "--listener",
    metavar="HISTORY",
    help='Prefer what somebody likes: a listening history (file), or "artist - title; ...".',
)
@click.option(
    "--captions",
    metavar="FILE|RUN",
    help="What happens in the film: captions (JSON), or a run of `segue captioning`.",
)
@click.option("--policy", metavar="NAME", help="Who chooses: planner (default), rl, greedy...")
@click.option("--embedder", metavar="NAME", help="How picture and music are compared: affect...")
@click.option("--loudness", type=float, metavar="LUFS", help="Loudness of the mix (default -14).")
@click.option("--duck", type=float, metavar="DB", help="Music down under dialogue (default 12).")
@click.option("--crossfade", type=float, metavar="S", help="Overlap of two tracks (default 1).")
@click.option(
    "--lock",
    "locks",
    multiple=True,
    metavar="SEGMENT=TRACK",
    help="Fix the track of a segment, as in --lock 2=calm.ogg. May be repeated.",
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier result in the folder.")
@config_options
def command(
    video: Path,
    library: Path | None,
    out: Path,
    compose: str | None,
    generate: str | None,
    listener: str | None,
    captions: str | None,
    locks: tuple[str, ...],
    overwrite: bool,
    config_file: Path | None,
    assignments: tuple[str, ...],
    print_config: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Choose music from a folder for each part of VIDEO, or compose it, and mix it in.

    The output folder gets the scored film (its picture untouched), the soundtrack and stems as
    WAV, timelines for editing software, a cue sheet, and report.html, which explains every choice.

    \b
    segue score trip.mp4 --library ~/Music/film --out trip-scored
    segue score trip.mp4 --library ~/Music/film --out trip-scored --overwrite --lock 2=calm.ogg
    segue score trip.mp4 --library ~/Music/film --out trip-scored --overwrite --compose gaps
    segue score trip.mp4 --compose all --out trip-composed
    segue score trip.mp4 --generate nano --out trip-generated
    segue score trip.mp4 --library ~/Music --out trip-scored --listener scrobbles.csv
    segue score trip.mp4 --library ~/Music --out trip-scored --captions trip.json

    Settings are merged in this order, later wins: defaults, --config, --set, other options.
    """  # noqa: D301  click reads the backspace as "keep these lines"
    from segue.score.config import ScoreConfig

    names = {
        "policy": "choose.policy",
        "embedder": "embedder",
        "loudness": "mix.loudness_lufs",
        "duck": "mix.duck_db",
        "crossfade": "layout.crossfade_s",
    }
    given = {names[flag]: value for flag, value in flags.items()}
    given["generate.model"] = generate
    if compose is None and generate is not None:
        compose = ""
    if compose is not None:  # alone, it means what the other arguments let it mean
        given["compose.mode"] = compose or ("all" if library is None else "gaps")
    config = ScoreConfig.load(config_file, assignments, given)
    if print_config:
        sys.stdout.write(config.to_toml())
        return

    from segue.score.pipeline import score

    result = score(
        video,
        library,
        out,
        config,
        listener=listener,
        captions=captions,
        locks=locks,
        overwrite=overwrite,
        show_progress=True,
    )
    if as_json:
        print_json(result)
    else:
        _show(result, out)


def _show(result: dict[str, Any], out: Path) -> None:
    """Print what was chosen, and where the results are."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, justify in (("", "right"), ("from", "right"), ("to", "right"), ("mood", "left"),
                          ("music", "left"), ("", "left")):  # fmt: skip
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for segment in result["segments"]:
        table.add_row(
            str(segment["index"]),
            _clock(segment["start_s"]),
            _clock(segment["end_s"]),
            escape(segment["description"]),
            escape(segment["track"]),
            _remark(segment),
        )
    console.print(table)
    bound = result["upper_bound"]
    share = f" (at best {bound:.2f})" if bound is not None else ""
    loudness = result["loudness_lufs"]
    console.print(
        f"\nreward {result['reward']:.2f}{share}, {result['switches']} "
        f"hand-over{'' if result['switches'] == 1 else 's'}, "
        + (f"{loudness:.1f} LUFS, " if loudness is not None else "silent, ")
        + f"{result['timings_s']['total']:.1f} s"
    )
    if (heard := result.get("listener")) is not None:
        known, n = heard["library"], len(heard["changed"])
        console.print(
            f"listener: of {known['tracks']} tracks {known['by_track']} heard, "
            f"{known['by_artist']} by artists heard; "
            f"{n} segment{'' if n == 1 else 's'} changed by it"
        )
    for segment in result["segments"]:
        if text := segment.get("caption", {}).get("text"):
            console.print(f"{segment['index']}: {escape(text)}", style="italic")
    for warning in result["warnings"]:
        console.print(f"note: {escape(warning)}", style="yellow")
    console.print(f"{escape(str(out / result['files']['video']))}", style="bold")
    console.print(f"{escape(str(out / 'report.html'))}", style="bold")


def _remark(segment: dict[str, Any]) -> str:
    known = {
        "continued": "goes on",
        "locked": "locked",
        "generated": "generated",
        "composed": "composed",
    }
    return next((said for key, said in known.items() if segment.get(key)), "")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}:{rest:04.1f}"
