"""`segue soundtrack`: the task's commands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from segue.core.options import config_options

__all__ = ["group"]


@click.group(name="soundtrack", context_settings={"help_option_names": ["-h", "--help"]})
def group() -> None:
    """Music for a video, segment by segment."""


@group.command(no_args_is_help=True)
@click.option("--data", type=click.Path(path_type=Path), help="Dataset folder.")
@click.option(
    "--agents", default="random,greedy,planner", show_default=True, help="Comma list of agents."
)
@click.option("--split", type=click.Choice(["test", "train", "all"]), default="test")
@click.option(
    "--targets",
    type=click.Choice(["drawn", "expected"]),
    default="drawn",
    help="Switch targets: drawn once for all agents, or the reward's expectation over them.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="First seed (default 0).")
@click.option("--repeats", type=click.IntRange(min=1), default=1, help="Number of seeds.")
@config_options
def evaluate(
    data: Path | None,
    agents: str,
    split: Any,
    targets: Any,
    seed: int,
    repeats: int,
    config_file: Path | None,
    assignments: tuple[str, ...],
    print_config: bool,
    as_json: bool,
) -> None:
    """Compare agents on the same videos and switch targets.

    Agents: random, greedy, greedy/TERM,TERM, margin/GAIN, oracle_constrained_greedy/C, beam/WIDTH,
    planner, or package.module:Thing of your own.

    \b
    segue soundtrack evaluate --data vlogs --agents random,greedy,margin/0.2,beam/32,planner

    Settings are merged in this order, later wins: defaults, --config, --set, other options.
    """  # noqa: D301  click reads the backspace as "keep these lines"
    from segue.tasks.soundtrack.config import SoundtrackConfig

    config = SoundtrackConfig.load(config_file, assignments)
    if print_config:
        sys.stdout.write(config.to_toml())
        return
    if data is None:
        raise click.UsageError("Missing option '--data'.")

    from segue.core.progress import progress
    from segue.tasks.soundtrack.evaluate import evaluate as run
    from segue.tasks.soundtrack.evaluate import parse_agents
    from segue.tasks.soundtrack.folder import load_dataset

    names, dataset = parse_agents(agents), load_dataset(data, config.profile)
    for warning in dataset.warnings:
        sys.stderr.write(f"segue: {warning}\n")
    with progress("evaluating", 1.0) as advance:
        table = run(
            dataset,
            names,
            config,
            split=split,
            targets=targets,
            seeds=range(seed, seed + repeats),
            advance=advance,
        )
    table.print(as_json=as_json)
