"""Sessions of listening, in one flat array: what every part of the task passes around.

A session is a list of tracks in the order in which they were heard. `S` sessions with `P` plays are
stored as one array of tracks and the places where each session begins, so that ten million plays
cost forty megabytes and slicing copies nothing. Tracks are numbers 0..V-1 of a vocabulary; a track
that the vocabulary does not know is `UNKNOWN`.

The same type serves as training data, as test data and as a batch of queries (the histories for
which something is to be recommended).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["UNKNOWN", "Sessions"]

Tracks = NDArray[np.int32]

UNKNOWN = -1
"""Number of a track, or of a user, that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sessions:
    """Many sessions; make them with `from_lists` or `from_flat`."""

    tracks: Tracks
    """All plays, session after session, [P]."""
    offsets: NDArray[np.int64]
    """Session i is `tracks[offsets[i]:offsets[i + 1]]`, [S + 1]."""
    users: Tracks
    """Who listened, `UNKNOWN` where the data does not say, [S]."""
    times: NDArray[np.int64]
    """Start, in seconds since 1970; without a clock a number that rises with time, [S]."""
    first_targets: Tracks
    """First place in a session that may be asked for; what is before it is history, [S]."""
    skipped: NDArray[np.bool_] | None = None
    """Whether a play was broken off, [P]; None where the data does not say."""

    @classmethod
    def from_flat(
        cls,
        tracks: ArrayLike,
        lengths: ArrayLike,
        *,
        users: ArrayLike | None = None,
        times: ArrayLike | None = None,
        first_targets: ArrayLike | None = None,
        skipped: ArrayLike | None = None,
    ) -> Self:
        """Build sessions from all plays [P] and the length of each session [S].

        Without `times` the order given is the order of time; without `first_targets` every place
        but the first may be asked for.
        """
        sizes = np.asarray(lengths, dtype=np.int64)
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        flat = np.ascontiguousarray(tracks, dtype=np.int32)
        assert offsets[-1] == len(flat), f"{offsets[-1]} plays in sessions, {len(flat)} given"
        n = len(sizes)

        def whole(values: ArrayLike | None, default: ArrayLike, kind: type) -> NDArray[Any]:
            array: NDArray[Any] = np.asarray(default if values is None else values, dtype=kind)
            return np.ascontiguousarray(np.broadcast_to(array, (n,)))

        return cls(
            tracks=flat,
            offsets=offsets,
            users=whole(users, UNKNOWN, np.int32),
            times=whole(times, np.arange(n), np.int64),
            first_targets=whole(first_targets, 1, np.int32),
            skipped=None if skipped is None else np.asarray(skipped, dtype=np.bool_),
        )

    @classmethod
    def from_lists(cls, lists: Sequence[Sequence[int]], *, users: ArrayLike | None = None) -> Self:
        """Build sessions from lists of tracks."""
        flat = [track for session in lists for track in session]
        return cls.from_flat(
            np.asarray(flat, dtype=np.int32), [len(session) for session in lists], users=users
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, i: int) -> Tracks:
        return self.tracks[self.offsets[i] : self.offsets[i + 1]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of tracks of each session, [S]."""
        return np.diff(self.offsets)

    def part(self, start: int, stop: int) -> Self:
        """Return sessions start..stop-1; nothing is copied."""
        low, high = self.offsets[start], self.offsets[stop]
        return type(self)(
            tracks=self.tracks[low:high],
            offsets=self.offsets[start : stop + 1] - low,
            users=self.users[start:stop],
            times=self.times[start:stop],
            first_targets=self.first_targets[start:stop],
            skipped=None if self.skipped is None else self.skipped[low:high],
        )

    def take(self, which: ArrayLike) -> Self:
        """Return the sessions with the numbers (or where the flags) `which`, in that order."""
        chosen = np.asarray(which)
        chosen = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen.astype(np.int64)
        return self._cut(chosen, self.lengths[chosen])

    def prefixes(self, which: ArrayLike, lengths: ArrayLike) -> Self:
        """Return the first `lengths[i]` tracks of session `which[i]` for every i."""
        return self._cut(np.asarray(which, dtype=np.int64), np.asarray(lengths, dtype=np.int64))

    def newest(self, n: int) -> Self:
        """Return the last `n` tracks (or all, where there are fewer) of every session."""
        lengths = np.minimum(self.lengths, n)
        places = _ranges(self.offsets[1:] - lengths, lengths)
        dropped = (self.lengths - lengths).astype(np.int32)
        return type(self)(
            tracks=self.tracks[places],
            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            users=self.users,
            times=self.times,
            first_targets=np.maximum(self.first_targets - dropped, 0),
            skipped=None if self.skipped is None else self.skipped[places],
        )

    def owners(self) -> NDArray[np.int64]:
        """Return the number of the session of every play, [P]."""
        return np.repeat(np.arange(len(self)), self.lengths)

    @classmethod
    def join(cls, parts: Sequence[Sessions]) -> Self:
        """Return the sessions of all `parts`, one after the other."""
        flags = [part.skipped for part in parts]
        known = [flag for flag in flags if flag is not None]
        return cls.from_flat(
            np.concatenate([part.tracks for part in parts]),
            np.concatenate([part.lengths for part in parts]),
            users=np.concatenate([part.users for part in parts]),
            times=np.concatenate([part.times for part in parts]),
            first_targets=np.concatenate([part.first_targets for part in parts]),
            skipped=np.concatenate(known) if len(known) == len(flags) else None,
        )

    def _cut(self, which: NDArray[np.int64], lengths: NDArray[np.int64]) -> Self:
        places = _ranges(self.offsets[which], lengths)
        return type(self)(
            tracks=self.tracks[places],
            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            users=self.users[which],
            times=self.times[which],
            first_targets=self.first_targets[which],
            skipped=None if self.skipped is None else self.skipped[places],
        )


def _ranges(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return start, start + 1, ... of every range, one after the other."""
    before = np.concatenate([[0], np.cumsum(lengths)[:-1]]) if len(lengths) else lengths
    return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))
