"""`segue soundtrack`: the task's commands."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from segue.core.options import config_options, refuse_settings
from segue.tasks.soundtrack.cli_results import confusion, evaluate, render, similarity

__all__ = ["group"]


@click.group(name="soundtrack", context_settings={"help_option_names": ["-h", "--help"]})
def group() -> None:
    """Music for a video, segment by segment."""


@group.command(
    no_args_is_help=True,
    # The original's page wrote --process_video; both spellings work, one is shown.
    context_settings={"token_normalize_func": lambda name: name.replace("_", "-")},
)
@click.argument("folders", metavar="DIR...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--process-video", "video", is_flag=True, help="Divide and embed films.")
@click.option("--process-music", "music", is_flag=True, help="Measure and embed tracks.")
@click.option("--label-music", "labels", is_flag=True, help="Mark where the music changes.")
@click.option("--dry-run", is_flag=True, help="Write nothing; say what would be done.")
@click.option("--force", is_flag=True, help="Do again what is done already.")
@config_options
def prepare(
    folders: tuple[Path, ...],
    video: bool,
    music: bool,
    labels: bool,
    dry_run: bool,
    force: bool,
    config_file: Path | None,
    assignments: tuple[str, ...],
    print_config: bool,
    as_json: bool,
) -> None:
    """Make dataset folders ready: captions matched to files, features, vectors, labels.

    A folder holds films in videos/ (or video_library/) and tracks in music/ (or music_library/),
    and captions if there are any. Without --process-video, --process-music and --label-music
    everything is done that there is data for. What is done already is kept.

    \b
    segue soundtrack prepare vlogs --dry-run

    Settings are merged in this order, later wins: defaults, --config, --set, other options.
    """  # noqa: D301  click reads the backspace as "keep these lines"
    from segue.core.options import print_json
    from segue.core.progress import progress_bars
    from segue.tasks.soundtrack.prepare import STEPS, PrepareConfig
    from segue.tasks.soundtrack.prepare import prepare as run

    config = PrepareConfig.load(config_file, assignments)
    if print_config:
        sys.stdout.write(config.to_toml())
        return
    chosen = [step for step, on in zip(STEPS, (video, music, labels), strict=True) if on]
    with progress_bars() as bars:
        reports = run(folders, config, steps=chosen, dry_run=dry_run, force=force, bars=bars)
    if as_json:
        print_json({"folders": [report.to_dict() for report in reports]})
    else:
        for report in reports:
            sys.stdout.write(f"{report}\n")


@group.command(no_args_is_help=True)
@click.option("--data", type=click.Path(path_type=Path), help="Dataset folder, prepared.")
@click.option("--run", "run_folder", type=click.Path(path_type=Path), help="Folder of the run.")
@click.option("--contrastive", is_flag=True, help="Also learn a space from videos with music.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint of the run.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of everything random (default 0).")
@config_options
def pretrain(
    data: Path | None,
    run_folder: Path | None,
    contrastive: bool,
    resume: bool,
    seed: int | None,
    config_file: Path | None,
    assignments: tuple[str, ...],
    print_config: bool,
    as_json: bool,
) -> None:
    """Fit the prior on the training videos: references, switch budget, scaling.

    With --contrastive a space is learned first, from videos with their own music (or with tracks
    that the captions name), and compared with the embedder's on held-out videos.

    \b
    segue soundtrack pretrain --data vlogs --run runs/soundtrack/prior --contrastive

    Settings are merged in this order, later wins: defaults, --config, --set, other options.
    """  # noqa: D301  click reads the backspace as "keep these lines"
    from segue.core.options import print_json
    from segue.core.progress import progress_bars
    from segue.tasks.soundtrack.pretrain import PretrainConfig
    from segue.tasks.soundtrack.pretrain import pretrain as run

    config = PretrainConfig.load(config_file, assignments, {"seed": seed})
    config = config.with_space() if contrastive else config
    refuse_settings(resume, config_file, assignments, seed)
    if print_config:
        sys.stdout.write(config.to_toml())
        return
    if data is None or run_folder is None:
        raise click.UsageError("Missing option '--data' or '--run'.")
    with progress_bars() as bars:
        table = run(
            data,
            run_folder,
            config if contrastive or not resume else None,
            resume=resume,
            bars=bars,
        )
    if table is not None:
        table.print(as_json=as_json)
    elif as_json:
        print_json({"run": str(run_folder)})
    sys.stderr.write(f"segue: {run_folder / 'README.md'} says what was fitted\n")


@group.command(no_args_is_help=True)
@click.option(
    "--data", metavar="DIR", help="Prepared folder, or `generator`: problems drawn at random."
)
@click.option("--run", "run_folder", type=click.Path(path_type=Path), help="Run folder.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint of the run.")
@click.option("--preset", metavar="NAME", help="Settings that ship: original, original-dqn, ...")
@click.option(
    "--method",
    type=click.Choice(["dagger", "clone", "ppo", "original"]),
    help="dagger (default) and clone learn from the planner, ppo and original from rewards.",
)
@config_options
def tune(
    data: str | None,
    run_folder: Path | None,
    resume: bool,
    preset: str | None,
    method: str | None,
    config_file: Path | None,
    assignments: tuple[str, ...],
    print_config: bool,
    as_json: bool,
) -> None:
    """Train a policy: a network that scores any track of any library.

    The best model is chosen on a part of the training videos; test videos are left alone. A run
    can be killed at any moment; --resume continues it to the same bits.

    \b
    segue soundtrack tune --data vlogs --run runs/soundtrack/mine
    segue soundtrack tune --data generator --run runs/soundtrack/ppo --method ppo
    segue soundtrack tune --data vlogs --run runs/soundtrack/dqn --preset original-dqn

    Settings are merged in this order, later wins: defaults, --config, --set, other options.
    """  # noqa: D301  click reads the backspace as "keep these lines"
    from segue.core.options import print_json
    from segue.core.progress import progress_bars
    from segue.tasks.soundtrack.tune import PRESETS, TuneConfig
    from segue.tasks.soundtrack.tune import tune as run

    config_file = PRESETS.choose(preset, config_file)
    refuse_settings(resume, config_file, assignments, method)
    config = TuneConfig.load(config_file, assignments, {"method": method, "data": data})
    if print_config:
        sys.stdout.write(config.to_toml())
        return
    if run_folder is None:
        raise click.UsageError("Missing option '--run'.")
    with progress_bars() as bars:
        result = run(data or "", run_folder, None if resume else config, resume=resume, bars=bars)
    for note in result.get("notes", ()):
        sys.stderr.write(f"segue: {note}\n")
    if as_json:
        print_json(result)
    elif "interrupted_at" not in result:
        sys.stdout.write(f"validation return {result['validation_return']:.4f}\n")
        sys.stderr.write(f"segue: {run_folder / 'README.md'} says what was learned\n")


for _command in (evaluate, render, confusion, similarity):
    group.add_command(_command)
