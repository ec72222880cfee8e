"""Sessions in batches of about equal length, so that nearly nothing is padded.

Music sessions are short and of many lengths; padded all to the longest, most of a batch would be
padding. Here they are sorted by length, in random order among equals, cut into batches of about
the same number of targets, and the batches are shuffled. What little padding there is stands after
the real tracks, where causal attention does not see it.

`B` sessions of a batch, `T` tracks that are read, `W` windows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.tasks.playlist.sessions import Sessions

__all__ = ["Batch", "Batches"]

Longs = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Batch:
    """Some windows: after each of the tracks read, another one is wanted."""

    inputs: Longs
    """[B, T]; 0 where there is padding."""
    targets: Longs
    """[B, T]; -1 where there is padding."""


class Batches:
    """All windows of the training sessions; unknown tracks are left out of them.

    Args:
        sessions: [S].
        length: most tracks that are read at once.
        size: targets of a batch.
        newest: only the newest window of every session.
    """

    def __init__(self, sessions: Sessions, length: int, size: int, *, newest: bool = False) -> None:
        known = sessions.tracks >= 0
        self._tracks = sessions.tracks[known].astype(np.int64)
        lengths = np.bincount(sessions.owners()[known], minlength=len(sessions))
        stops = np.cumsum(lengths)
        # Windows are cut from the newest track backwards; each begins with the last one of the
        # window before, so that every track but the first of a session is a target once.
        targets = np.maximum(lengths - 1, 0)
        counts = -(-targets // length)
        if newest:
            counts = np.minimum(counts, 1)
        owner = np.repeat(np.arange(len(lengths)), counts)
        number = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        self._sizes = np.minimum(targets[owner] - number * length, length)
        self._starts = stops[owner] - 1 - number * length - self._sizes
        ordered = -np.sort(-self._sizes)
        self._cuts = [0]
        while self._cuts[-1] < len(ordered):
            self._cuts.append(self._cuts[-1] + max(1, size // int(ordered[self._cuts[-1]])))
        self._cuts[-1] = len(ordered)

    def __len__(self) -> int:
        """Number of batches of an epoch."""
        return len(self._cuts) - 1

    @property
    def n_targets(self) -> int:
        """Number of targets of an epoch."""
        return int(self._sizes.sum())

    def epoch(self, rng: np.random.Generator, first: int = 0) -> Iterator[Batch]:
        """Yield all batches in a new order, from the one with number `first` on."""
        order = rng.permutation(len(self._sizes))
        order = order[np.argsort(-self._sizes[order], kind="stable")]
        for i in rng.permutation(len(self))[first:]:
            which = order[self._cuts[i] : self._cuts[i + 1]]
            sizes = self._sizes[which][:, None]
            steps = np.arange(sizes.max())
            places = self._starts[which][:, None] + np.minimum(steps, sizes - 1)
            real = steps < sizes
            yield Batch(
                np.where(real, self._tracks[places], 0),
                np.where(real, self._tracks[places + 1], -1),
            )
