"""`segue audio tune`: move a text-to-music model towards a reward."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from segue.core.options import config_options, refuse_settings

__all__ = ["tune"]


@click.command(no_args_is_help=True)
@click.option("--run", type=click.Path(path_type=Path), help="Run of `pretrain` to tune.")
@click.option("--model", type=click.Path(path_type=Path), help="Or a folder of another model.")
@click.option(
    "--reward",
    "rewards",
    multiple=True,
    metavar="NAME[=WEIGHT]",
    help="What is paid: clap, emotion, loudness, key, tempo... May be repeated.",
)
@click.option("--name", help="Of the tuning (default: its rewards and seed).")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder made by `prepare`; what drifts from its music is not kept.",
)
@click.option(
    "--clap", type=click.Path(path_type=Path), help="Folder of a real CLAP for the reward `clap`."
)
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint of the tuning.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of everything random (default 0).")
@config_options
def tune(
    run: Path | None,
    model: Path | None,
    rewards: tuple[str, ...],
    name: str | None,
    data: Path | None,
    clap: Path | None,
    resume: bool,
    seed: int | None,
    config_file: Path | None,
    assignments: tuple[str, ...],
    print_config: bool,
    as_json: bool,
) -> None:
    """Tune a text-to-music model by reinforcement learning on its own clips.

    The adapter goes to RUN/tuned/NAME, or runs/audio/NAME for a --model alone. A tuning can be
    killed at any moment; --resume continues it to the same bits. Several processes share the work
    when `accelerate launch` or `torchrun` starts them. --config also takes a preset: nano (the
    default), seed, ddpo, smoke.

    \b
    segue audio tune --run runs/audio/nano --reward emotion
    segue audio tune --run runs/audio/nano --reward clap=1,loudness=0.02 --name clap
    segue audio tune --model models/audioldm2-music --clap models/clap --reward clap --config seed

    Settings are merged in this order, later wins: defaults, --config, --set, other options.
    """  # noqa: D301  click reads the backspace as "keep these lines"
    from segue.core.options import print_json
    from segue.tasks.audio.config import PRESETS, TuneConfig
    from segue.tasks.audio.launch import launch, rewards_from, tuned_folder

    refuse_settings(resume, rewards, config_file, assignments, seed)
    chosen = PRESETS.choose(None, config_file)
    config = TuneConfig.load(chosen, assignments, {"seed": seed})
    if paid := rewards_from(rewards):
        config = TuneConfig.parse(config.model_dump() | {"reward": paid}, "--reward")
    if print_config:
        sys.stdout.write(config.to_toml())
        return
    if run is None and model is None:
        raise click.UsageError("Missing option '--run' or '--model'.")
    folder = tuned_folder(run, name, None if resume else config, resume=resume)
    found = launch(run, model, data, clap, folder, None if resume else config)
    if as_json and found:
        print_json(found)
    elif found.get("best"):
        first, best = found["first"], found["best"]
        told = [f"{key} {first[key]:.3f} -> {best[key]:.3f}" for key in best]
        sys.stdout.write(f"{folder}: best after epoch {found['kept']}: {', '.join(told)}\n")
    elif "epochs" in found:
        sys.stdout.write(f"{folder}: {found['epochs']} epochs\n")
