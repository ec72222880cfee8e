"""Where a run keeps its models, its agents and the names of the tracks.

    RUN/config.toml, versions.json ...   of `pretrain`
    RUN/vocabulary.json                  names and plays of the tracks
    RUN/models/<name>/                   a model without chance
    RUN/models/<name>-<seed>/            one that learns by chance
    RUN/agents/<name>-<seed>/            an agent of `tune`, a run of its own

A run is all that `recommend` needs; the training data can be gone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from segue.core.errors import DataError, MissingModel, UsageError
from segue.core.files import atomic_write, read_json
from segue.core.names import resolve, unknown
from segue.tasks.playlist.agents import AGENTS
from segue.tasks.playlist.data.prepared import Vocabulary
from segue.tasks.playlist.models import MODELS
from segue.tasks.playlist.models.base import Recommender

__all__ = [
    "agent_folder",
    "load_model",
    "model_class",
    "model_folder",
    "read_vocabulary",
    "stored_agents",
    "stored_models",
    "write_vocabulary",
]

_VOCABULARY = "vocabulary.json"
_ADVICE = "Make it with `segue playlist pretrain --data DIR --run RUN`"


def model_class(name: str) -> type[Recommender]:
    """Return the class of a model or agent, or of a user's `package.module:Model`.

    Raises:
        UnknownName: there is none.
        UsageError: it is not a recommender.
    """
    found = resolve(MODELS | AGENTS, name, "model")
    if not (isinstance(found, type) and issubclass(found, Recommender)):
        raise UsageError(
            f"model '{name}' is not a Recommender",
            advice="Derive it from segue.tasks.playlist.models.base:Recommender",
        )
    return found


def model_folder(run: Path, name: str, seed: int | None) -> Path:
    """Return where the model `name` of `run` is kept; `seed` is None for one without chance."""
    return run / "models" / _label(name, seed)


def agent_folder(run: Path, name: str, seed: int) -> Path:
    """Return where the agent `name` of `run` is kept, a run of its own."""
    return run / "agents" / _label(name, seed)


def stored_models(run: Path) -> dict[str, list[Path]]:
    """Return the fitted models of a run: name -> its folders, one for each seed.

    Raises:
        MissingModel: there is none.
    """
    found = _stored(run / "models", MODELS)
    if not found:
        raise MissingModel(
            "no models of `segue playlist pretrain` in this run", where=run, advice=_ADVICE
        )
    return found


def stored_agents(run: Path) -> dict[str, list[Path]]:
    """Return the trained agents of a run: name -> its folders, one for each seed; perhaps none."""
    return _stored(run / "agents", AGENTS)


def write_vocabulary(run: Path, vocabulary: Vocabulary) -> None:
    """Keep the names of the tracks in the run."""
    kept = {
        "artists": vocabulary.artists,
        "titles": vocabulary.titles,
        "plays": vocabulary.plays.tolist(),
    }
    atomic_write(run / _VOCABULARY, json.dumps(kept, ensure_ascii=True))


def read_vocabulary(run: Path) -> Vocabulary:
    """Return the names of the tracks of a run.

    Raises:
        MissingModel: this is no run of `pretrain`.
        DataError: the file is damaged.
    """
    path = run / _VOCABULARY
    try:
        kept = read_json(path)
        names = tuple(map(str, kept["artists"])), tuple(map(str, kept["titles"]))
        plays = np.asarray(kept["plays"], dtype=np.int64)
    except FileNotFoundError:
        raise MissingModel(
            f"no run of `segue playlist pretrain` here: {_VOCABULARY} is missing",
            where=run,
            advice=_ADVICE,
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"this file is damaged: {error!r}", where=path) from None
    if not len(names[0]) == len(names[1]) == len(plays):
        raise DataError("this file is damaged: its columns are not equally long", where=path)
    return Vocabulary(artists=names[0], titles=names[1], plays=plays)


def load_model(run: Path, name: str, folder: Path | None = None) -> Recommender:
    """Load a model or an agent of a run; without `folder` the one of its first seed.

    Raises:
        UnknownName: the run has no such model.
        MissingModel: it has no models at all.
        DataError: the model is damaged.
    """
    stored = stored_models(run) | stored_agents(run)
    if name not in stored:
        raise unknown("model of this run", name, stored, where=run)
    return model_class(name).load(folder or stored[name][0])


def _label(name: str, seed: int | None) -> str:
    label = re.sub(r"[^A-Za-z0-9._-]+", "-", name)
    return label if seed is None else f"{label}-{seed}"


def _stored(folder: Path, table: Mapping[str, str]) -> dict[str, list[Path]]:
    """Return name -> folders of what is kept in `folder`, in the order of the table."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*/model.json")):
        try:
            name = str(read_json(path)["name"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"this file is damaged: {error!r}", where=path) from None
        found.setdefault(name, []).append(path.parent)
    order = [name for name in table if name in found]
    return {name: found[name] for name in [*order, *sorted(set(found) - set(order))]}
