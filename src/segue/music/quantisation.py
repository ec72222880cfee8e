"""Pieces cut into sections of one meter and one tempo, with times in steps.

A step is a sixteenth note. Steps are counted from the start of the section, so a section begins at
a bar line. A time half-way between two steps goes to the later one; a note that would vanish keeps
one step.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from segue.music.events import STEPS_PER_QUARTER
from segue.music.notes import DEFAULT_QPM, Piece
from segue.music.theory import Meter

__all__ = ["Section", "StepNote", "sections"]

StepNote = tuple[int, int, int]
"""(first step, step after the last, pitch)."""


@dataclass(frozen=True, slots=True)
class Section:
    """A stretch of a piece."""

    start: int
    """First tick."""
    ticks_per_quarter: int
    meter: Meter
    qpm: float
    parts: tuple[tuple[int, tuple[StepNote, ...]], ...]
    """(index of the part in the piece, its notes by step and then from the top down), for each
    part that has notes here and is not percussion."""

    def tick_of(self, step: int) -> int:
        """Return the tick at which a step begins."""
        return self.start + step * self.ticks_per_quarter // STEPS_PER_QUARTER


def sections(piece: Piece, *, split_at_tempo: bool = True) -> tuple[Section, ...]:
    """Cut a piece where its meter or tempo becomes another one.

    Sections in which no melodic note begins are left out. Notes without velocity are ignored, and
    a note ends with the section in which it begins.
    """
    changes = _changes(piece, split_at_tempo)
    starts = [tick for tick, _, _ in changes]
    ends = [*starts[1:], piece.end]
    voices: list[dict[int, list[StepNote]]] = [{} for _ in changes]
    per_quarter = piece.ticks_per_quarter
    for index, part in enumerate(piece.parts):
        if part.is_drum:
            continue
        at = 0
        for note in part.notes:
            if not note.velocity:
                continue
            if at + 1 < len(starts) and note.start >= starts[at + 1]:
                at = bisect_right(starts, note.start) - 1
            first = _step(note.start - starts[at], per_quarter)
            after = _step(min(note.end, ends[at]) - starts[at], per_quarter)
            voices[at].setdefault(index, []).append((first, max(after, first + 1), note.pitch))
    return tuple(
        Section(
            start=tick,
            ticks_per_quarter=per_quarter,
            meter=meter,
            qpm=qpm,
            parts=tuple(
                (index, tuple(sorted(notes, key=lambda n: (n[0], -n[2]))))
                for index, notes in voice.items()
            ),
        )
        for (tick, meter, qpm), voice in zip(changes, voices, strict=True)
        if voice
    )


def _changes(piece: Piece, split_at_tempo: bool) -> list[tuple[int, Meter, float]]:
    """Return (tick, meter, tempo) of each section; what is said twice is no change."""
    meters = {tick: Meter(beats, unit) for tick, beats, unit in piece.meters}
    tempos = dict(piece.tempos)
    meter, qpm = Meter(), DEFAULT_QPM
    found: list[tuple[int, Meter, float]] = []
    for tick in sorted({0, *meters, *tempos}):
        before = (meter, qpm)
        meter, qpm = meters.get(tick, meter), tempos.get(tick, qpm)
        new = meter != before[0] or (split_at_tempo and qpm != before[1])
        if not found or (new and tick < piece.end):
            found.append((tick, meter, qpm))
    return found


def _step(ticks: int, per_quarter: int) -> int:
    return (2 * STEPS_PER_QUARTER * ticks + per_quarter) // (2 * per_quarter)
