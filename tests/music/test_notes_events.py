from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.core.errors import DataError
from segue.music.events import (
    N_CLASSES,
    NO_EVENT,
    NOTE_OFF,
    TICKS_PER_STEP,
    class_of_pitch,
    classes_from_events,
    classes_from_notes,
    events_from_classes,
    notes_from_classes,
    parse_events,
    pitch_of_class,
)
from segue.music.notes import Note, Part, Piece, sorted_notes

CLASSES = st.lists(st.integers(0, N_CLASSES - 1), min_size=1, max_size=60)


def test_the_alphabet_is_the_specifications() -> None:
    assert N_CLASSES == 38
    assert (pitch_of_class(2), pitch_of_class(14), pitch_of_class(37)) == (48, 60, 83)
    assert [class_of_pitch(pitch) for pitch in (48, 60, 83)] == [2, 14, 37]


@pytest.mark.parametrize("pitch", [47, 84, -1])
def test_a_pitch_outside_is_refused(pitch: int) -> None:
    with pytest.raises(DataError, match=rf"pitch {pitch} is outside 48 .* to 83"):
        class_of_pitch(pitch)


def test_an_eighth_and_an_eighth_of_rest() -> None:
    """The example of the specification: D3 for an eighth, then silence."""
    step = TICKS_PER_STEP
    assert notes_from_classes([4, 1, 0, 1]) == (Note(0, 50, 2 * step),)
    assert events_from_classes([4, 1, 0, 1]).tolist() == [50, -2, -1, -2]


def test_an_onset_ends_the_note_before_it() -> None:
    notes = notes_from_classes([1, 14, 1, 16, 0, 0, 18], ticks_per_step=1)
    assert [(n.start, n.pitch, n.end) for n in notes] == [(1, 60, 3), (3, 62, 4), (6, 64, 7)]


@given(CLASSES)
def test_events_and_classes_say_the_same(classes: list[int]) -> None:
    assert classes_from_events(events_from_classes(classes)).tolist() == classes


@given(CLASSES)
def test_notes_sound_as_the_classes_say(classes: list[int]) -> None:
    """Notes written back are the classes, but for a note-off in silence: it says nothing."""
    notes = [(n.start, n.end, n.pitch) for n in notes_from_classes(classes, ticks_per_step=1)]
    expected, sounding = [], False
    for symbol in classes:
        expected.append(NO_EVENT if symbol == NOTE_OFF and not sounding else symbol)
        sounding = symbol >= 2 or (sounding and symbol == NO_EVENT)
    assert classes_from_notes(notes, len(classes)).tolist() == expected


def test_notes_beyond_the_end_are_cut() -> None:
    assert classes_from_notes([(0, 2, 60), (3, 9, 62), (9, 10, 64)], 5).tolist() == [
        14,
        1,
        0,
        16,
        1,
    ]


@pytest.mark.parametrize("text", ["60 -2 67 -1", "[60, -2, 67, -1]", " 60,-2\n67 -1 "])
def test_events_as_text(text: str) -> None:
    assert parse_events(text).tolist() == [14, 1, 21, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no melody events"),
        ("60 x", "'x' is not"),
        ("60 20", "event 20 at step 1"),
        ("[-3]", "event -3"),
    ],
)
def test_wrong_events_are_named(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_events(text)


def test_seconds_follow_the_tempo_map() -> None:
    notes = (Note(0, 60, 480), Note(480, 62, 1920))
    piece = Piece((Part(notes),), tempos=((0, 120.0), (960, 60.0)))
    assert piece.seconds(480) == pytest.approx(0.5)
    assert piece.duration_s == pytest.approx(1.0 + 2.0)
    assert (piece.end, Piece(()).end, Piece(()).duration_s) == (1920, 0, 0.0)


def test_notes_are_ordered_by_start_and_pitch() -> None:
    notes = [Note(4, 60, 8), Note(0, 64, 2), Note(0, 60, 9)]
    assert [(n.start, n.pitch) for n in sorted_notes(notes)] == [(0, 60), (0, 64), (4, 60)]


def test_classes_are_whole_numbers() -> None:
    assert classes_from_notes([], 3).dtype == np.int64
