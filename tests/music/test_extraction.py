from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.core.errors import ConfigError, DataError
from segue.music.events import NO_EVENT, NOTE_OFF
from segue.music.extraction import (
    REASONS,
    ExtractionConfig,
    extract_melodies,
    primer_from_file,
)
from segue.music.midi import write_midi
from segue.music.notes import Note, Part, Piece, sorted_notes
from segue.music.quantisation import sections
from tests.music.scores import QUARTER, SCALE, line, piece, tune

STEP = QUARTER // 4
ANY = ExtractionConfig(min_bars=0, min_pitch_classes=1, key="none")


def shown(found: object) -> list[list[int]]:
    return [melody.classes.tolist() for melody in found.melodies]  # type: ignore[attr-defined]


# --- the pipeline, step by step ------------------------------------------------------------


def test_a_tune_becomes_one_melody() -> None:
    found = extract_melodies(piece(tune(8)))
    (melody,) = found.melodies
    assert len(melody.classes) == 8 * 16
    assert melody.classes[:17].tolist() == [14, 1, 1, 1, 16, 1, 1, 1, 18, 1, 1, 1, 19, 1, 1, 1, 21]
    assert (melody.key, melody.shift, melody.part, melody.start, melody.folded) == (0, 0, 0, 0, 0)
    assert str(melody.meter) == "4/4"
    assert (found.truncated, found.n_sections, dict(found.rejected)) == (0, 1, {})


def test_times_are_rounded_half_up_and_notes_keep_a_step() -> None:
    notes = (Note(59, 60, 61), Note(180, 62, 299), Note(540, 64, 541))
    (section,) = sections(piece(notes))
    assert section.parts == ((0, ((0, 1, 60), (2, 3, 62), (5, 6, 64))),)


@pytest.mark.parametrize("per_quarter", [1, 7, 96, 1024])
def test_any_resolution(per_quarter: int) -> None:
    notes = tuple(Note(i * per_quarter, p, (i + 1) * per_quarter) for i, p in enumerate(SCALE * 4))
    found = extract_melodies(Piece((Part(notes),), per_quarter))
    assert found.melodies[0].classes[::4].tolist() == [14, 16, 18, 19, 21, 23, 25, 26] * 4


def test_a_melody_begins_at_the_bar_line_before_its_first_note() -> None:
    found = extract_melodies(piece(tune(8, start=3 * 1920 + 3 * QUARTER)))
    (melody,) = found.melodies
    assert melody.start == 3 * 1920
    assert melody.classes[:13].tolist() == [NO_EVENT] * 12 + [14]
    assert len(melody.classes) == 12 + 8 * 16


def test_silence_of_a_bar_ends_a_melody_and_the_search_goes_on_at_the_next_bar() -> None:
    """The gap is counted from the end of the note; a step less does not end the melody."""
    first = line(SCALE, length=STEP)  # ends on step 8
    for gap, n_melodies in ((15, 1), (16, 2)):
        later = line(SCALE, length=STEP, start=(8 + gap) * STEP)
        found = extract_melodies(piece((*first, *later)), ANY)
        assert len(found.melodies) == n_melodies
    assert [melody.start for melody in found.melodies] == [0, 16 * STEP]
    assert found.melodies[1].classes[:9].tolist() == [NO_EVENT] * 8 + [14]


def test_rests_inside_and_the_end() -> None:
    notes = (Note(0, 60, STEP), Note(4 * STEP, 62, 6 * STEP))
    found = extract_melodies(piece(notes), ANY)
    assert shown(found) == [[14, NOTE_OFF, NO_EVENT, NO_EVENT, 16, NO_EVENT]]


def test_an_onset_ends_the_note_before_it() -> None:
    notes = (Note(0, 60, 8 * STEP), Note(2 * STEP, 62, 4 * STEP))
    assert shown(extract_melodies(piece(notes), ANY)) == [[14, 1, 16, 1]]


def test_sections_end_notes_and_begin_bars() -> None:
    first, second = tune(8), tune(7, start=8 * 1920 + 720)
    held = Note(8 * 1920, 60, 8 * 1920 + 720)
    found = extract_melodies(
        piece((*first, held, *second), meters=((0, 4, 4), (8 * 1920 + 240, 2, 4)))
    )
    assert [str(m.meter) for m in found.melodies] == ["4/4", "2/4"]
    # the held note ends where the meter changes; the second section counts from there
    assert [len(m.classes) for m in found.melodies] == [8 * 16 + 2, 4 + 7 * 16]
    assert found.melodies[1].classes[:5].tolist() == [1, 1, 1, 1, 14]
    assert found.n_sections == 2


def test_tempo_changes_split_unless_they_shall_not() -> None:
    changing = piece(tune(16), tempos=((0, 120.0), (8 * 1920, 100.0), (9 * 1920, 100.0)))
    assert [len(m.classes) for m in extract_melodies(changing).melodies] == [128, 128]
    whole = extract_melodies(changing, ExtractionConfig(split_at_tempo=False))
    assert [len(m.classes) for m in whole.melodies] == [256]


