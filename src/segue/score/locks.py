"""Locks: what the user fixed for a segment, a track of the library or music composed for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from segue.core.errors import UnknownName, UsageError
from segue.core.names import unknown

__all__ = ["COMPOSE", "Locks", "asks_to_compose", "check_form", "parse_locks"]

COMPOSE = "compose"
"""In place of a track: compose for this segment."""


@dataclass(frozen=True, slots=True)
class Locks:
    """What is fixed."""

    tracks: dict[int, int] = field(default_factory=dict)
    """Segment -> index of the track."""
    composed: frozenset[int] = frozenset()
    """Segments to compose for."""


def check_form(texts: Sequence[str]) -> None:
    """Refuse locks that are not of the form SEGMENT=TRACK, before anything is known.

    Raises:
        UsageError: one is not.
    """
    for text in texts:
        _parse(text)


def asks_to_compose(texts: Sequence[str]) -> bool:
    """Return whether a lock asks for music of Segue's own."""
    return any(_parse(text)[1] == COMPOSE for text in texts)


def parse_locks(texts: Sequence[str], names: Sequence[str], n_segments: int) -> Locks:
    """Return what is locked.

    Args:
        texts: as given on the command line; a track is named by its path in the library, its file
            name, or its file name without suffix; `compose` stands for music of Segue's own.
        names: paths of the tracks relative to the library.
        n_segments: number of segments.

    Raises:
        UsageError: not of this form, no such segment, or two things for one segment.
        UnknownName: no such track (with the nearest one), or a name that several tracks share.
    """
    tracks: dict[int, int] = {}
    composed: set[int] = set()
    for text in texts:
        segment, name = _parse(text)
        if segment >= n_segments:
            raise UsageError(
                f"there is no segment {segment}",
                where="--lock",
                advice=f"The film has {n_segments} segments, 0 to {n_segments - 1}",
            )
        if name == COMPOSE:
            composed.add(segment)
        else:
            track = _find_track(name, names)
            if tracks.get(segment, track) != track:
                raise UsageError(f"segment {segment} is locked to two tracks", where="--lock")
            tracks[segment] = track
    if both := sorted(composed & tracks.keys()):
        raise UsageError(f"segment {both[0]} is locked to a track and composed", where="--lock")
    return Locks(tracks, frozenset(composed))


def _parse(text: str) -> tuple[int, str]:
    number, equals, name = text.partition("=")
    # Digits of other scripts are digits too, to Python but not to int() in every case.
    if not equals or not number.strip().isdecimal():
        raise UsageError(
            f"'{text}' is not SEGMENT=TRACK", where="--lock", advice="Write --lock 2=calm.ogg"
        )
    return int(number), name.strip()


def _find_track(name: str, names: Sequence[str]) -> int:
    for spelled in (str, lambda n: Path(n).name, lambda n: Path(n).stem):
        hits = [i for i, known in enumerate(names) if spelled(known) == name]
        if len(hits) == 1:
            return hits[0]
        if hits:
            found = ", ".join(names[i] for i in hits)
            raise UnknownName(f"'{name}' names several tracks", where="--lock", advice=found)
    raise unknown("track", name, [*names, COMPOSE], "--lock")
