"""What the commands that judge and explain share: which runs, which pictures, which words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segue.core.errors import RunError, UsageError
from segue.music.theory import parse_key
from segue.tasks.melody.evaluate import Evaluation
from segue.tasks.melody.explain import Explanation, explain
from segue.tasks.melody.models import StoredModel, load_model, shipped
from segue.tasks.melody.play import rule_composer
from segue.tasks.melody.primers import read_primer
from segue.tasks.melody.rewards import TheoryReward, mode_weights
from segue.tasks.melody.rules import RuleSettings

__all__ = ["collect_runs", "draw_samples", "explain_melody", "print_explanation"]

_SHIPPED_TUNED = ("q", "psi", "g")


def collect_runs(
    folders: Sequence[Path],
) -> tuple[list[tuple[str, StoredModel]], StoredModel]:
    """Return (row, model) of each run and the prior they began as; the shipped ones without runs.

    Runs that differ in nothing but their seed share a row, which is called after the algorithm.

    Raises:
        MissingModel: a folder holds no model.
        RunError: it was not tuned, or was tuned from another prior than the others.
    """
    if not folders:
        return [(name, shipped(name)) for name in _SHIPPED_TUNED], shipped("prior")
    models = [load_model(folder) for folder in folders]
    for folder, model in zip(folders, models, strict=True):
        if not model.algorithm:
            raise RunError(
                "this is a prior, not a tuned model: it is in every table anyway",
                where=folder,
                advice="Give runs of `segue melody tune`",
            )
    settings = [_without_seed(model) for model in models]
    rows = []
    for i, (folder, model) in enumerate(zip(folders, models, strict=True)):
        same = [j for j, other in enumerate(models) if other.algorithm == model.algorithm]
        alike = all(settings[j] == settings[i] for j in same)
        rows.append((model.algorithm if alike else folder.name, model))
    return rows, load_model(folders[0], "prior")


def _without_seed(model: StoredModel) -> dict[str, object]:
    return {k: v for k, v in dict(model.facts.get("settings", {})).items() if k != "seed"}


def draw_samples(
    folder: Path,
    found: Evaluation,
    models: Sequence[tuple[str, StoredModel]],
    prior: StoredModel,
) -> dict[str, str]:
    """Draw piano rolls of each row's pieces, and what each network thought of one of them.

    Returns:
        File name -> what it shows.
    """
    from segue.music.events import notes_from_classes
    from segue.music.notes import Part, Piece
    from segue.music.roll import draw_roll
    from segue.tasks.melody.figures import draw_probabilities

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"cannot make this folder: {error.strerror or error}", where=folder
        ) from error
    drawn: dict[str, str] = {}
    for row, pieces in found.samples.items():
        stem = row.replace(", ", "-").replace(" ", "-").replace("/", "-")
        name = f"roll-{stem}.png"
        joined = np.concatenate(list(pieces[:4]))
        piece = Piece(parts=(Part(notes_from_classes(joined), name=row),))
        draw_roll(piece, folder / name, key=parse_key("C major"))
        drawn[name] = f"Four pieces of {row}, one after another"
    networks = [("prior", prior), *models]
    # of several training seeds of one row the first composed the samples
    for name, model in {n: m for n, m in reversed(networks)}.items():
        if name not in found.primers:
            continue
        composer = rule_composer(model.player(), prior.player(), model.algorithm)
        piece_of = found.samples[name][0]
        probabilities = composer.probabilities(found.primers[name][:, 0], piece_of)
        file = f"probabilities-{name}.png"
        draw_probabilities(folder / file, probabilities, piece_of)
        drawn[file] = f"What {name} thought before each note of a piece"
    return drawn


def explain_melody(
    melody: str, run_folder: Path | None, key: str, weights: Sequence[str]
) -> Explanation:
    """Read a melody and judge it; the arguments are those of the command.

    Raises:
        DataError: it cannot be read.
        UsageError: the key or a weight is not one.
    """
    classes = read_primer(melody)
    rules = RuleSettings(key=str(parse_key(key)))
    changes: dict[str, float] = {}
    for text in weights:
        name, equals, number = text.rpartition("=")
        try:
            changes[name] = float(number)
        except ValueError:
            equals = ""
        if not equals or not name:
            raise UsageError(
                f"'{text}' is not TERM=WEIGHT", where="--weights", advice="Write --weights motif=2"
            )
    prior = shipped("prior") if run_folder is None else _prior_of(run_folder)
    reward = TheoryReward(mode_weights("music_theory_all", changes), rules)
    return explain(classes, prior.player(), reward)


def _prior_of(folder: Path) -> StoredModel:
    model = load_model(folder)
    return load_model(folder, "prior") if model.algorithm else model


def print_explanation(found: Explanation) -> None:
    """Print a line for each step, and the sums."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for i, name in enumerate(["bar.step", "symbol", *found.terms, "total", "log p"]):
        table.add_column(escape(name), justify="left" if i < 2 else "right")
    for line in found.rows(16):
        table.add_row(*map(escape, line))
    sums = [f"{values.sum():+.2f}" for values in found.terms.values()]
    table.add_row("sum", "", *sums, f"{found.total.sum():+.2f}", f"{np.nansum(found.log_p):.2f}",
                  style="bold")  # fmt: skip
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(
            highlight=False, width=max(80, Console(width=10_000).measure(table).maximum)
        )
    console.print(table)
    per_note = found.total.mean()
    console.print(f"\n{len(found.classes)} steps, {per_note:+.3f} per step")
