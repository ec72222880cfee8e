"""AdamW for a table of vectors of which an update touches few.

A batch knows a few thousand of a hundred thousand tracks. The averages of the others are left as
they are instead of decayed, as in the lazy Adam of the deep-learning libraries, so an update costs
what it touches. Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2019).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.tasks.playlist.models.sasrec_kernels import adam_rows

__all__ = ["RowAdam"]

Narrow = NDArray[np.float32]


class RowAdam:
    """Optimiser of one table, [V, D].

    Args:
        table: changed in place.
        betas: decay of the averages.
        decay: of the weights.
    """

    def __init__(self, table: Narrow, betas: tuple[float, float], decay: float = 0.0) -> None:
        self.table = table
        self.first = np.zeros_like(table)
        self.second = np.zeros_like(table)
        self._betas, self._decay = betas, decay

    def step(self, rows: NDArray[np.int64], gradient: Narrow, rate: float, step: int) -> None:
        """Make one update.

        Args:
            rows: different rows of the table, [U].
            gradient: of those, [U, D].
            rate: learning rate.
            step: number of this update, from 1.
        """
        beta, beta2 = self._betas
        adam_rows(
            self.table,
            self.first,
            self.second,
            rows,
            gradient,
            np.float32(beta),
            np.float32(beta2),
            np.float32(rate / (1 - beta**step)),
            np.float32(1 / math.sqrt(1 - beta2**step)),
            np.float32(1 - rate * self._decay),
        )

    def state(self) -> dict[str, Any]:
        """Return table and averages."""
        return {"table": self.table, "first": self.first, "second": self.second}

    def load_state(self, state: dict[str, Any]) -> None:
        """Put back what `state` returned."""
        self.table[...] = state["table"]
        self.first[...] = state["first"]
        self.second[...] = state["second"]
