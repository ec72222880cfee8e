"""What every recommender does: fit, score, recommend, be saved and loaded.

A recommender is made from its settings, fitted on sessions, and asked with queries: sessions whose
next track is wanted. `score` is all that a model must write; ranks and lists follow from it, and a
model that has a faster way to them overrides it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from segue.core.config import Config
from segue.core.errors import DataError
from segue.core.progress import Advance, silent
from segue.rl.weights import WeightFiles
from segue.tasks.playlist.agents import AGENTS
from segue.tasks.playlist.models import MODELS
from segue.tasks.playlist.ranking import Repeats, Scores, mid_ranks, top_tracks
from segue.tasks.playlist.sessions import Sessions

__all__ = ["Arrays", "Recommender"]

Arrays = dict[str, NDArray[Any]]

_BATCH = 512


class Recommender(ABC):
    """One model that says what may come next.

    Args:
        config: its settings, an instance of `config_type`.
    """

    name: ClassVar[str]
    """Short name, as in the table MODELS."""
    config_type: ClassVar[type[Config]]
    seeded: ClassVar[bool] = False
    """Whether it learns by chance: then its settings have a `seed`, and several are reported."""

    chooses: bool = False
    """Whether `fit` chooses something on validation sessions, so that `refit` must follow."""

    def __init__(self, config: Config | None = None) -> None:
        self.config: Any = config if config is not None else self.config_type()
        self.n_tracks = 0
        self.workspace: Path | None = None
        """Folder where a long training keeps its checkpoints; None keeps none."""

    @abstractmethod
    def fit(
        self,
        sessions: Sessions,
        n_tracks: int,
        *,
        validation: Sessions | None = None,
        advance: Advance = silent,
    ) -> Self:
        """Learn from `sessions`, in order of time, over a vocabulary of `n_tracks`; return self.

        Args:
            sessions: [S].
            n_tracks: V.
            validation: later sessions, for models that choose something on them.
            advance: is told the share of the work that has been done since the last call.
        """

    def refit(self, sessions: Sessions, *, advance: Advance = silent) -> Self:
        """Learn again from `sessions`, which hold all that is known by now; return self.

        What `fit` chose on its validation sessions is kept.
        """
        return self.fit(sessions, self.n_tracks, advance=advance)

    @abstractmethod
    def score(self, queries: Sessions) -> Scores:
        """Return scores [B, V], dense or sparse; see `ranking`. An empty query is allowed."""

    @abstractmethod
    def arrays(self) -> Arrays:
        """Return everything that was fitted."""

    @abstractmethod
    def restore(self, arrays: Arrays) -> None:
        """Put back what `arrays` returned."""

    def recommend(
        self, queries: Sessions, n: int, *, repeats: Repeats = "allowed"
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the best `n` tracks of each query and their scores; see `ranking.top_tracks`."""
        found = [
            top_tracks(self.score(batch), batch, n, repeats=repeats) for batch in _batches(queries)
        ]
        if not found:
            return np.zeros((0, n), dtype=np.int32), np.zeros((0, n), dtype=np.float32)
        return np.concatenate([t for t, _ in found]), np.concatenate([v for _, v in found])

    def ranks(
        self, queries: Sessions, targets: NDArray[np.int32], *, repeats: Repeats = "allowed"
    ) -> NDArray[np.float64]:
        """Return the rank of each target among all tracks, [B]; see `ranking.mid_ranks`."""
        found, done = [], 0
        for batch in _batches(queries):
            wanted = targets[done : done + len(batch)]
            found.append(mid_ranks(self.score(batch), batch, wanted, repeats=repeats))
            done += len(batch)
        return np.concatenate(found) if found else np.zeros(0)

    def answer(
        self, queries: Sessions, targets: NDArray[np.int32], n: int, *, repeats: Repeats = "allowed"
    ) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
        """Return what `ranks` and `recommend` return of the same queries: ranks [B], lists [B, n].

        Scores are computed once, where the model has no faster way to either.
        """
        if type(self).ranks is not Recommender.ranks:
            ranks = self.ranks(queries, targets, repeats=repeats)
            return ranks, self.recommend(queries, n, repeats=repeats)[0]
        ranks, lists, done = np.empty(len(targets)), np.empty((len(targets), n), np.int32), 0
        for batch in _batches(queries):
            part = slice(done, done + len(batch))
            scores = self.score(batch)
            ranks[part] = mid_ranks(scores, batch, targets[part], repeats=repeats)
            lists[part] = top_tracks(scores, batch, n, repeats=repeats)[0]
            done += len(batch)
        return ranks, lists

    @classmethod
    def known_as(cls) -> str:
        """Return the short name, or `package.module:Class` for one that is not of the table."""
        known = cls.name in MODELS or cls.name in AGENTS
        return cls.name if known else f"{cls.__module__}:{cls.__qualname__}"

    def save(self, folder: Path) -> None:
        """Write model.safetensors and model.json into `folder`."""
        own = {
            "name": self.known_as(),
            "settings": self.config.model_dump(mode="json"),
            "n_tracks": self.n_tracks,
        }
        self._files().write(folder, self.arrays(), own, {})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            MissingModel: there is no model in `folder`.
            DataError: it is damaged, or is another model.
        """
        stored = cls._files().read(folder)
        if stored.facts.get("name") != cls.known_as():
            raise DataError(f"this is not a {cls.name} model", where=folder)
        with stored.parsing() as facts:
            model = cls(cls.config_type.parse(facts["settings"]))
            model.n_tracks = int(facts["n_tracks"])
        arrays = stored.arrays()
        with stored.fitting():
            model.restore(arrays)
        return model

    @classmethod
    def _files(cls) -> WeightFiles:
        return WeightFiles("model", what=f"{cls.name} model", maker="`segue playlist pretrain`")


def _batches(queries: Sessions) -> list[Sessions]:
    n = len(queries)
    return [queries.part(start, min(start + _BATCH, n)) for start in range(0, n, _BATCH)]
