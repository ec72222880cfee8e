"""A piece of music as notes, between every reader, writer and renderer.

Times are whole ticks, so nothing is rounded on the way from one file format to another; a quarter
note lasts `ticks_per_quarter`. Pitches are MIDI numbers (60 is middle C), velocities 1..127,
programmes General MIDI numbers from 0 (0 is the grand piano), tempi quarter notes per minute.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = [
    "DEFAULT_QPM",
    "DEFAULT_VELOCITY",
    "TICKS_PER_QUARTER",
    "Note",
    "Part",
    "Piece",
    "sorted_notes",
]

TICKS_PER_QUARTER = 480
"""Resolution of the pieces that Segue makes; divisible by 3, 5 and all powers of 2 to 32."""
DEFAULT_QPM = 120.0
"""What a MIDI file without a tempo means."""
DEFAULT_VELOCITY = 100


@dataclass(frozen=True, slots=True, order=True)
class Note:
    """One note; ordered by start, then pitch."""

    start: int
    """First tick."""
    pitch: int
    end: int
    """Tick after the last one."""
    velocity: int = DEFAULT_VELOCITY


@dataclass(frozen=True, slots=True)
class Part:
    """The notes of one instrument, ordered by start."""

    notes: tuple[Note, ...]
    program: int = 0
    is_drum: bool = False
    name: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """Parts that sound together."""

    parts: tuple[Part, ...]
    ticks_per_quarter: int = TICKS_PER_QUARTER
    tempos: tuple[tuple[int, float], ...] = ((0, DEFAULT_QPM),)
    """(tick, quarter notes per minute), ordered by tick."""
    meters: tuple[tuple[int, int, int], ...] = ((0, 4, 4),)
    """(tick, beats, beat unit), ordered by tick."""
    title: str = ""

    @property
    def end(self) -> int:
        """Tick at which the last note ends."""
        return max((note.end for part in self.parts for note in part.notes), default=0)

    def seconds(self, tick: float) -> float:
        """Return the time of a tick in seconds by the tempo map."""
        total, since, qpm = 0.0, 0, DEFAULT_QPM
        for at, new in self.tempos:
            if at >= tick:
                break
            total += _duration_s(at - since, qpm, self.ticks_per_quarter)
            since, qpm = at, new
        return total + _duration_s(tick - since, qpm, self.ticks_per_quarter)

    @property
    def duration_s(self) -> float:
        """Seconds until the last note ends."""
        return self.seconds(self.end)


def sorted_notes(notes: Iterable[Note]) -> tuple[Note, ...]:
    """Return notes in the order that `Part` asks for."""
    return tuple(sorted(notes))


def _duration_s(ticks: float, qpm: float, ticks_per_quarter: int) -> float:
    return ticks * 60.0 / (qpm * ticks_per_quarter)
