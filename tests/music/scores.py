"""Small pieces for the tests of readers and of the extraction."""

from __future__ import annotations

from collections.abc import Sequence

from segue.music.notes import Note, Part, Piece

QUARTER = 480
SCALE = (60, 62, 64, 65, 67, 69, 71, 72)


def line(pitches: Sequence[int], *, length: int = QUARTER, start: int = 0) -> tuple[Note, ...]:
    """Notes of equal length, one after another."""
    return tuple(
        Note(start + index * length, pitch, start + (index + 1) * length)
        for index, pitch in enumerate(pitches)
    )


def tune(n_bars: int = 8, *, start: int = 0) -> tuple[Note, ...]:
    """Quarter notes of the C major scale, up and down, in 4/4."""
    pitches = [*SCALE, *SCALE[::-1]]
    return line([pitches[i % 16] for i in range(4 * n_bars)], start=start)


def piece(*parts: Sequence[Note], **more: object) -> Piece:
    """A piece of named parts."""
    named = tuple(Part(tuple(notes), name=f"part {i}") for i, notes in enumerate(parts))
    return Piece(named, **more)  # type: ignore[arg-type]
