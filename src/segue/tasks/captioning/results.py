"""Which runs an evaluation is about, which row each has, and what is left behind in their folders.

A run of `pretrain` is a warm start, one of `tune` is a tuned captioner. Runs that differ in nothing
but their seed, or in the warm start that they began as, share a row. The warm start of a tuned run
is found by the hash of its weights: among the runs that were given, where `tune` noted it, or
beside the run.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segue.core.errors import DataError, MissingModel, RunError, printable
from segue.core.files import read_json, write_json
from segue.core.progress import Advance, silent
from segue.core.tables import Role

if TYPE_CHECKING:
    from segue.core.tables import EvaluationTable
    from segue.tasks.captioning.data.prepared import Prepared
    from segue.tasks.captioning.evaluate import Evaluation
    from segue.tasks.captioning.models.stored import StoredCaptioner

__all__ = [
    "Group",
    "collect",
    "diagnosed",
    "fits",
    "note_prior",
    "noted_prior",
    "print_evaluation",
    "proposals_of",
    "write_evaluation",
]

_PRIOR = "prior.json"
_FACTS = "captioner.json"
_PROPOSALS = "proposals"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Runs that share a row."""

    name: str
    role: Role
    folders: tuple[Path, ...]


def collect(folders: Sequence[Path]) -> list[Group]:
    """Return the rows of runs: warm starts first, then the tuned ones.

    Raises:
        MissingModel: a folder holds no captioner.
        DataError: one is damaged.
        RunError: a folder is given twice.
    """
    warm: dict[str, Path] = {}
    tuned: list[tuple[Path, dict[str, Any]]] = []
    for folder in folders:
        facts = _facts(folder)
        if folder.resolve() in [f.resolve() for f in (*warm.values(), *(f for f, _ in tuned))]:
            raise RunError("this run is given twice", where=folder)
        if "method" in facts:
            tuned.append((folder, facts))
        else:
            warm[str(facts["sha256"])] = folder
    for folder, facts in tuned:
        wanted = str(facts.get("warm_sha256", ""))
        if wanted not in warm and (found := _prior_of(folder, wanted)) is not None:
            warm[wanted] = found
    groups = []
    if warm:
        groups.append(Group(name="warm start", role="prior", folders=tuple(warm.values())))
    by_settings: dict[str, list[tuple[Path, dict[str, Any]]]] = {}
    for folder, facts in tuned:
        by_settings.setdefault(repr(_settings(folder)), []).append((folder, facts))
    methods = [str(each[0][1]["method"]) for each in by_settings.values()]
    for method, each in zip(methods, by_settings.values(), strict=True):
        name = method if methods.count(method) == 1 else each[0][0].name
        groups.append(Group(name=name, role="tuned", folders=tuple(f for f, _ in each)))
    return groups


def fits(stored: StoredCaptioner, data: Prepared, folder: Path) -> None:
    """Check that a captioner speaks the words of the data and sees its features.

    Raises:
        DataError: it does not.
    """
    if stored.vocabulary.words != data.vocabulary.words:
        raise DataError(
            f"this captioner knows {len(stored.vocabulary):,} words, and the data "
            f"'{data.name}' has {len(data.vocabulary):,}, or other ones",
            where=folder,
            advice="Give the data that it was trained on",
        )
    sizes, features = stored.network.config, data.train.features
    for name, wanted, found in (
        ("visual", sizes.visual, features.visual_width),
        ("audio", sizes.audio, features.audio_width),
    ):
        if wanted != found:
            raise DataError(
                f"this captioner reads {name} features of width {wanted}, and those of "
                f"'{data.name}' have width {found}",
                where=folder,
                advice="Give the data that it was trained on",
            )


def note_prior(folder: Path, prior: Path, sha256: str) -> None:
    """Note in the folder of a tuned run which warm start it began as."""
    write_json(folder / _PRIOR, {"folder": str(prior.resolve()), "sha256": sha256})


