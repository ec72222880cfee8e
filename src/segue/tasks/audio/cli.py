"""`segue audio`: the task's commands."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from segue.core.options import config_options, needed, refuse_settings
from segue.tasks.audio.cli_data import prepare
from segue.tasks.audio.cli_results import evaluate, generate
from segue.tasks.audio.cli_train import tune

__all__ = ["group"]


@click.group(name="audio", context_settings={"help_option_names": ["-h", "--help"]})
def group() -> None:
    """Music from text: a diffusion model, tuned by what listeners hear in its clips."""


@click.command(no_args_is_help=True)
@click.option("--data", type=click.Path(path_type=Path), help="Folder made by `prepare`.")
@click.option("--run", "run_folder", type=click.Path(path_type=Path), help="Folder of the run.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint of the run.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of everything random (default 0).")
@config_options
def pretrain(
    data: Path | None,
    run_folder: Path | None,
    resume: bool,
    seed: int | None,
    config_file: Path | None,
    assignments: tuple[str, ...],
    print_config: bool,
    as_json: bool,
) -> None:
    """Train the base model, and the listeners that pay and judge it.

    About twenty minutes on one processor core for the clips that `prepare` renders by default. A
    run can be killed at any moment; --resume continues it to the same bits. --config also takes a
    preset: nano (the default), small (for a GPU), smoke.

    \b
    segue audio pretrain --data data/audio --run runs/audio/nano
    segue audio pretrain --data data/audio --run runs/audio/nano --resume

    Settings are merged in this order, later wins: defaults, --config, --set, other options.
    """  # noqa: D301  click reads the backspace as "keep these lines"
    from segue.core.options import print_json
    from segue.core.progress import progress
    from segue.tasks.audio.pretrain_config import PRETRAIN_PRESETS, PretrainConfig, seeded

    refuse_settings(resume, config_file, assignments, seed)
    chosen = PRETRAIN_PRESETS.choose(None, config_file)
    config = PretrainConfig.load(chosen, assignments, seeded(seed))
    if print_config:
        sys.stdout.write(config.to_toml())
        return
    source, folder = needed(data, "--data"), needed(run_folder, "--run")
    from segue.tasks.audio.data.prepared import Prepared
    from segue.tasks.audio.pretrain import pretrain as run

    prepared = Prepared.open(source)
    with progress("Learning to listen and to play", 1.0) as advance:
        found = run(prepared, folder, None if resume else config, resume=resume, advance=advance)
    if as_json:
        print_json(found)
    elif "diffusion" in found:
        for name, numbers in found["listeners"].items():
            told = [f"{k} {v:.3f}" for k, v in numbers.items() if isinstance(v, float)]
            sys.stdout.write(f"{name}: {', '.join(told)}\n")
        loss = found["diffusion"]["validation_loss"]
        sys.stdout.write(f"base model: validation loss {loss:.4f}\n")


for _command in (prepare, pretrain, tune, evaluate, generate):
    group.add_command(_command)
