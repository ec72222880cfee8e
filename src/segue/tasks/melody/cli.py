"""`segue melody`: the task's commands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from segue.core.options import config_options, refuse_settings
from segue.tasks.melody.cli_data import prepare
from segue.tasks.melody.cli_results import evaluate, explain, generate

__all__ = ["group"]


@click.group(name="melody", context_settings={"help_option_names": ["-h", "--help"]})
def group() -> None:
    """Melodies by a note RNN that reinforcement learning teaches music theory."""


@click.command(no_args_is_help=True)
@click.option("--data", type=click.Path(path_type=Path), help="Folder made by `prepare`.")
@click.option("--run", "run_folder", type=click.Path(path_type=Path), help="Folder of the run.")
@click.option("--network", metavar="KIND", help="lstm (default), lookback, attention, transformer.")
@click.option(
    "--import",
    "weights",
    type=click.Path(path_type=Path),
    help="Take the weights of a checkpoint of the original instead of training: an .npz file.",
)
@click.option(
    "--swap-special/--keep-special",
    default=None,
    help="With --import: whether its class 0 is hold and 1 is rest (default: found out).",
)
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint of the run.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of everything random (default 0).")
@config_options
def pretrain(
    data: Path | None,
    run_folder: Path | None,
    network: str | None,
    weights: Path | None,
    swap_special: bool | None,
    resume: bool,
    seed: int | None,
    config_file: Path | None,
    assignments: tuple[str, ...],
    print_config: bool,
    as_json: bool,
) -> None:
    """Train the note RNN on tunes: the prior that knows what melodies are like.

    \b
    segue melody pretrain --data tunes --run runs/melody/prior
    segue melody pretrain --import note_rnn.npz --run runs/melody/theirs

    Settings are merged in this order, later wins: defaults, --config, --set, other options.
    """  # noqa: D301  click reads the backspace as "keep these lines"
    from segue.core.options import print_json
    from segue.core.progress import progress
    from segue.tasks.melody.pretrain import PretrainConfig
    from segue.tasks.melody.pretrain import pretrain as run

    refuse_settings(resume, config_file, assignments, network, weights, seed)
    flags = {"network.kind": network, "seed": seed}
    config = PretrainConfig.load(config_file, assignments, flags)
    if print_config:
        sys.stdout.write(config.to_toml())
        return
    if run_folder is None:
        raise click.UsageError("Missing option '--run'.")
    if weights is not None:
        from segue.tasks.melody.imported import import_run

        result = import_run(weights, run_folder, swap_special=swap_special)
        swapped = ", holds and rests exchanged" if result["swapped"] else ""
        sys.stderr.write(f"segue: {run_folder} holds the imported {result['kind']}{swapped}\n")
    else:
        if data is None:
            raise click.UsageError("Missing option '--data'.")
        with progress("Training the note RNN", 1.0) as advance:
            result = run(data, run_folder, config, resume=resume, advance=advance)
    if as_json:
        print_json(result)
    elif "validation" in result:
        found = result["validation"]
        sys.stdout.write(
            f"validation {found['nats_per_step']:.4f} nats per step, "
            f"{found['bits_per_note']:.3f} bits per note, accuracy {found['accuracy']:.1%}\n"
        )


@click.command(no_args_is_help=True)
@click.option("--run", "run_folder", type=click.Path(path_type=Path), help="Folder of the run.")
@click.option(
    "--prior",
    type=click.Path(path_type=Path),
    help="Run of `pretrain` to start from (default: the note RNN that ships with Segue).",
)
@click.option("--algorithm", type=click.Choice(["q", "psi", "g", "pure_rl"]), help="Default: psi.")
@click.option("--steps", type=click.IntRange(min=1), help="Notes to play (default 1,000,000).")
@click.option("--preset", metavar="NAME", help="Settings that ship: paper, magenta, smoke.")
@click.option("--compat", type=click.Choice(["magenta"]), help="As the original, with its defects.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint of the run.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of everything random (default 0).")
@config_options
def tune(
    run_folder: Path | None,
    prior: Path | None,
    algorithm: str | None,
    steps: int | None,
    preset: str | None,
    compat: str | None,
    resume: bool,
    seed: int | None,
    config_file: Path | None,
    assignments: tuple[str, ...],
    print_config: bool,
    as_json: bool,
) -> None:
    """Tune the note RNN by reinforcement learning towards rules of music theory.

    A run can be killed at any moment; --resume continues it to the same bits.

    \b
    segue melody tune --run runs/melody/psi
    segue melody tune --run runs/melody/paper --preset paper --algorithm q
    segue melody tune --run runs/melody/mine --set 'reward.weights={"my_rules:leaps" = 2.0}'

    Settings are merged in this order, later wins: defaults, --preset or --config, --set, other
    options.
    """  # noqa: D301  click reads the backspace as "keep these lines"
    from segue.core.options import print_json
    from segue.core.progress import progress
    from segue.tasks.melody.config import PRESETS, TuneConfig
    from segue.tasks.melody.models import load_model, shipped
    from segue.tasks.melody.tune import tune as run

    if compat:
        if preset not in (None, "magenta"):
            raise click.UsageError("--compat magenta has a preset of its own; leave --preset out.")
        if config_file is not None:
            raise click.UsageError("--compat magenta has a preset of its own; leave --config out.")
        preset = "magenta"
    config_file = PRESETS.choose(preset, config_file)
    flags: dict[str, Any] = {"algorithm": algorithm, "steps": steps, "seed": seed}
    refuse_settings(resume, config_file, assignments, *flags.values())
    config = TuneConfig.load(config_file, assignments, flags)
    if print_config:
        sys.stdout.write(config.to_toml())
        return
    if run_folder is None:
        raise click.UsageError("Missing option '--run'.")
    if resume and prior is None:
        started = load_model(run_folder, "prior")
    else:
        started = load_model(prior) if prior else shipped("prior")
    with progress("Tuning", 1.0) as advance:
        result = run(
            started, run_folder, None if resume else config, resume=resume, advance=advance
        )
    if as_json:
        print_json(result)
    elif "last" in result:
        first, last = result["first"], result["last"]
        sys.stdout.write(
            f"rules per note {first['eval_rule_sum']:.2f} -> {last['eval_rule_sum']:.2f}, "
            f"log p per note {first['eval_log_p']:.2f} -> {last['eval_log_p']:.2f}\n"
        )
        sys.stderr.write(f"segue: {run_folder / 'README.md'} says what was learned\n")


for _command in (prepare, pretrain, tune, evaluate, generate, explain):
    group.add_command(_command)
