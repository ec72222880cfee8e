"""The commands of `segue soundtrack` that judge and show."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from segue.core.options import config_options

__all__ = ["confusion", "evaluate", "render", "similarity"]


@click.command(no_args_is_help=True)
@click.option("--data", type=click.Path(path_type=Path), help="Dataset folder.")
@click.option(
    "--run",
    "runs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Run with a trained policy or a prior; the first gets the figures. May be repeated.",
)
@click.option("--agents", metavar="LIST", help="Comma list of agents (default: all kinds).")
@click.option("--episodes", type=click.IntRange(min=1), help="At least so many (default: videos).")
@click.option("--split", type=click.Choice(["test", "train", "all"]), default="test")
@click.option(
    "--targets",
    type=click.Choice(["expected", "drawn"]),
    default="expected",
    help="Switch targets: unknown and paid in expectation, or drawn once and known to all.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="First seed (default 0).")
@click.option("--render", "rendering", is_flag=True, help="Write films with the music chosen.")
@config_options
def evaluate(
    data: Path | None,
    runs: tuple[Path, ...],
    agents: str | None,
    episodes: int | None,
    split: Any,
    targets: Any,
    seed: int,
    rendering: bool,
    config_file: Path | None,
    assignments: tuple[str, ...],
    print_config: bool,
    as_json: bool,
) -> None:
    """Compare agents on the same videos and switch targets.

    Agents: random, prior, greedy, greedy/TERM,TERM, margin/GAIN, oracle_constrained_greedy/C,
    beam/WIDTH, planner, policy, policy-beam/WIDTH, or package.module:Thing of your own; with
    @known at its end an agent is told the switch target. With --run, policy and policy-beam are
    those of the runs, and table, figures and films are written into the first one.

    \b
    segue soundtrack evaluate --data vlogs
    segue soundtrack evaluate --data vlogs --run runs/soundtrack/mine --agents greedy,planner,policy

    Settings are merged in this order, later wins: defaults, --config, --set, other options.
    """  # noqa: D301  click reads the backspace as "keep these lines"
    from segue.tasks.soundtrack.config import SoundtrackConfig

    config = SoundtrackConfig.load(config_file, assignments)
    if print_config:
        sys.stdout.write(config.to_toml())
        return
    if data is None:
        raise click.UsageError("Missing option '--data'.")
    if rendering and not runs:
        raise click.UsageError("--render needs --run: the films are written into the run.")

    from segue.core.progress import progress_bars
    from segue.tasks.soundtrack import evaluate as verb
    from segue.tasks.soundtrack.folder import load_dataset
    from segue.tasks.soundtrack.results import (
        divide_runs,
        render_played,
        save_evaluation,
        taste_of,
    )

    names = verb.parse_agents(agents) if agents else list(verb.DEFAULT_AGENTS)
    policies, pretrained = divide_runs(runs)
    taste = taste_of(policies)
    if taste is not None:
        sys.stderr.write("segue: preferences that a run was tuned for are part of the reward\n")
    dataset = load_dataset(data, config.profile)
    for warning in dataset.warnings:
        sys.stderr.write(f"segue: {warning}\n")
    dataset = pretrained.apply(dataset) if pretrained else dataset
    with progress_bars() as bars:
        played = verb.play_dataset(
            dataset,
            verb.with_runs(names, policies),
            config,
            split=split,
            targets=targets,
            seeds=(seed,),
            episodes=episodes,
            prior=pretrained.prior if pretrained else None,
            taste=taste,
            advance=bars("evaluating", 1.0),
        )
        videos = verb.videos_of(dataset, config, split, episodes)
        table = verb.add_retrieval(verb.tabulate(played), dataset, videos, played)
        if runs:
            save_evaluation(runs[0], table, played, [dataset.videos[v].name for v in videos])
        if rendering:
            render_played(runs[0] / "renders", dataset, videos, played, bars=bars)
    table.print(as_json=as_json)


@click.command()
@click.option("--data", type=click.Path(path_type=Path), help="Dataset folder; else synthetic.")
@click.option("--figure", type=click.Path(path_type=Path), help="Draw the matrix as a PNG file.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Of all draws (default 0).")
@config_options
def confusion(
    data: Path | None,
    figure: Path | None,
    seed: int,
    config_file: Path | None,
    assignments: tuple[str, ...],
    print_config: bool,
    as_json: bool,
) -> None:
    """Play every video with the music cut from every video: does the reward know which is whose?

    Tracks cut from a video are named after it, as trip_1.mp3, trip_2.mp3 of trip.mp4. Without
    --data seven synthetic videos and their 61 pieces are drawn.

    \b
    segue soundtrack confusion
    segue soundtrack confusion --data vlogs --figure matrix.png

    Settings are merged in this order, later wins: defaults, --config, --set, other options.
    """  # noqa: D301  click reads the backspace as "keep these lines"
    from segue.core.options import print_json
    from segue.tasks.soundtrack.config import SoundtrackConfig

    config = SoundtrackConfig.load(config_file, ["weights.silence=0", *assignments])
    if print_config:
        sys.stdout.write(config.to_toml())
        return
    from segue.tasks.soundtrack.confusion import confusion as play
    from segue.tasks.soundtrack.confusion import synthetic_pairs
    from segue.tasks.soundtrack.folder import load_dataset

    dataset = load_dataset(data, config.profile) if data else synthetic_pairs(seed)
    found = play(dataset, config, seed=seed)
    if figure is not None:
        from segue.tasks.soundtrack.figures import draw_confusion

        draw_confusion(figure, found)
    if as_json:
        print_json({"data": dataset.name, "seed": seed, **found.to_dict()})
    else:
        sys.stdout.write(f"{dataset.name}\n{found}\n")


@click.command(no_args_is_help=True)
@click.option("--data", type=click.Path(path_type=Path), help="Dataset folder.")
@click.option("--space", type=click.Choice(["picture", "caption"]), default="picture")
@click.option("--split", type=click.Choice(["test", "train", "all"]), default="all")
@click.option("--figures", type=click.Path(path_type=Path), help="Folder for a figure per video.")
@config_options
def similarity(
    data: Path | None,
    space: Any,
    split: Any,
    figures: Path | None,
    config_file: Path | None,
    assignments: tuple[str, ...],
    print_config: bool,
    as_json: bool,
) -> None:
    """Tell how similar the library is to each video, segment by segment, and the best tracks.

    \b
    segue soundtrack similarity --data vlogs --space caption --figures similarities

    Settings are merged in this order, later wins: defaults, --config, --set, other options.
    """  # noqa: D301  click reads the backspace as "keep these lines"
    from segue.core.options import print_json
    from segue.tasks.soundtrack.config import SoundtrackConfig

    config = SoundtrackConfig.load(config_file, assignments)
    if print_config:
        sys.stdout.write(config.to_toml())
        return
    if data is None:
        raise click.UsageError("Missing option '--data'.")
    from segue.tasks.soundtrack.evaluate import videos_of
    from segue.tasks.soundtrack.folder import load_dataset
    from segue.tasks.soundtrack.similarity_report import figure_name, similarities

    dataset = load_dataset(data, config.profile)
    found = similarities(dataset, videos_of(dataset, config, split), space, config)
    if figures is not None:
        from segue.tasks.soundtrack.figures import draw_similarities

        for video in found:
            draw_similarities(figures / figure_name(video), video)
    if as_json:
        print_json({"space": space, "videos": [video.to_dict() for video in found]})
    else:
        sys.stdout.write("".join(f"{video}\n" for video in found))


@click.command(no_args_is_help=True)
@click.option("--run", type=click.Path(path_type=Path), help="Trained policy (default: shipped).")
@click.option("--video", type=click.Path(path_type=Path), required=True, help="The film.")
@click.option("--library", type=click.Path(path_type=Path), required=True, help="Folder of music.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The new film.")
@click.option("--baseline", is_flag=True, help="Also write what greedy and random choose.")
@click.option("--overwrite", is_flag=True, help="Replace films that exist.")
@config_options
def render(
    run: Path | None,
    video: Path,
    library: Path,
    out: Path,
    baseline: bool,
    overwrite: bool,
    config_file: Path | None,
    assignments: tuple[str, ...],
    print_config: bool,
    as_json: bool,
) -> None:
    """Write VIDEO with the music that a policy chooses from a folder.

    Sound as in `segue score`: crossfades on beats, ducking, loudness; the picture is copied. With
    --baseline, OUT-greedy and OUT-random are written beside it.

    \b
    segue soundtrack render --video trip.mp4 --library music --out scored.mp4 --baseline

    Settings are merged in this order, later wins: defaults, --config, --set, other options.
    """  # noqa: D301  click reads the backspace as "keep these lines"
    from segue.core.options import print_json
    from segue.tasks.soundtrack.render import RenderConfig

    config = RenderConfig.load(config_file, assignments)
    if print_config:
        sys.stdout.write(config.to_toml())
        return
    from segue.core.progress import progress_bars
    from segue.tasks.soundtrack.render import render as verb
    from segue.tasks.soundtrack.results import divide_runs

    policies, pretrained = divide_runs([run] if run else [])
    with progress_bars() as bars:
        made = verb(
            video,
            library,
            out,
            config,
            run=policies[0] if policies else None,
            prior=pretrained.prior if pretrained else None,
            baseline=baseline,
            overwrite=overwrite,
            bars=bars,
        )
    if as_json:
        print_json({"films": [film.to_dict() for film in made]})
        return
    for film in made:
        sys.stdout.write(f"{film}\n")
