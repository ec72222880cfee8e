"""A table of names that grows, and the merging of two.

The names themselves are a file that is mapped into memory, beside the result that is being made:
the system may write them out when memory is short.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.tasks.playlist.data.names import LONGEST_ROW, Names, enter, gather, rehash

__all__ = ["Table"]


class Table:
    """Names of users or of tracks, numbered in the order in which they were entered.

    Args:
        path: file to make for the names.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("wb") as file:
            file.truncate(2 * LONGEST_ROW)
        self.names = Names(
            slots=np.zeros(1 << 12, dtype=np.uint64),
            heap=self._map(),
            starts=np.zeros(1 << 11, dtype=np.int64),
            sizes=np.zeros((1 << 11, 2), dtype=np.int32),
            used=np.array([0, 1]),  # the first word is taken, so that no name begins at 0
        )

    def __len__(self) -> int:
        return int(self.names.used[0])

    def labels(self, which: NDArray[np.int64]) -> tuple[list[str], list[str]]:
        """Return artists and titles of the tracks `which`."""
        texts = gather(self.names, which).tobytes().decode().split("\0")
        return texts[0:-1:2], texts[1::2]

    def merge(self, other: Table) -> NDArray[np.int32]:
        """Enter the names of `other`, and return the number of each of them here."""
        numbers = np.empty(len(other), dtype=np.int32)
        done = 0
        while (done := enter(self.names, other.names, done, numbers)) < len(other):
            self.grow()
        return numbers

    def grow(self) -> None:
        """Make room for twice as many names in whatever is half full."""
        slots, heap, starts, sizes, used = self.names
        n, n_words = used.tolist()
        if 2 * n > len(starts):
            starts, sizes = (np.concatenate([a, np.zeros_like(a)]) for a in (starts, sizes))
        if 4 * n > len(slots):
            slots = np.zeros(2 * len(slots), dtype=np.uint64)
            rehash(self.names, slots)
        if 2 * n_words > len(heap) or 8 * (len(heap) - n_words) < 2 * LONGEST_ROW:
            size = max(16 * len(heap), 8 * len(heap) + 4 * LONGEST_ROW)
            with self.path.open("rb+") as file:
                file.truncate(size)
            heap = self._map()
        self.names = Names(slots, heap, starts, sizes, used)

    def _map(self) -> NDArray[np.uint64]:
        # A plain array over the map: the compiled code is made for one type.
        return np.asarray(np.memmap(self.path, dtype=np.uint64, mode="r+"))
