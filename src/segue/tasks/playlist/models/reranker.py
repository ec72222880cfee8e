"""The re-ranker: a network that puts the fused ranker's best candidates in a better order.

It is supervised: softmax cross-entropy over all candidates of a question, with the track that came
as the answer. Questions come from the later part of the training sessions, and each is described by
a fused ranker that was fitted on earlier sessions only (`agents.blocks`). All candidates are in
every update: a sample of the wrong ones would make low-ranked answers far too common.

`CandidateModel` is what the re-ranker shares with the agents: candidates of a fused ranker, scored
by a network that needs no torch to answer. Letters: `B` queries, `N` candidates, `V` tracks.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from segue.core.config import Config
from segue.core.errors import DataError, MissingModel
from segue.core.files import read_json, write_json
from segue.core.progress import Advance, silent
from segue.tasks.playlist.agents.config import ScorerConfig
from segue.tasks.playlist.agents.scorer import NumpyScorer
from segue.tasks.playlist.candidates import Candidates
from segue.tasks.playlist.models.base import Arrays, Recommender
from segue.tasks.playlist.models.features import make_candidates
from segue.tasks.playlist.models.fused import Fused
from segue.tasks.playlist.ranking import Scores
from segue.tasks.playlist.sessions import Sessions

__all__ = ["CandidateModel", "Reranker", "RerankerConfig"]

_PRIOR = "prior.json"
_MODEL = "model.safetensors"


class CandidateModel(Recommender):
    """A network over the candidates of a fused ranker.

    The fused ranker is not copied into the model's folder where the run has it already: prior.json
    says where it lies and what its content was.
    """

    seeded = True
    prior: Fused
    """Fitted on everything that is known."""
    _weights: Arrays

    def __init__(self, config: Config | None = None) -> None:
        super().__init__(config)
        self._weights = {}

    @property
    def scorer(self) -> NumpyScorer:
        """The network."""
        return NumpyScorer(self._weights)

    def candidates(self, queries: Sessions) -> Candidates:
        """Return the candidates of each query, [B, N]."""
        return make_candidates(self.prior, queries, self.config.n_candidates)

    def score(self, queries: Sessions) -> Scores:
        """Return the logits of the candidates, sparse [B, V]; other tracks are worse."""
        found = self.candidates(queries)
        logits, here = self.scorer(found), found.mask
        counts = here.sum(axis=1)
        rows = sparse.csr_matrix(
            (logits[here], found.tracks[here], np.concatenate([[0], np.cumsum(counts)])),
            shape=(len(queries), self.n_tracks),
        )
        rows.sort_indices()
        return rows

    def arrays(self) -> Arrays:
        """Return the weights."""
        return dict(self._weights)

    def restore(self, arrays: Arrays) -> None:
        """Put back what `arrays` returned; the prior is read by `load`."""
        self._weights = dict(arrays)
        _ = self.scorer  # refuses what is none

    def save(self, folder: Path) -> None:
        """Write the model, and the prior where no sibling folder of the run has it."""
        content = _digest_of(self.prior)
        for place in _places(folder):
            if (place / _MODEL).is_file() and _fingerprint(place) == content:
                break
        else:
            place = folder / "prior"
            self.prior.save(place)
        where = os.path.relpath(place, folder)
        super().save(folder)
        write_json(folder / _PRIOR, {"folder": where, "fingerprint": content})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            MissingModel: there is no model in `folder`, or its prior is gone.
            DataError: it is damaged, is another model, or its prior is not what it was.
        """
        model = super().load(folder)
        try:
            facts = read_json(folder / _PRIOR)
            place, content = folder / str(facts["folder"]), str(facts["fingerprint"])
            run = folder.resolve().parent.parent
            if not place.resolve().is_relative_to(run):
                raise ValueError(f"{facts['folder']!r} leads out of the run")
        except FileNotFoundError:
            raise MissingModel(
                f"no {cls.name} model here: {_PRIOR} is missing", where=folder
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"cannot read {_PRIOR}: {error!r}", where=folder) from None
        model.prior = Fused.load(place)
        if _digest_of(model.prior) != content:
            raise DataError(
                f"the fused ranker in {place} is not the one that this model was trained on",
                where=folder,
                advice="Train the model again",
            )
        return model


class RerankerConfig(ScorerConfig):
    """Settings of the re-ranker."""

    shares: tuple[float, ...] = Field((0.7, 0.8, 0.9, 1.0), min_length=2)
    """Where the sessions are cut, as shares of all; each part is described by what is before it."""


class Reranker(CandidateModel):
    """The supervised re-ranker."""

    name = "reranker"
    config_type = RerankerConfig

    def fit(
        self,
        sessions: Sessions,
        n_tracks: int,
        *,
        validation: Sessions | None = None,
        advance: Advance = silent,
    ) -> Self:
        """Train on the later part of `sessions`.

        Args:
            sessions: [S], in order of time.
            n_tracks: V.
            validation: later sessions, on which a fused ranker chooses its weights where the run
                has none yet.
            advance: told the share of the work that is done.

        Raises:
            DataError: there is nothing to learn from.
        """
        from segue.tasks.playlist.agents.blocks import ask_next, question_blocks
        from segue.tasks.playlist.agents.questions import Questions
        from segue.tasks.playlist.agents.supervised import train_scorer

        config: RerankerConfig = self.config
        self.n_tracks = n_tracks
        self.prior = self._known_prior(sessions, n_tracks, validation)
        cuts = [round(share * len(sessions)) for share in config.shares]
        found = question_blocks(
            self.prior,
            sessions,
            cuts,
            lambda part: ask_next(part, config.earlier_places, 0),  # the same for every seed
            config.n_candidates,
            advance=lambda x: advance(0.5 * x),
        )
        self._weights = train_scorer(Questions.join(found), config, lambda x: advance(0.5 * x))
        return self

    def _known_prior(self, sessions: Sessions, n_tracks: int, validation: Sessions | None) -> Fused:
        """Return the run's fused ranker, fitted on `sessions`, or a new one."""
        place = self.workspace.parent.parent / Fused.name if self.workspace else None
        if place is None or not (place / "model.json").is_file():
            return Fused().fit(sessions, n_tracks, validation=validation)
        prior = Fused.load(place)
        if prior.n_tracks == n_tracks and np.array_equal(prior.past.rows.tracks, sessions.tracks):
            return prior
        return prior.refit(sessions)


def _places(folder: Path) -> list[Path]:
    """Return where the run of a model or an agent keeps its fused ranker."""
    return [folder.parent / Fused.name, folder.parent.parent / "models" / Fused.name]


def _fingerprint(place: Path) -> str:
    try:
        return _digest_of(Fused.load(place))
    except (DataError, MissingModel):
        return ""


def _digest_of(prior: Fused) -> str:
    """Return a hash of everything that was fitted."""
    total = hashlib.sha256()
    arrays: dict[str, NDArray[Any]] = prior.arrays()
    for name in sorted(arrays):
        total.update(name.encode())
        total.update(np.ascontiguousarray(arrays[name]).tobytes())
    return total.hexdigest()
