"""The fused ranker: many simple views of the past, weighed against each other on later sessions.

    score(c) = (sum of weight_k component_k(c) / max_c component_k) x exp(sum of weight_j fact_j(c))

Each component (see `components`) is scaled to 1 for the best track of the query, so that a weight
says how much a voice counts whatever its unit. The second factor is what speaks for a track
whatever the query: plays lately and in all, age, how often it ends a session; and `heard`, whether
the query holds it.

Weights are chosen on sessions later than those that the components were fitted on. A ranker that
is fitted with `validation` searches them there; `refit` then takes all sessions and keeps them.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from segue.core.config import Config
from segue.core.progress import Advance, silent
from segue.tasks.playlist.models.base import Arrays
from segue.tasks.playlist.models.components import (
    COMPONENTS,
    TRACK_FACTS,
    ComponentsConfig,
    fit_past,
    past_arrays,
    restore_past,
    track_facts,
)
from segue.tasks.playlist.models.kernels import Table, known_tracks
from segue.tasks.playlist.models.kernels_components import Past, make_work
from segue.tasks.playlist.models.kernels_fused import best_candidates, fused_rows
from segue.tasks.playlist.models.kernels_ranking import SparseRecommender
from segue.tasks.playlist.models.search import SearchConfig, search_weights
from segue.tasks.playlist.protocol import questions
from segue.tasks.playlist.sessions import Sessions

__all__ = ["FACTORS", "Best", "Fused", "FusedConfig"]

FACTORS = (*TRACK_FACTS, "heard")
"""What the second factor of the score is made of."""

Narrow = NDArray[np.float32]


class Best(NamedTuple):
    """The best candidates of `B` queries, best first."""

    tracks: NDArray[np.int32]
    """[B, N]; -1 where there are fewer."""
    scores: Narrow
    """[B, N]."""
    components: Narrow
    """What each component says, not scaled, [B, N, C]."""
    maxima: Narrow
    """The greatest value of each component among all candidates of a query, [B, C]."""


class FusedConfig(Config):
    """Settings of the fused ranker."""

    components: ComponentsConfig = ComponentsConfig()
    """Constants of the components."""
    weights: dict[str, float] = Field(default_factory=dict)
    """Component -> weight, where it is not the default; a search starts from these."""
    factors: dict[str, float] = Field(default_factory=dict)
    """Factor -> weight, where it is not the default."""
    search: SearchConfig = SearchConfig()
    """How weights are chosen on validation sessions."""

    @field_validator("weights")
    @classmethod
    def _weights(cls, given: dict[str, float]) -> dict[str, float]:
        if bad := [name for name, value in given.items() if not 0 <= value < np.inf]:
            raise ValueError(f"the weight of '{bad[0]}' is not a number from 0 up")
        return _named(given, COMPONENTS)

    @field_validator("factors")
    @classmethod
    def _factors(cls, given: dict[str, float]) -> dict[str, float]:
        if bad := [name for name, value in given.items() if not np.isfinite(value)]:
            raise ValueError(f"the weight of '{bad[0]}' is not a finite number")
        return _named(given, FACTORS)


WEIGHTS = {
    "loop": 6.3,
    "bigram": 2.3,
    "item_cf": 1.9,
    "rules": 0.8,
    "rules_recent": 0.5,
    "after": 0.1,
    "before": 0.4,
    "knn": 0.3,
    "lag1": 0.04,
    "lag2": 0.04,
    "lag3": 0.27,
    "reversed": 0.29,
    "newest_vector": 0.07,
    "query_vector": 1.7,
    "fallback": 1.0,
}
"""Of the components: found on the newest tenth of the #nowplaying training sessions."""
FACTOR_WEIGHTS = {"recent_plays": 0.08, "plays": 0.02, "age": -0.05, "ends": 0.3, "heard": -0.48}
"""Of the factors: found there, too."""


