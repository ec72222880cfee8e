"""Melodies as one symbol per sixteenth note: the alphabet, and the one codec for it.

Two alphabets say the same:

- *classes* 0..37, what networks and rules see: 0 note-off (a rest starts), 1 no-event (the note or
  rest that is there goes on), 2..37 the onset of MIDI pitch `48 + (class - 2)`, C3 to B5;
- *melody events*, for exchange with other programs: -1 note-off, -2 no-event, 0..127 the onset of a
  MIDI pitch.

A melody has one voice: an onset ends the note before it. A step is a sixteenth (four per quarter
note). `4 1 0 1` is D3 for an eighth, then an eighth of rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segue.core.errors import DataError
from segue.music.notes import TICKS_PER_QUARTER, Note

__all__ = [
    "FIRST_ONSET",
    "HIGHEST_PITCH",
    "LOWEST_PITCH",
    "MELODY_NOTE_OFF",
    "MELODY_NO_EVENT",
    "NOTE_OFF",
    "NO_EVENT",
    "N_CLASSES",
    "STEPS_PER_QUARTER",
    "TICKS_PER_STEP",
    "class_of_pitch",
    "classes_from_events",
    "classes_from_notes",
    "events_from_classes",
    "notes_from_classes",
    "parse_events",
    "pitch_of_class",
]

NOTE_OFF = 0
NO_EVENT = 1
FIRST_ONSET = 2
"""Classes from here on are onsets."""
LOWEST_PITCH = 48
"""C3, the pitch of class 2."""
HIGHEST_PITCH = 83
"""B5, the pitch of class 37; three octaves in all."""
N_CLASSES = FIRST_ONSET + HIGHEST_PITCH - LOWEST_PITCH + 1
MELODY_NOTE_OFF = -1
MELODY_NO_EVENT = -2
STEPS_PER_QUARTER = 4
TICKS_PER_STEP = TICKS_PER_QUARTER // STEPS_PER_QUARTER

Classes = NDArray[np.int64]


def pitch_of_class(symbol: int) -> int:
    """Return the MIDI pitch of an onset class."""
    return LOWEST_PITCH + symbol - FIRST_ONSET


def class_of_pitch(pitch: int) -> int:
    """Return the onset class of a MIDI pitch.

    Raises:
        DataError: the pitch is not in the alphabet.
    """
    if not LOWEST_PITCH <= pitch <= HIGHEST_PITCH:
        raise DataError(
            f"pitch {pitch} is outside {LOWEST_PITCH} (C3) to {HIGHEST_PITCH} (B5)",
            advice="Transpose the melody by octaves",
        )
    return pitch - LOWEST_PITCH + FIRST_ONSET


def events_from_classes(classes: ArrayLike) -> Classes:
    """Turn classes [T] into melody events [T]."""
    c = np.asarray(classes, dtype=np.int64)
    special = np.where(c == NOTE_OFF, MELODY_NOTE_OFF, MELODY_NO_EVENT)
    return np.where(c >= FIRST_ONSET, c - FIRST_ONSET + LOWEST_PITCH, special)


def classes_from_events(events: ArrayLike) -> Classes:
    """Turn melody events [T] into classes [T].

    Raises:
        DataError: an event is neither -1, -2 nor a pitch of the alphabet.
    """
    e = np.asarray(events, dtype=np.int64)
    inside = (e >= LOWEST_PITCH) & (e <= HIGHEST_PITCH)
    wrong = np.flatnonzero(~inside & (e != MELODY_NOTE_OFF) & (e != MELODY_NO_EVENT))
    if len(wrong):
        raise DataError(
            f"event {int(e[wrong[0]])} at step {int(wrong[0])} is not in the alphabet",
            advice=f"Pitches are {LOWEST_PITCH} to {HIGHEST_PITCH}, "
            f"{MELODY_NOTE_OFF} is note-off, {MELODY_NO_EVENT} holds",
        )
    special = np.where(e == MELODY_NOTE_OFF, NOTE_OFF, NO_EVENT)
    return np.where(inside, e - LOWEST_PITCH + FIRST_ONSET, special)


def parse_events(text: str) -> Classes:
    """Read melody events written as text, as in `"60 -2 60 -2"` or `"[60, -2, 60, -2]"`.

    Raises:
        DataError: the text holds something else than whole numbers, or an unknown event.
    """
    body = text.strip()
    if body.startswith("[") and body.endswith("]"):
        body = body[1:-1]
    words = [word for word in re.split(r"[\s,]+", body) if word]
    bad = next((word for word in words if not re.fullmatch(r"[+-]?\d{1,4}", word)), None)
    if bad is not None or not words:
        what = f"'{bad}' is not a melody event" if words else "no melody events"
        raise DataError(
            what, advice='Write whole numbers as in "60 -2 67 -1": pitches, -2 hold, -1 note-off'
        )
    return classes_from_events([int(word) for word in words])


def notes_from_classes(
    classes: Sequence[int] | Classes, *, ticks_per_step: int = TICKS_PER_STEP, velocity: int = 100
) -> tuple[Note, ...]:
    """Return the notes that a sequence of classes stands for; a note ends with the sequence."""
    notes: list[Note] = []
    begun: tuple[int, int] | None = None  # (step, pitch) of the note that sounds
    for step, symbol in enumerate([*map(int, classes), NOTE_OFF]):
        if symbol == NO_EVENT:
            continue
        if begun is not None:
            start, pitch = begun
            notes.append(Note(start * ticks_per_step, pitch, step * ticks_per_step, velocity))
        begun = (step, pitch_of_class(symbol)) if symbol >= FIRST_ONSET else None
    return tuple(notes)


def classes_from_notes(notes: Iterable[tuple[int, int, int]], n_steps: int) -> Classes:
    """Return the classes of one voice.

    Args:
        notes: (first step, step after the last, pitch), ordered, without overlaps.
        n_steps: length of the result; a note that is still sounding at the end gets no note-off.

    Raises:
        DataError: a pitch is not in the alphabet.
    """
    classes = np.full(n_steps, NO_EVENT, dtype=np.int64)
    for start, end, pitch in notes:
        if start >= n_steps:
            break
        classes[start] = class_of_pitch(pitch)
        if end < n_steps:  # overwritten by the next onset where that follows at once
            classes[end] = NOTE_OFF
    return classes
