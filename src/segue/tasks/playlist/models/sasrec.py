"""SASRec: attention over the session so far says what comes next.

Kang and McAuley, "Self-Attentive Sequential Recommendation" (ICDM 2018). The state is read at the
newest track, and every place of a session is learned from. Without settings it is our recipe (see
`sasrec_config`); the original's sizes and loss are a preset.

Vectors of tracks serve as input and as output. A track that no training session holds keeps its
random vector and has the least bias of all: nothing recommends it but a history that holds it.
An empty history is answered by the number of plays.

`B` queries, `V` tracks, `D` numbers.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from segue.core.config import Config
from segue.core.errors import DataError
from segue.core.progress import Advance, silent
from segue.tasks.playlist.models.base import Arrays, Recommender
from segue.tasks.playlist.models.sasrec_config import SASRecConfig
from segue.tasks.playlist.models.sasrec_forward import SASRecForward
from segue.tasks.playlist.ranking import Repeats, mid_ranks, top_tracks
from segue.tasks.playlist.sessions import Sessions

__all__ = ["SASRec"]

Narrow = NDArray[np.float32]

_BLOCK = 64  # queries whose scores over all tracks are in memory at once


class SASRec(Recommender):
    """Next track by self-attention; see the module."""

    name = "sasrec"
    config_type = SASRecConfig
    seeded = True

    def __init__(self, config: Config | None = None) -> None:
        super().__init__(config)
        self.chooses = self.config.patience > 0 or self.config.schedule == "plateau"
        self._epochs = self.config.epochs
        self._arrays: Arrays = {}
        self._forward: SASRecForward

    def fit(
        self,
        sessions: Sessions,
        n_tracks: int,
        *,
        validation: Sessions | None = None,
        advance: Advance = silent,
    ) -> Self:
        """Train on every place of every session; see `sasrec_training.train_sasrec`.

        With a `workspace` the training is a run there, which goes on where it was interrupted.
        """
        self.n_tracks = n_tracks
        return self._train(self.config, sessions, self.workspace, validation, advance)

    def refit(self, sessions: Sessions, *, advance: Advance = silent) -> Self:
        """Train anew, for as many epochs as were the best in `fit`.

        The rate falls to 0 over those epochs, or stays where it would be halved on validation.
        """
        changes: dict[str, Any] = {"epochs": self._epochs, "patience": 0}
        if self.config.schedule == "plateau":
            changes["schedule"] = "constant"
        folder = None if self.workspace is None else self.workspace / "refit"
        return self._train(self.config.model_copy(update=changes), sessions, folder, None, advance)

    def _train(
        self,
        config: SASRecConfig,
        sessions: Sessions,
        folder: Path | None,
        validation: Sessions | None,
        advance: Advance,
    ) -> Self:
        from segue.tasks.playlist.models.sasrec_training import train_sasrec

        trained = train_sasrec(
            sessions,
            self.n_tracks,
            config,
            folder=folder,
            validation=validation,
            resume=folder is not None and (folder / "config.toml").is_file(),
            advance=advance,
        )
        self._epochs = trained.epochs
        self.restore(trained.arrays)
        return self

    def arrays(self) -> Arrays:
        """Return vectors, biases, plays and the weights of the network."""
        return dict(self._arrays)

    def restore(self, arrays: Arrays) -> None:
        """Put back what `arrays` returned.

        Raises:
            DataError: something is missing, or does not fit the settings.
        """
        wanted = {"vectors": (self.n_tracks, self.config.dimension), "bias": (self.n_tracks,)}
        wanted["plays"] = (self.n_tracks,)
        for name, shape in wanted.items():
            if name not in arrays or arrays[name].shape != shape:
                raise DataError(f"a SASRec model without {name} of shape {shape}")
        self._forward = SASRecForward(self.config, arrays)
        self._arrays = dict(arrays)
        self.__dict__.pop("item_vectors", None)

    @cached_property
    def item_vectors(self) -> Narrow:
        """What a state is multiplied with to get logits, [V, D].

        `score` adds `item_bias`, and to tracks of the query what a repeat is worth.
        """
        return self._forward.item_vectors()

    @property
    def item_bias(self) -> Narrow:
        """What is added to the logits of every query, [V]."""
        return np.asarray(self._arrays["bias"])

    def states(self, queries: Sessions) -> Narrow:
        """Return the state after the newest known track of each query, [B, D].

        It is 0 where no track of the query is known.
        """
        return self._forward.states(queries)

    def score(self, queries: Sessions) -> Narrow:
        """Return logits [B, V]; of a query without known tracks the log of plays."""
        return self._logits(queries, self.states(queries))

    def recommend(
        self, queries: Sessions, n: int, *, repeats: Repeats = "allowed"
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the best `n` tracks of each query and their scores; see `ranking.top_tracks`."""
        tracks = np.zeros((len(queries), n), dtype=np.int32)
        values = np.zeros((len(queries), n), dtype=np.float32)
        for block, part, logits in self._blocks(queries):
            tracks[block], values[block] = top_tracks(logits, part, n, repeats=repeats)
        return tracks, values

    def ranks(
        self, queries: Sessions, targets: NDArray[np.int32], *, repeats: Repeats = "allowed"
    ) -> NDArray[np.float64]:
        """Return the rank of each target among all tracks, [B]; see `ranking.mid_ranks`."""
        found = np.zeros(len(queries))
        for block, part, logits in self._blocks(queries):
            found[block] = mid_ranks(logits, part, targets[block], repeats=repeats)
        return found

    def answer(
        self, queries: Sessions, targets: NDArray[np.int32], n: int, *, repeats: Repeats = "allowed"
    ) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
        """Return ranks [B] and lists [B, n] of the same queries; see `Recommender.answer`."""
        ranks = np.zeros(len(queries))
        lists = np.zeros((len(queries), n), dtype=np.int32)
        for block, part, logits in self._blocks(queries):
            ranks[block] = mid_ranks(logits, part, targets[block], repeats=repeats)
            lists[block] = top_tracks(logits, part, n, repeats=repeats)[0]
        return ranks, lists

    def _blocks(self, queries: Sessions) -> Any:
        """Yield slices of the queries, their part, and their logits in an array used again."""
        states = self.states(queries)
        kept = np.empty((min(_BLOCK, len(queries)), self.n_tracks), dtype=np.float32)
        for start in range(0, len(queries), _BLOCK):
            stop = min(start + _BLOCK, len(queries))
            part = queries.part(start, stop)
            yield slice(start, stop), part, self._logits(part, states[start:stop], kept)

    def _logits(self, queries: Sessions, states: Narrow, out: Narrow | None = None) -> Narrow:
        out = None if out is None else out[: len(queries)]
        logits: Narrow = np.matmul(states, self.item_vectors.T, out=out)
        logits += self.item_bias
        rows, tracks, bonus = self._forward.again(queries, states)
        logits[rows, tracks] += bonus
        known = np.bincount(queries.owners()[queries.tracks >= 0], minlength=len(queries))
        logits[known == 0] = np.log1p(self._arrays["plays"])
        return logits
