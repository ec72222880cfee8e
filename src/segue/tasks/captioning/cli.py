"""`segue captioning`: the task's commands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from segue.core.options import config_options, needed, refuse_settings
from segue.tasks.captioning.cli_data import features, prepare
from segue.tasks.captioning.cli_metrics import score_file
from segue.tasks.captioning.cli_results import caption, evaluate

__all__ = ["group"]


@click.group(name="captioning", context_settings={"help_option_names": ["-h", "--help"]})
def group() -> None:
    """Captions of a film from picture and sound, tuned by reinforcement learning."""


@click.command(no_args_is_help=True)
@click.option("--data", type=click.Path(path_type=Path), help="Folder made by `prepare`.")
@click.option("--run", "run_folder", type=click.Path(path_type=Path), help="Folder of the run.")
@click.option("--proposals", is_flag=True, help="Learn where events lie, for a run that is there.")
@click.option("--preset", metavar="NAME", help="Settings that ship: paper (default), small, smoke.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint of the run.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of everything random (default 0).")
@config_options
def pretrain(
    data: Path | None,
    run_folder: Path | None,
    proposals: bool,
    preset: str | None,
    resume: bool,
    seed: int | None,
    config_file: Path | None,
    assignments: tuple[str, ...],
    print_config: bool,
    as_json: bool,
) -> None:
    """Train a captioner on human captions: the warm start of every tuning.

    A run can be killed at any moment; --resume continues it to the same bits.

    With --proposals a captioner that has learned is given a second network, which finds events in
    whole films, and `caption` then uses it; without, films are divided by their shots. Its settings
    are others, its presets have the same names (default: small), and it is kept in RUN/proposals.

    \b
    segue captioning pretrain --data data/own --run runs/captioning/warm --preset small
    segue captioning pretrain --data data/own --run runs/captioning/warm --resume
    segue captioning pretrain --data data/own --run runs/captioning/warm --proposals

    Settings are merged in this order, later wins: defaults, --preset or --config, --set, other
    options.
    """  # noqa: D301  click reads the backspace as "keep these lines"
    from segue.core.options import print_json
    from segue.core.progress import progress
    from segue.tasks.captioning.config import PRETRAIN_PRESETS, PROPOSAL_PRESETS, PretrainConfig
    from segue.tasks.captioning.data.folder import load_prepared
    from segue.tasks.captioning.pretrain import pretrain as run

    refuse_settings(resume, preset, config_file, assignments, seed)
    flags = {"seed": seed}
    if proposals:
        settings = (PROPOSAL_PRESETS.choose(preset, config_file), assignments, flags)
        _pretrain_proposals(data, run_folder, settings, resume, print_config, as_json)
        return
    config = PretrainConfig.load(PRETRAIN_PRESETS.choose(preset, config_file), assignments, flags)
    if print_config:
        sys.stdout.write(config.to_toml())
        return
    folder = needed(run_folder, "--run")
    prepared = load_prepared(needed(data, "--data"))
    with progress("Learning captions", 1.0) as advance:
        found = run(prepared, folder, None if resume else config, resume=resume, advance=advance)
    if as_json:
        print_json(found)
    elif "validation_nats" in found:
        sys.stdout.write(
            f"validation {found['validation_nats']:.4f} nats per word "
            f"after {found['epochs']} epochs\n"
        )


@click.command(no_args_is_help=True)
@click.option("--data", type=click.Path(path_type=Path), help="Folder made by `prepare`.")
@click.option("--run", "run_folder", type=click.Path(path_type=Path), help="Folder of the run.")
@click.option("--prior", type=click.Path(path_type=Path), help="Run of `pretrain` to start from.")
@click.option(
    "--method",
    type=click.Choice(["self-critical", "worker-manager"]),
    help="Whole captions (default), or the original's phases.",
)
@click.option("--preset", metavar="NAME", help="Settings that ship: bmhrl_a, bmhrl_b, smoke.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint of the run.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of everything random (default 0).")
@config_options
def tune(
    data: Path | None,
    run_folder: Path | None,
    prior: Path | None,
    method: str | None,
    preset: str | None,
    resume: bool,
    seed: int | None,
    config_file: Path | None,
    assignments: tuple[str, ...],
    print_config: bool,
    as_json: bool,
) -> None:
    """Tune a captioner towards metrics of captions by reinforcement learning.

    A run can be killed at any moment; --resume continues it to the same bits.

    \b
    segue captioning tune --data data/own --run runs/tuned --prior runs/warm
    segue captioning tune --data data/own --run runs/paper --prior runs/warm --preset bmhrl_a

    Settings are merged in this order, later wins: defaults, --preset or --config, --set, other
    options.
    """  # noqa: D301  click reads the backspace as "keep these lines"
    from segue.core.options import print_json
    from segue.core.progress import progress
    from segue.tasks.captioning.config import TUNE_PRESETS, TuneConfig
    from segue.tasks.captioning.data.folder import load_prepared
    from segue.tasks.captioning.models.stored import load_captioner
    from segue.tasks.captioning.results import fits, note_prior, noted_prior
    from segue.tasks.captioning.tune import tune as run

    refuse_settings(resume, preset, config_file, assignments, seed, method)
    flags: dict[str, Any] = {"method": method, "seed": seed}
    config = TuneConfig.load(TUNE_PRESETS.choose(preset, config_file), assignments, flags)
    if print_config:
        sys.stdout.write(config.to_toml())
        return
    folder = needed(run_folder, "--run")
    if resume and prior is None:
        prior = noted_prior(folder)
    prior = needed(prior, "--prior")
    prepared, warm = load_prepared(needed(data, "--data")), load_captioner(prior)
    fits(warm, prepared, prior)
    with progress("Tuning", 1.0) as advance:
        found = run(
            warm, prepared, folder, None if resume else config, resume=resume, advance=advance
        )
    note_prior(folder, prior, warm.sha256)
    if as_json:
        print_json(found)
    elif "last" in found:
        before, after = found["first"], found["last"]
        told = [
            f"{name} {before[f'validation_{name}']:.3f} -> {after[f'validation_{name}']:.3f}"
            for name in ("cider_d", "meteor_stem", "words", "repeats")
        ]
        sys.stdout.write(f"validation: {', '.join(told)}\n")


def _pretrain_proposals(
    data: Path | None,
    run_folder: Path | None,
    settings: tuple[Path | None, tuple[str, ...], dict[str, Any]],
    resume: bool,
    print_config: bool,
    as_json: bool,
) -> None:
    """Train the proposal network of a run and print how well it finds events."""
    from segue.core.options import print_json
    from segue.core.progress import progress
    from segue.tasks.captioning.data.folder import load_prepared
    from segue.tasks.captioning.models.stored import load_captioner
    from segue.tasks.captioning.proposals_training import ProposalTraining, train_proposals
    from segue.tasks.captioning.results import fits

    config = ProposalTraining.load(*settings)
    if print_config:
        sys.stdout.write(config.to_toml())
        return
    folder = needed(run_folder, "--run")
    prepared, captioner = load_prepared(needed(data, "--data")), load_captioner(folder)
    fits(captioner, prepared, folder)
    with progress("Learning events", 1.0) as advance:
        found = train_proposals(
            prepared,
            folder / "proposals",
            None if resume else config,
            captioner=captioner,
            resume=resume,
            advance=advance,
        )
    if as_json:
        print_json(found)
    elif "f1@0.5" in found:
        told = [f"{name} {found[f'{name}@0.5']:.2f}" for name in ("precision", "recall", "f1")]
        sys.stdout.write(
            f"validation: {', '.join(told)} at tIoU 0.5, {found['proposals_per_film']:.1f} events "
            f"a film, {found['films']} films\n"
        )


for _command in (prepare, features, pretrain, tune, evaluate, caption, score_file):
    group.add_command(_command)
