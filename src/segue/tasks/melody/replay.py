"""Experience: whole compositions, or single steps with the recurrent states they were played in.

Both are rings: the oldest experience makes room for the newest. Both can be kept in a checkpoint
and brought back exactly.

Letters: `B` compositions, `N` notes of each, `V` classes, `S` numbers of a recurrent state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ring"]

Array = NDArray[Any]


class Ring:
    """A ring of rows, each of the same named fields.

    Args:
        capacity: rows that are kept.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.position = 0
        """Where the next row goes."""
        self.size = 0
        """Rows that are filled."""
        self._fields: dict[str, Array] = {}

    def add(self, rows: Mapping[str, Array]) -> None:
        """Add rows: name -> [n, ...], the same n for all; at most `capacity` are kept."""
        count = len(next(iter(rows.values())))
        where = (self.position + np.arange(count)) % self.capacity
        for name, values in rows.items():
            if name not in self._fields:
                shape = (self.capacity, *values.shape[1:])
                self._fields[name] = np.zeros(shape, dtype=values.dtype)
            # of rows that meet in one place the last one stays, as if added one by one
            self._fields[name][where[-self.capacity :]] = values[-self.capacity :]
        self.position = int((self.position + count) % self.capacity)
        self.size = min(self.size + count, self.capacity)

    def draw(self, count: int, rng: np.random.Generator) -> dict[str, Array]:
        """Return `count` different rows, or all if there are fewer."""
        rows = rng.choice(self.size, size=min(count, self.size), replace=False, shuffle=False)
        return {name: values[rows] for name, values in self._fields.items()}

    def arrays(self) -> dict[str, Array]:
        """Return the filled rows, for a checkpoint."""
        return {name: values[: self.size] for name, values in self._fields.items()}

    def load(self, arrays: Mapping[str, Array], position: int) -> None:
        """Undo `arrays`; `position` is where the next row went."""
        self._fields, self.size = {}, 0
        for name, values in arrays.items():
            full = np.zeros((self.capacity, *values.shape[1:]), dtype=values.dtype)
            full[: len(values)] = values
            self._fields[name] = full
            self.size = len(values)
        self.position = position