class Fused(SparseRecommender):
    """A weighted sum of components times what speaks for a track."""

    name = "fused"
    config_type = FusedConfig
    chooses = True

    past: Past
    """What the components were fitted on."""
    weights: Narrow
    """Of the components, [C]."""
    factor_weights: Narrow
    """Of `FACTORS`, [5]."""
    facts: Narrow
    """What is known of every track, [V, 4]; see `components.TRACK_FACTS`."""

    def __init__(self, config: Config | None = None) -> None:
        super().__init__(config)
        weights, factors = self.config.weights, self.config.factors
        self.weights = _array([weights.get(name, WEIGHTS[name]) for name in COMPONENTS])
        self.factor_weights = _array([factors.get(name, FACTOR_WEIGHTS[name]) for name in FACTORS])

    def fit(
        self,
        sessions: Sessions,
        n_tracks: int,
        *,
        validation: Sessions | None = None,
        advance: Advance = silent,
    ) -> Self:
        """Index the sessions; with `validation` choose the weights on its last tracks."""
        self.n_tracks = n_tracks
        self._index(fit_past(sessions, n_tracks, self.config.components))
        searching = validation is not None and self.config.search.searches > 0
        advance(0.2 if searching else 1.0)
        if validation is not None and searching:
            queries, targets, _ = questions(validation, "last")
            self.weights, self.factor_weights = search_weights(
                self, queries, targets, self.config.search, lambda x: advance(0.8 * x)
            )
            self._index(self.past)
        return self

    def refit(self, sessions: Sessions, *, advance: Advance = silent) -> Self:
        """Index all sessions; the weights stay."""
        return self.fit(sessions, self.n_tracks, advance=advance)

    def table(self, queries: Sessions) -> Table:
        """Return the score of every candidate, rows of [B, V]."""
        return fused_rows(known_tracks(queries), *self._parts())

    def best(self, queries: Sessions, n: int) -> Best:
        """Return the best `n` candidates of each query and what the components say of them."""
        size, n_components = (len(queries), n), len(COMPONENTS)
        best = Best(
            np.full(size, -1, dtype=np.int32),
            np.zeros(size, dtype=np.float32),
            np.zeros((*size, n_components), dtype=np.float32),
            np.zeros((len(queries), n_components), dtype=np.float32),
        )
        arguments: tuple[Any, ...] = (known_tracks(queries), *self._parts(), *best)
        best_candidates(*arguments)
        return best

    def with_weights(self, weights: Narrow, factor_weights: Narrow) -> Fused:
        """Return a ranker over the same past with other weights."""
        other = Fused(self.config)
        other.n_tracks, other.weights, other.factor_weights = self.n_tracks, weights, factor_weights
        other._index(self.past)
        return other

    def arrays(self) -> Arrays:
        """Return the past and the weights."""
        chosen = {"weights": self.weights, "factor_weights": self.factor_weights}
        return {**past_arrays(self.past), **chosen}

    def restore(self, arrays: Arrays) -> None:
        """Put back what `arrays` returned."""
        self.weights, self.factor_weights = arrays["weights"], arrays["factor_weights"]
        self._index(restore_past(arrays, self.n_tracks, self.config.components))

    def _index(self, past: Past) -> None:
        self.past = past
        self.facts = track_facts(past, self.config.components)
        self._track_factors = np.exp(self.facts @ self.factor_weights[:-1]).astype(np.float32)

    def _parts(self) -> tuple[Any, ...]:
        heard = float(np.exp(self.factor_weights[-1]))
        form = self.config.components.form()
        work = make_work(self.past)
        return self.past, form, work, self.weights, self._track_factors, heard


def _array(values: list[float]) -> Narrow:
    return np.asarray(values, dtype=np.float32)


def _named(given: dict[str, float], known: tuple[str, ...]) -> dict[str, float]:
    if strange := [name for name in given if name not in known]:
        raise ValueError(f"'{strange[0]}' is none of {', '.join(known)}")
    return given
