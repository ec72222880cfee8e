"""The few tracks that may come next, described by numbers: what the re-ranker and the agent see.

`B` queries, `N` candidates, `F` numbers of a candidate, `S` numbers of a query, `V` tracks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Candidates"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidates:
    """Candidates of a batch of queries, best first by the prior."""

    tracks: NDArray[np.int32]
    """[B, N]; -1 where a query has fewer candidates."""
    numbers: NDArray[np.float32]
    """What is known of a candidate, [B, N, F]; 0 where there is none."""
    state: NDArray[np.float32]
    """What is known of a query, [B, S]."""
    prior: NDArray[np.float32]
    """Logit of the prior (log of the fused ranker's score), [B, N]; -1e9 where there is none."""

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Where there is a candidate, [B, N]."""
        return self.tracks >= 0

    def __len__(self) -> int:
        return len(self.tracks)

    def take(self, which: NDArray[np.int64]) -> Self:
        """Return the queries with these numbers."""
        return type(self)(
            tracks=self.tracks[which],
            numbers=self.numbers[which],
            state=self.state[which],
            prior=self.prior[which],
        )

    def places(self, targets: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return where each target [B] stands among the candidates, -1 where it does not, [B]."""
        equal = self.tracks == targets[:, None]
        return np.where(equal.any(axis=1), equal.argmax(axis=1), -1)
