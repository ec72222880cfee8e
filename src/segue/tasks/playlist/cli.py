"""`segue playlist`: the task's commands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from segue.core.options import config_options, needed
from segue.tasks.playlist.cli_data import audit, prepare
from segue.tasks.playlist.cli_results import evaluate, recommend

__all__ = ["group"]


@click.group(name="playlist", context_settings={"help_option_names": ["-h", "--help"]})
def group() -> None:
    """What to play next: honest baselines, and an agent that plans several tracks ahead."""


@click.command(no_args_is_help=True)
@click.option("--data", type=click.Path(path_type=Path), help="Folder made by `prepare`.")
@click.option("--run", "run_folder", type=click.Path(path_type=Path), help="Folder of the run.")
@click.option("--models", metavar="A,B", help="Which: popularity,item-cf,user-cf,markov,fused,...")
@click.option("--seeds", metavar="0,1", help="Of the models that learn by chance (default 0).")
@click.option("--preset", metavar="NAME", help="Settings that ship: lastfm, original, smoke.")
@click.option("--resume", is_flag=True, help="Go on with a run that was interrupted.")
@config_options
def pretrain(
    data: Path | None,
    run_folder: Path | None,
    models: str | None,
    seeds: str | None,
    preset: str | None,
    resume: bool,
    config_file: Path | None,
    assignments: tuple[str, ...],
    print_config: bool,
    as_json: bool,
) -> None:
    """Fit the baselines, the fused ranker and the networks: all that `tune` starts from.

    \b
    segue playlist pretrain --data listening --run runs/playlist/mine
    segue playlist pretrain --data listening --run runs/playlist/nets --models fused,sasrec

    Settings are merged in this order, later wins: defaults, --preset or --config, --set, other
    options.
    """  # noqa: D301  click reads the backspace as "keep these lines"
    from segue.core.options import print_json
    from segue.core.progress import progress
    from segue.tasks.playlist.config import PRETRAIN_PRESETS, PretrainConfig
    from segue.tasks.playlist.data.prepared import load_prepared
    from segue.tasks.playlist.pretrain import pretrain as run

    flags = {"models": _names(models), "seeds": _numbers(seeds)}
    _no_settings(resume, config_file, preset, assignments, flags)
    config = PretrainConfig.load(PRETRAIN_PRESETS.choose(preset, config_file), assignments, flags)
    if print_config:
        sys.stdout.write(config.to_toml())
        return
    folder = needed(run_folder, "--run")
    prepared = load_prepared(needed(data, "--data"))
    with progress("Fitting", 1.0) as advance:
        found = run(prepared, folder, None if resume else config, resume=resume, advance=advance)
    if as_json:
        print_json(found)
        return
    for name, measured in found.items():
        told = ", ".join(f"{key.replace('_', ' ')} {value:.4f}" for key, value in measured.items())
        sys.stdout.write(f"{name}: {told or 'fitted'}\n")
    sys.stderr.write(f"segue: {folder} holds {len(found)} models\n")


@click.command(no_args_is_help=True)
@click.option("--data", type=click.Path(path_type=Path), help="Folder made by `prepare`.")
@click.option(
    "--run", "run_folder", type=click.Path(path_type=Path), help="Run of `pretrain`, with `fused`."
)
@click.option(
    "--agent", metavar="NAME", help="playlist (default), actor-critic, next-track or ppo."
)
@click.option("--preset", metavar="NAME", help="Settings that ship: smoke.")
@click.option("--resume", is_flag=True, help="Go on from the agent's last checkpoint.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of everything random (default 0).")
@config_options
def tune(
    data: Path | None,
    run_folder: Path | None,
    agent: str | None,
    preset: str | None,
    resume: bool,
    seed: int | None,
    config_file: Path | None,
    assignments: tuple[str, ...],
    print_config: bool,
    as_json: bool,
) -> None:
    """Tune an agent that chooses among the candidates of the fused ranker.

    The agent is kept in RUN/agents/NAME-SEED. A run can be killed at any moment; --resume continues
    it to the same bits.

    \b
    segue playlist tune --data listening --run runs/playlist/mine
    segue playlist tune --data listening --run runs/playlist/mine --seed 1

    Settings are merged in this order, later wins: defaults, --preset or --config, --set, other
    options.
    """  # noqa: D301  click reads the backspace as "keep these lines"
    from segue.core.options import print_json
    from segue.core.progress import progress
    from segue.tasks.playlist.agents.config import TuneConfig
    from segue.tasks.playlist.config import TUNE_PRESETS
    from segue.tasks.playlist.data.prepared import load_prepared
    from segue.tasks.playlist.tune import tune as run

    flags: dict[str, Any] = {"agent": agent, "seed": seed}
    _no_settings(resume, config_file, preset, assignments, {})
    config = TuneConfig.load(TUNE_PRESETS.choose(preset, config_file), assignments, flags)
    if print_config:
        sys.stdout.write(config.to_toml())
        return
    folder = needed(run_folder, "--run")
    prepared = load_prepared(needed(data, "--data"))
    with progress("Tuning", 1.0) as advance:
        result = run(prepared, folder, config, resume=resume, advance=advance)
    if as_json:
        print_json(result)
        return
    for key, value in result.items():
        if isinstance(value, float | int | str):
            sys.stdout.write(
                f"{key}: {value:.4f}\n" if isinstance(value, float) else f"{key}: {value}\n"
            )


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())


def _numbers(text: str | None) -> tuple[int, ...] | None:
    try:
        return None if text is None else tuple(int(part) for part in text.split(","))
    except ValueError:
        raise click.UsageError(f"--seeds {text!r} is not a list of numbers like 0,1,2.") from None


def _no_settings(
    resume: bool,
    config_file: Path | None,
    preset: str | None,
    assignments: tuple[str, ...],
    flags: dict[str, Any],
) -> None:
    if resume and (config_file or preset or assignments or any(flags.values())):
        raise click.UsageError("A run that is resumed keeps its settings; leave them out.")


for _command in (prepare, audit, pretrain, tune, evaluate, recommend):
    group.add_command(_command)