def test_what_is_said_twice_is_no_change() -> None:
    same = piece(
        tune(16),
        tempos=((0, 120.0), (1920, 120.0)),
        meters=((0, 4, 4), (1920, 4, 4), (99_999_999, 3, 4)),
    )
    assert extract_melodies(same).n_sections == 1


def test_long_melodies_are_cut() -> None:
    found = extract_melodies(piece(tune(40)))
    assert ([len(m.classes) for m in found.melodies], found.truncated) == ([512], 1)
    short = extract_melodies(piece(tune(40)), ExtractionConfig(max_steps=130))
    assert short.melodies[0].classes[-2:].tolist() == [14, 1]


def test_a_note_of_a_million_bars_costs_nothing() -> None:
    notes = (*tune(8), Note(8 * 1920, 60, 10**9))
    assert len(extract_melodies(piece(notes)).melodies[0].classes) == 512


def test_parts_are_melodies_of_their_own() -> None:
    found = extract_melodies(piece(tune(8), (), tune(9)))
    assert [(m.part, len(m.classes)) for m in found.melodies] == [(0, 128), (2, 144)]


# --- to C and into three octaves ------------------------------------------------------------


@pytest.mark.parametrize("semitones", range(-36, 40))
def test_every_key_and_register_is_moved_to_c(semitones: int) -> None:
    notes = tuple(Note(n.start, n.pitch + semitones, n.end) for n in tune(8))
    (melody,) = extract_melodies(piece(notes)).melodies
    assert melody.key == semitones % 12
    assert melody.classes[::4][:8].tolist() == [14, 16, 18, 19, 21, 23, 25, 26]
    assert melody.shift == -semitones


def test_the_middle_of_the_melody_decides_the_octave_and_halves_go_to_the_even() -> None:
    """The middle of the alphabet is 65.5: a melody around 71.5 could go either way."""
    low, high = (line((base, base + 11) * 2) for base in (66, 78))
    assert [extract_melodies(piece(n), ANY).melodies[0].shift for n in (low, high)] == [0, -24]
    assert extract_melodies(piece(line((55, 64) * 2)), ANY).melodies[0].shift == 0


def test_notes_outside_are_folded_by_octaves_and_counted() -> None:
    (melody,) = extract_melodies(piece(line((30, 48, 60, 83, 101))), ANY).melodies
    assert melody.shift == 0
    assert [c + 46 for c in melody.classes if c >= 2] == [54, 48, 60, 83, 77]
    assert melody.folded == 2


def test_transpositions_need_an_open_key() -> None:
    config = ExtractionConfig(key="none", transpositions=(0, 2, -3), min_bars=1)
    found = extract_melodies(piece(tune(8)), config)
    assert [m.shift for m in found.melodies] == [0, 2, -3]
    for wrong in ({"transpositions": (0, 2)}, {"transpositions": ()}, {"transpositions": (1, 1)}):
        with pytest.raises(ConfigError, match="transpositions"):
            ExtractionConfig.parse(wrong)


# --- what is left out, and why ------------------------------------------------------------

CHORDS = sorted_notes((*tune(8), *(Note(n.start, n.pitch + 4, n.end) for n in tune(8))))


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (piece(), "no notes"),
        (piece(()), "no notes"),
        (Piece((Part(tune(8), is_drum=True),)), "drums"),
        (piece(tune(8), meters=((0, 5, 32),)), "bar not whole"),
        (piece(CHORDS), "polyphonic"),
        (piece(tune(6)), "too short"),
        (piece(line((60, 62, 64, 65) * 8)), "too few pitch classes"),
    ],
)
def test_every_reason(found: Piece, reason: str) -> None:
    extraction = extract_melodies(found)
    assert extraction.melodies == ()
    assert dict(extraction.rejected) == {reason: 1}
    assert extraction.reason == reason
    assert reason in REASONS


def test_the_reason_nearest_to_a_melody_is_told() -> None:
    mixed = Piece((Part(tune(8), is_drum=True), Part(tune(2)), Part(CHORDS)))
    extraction = extract_melodies(mixed)
    assert dict(extraction.rejected) == {"drums": 1, "too short": 1, "polyphonic": 1}
    assert extraction.reason == "too short"


def test_chords_leave_earlier_melodies_of_the_part() -> None:
    """As in the Melody RNN family: only the rest of the part is left out."""
    chord = (Note(12 * 1920, 60, 12 * 1920 + 5), Note(12 * 1920, 64, 12 * 1920 + 5))
    extraction = extract_melodies(piece((*tune(8), *chord)))
    assert [len(m.classes) for m in extraction.melodies] == [128]
    assert dict(extraction.rejected) == {"polyphonic": 1}


