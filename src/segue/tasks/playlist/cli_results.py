"""The commands of `segue playlist` that judge and recommend."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from segue.core.options import config_options

__all__ = ["evaluate", "recommend"]


@click.command(no_args_is_help=True)
@click.option("--data", type=click.Path(path_type=Path), help="Folder made by `prepare`.")
@click.option("--run", "run_folder", type=click.Path(path_type=Path), help="Run of `pretrain`.")
@click.option(
    "--protocol",
    type=click.Choice(["last", "prefixes", "playlists"]),
    help="Ask for the last track (default), for every track, or for a list of five.",
)
@click.option(
    "--repeats",
    type=click.Choice(["allowed", "masked"]),
    help="Whether heard tracks count (default: as the listeners of the data do).",
)
@click.option(
    "--part", type=click.Choice(["test", "validation"]), help="Which sessions (default test)."
)
@click.option("--limit", type=click.IntRange(min=1), help="At most so many questions, drawn.")
@config_options
def evaluate(
    data: Path | None,
    run_folder: Path | None,
    config_file: Path | None,
    assignments: tuple[str, ...],
    print_config: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Ask all models and agents of a run the same questions, and compare them.

    Tracks are ranked among the whole vocabulary. Table, model card and pictures are written into
    the run.

    \b
    segue playlist evaluate --data listening --run runs/playlist/mine
    segue playlist evaluate --data listening --run runs/playlist/mine --protocol playlists

    Settings are merged in this order, later wins: defaults, --config, --set, other options.
    """  # noqa: D301  click reads the backspace as "keep these lines"
    from segue.core.progress import progress
    from segue.tasks.playlist.config import EvaluateConfig
    from segue.tasks.playlist.data.prepared import load_prepared
    from segue.tasks.playlist.evaluate import evaluate as run
    from segue.tasks.playlist.results import save_evaluation, shortened

    config = EvaluateConfig.load(config_file, assignments, flags)
    if print_config:
        sys.stdout.write(config.to_toml())
        return
    if data is None or run_folder is None:
        raise click.UsageError("Missing option '--data'." if data is None else "Missing '--run'.")
    prepared = load_prepared(data)
    with progress("Evaluating", 1.0) as advance:
        table = run(run_folder, prepared, config, advance=advance)
    save_evaluation(run_folder, table, config)
    (table if as_json else shortened(table)).print(as_json=as_json)


@click.command(no_args_is_help=True)
@click.option("--run", "run_folder", type=click.Path(path_type=Path), help="Run of `pretrain`.")
@click.option("--history", metavar="FILE|TEXT", help='A file, or "artist - title; artist - title".')
@click.option(
    "-n", "n", type=click.IntRange(1, 1000), default=20, show_default=True, help="Tracks."
)
@click.option("--model", help="A model or agent of the run (default: the best that is there).")
@click.option("--new", "masked", is_flag=True, help="Only tracks that are not in the history.")
@click.option(
    "--batch",
    type=click.Path(path_type=Path),
    help='Instead of --history: a file of JSON lines {"id": ..., "history": ["artist - title"]}.',
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks.")
def recommend(
    run_folder: Path | None,
    history: str | None,
    n: int,
    model: str | None,
    masked: bool,
    batch: Path | None,
    as_json: bool,
) -> None:
    """Say what to play after a history, oldest track first. The run is all that is needed.

    \b
    segue playlist recommend --run RUN --history "Air - La femme d'argent; Zero 7 - Destiny"
    segue playlist recommend --run RUN --history evening.csv -n 10 --new
    """  # noqa: D301  click reads the backspace as "keep these lines"
    if run_folder is None:
        raise click.UsageError("Missing option '--run'.")
    if (history is None) == (batch is None):
        raise click.UsageError("Give --history or --batch, and not both.")
    from segue.core.options import print_json
    from segue.tasks.playlist.history import read_history
    from segue.tasks.playlist.ranking import Repeats
    from segue.tasks.playlist.recommend import Suggester, answer_batch

    suggester = Suggester(run_folder, model or "")
    repeats: Repeats = "masked" if masked else "allowed"
    if batch is not None:
        answer_batch(suggester, batch, n, repeats, sys.stdout)
        return
    found = suggester(read_history(str(history)), n, repeats=repeats)
    if as_json:
        print_json(found.to_dict())
        return
    for track in found.tracks:
        name = f"{track.artist} - {track.title}" if track.artist else track.title
        sys.stdout.write(f"{track.place:3}  {name}{'  (heard)' if track.heard else ''}\n")
    total = found.known + len(found.unknown)
    sys.stderr.write(
        f"segue: {found.model}, {found.known} of {total} tracks of the history known\n"
    )
    for name in found.unknown[:10]:
        sys.stderr.write(f"segue: unknown: {name}\n")
