"""Where a run keeps its models, its agents and the names of the tracks.

    RUN/config.toml, versions.json ...   of `pretrain`
    RUN/vocabulary/tracks.parquet        names and plays of the tracks
    RUN/models/<name>/                   a model without chance
    RUN/models/<name>-<seed>/            one that learns by chance
    RUN/agents/<name>-<seed>/            an agent of `tune`; a run of its own

A run is all that `recommend` needs; the training data can be gone.
"""

from __future__ import annotations

import re
from pathlib import Path

from segue.core.errors import MissingModel, UsageError
from segue.core.files import read_json
from segue.core.names import resolve, unknown
from segue.tasks.playlist.models import MODELS
from segue.tasks.playlist.models.base import Recommender

__all__ = ["load_model", "model_class", "model_folder", "stored_models"]


def model_class(name: str) -> type[Recommender]:
    """Return the class of a short name or of a user's `package.module:Model`.

    Raises:
        UnknownName: there is none.
        UsageError: it is not a recommender.
    """
    found = resolve(MODELS, name, "model")
    if not (isinstance(found, type) and issubclass(found, Recommender)):
        raise UsageError(
            f"model '{name}' is not a Recommender",
            advice="Derive it from segue.tasks.playlist.models.base:Recommender",
        )
    return found


def model_folder(run: Path, name: str, seed: int | None) -> Path:
    """Return where the model `name` of `run` is kept; `seed` is None for one without chance."""
    label = re.sub(r"[^A-Za-z0-9._-]+", "-", name)
    return run / "models" / (label if seed is None else f"{label}-{seed}")


def stored_models(run: Path) -> dict[str, list[Path]]:
    """Return the fitted models of a run: name -> its folders, one for each seed.

    Raises:
        MissingModel: there is none.
    """
    found: dict[str, list[Path]] = {}
    folders = sorted((run / "models").glob("*/model.json")) if run.is_dir() else []
    for path in folders:
        found.setdefault(str(read_json(path).get("name", "")), []).append(path.parent)
    if not found:
        raise MissingModel(
            "no models of `segue playlist pretrain` in this run",
            where=run,
            advice="Make them with `segue playlist pretrain --data DIR --run RUN`",
        )
    order = [name for name in MODELS if name in found]
    return {name: found[name] for name in [*order, *sorted(set(found) - set(order))]}


def load_model(run: Path, name: str, folder: Path | None = None) -> Recommender:
    """Load a model of a run; without `folder` the one of its first seed.

    Raises:
        UnknownName: the run has no such model.
        MissingModel: it has no models at all.
        DataError: the model is damaged.
    """
    stored = stored_models(run)
    if name not in stored:
        raise unknown("model of this run", name, stored, where=run)
    return model_class(name).load(folder or stored[name][0])
