"""A prepared folder: what `prepare` writes and every other command reads.

    plays.parquet        one row a play: part (train, validation, test), session, track, skipped
    sessions.parquet     one row a session: part, user, start, first_target
    tracks.parquet       the vocabulary in the order of the numbers: artist, title, plays
    prepared.json        source, settings, split, counts of everything that was dropped and why

Validation and test sessions keep their known history: `first_targets` says where the part that is
asked for begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.tasks.playlist.sessions import Sessions

__all__ = ["Prepared", "Vocabulary"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Vocabulary:
    """The tracks, by number."""

    artists: tuple[str, ...]
    """Empty texts where the data has no names."""
    titles: tuple[str, ...]
    """Where the data has numbers instead of names, those, as text."""
    plays: NDArray[np.int64]
    """How often each was played in all training sessions, [V]."""

    def __len__(self) -> int:
        return len(self.titles)

    def label(self, track: int) -> str:
        """Return "artist - title", or the title alone where there is no artist."""
        artist = self.artists[track]
        return f"{artist} - {self.titles[track]}" if artist else self.titles[track]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """A prepared folder in memory."""

    name: str
    """Name of the data set."""
    fingerprint: str
    """`sha256:...` of the content."""
    vocabulary: Vocabulary
    train: Sessions
    validation: Sessions
    """Later than `train`, earlier than `test`; what is tuned is tuned on these."""
    test: Sessions
    facts: dict[str, Any]
    """prepared.json."""
