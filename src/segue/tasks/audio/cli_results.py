"""`segue audio evaluate` and `generate`: how good models are, and what they play."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from segue.core.options import config_options, needed

__all__ = ["evaluate", "generate"]


@click.command(no_args_is_help=True)
@click.option("--run", "run_folder", metavar="RUN|NAME", help="Run of `pretrain`, or nano.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder of `prepare`: real clips.")
@click.option("--judge", metavar="RUN", help="Run whose judge judges (default: the run's own).")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for results (default: RUN).")
@click.option(
    "--clips",
    "clip_folder",
    type=click.Path(path_type=Path),
    help="Folder for every clip, with clap_benchmark.csv and emo_benchmark.csv.",
)
@click.option(
    "--score",
    "scored",
    type=click.Path(path_type=Path),
    help="Only score a folder of clips, as the original's two scripts did.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Of the noise (default 0).")
@config_options
def evaluate(
    run_folder: str | None,
    data: Path | None,
    judge: str | None,
    out: Path | None,
    clip_folder: Path | None,
    scored: Path | None,
    seed: int | None,
    config_file: Path | None,
    assignments: tuple[str, ...],
    print_config: bool,
    as_json: bool,
) -> None:
    """Compare base, tuned models and baselines by an independent judge, with intervals.

    Everything in RUN/tuned is compared. Numbers, a page to listen to (gallery.html) and the model
    card are written into the run.

    \b
    segue audio evaluate --run runs/audio/nano --data data/audio
    segue audio evaluate --run runs/audio/nano --set prompts=12 --set best_of=4 --clips clips
    segue audio evaluate --run runs/audio/nano --score my-clips

    Settings are merged in this order, later wins: defaults, --config, --set, other options.
    """  # noqa: D301  click reads the backspace as "keep these lines"
    from segue.tasks.audio.evaluate_config import EvaluateConfig

    config = EvaluateConfig.load(config_file, assignments, {"seed": seed})
    if print_config:
        sys.stdout.write(config.to_toml())
        return
    place = needed(run_folder, "--run")
    from segue.core.options import print_json
    from segue.tasks.audio.results import evaluate_run, print_evaluation, score_folder

    if scored is not None:
        found = score_folder(scored, judge or place)
        if as_json:
            print_json(found)
        else:
            for name, value in found.items():
                sys.stdout.write(f"{name} {value}\n")
        return
    evaluation = evaluate_run(
        place, config, data=data, judge=judge, out=out, clip_folder=clip_folder
    )
    if as_json:
        print_json(evaluation.to_dict())
    else:
        print_evaluation(evaluation)


@click.command(no_args_is_help=True)
@click.option("--run", "run_folder", metavar="RUN|NAME", help="Run that plays, or nano.")
@click.option("--model", metavar="FOLDER", help="Model of diffusers that plays: AudioLDM2.")
@click.option("--adapter", metavar="NAME|RUN", help="Tuned run of it (default: the run's own).")
@click.option("--listeners", metavar="RUN", help="Who scores (default: the run's own).")
@click.option("--prompt", "prompts", multiple=True, help="What is wanted. May be repeated.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the clips.")
@click.option("-n", "--n", type=click.IntRange(min=1), help="Clips of each prompt (default 1).")
@click.option("--seconds", type=float, help="Length of each (default 5.12).")
@click.option("--seed", type=click.IntRange(min=0), help="Of the first clip; the next count up.")
@click.option("--steps", type=click.IntRange(min=1), help="Denoising steps (default: as tuned).")
@click.option("--guidance", type=float, help="Scale of guidance (default: as tuned).")
@click.option("--eta", type=float, help="Share of fresh noise, 0 to 1 (default: as tuned).")
@click.option("--negative", metavar="TEXT", help="What guidance leads away from.")
@click.option("--overwrite", is_flag=True, help="Replace the clips in the folder.")
@config_options
def generate(
    run_folder: str | None,
    model: str | None,
    adapter: str | None,
    listeners: str | None,
    prompts: tuple[str, ...],
    out: Path | None,
    overwrite: bool,
    config_file: Path | None,
    assignments: tuple[str, ...],
    print_config: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Make music from prompts: WAV files, and a manifest that can make each of them again.

    Without --run and --model the model that ships with Segue plays.

    \b
    segue audio generate --prompt "a recording of a happy piano solo, high quality" --out clips
    segue audio generate --run runs/audio/nano/tuned/emotion-0 --prompt "a sad cello" -n 4 --out c
    segue audio generate --model audioldm2-music --prompt "calm guitar" --seconds 10 --out c

    Settings are merged in this order, later wins: defaults, --config, --set, other options.
    """  # noqa: D301  click reads the backspace as "keep these lines"
    from segue.tasks.audio.generate import GenerateConfig

    config = GenerateConfig.load(config_file, assignments, flags)
    if print_config:
        sys.stdout.write(config.to_toml())
        return
    if run_folder is not None and model is not None:
        raise click.UsageError("Give --run or --model, not both.")
    asked, folder = needed(prompts or None, "--prompt"), needed(out, "--out")
    from segue.core.options import print_json
    from segue.core.progress import progress
    from segue.tasks.audio.generate import generate as run
    from segue.tasks.audio.players import default_player, find_listeners, open_player

    player = open_player(run_folder or model or default_player(), adapter, device=config.device)
    ears = find_listeners(listeners, player)
    with progress("Playing", 1.0) as advance:
        facts = run(
            player, asked, folder, config, listeners=ears, overwrite=overwrite, advance=advance
        )
    if as_json:
        print_json(facts)
        return
    for row in facts["clips"]:
        sys.stdout.write(
            f"{folder / row['file']}  {row['seconds']:.2f} s, seed {row['seed']}{_heard(row)}\n"
        )
    sys.stderr.write(f"segue: {facts['player']} played\n")


def _heard(row: dict[str, Any]) -> str:
    scores = row["scores"]
    if scores is None:
        return ""
    mood, instrument = scores["mood"], scores["instrument"]
    return (
        f", sounds {mood['heard']} ({mood['probability']:.2f}) and like "
        f"{instrument['heard']} ({instrument['probability']:.2f})"
    )