def test_the_top_note_of_chords_may_be_taken() -> None:
    (melody,) = extract_melodies(piece(CHORDS), ExtractionConfig(polyphony="highest")).melodies
    tops = [n.pitch + 4 for n in tune(8)][:5]
    assert [int(c) - 2 + 48 - melody.shift for c in melody.classes[::4][:5]] == tops


def test_notes_without_velocity_are_not_heard() -> None:
    silent = tuple(Note(n.start, n.pitch + 1, n.end, 0) for n in tune(8))
    (melody,) = extract_melodies(piece(sorted_notes((*tune(8), *silent)))).melodies
    assert melody.classes[:5].tolist() == [14, 1, 1, 1, 16]


# --- against a slow program that walks from step to step --------------------------------------

STEP_NOTES = st.lists(
    st.tuples(st.integers(0, 90), st.integers(1, 30), st.integers(50, 80)),
    min_size=1,
    max_size=14,
    unique_by=lambda row: (row[0], row[2]),
)


@settings(max_examples=150, deadline=None)
@given(STEP_NOTES, st.booleans())
def test_the_slow_way_finds_the_same(rows: list[tuple[int, int, int]], highest: bool) -> None:
    notes = sorted_notes(Note(s * STEP, p, (s + n) * STEP) for s, n, p in rows)
    config = ANY.model_copy(update={"polyphony": "highest" if highest else "discard"})
    found = extract_melodies(piece(notes), config)
    heard = [
        [int(c) + 46 - melody.shift if c >= 2 else int(c) - 2 for c in melody.classes]
        for melody in found.melodies
    ]
    assert heard == slow(rows, highest)


def slow(rows: list[tuple[int, int, int]], highest: bool, bar: int = 16) -> list[list[int]]:
    """Melodies as events (pitch, -1 holds, -2 ends), one step after another."""
    melodies: list[list[int]] = []
    current: list[int] = []
    begin = end = 0  # steps at which the melody began and its last note ends
    for step in range(130):
        starting = sorted((-pitch, step + length) for start, length, pitch in rows if start == step)
        if current and starting and step - end >= bar:
            melodies.append(current[: end - begin])
            current = []
        if len(starting) > 1 and not highest:
            return melodies
        if starting:
            if not current:
                begin = step // bar * bar
                current = [-1] * (step - begin)
            current.append(-starting[0][0])
            end = next(step + length for s, length, p in rows if (s, p) == (step, current[-1]))
        elif current:
            current.append(-2 if step == end else -1)
    return [*melodies, current[: end - begin]] if current else melodies


# --- primers --------------------------------------------------------------------------------


def primer(tmp_path: Path, notes: Piece, **more: int) -> list[int]:
    write_midi(notes, tmp_path / "p.mid")
    return primer_from_file(tmp_path / "p.mid", **more).tolist()


def test_a_primer_is_taken_as_it_is(tmp_path: Path) -> None:
    """Neither moved to C nor too short; the first melody, of chords the top note."""
    notes = (
        Note(0, 61, QUARTER),
        Note(QUARTER, 63, QUARTER + STEP),
        Note(QUARTER, 58, 2 * QUARTER),
    )
    later = line((60, 60), start=4 * 1920)
    assert primer(tmp_path, piece(sorted_notes((*notes, *later)))) == [15, 1, 1, 1, 17]


def test_a_primer_begins_at_its_bar_line(tmp_path: Path) -> None:
    assert primer(tmp_path, piece((Note(1920 + STEP, 60, 1920 + 2 * STEP),))) == [1, 14]


@pytest.mark.parametrize(
    ("notes", "message"),
    [
        (piece(line((60, 96))), "pitch 96 is outside 48 .* to 83"),
        (piece(line((47,))), "pitch 47 is outside"),
        (piece(()), "no melody to begin with: no notes"),
        (Piece((Part(tune(2), is_drum=True),)), "no melody to begin with: drums"),
        (piece(tune(2), meters=((0, 5, 32),)), "no melody to begin with: bar not whole"),
        (piece(tune(33)), "528 steps; a primer has at most 512"),
        (piece((Note(0, 60, 10**8),)), "a primer has at most 512"),
    ],
)
def test_wrong_primers(tmp_path: Path, notes: Piece, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        primer(tmp_path, notes)
    assert "p.mid" in caught.value.where


def test_the_limit_of_a_primer_can_be_chosen(tmp_path: Path) -> None:
    assert len(primer(tmp_path, piece(tune(2)), max_steps=32)) == 32
    with pytest.raises(DataError, match="at most 31"):
        primer(tmp_path, piece(tune(2)), max_steps=31)


def test_a_primer_of_another_kind_of_file(tmp_path: Path) -> None:
    (tmp_path / "p.abc").write_text("X:1\nL:1/4\nM:4/4\nK:D\nFA|")
    assert primer_from_file(tmp_path / "p.abc").dtype == np.int64
    assert primer_from_file(tmp_path / "p.abc").tolist() == [20, 1, 1, 1, 23, 1, 1, 1]
