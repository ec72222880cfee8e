"""Find the tracks of a listening history among those of a vocabulary, by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from segue.tasks.playlist.data.prepared import Vocabulary
from segue.tasks.playlist.history_formats import Heard
from segue.tasks.playlist.spelling import track_key

__all__ = ["Matched", "TrackIndex", "match_history"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Matched:
    """A history in numbers."""

    tracks: NDArray[np.int32]
    """Numbers of the plays that are known, in the order of the history."""
    unknown: list[str]
    """ "artist - title" of each other track, once, in the order of the history."""
    n_unknown: int
    """Plays of those."""
    ambiguous: list[str]
    """Tracks whose spelling fits several known ones; the most played of them was taken."""


class TrackIndex:
    """Finds numbers of tracks by name: as it is spelled, else by what spellings have in common.

    Made once, it answers in microseconds; the second table is made when the first one fails.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        names = zip(vocabulary.artists, vocabulary.titles, strict=True)
        # From the back, so that of equal names the first one stays.
        rows = list(enumerate(names))
        self._exact = {name: number for number, name in reversed(rows)}
        self._similar: dict[str, int | list[int]] | None = None

    def find(self, artist: str, title: str) -> list[int]:
        """Return the numbers that a name may mean, the most played first; none if it is unknown."""
        number = self._exact.get((artist, title))
        if number is not None:
            return [number]
        if self._similar is None:
            self._similar = self._by_spelling()
        found = self._similar.get(track_key(artist, title), [])
        if isinstance(found, int):
            return [found]
        plays = self._vocabulary.plays
        return sorted(found, key=lambda track: (-int(plays[track]), track))

    def match(self, heard: Iterable[Heard]) -> Matched:
        """Return the tracks of a history."""
        tracks: list[int] = []
        unknown: Counter[str] = Counter()
        ambiguous: dict[str, None] = {}
        known: dict[tuple[str, str], list[int]] = {}
        for play in heard:
            name = (play.artist, play.title)
            if name not in known:
                known[name] = self.find(*name)
            found = known[name]
            if found:
                tracks.append(found[0])
            else:
                unknown[f"{play.artist} - {play.title}"] += 1
            if len(found) > 1:
                ambiguous[f"{play.artist} - {play.title}"] = None
        return Matched(
            tracks=np.asarray(tracks, dtype=np.int32),
            unknown=list(unknown),
            n_unknown=unknown.total(),
            ambiguous=list(ambiguous),
        )

    def _by_spelling(self) -> dict[str, int | list[int]]:
        similar: dict[str, int | list[int]] = {}
        for (artist, title), number in reversed(self._exact.items()):
            key = track_key(artist, title)
            there = similar.get(key)
            if there is None:
                similar[key] = number
            elif isinstance(there, int):
                similar[key] = [there, number]
            else:
                there.append(number)
        return similar


def match_history(
    heard: Iterable[Heard], vocabulary: Vocabulary
) -> tuple[NDArray[np.int32], list[str]]:
    """Return the numbers of a history's tracks, in its order, and the names of unknown ones, once.

    `TrackIndex.match` tells more. The index of the last vocabulary is kept for the next call.
    """
    found = _index(vocabulary).match(heard)
    return found.tracks, found.unknown


@lru_cache(maxsize=1)
def _index(vocabulary: Vocabulary) -> TrackIndex:
    return TrackIndex(vocabulary)