def noted_prior(folder: Path) -> Path | None:
    """Return the warm start that `note_prior` noted, or None."""
    try:
        return Path(read_json(folder / _PRIOR)["folder"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def proposals_of(run: Path) -> Path | None:
    """Return the folder of the proposal network of a run, else of its warm start; None without."""
    folders = [run]
    try:
        facts = _facts(run)
    except (DataError, MissingModel):  # whoever wants the captioner says so
        facts = {}
    if wanted := facts.get("warm_sha256"):
        folders += [found] if (found := _prior_of(run, str(wanted))) else []
    for folder in folders:
        if (folder / _PROPOSALS / "proposals.json").is_file():
            return folder / _PROPOSALS
    return None


def diagnosed(
    folder: Path, data: Prepared, limit: int, advance: Advance = silent
) -> EvaluationTable:
    """Return the table of `diagnose` for the captioner of a run.

    Raises:
        MissingModel: the folder holds no captioner.
        DataError: it is damaged, or has other words or features than the data.
    """
    from segue.tasks.captioning.diagnose import diagnose
    from segue.tasks.captioning.models.stored import load_captioner

    stored = load_captioner(folder)
    fits(stored, data, folder)
    return diagnose(data, stored.network, limit=limit, advance=advance)


def write_evaluation(folder: Path, found: Evaluation) -> None:
    """Write evaluation.json, model card and pictures, and the captions of every run."""
    from segue.core.card import write_card
    from segue.tasks.captioning.figures import draw_curves, draw_models
    from segue.tasks.captioning.metrics.protocol import EXACT_STEM

    for run, submission in found.submissions.items():
        write_json(Path(run) / "captions.json", submission)
    write_json(folder / "evaluation.json", found.to_dict())
    figures = {"figures/models.png": "Models side by side, intervals over videos"}
    draw_models(folder / "figures/models.png", found.table, ("cider", EXACT_STEM, "words"))
    if draw_curves(folder / "figures/learning.png", _metrics(folder)):
        figures["figures/learning.png"] = "Metrics while it learned"
    write_card(folder, table=found.table, figures=figures)


def print_evaluation(found: Evaluation) -> None:
    """Print the tables, what was said of a few segments, and what is missing."""
    found.table.print()
    for table in found.protocol.values():
        replace(table, comparisons=()).print()
    if len(found.protocol) > 1:
        sys.stdout.write("ActivityNet's protocol, mean of both annotators\n")
        for model, means in found.protocol_means.items():
            told = ", ".join(f"{name} {value:.2f}" for name, value in means.items())
            sys.stdout.write(f"  {printable(model)}: {told}\n")
    if found.proposed is not None:
        replace(found.proposed, comparisons=()).print()
    for sample in found.samples:
        sys.stdout.writelines(f"{printable(f'{who}: {text}')}\n" for who, text in sample.items())
        sys.stdout.write("\n")
    sys.stdout.writelines(f"{printable(note)}\n" for note in found.notes)


def _metrics(folder: Path) -> list[dict[str, Any]]:
    try:
        lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]
    except (OSError, ValueError):
        return []


def _facts(folder: Path) -> dict[str, Any]:
    from segue.tasks.captioning.models.stored import load_captioner

    try:
        facts = read_json(folder / _FACTS)
        return {name: facts[name] for name in ("sha256", "warm_sha256", "method") if name in facts}
    except (OSError, ValueError, TypeError, KeyError):
        return load_captioner(folder).facts  # says what is wrong


def _prior_of(folder: Path, sha256: str) -> Path | None:
    noted = noted_prior(folder)
    beside = sorted(folder.resolve().parent.glob(f"*/{_FACTS}"))
    for path in ([noted] if noted else []) + [each.parent for each in beside]:
        try:
            if read_json(path / _FACTS)["sha256"] == sha256:
                return path
        except (OSError, ValueError, TypeError, KeyError):
            continue
    return None


def _settings(folder: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads((folder / "config.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"folder": str(folder)}
    return {name: value for name, value in found.items() if name not in ("seed", "device")}
