"""The commands of `segue melody` that judge, play and explain."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from segue.core.options import config_options

__all__ = ["evaluate", "explain", "generate"]


@click.command()
@click.option(
    "--run",
    "runs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Run of `tune`; runs that differ by their seed alone share a row. May be repeated.",
)
@click.option("--data", type=click.Path(path_type=Path), help="Training tunes: guards copying.")
@click.option("--n", type=click.IntRange(min=10), help="Pieces of a row (default 10,000).")
@click.option("--figures", type=click.Path(path_type=Path), help="Folder for pictures.")
@click.option("--seed", type=click.IntRange(min=0), help="Of primers and sampling (default 0).")
@config_options
def evaluate(
    runs: tuple[Path, ...],
    data: Path | None,
    n: int | None,
    figures: Path | None,
    seed: int | None,
    config_file: Path | None,
    assignments: tuple[str, ...],
    print_config: bool,
    as_json: bool,
) -> None:
    """Compare prior, baselines and tuned models by the paper's statistics, beside the paper.

    Without --run the models that ship with Segue are compared. With --run, table, model card and
    pictures are written into the first run.

    \b
    segue melody evaluate --n 2000
    segue melody evaluate --run runs/melody/psi-0 --run runs/melody/psi-1 --data tunes

    Settings are merged in this order, later wins: defaults, --config, --set, other options.
    """  # noqa: D301  click reads the backspace as "keep these lines"
    from segue.tasks.melody.evaluate import EvaluateConfig

    flags = {"n": n, "seed": seed}
    config = EvaluateConfig.load(config_file, assignments, flags)
    if print_config:
        sys.stdout.write(config.to_toml())
        return
    from segue.core.options import print_json
    from segue.core.progress import progress
    from segue.tasks.melody.data import load
    from segue.tasks.melody.evaluate import evaluate as run
    from segue.tasks.melody.evaluate import write_evaluation
    from segue.tasks.melody.paper import print_beside_paper
    from segue.tasks.melody.results import collect_runs, draw_samples

    models, prior = collect_runs(runs)
    prepared = load(data) if data else None
    with progress("Composing", 1.0) as advance:
        found = run(
            models, prior, config,
            tunes=prepared.train if prepared else (),
            data_name=prepared.name if prepared else "compositions",
            advance=advance,
        )  # fmt: skip
    target = figures or (runs[0] / "figures" if runs else None)
    drawn: dict[str, str] = {}
    if target is not None:
        drawn = draw_samples(target, found, models, prior)
    if runs:
        relative = {f"figures/{name}": text for name, text in drawn.items()} if not figures else {}
        write_evaluation(runs[0], found, relative)
    if as_json:
        print_json(found.to_dict())
    else:
        print_beside_paper(found)


@click.command(no_args_is_help=True)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the tunes.")
@click.option("--run", "run_folder", type=click.Path(path_type=Path), help="Run that plays.")
@click.option("-n", "--n", type=click.IntRange(min=1), help="Number of tunes (default 10).")
@click.option("--key", help="Tonic and mode, as in C, Am or 'Eb dorian' (default C major).")
@click.option("--bars", type=click.IntRange(min=1), help="Bars of each (default 8).")
@click.option("--primer", metavar="TEXT|FILE", help='Heard before: "60 -2 67 -2" or a MIDI file.')
@click.option("--tempo", type=float, metavar="QPM", help="Quarter notes per minute (default 100).")
@click.option("--temperature", type=float, help="Of sampling (default 1).")
@click.option("--greedy", is_flag=True, default=None, help="Always the most likely note.")
@click.option("--prior", "use_prior", is_flag=True, help="Let the prior play, untuned.")
@click.option("--seed", type=click.IntRange(min=0), help="The same seed, the same tunes.")
@click.option("--overwrite", is_flag=True, help="Replace the tunes in the folder.")
@config_options
def generate(
    out: Path | None,
    run_folder: Path | None,
    use_prior: bool,
    overwrite: bool,
    config_file: Path | None,
    assignments: tuple[str, ...],
    print_config: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Compose tunes: MIDI, WAV and a piano roll for each.

    Works at once: without --run the psi-tuned note RNN that ships with Segue plays. More settings,
    such as meter, form, instrument and soundfont, with --set; --print-config shows them.

    \b
    segue melody generate -n 5 --key "D dorian" --bars 8 --out tunes
    segue melody generate --set form=AABB --set instrument=flute --set meter=6/8 --out jigs

    Settings are merged in this order, later wins: defaults, --config, --set, other options.
    """  # noqa: D301  click reads the backspace as "keep these lines"
    from segue.tasks.melody.generate import GenerateConfig

    names = {"tempo": "tempo_qpm"}
    config = GenerateConfig.load(
        config_file, assignments, {names.get(flag, flag): value for flag, value in flags.items()}
    )
    if print_config:
        sys.stdout.write(config.to_toml())
        return
    if out is None:
        raise click.UsageError("Missing option '--out'.")
    from segue.core.options import print_json
    from segue.core.progress import progress
    from segue.music.theory import parse_key
    from segue.tasks.melody.generate import find_models
    from segue.tasks.melody.generate import generate as run

    models = find_models(run_folder, parse_key(config.key), model=config.model, use_prior=use_prior)
    with progress("Composing", 1.0) as advance:
        facts = run(models, config, out, overwrite=overwrite, advance=advance)
    if as_json:
        print_json(facts)
        return
    for tune in facts["tunes"]:
        sys.stdout.write(
            f"{out / tune['files'][0]}  {tune['key']}, {tune['duration_s']:.1f} s, "
            f"rules {tune['rule_sum']:+.2f} and log p {tune['log_p']:.2f} per step\n"
        )
    sys.stderr.write(f"segue: {facts['model']} played, the {facts['renderer']} sounded\n")


@click.command(no_args_is_help=True)
@click.argument("melody", metavar="FILE|EVENTS")
@click.option(
    "--run", "run_folder", type=click.Path(path_type=Path), help="Run whose prior judges."
)
@click.option("--key", default="C major", help="Key of the rules (default C major).")
@click.option("--weights", "weights", multiple=True, metavar="TERM=W", help="Weight of a term.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks.")
def explain(
    melody: str,
    run_folder: Path | None,
    key: str,
    weights: tuple[str, ...],
    as_json: bool,
) -> None:
    """Print what each note of a melody earns, rule by rule.

    The melody is the first one in a file of notes, or melody events as text: pitches, -2 for hold,
    -1 for rest. It is judged as it is; give --key if it is not in C major.

    \b
    segue melody explain tunes/tune-01.mid
    segue melody explain "60 -2 62 -2 64 -2 60 -2" --weights my_rules:leaps=2
    """  # noqa: D301  click reads the backspace as "keep these lines"
    from segue.core.options import print_json
    from segue.tasks.melody.results import explain_melody, print_explanation

    found = explain_melody(melody, run_folder, key, weights)
    if as_json:
        print_json(found.to_dict())
    else:
        print_explanation(found)
