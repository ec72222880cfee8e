from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.core.errors import DataError, SegueError
from segue.music import midi
from segue.music.extraction import extract_melodies
from segue.music.midi import midi_bytes, read_midi, write_midi
from segue.music.notes import Note, Part, Piece, sorted_notes
from tests.music.scores import line, piece, tune

HEADER = b"MThd\0\0\0\6\0\1\0\1\1\xe0"  # one track, 480 ticks a quarter


def track(events: bytes) -> bytes:
    body = events + b"\0\xff\x2f\0"
    return HEADER + b"MTrk" + len(body).to_bytes(4, "big") + body


def read(path: Path, data: bytes) -> Piece:
    path.write_bytes(data)
    return read_midi(path)


def test_a_piece_comes_back_as_it_was(tmp_path: Path) -> None:
    parts = (
        Part(line((60, 64, 67)), program=24, name="guitar"),
        Part(line((36, 38), length=120, start=7), is_drum=True, name="kit"),
        Part((Note(0, 48, 1920, 1), Note(480, 55, 1920, 127)), program=32, name="bass"),
    )
    before = Piece(
        parts,
        ticks_per_quarter=480,
        tempos=((0, 100.0), (960, 60.0)),
        meters=((0, 6, 8), (1440, 3, 4)),
    )
    write_midi(before, tmp_path / "a.mid")
    after = read_midi(tmp_path / "a.mid")
    assert after.parts == before.parts
    assert after.meters == before.meters
    assert after.ticks_per_quarter == 480
    assert [tick for tick, _ in after.tempos] == [0, 960]
    assert [qpm for _, qpm in after.tempos] == pytest.approx([100.0, 60.0], rel=1e-6)


NOTES = st.lists(
    st.builds(
        lambda start, pitch, length, velocity: Note(start, pitch, start + length, velocity),
        st.integers(0, 5000), st.integers(0, 127), st.integers(1, 2000), st.integers(1, 127),
    ),
    min_size=1, max_size=20,
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.lists(NOTES, min_size=1, max_size=20), st.integers(24, 960))
def test_any_notes_come_back(
    tmp_path_factory: pytest.TempPathFactory, voices: list[list[Note]], per_quarter: int
) -> None:
    """Notes of one pitch that overlap in one part cannot be told apart in MIDI; others can."""
    parts = []
    for index, notes in enumerate(voices):
        apart: dict[int, Note] = {}
        kept = [apart.setdefault(n.pitch, n) for n in sorted_notes(notes) if n.pitch not in apart]
        parts.append(Part(sorted_notes(kept), program=index, name=f"{index}"))
    path = tmp_path_factory.mktemp("midi") / "a.mid"
    write_midi(Piece(tuple(parts), per_quarter), path)
    after = read_midi(path)
    assert after.parts == tuple(parts)
    assert after.ticks_per_quarter == per_quarter


def test_the_same_piece_gives_the_same_bytes() -> None:
    assert midi_bytes(piece(tune())) == midi_bytes(piece(tune()))


def test_what_is_not_said_is_the_standards_default(tmp_path: Path) -> None:
    found = read(tmp_path / "a.mid", track(b"\0\x90\x3c\x64\x60\x80\x3c\0"))
    assert found.parts == (Part((Note(0, 60, 96, 100),)),)
    assert found.tempos == ((0, 120.0),)
    assert found.meters == ((0, 4, 4),)


def test_a_note_without_length_gets_one_tick(tmp_path: Path) -> None:
    found = read(
        tmp_path / "a.mid", track(b"\0\x90\x3c\x64\0\x80\x3c\0\0\x90\x40\x64\x60\x80\x40\0")
    )
    assert sorted((n.pitch, n.end - n.start) for n in found.parts[0].notes) == [(60, 1), (64, 96)]


def test_onsets_without_velocity_end_a_note(tmp_path: Path) -> None:
    found = read(tmp_path / "a.mid", track(b"\0\x90\x3c\x64\x60\x90\x3c\0"))
    assert found.parts[0].notes == (Note(0, 60, 96, 100),)


def test_a_file_without_notes_has_no_parts(tmp_path: Path) -> None:
    assert read(tmp_path / "a.mid", track(b"")).parts == ()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "an empty file"),
        (b"RIFF....", "does not begin with MThd"),
        (b"MThd", "damaged MIDI file"),
        (HEADER + b"MTrk\0\0\1\0", "damaged MIDI file"),
        (HEADER[:12] + b"\xe7\x28", "damaged MIDI file"),  # film time code instead of quarters
        (HEADER[:12] + b"\0\0" + track(b"\0\x90\x3c\x64")[14:], "no ticks per quarter"),
        (track(b"\0\xff\x51\3\0\0\0\0\x90\x3c\x64\x60\x80\x3c\0"), "an impossible tempo"),
        (track(b"\0\xff\x51\3\0\0\1\0\x90\x3c\x64\x60\x80\x3c\0"), "an impossible tempo"),
        (track(b"\0\xff\x58\4\0\2\x18\x08"), "a time signature of 0/4"),
        (track(b"\xff\xff\xff\x7f\x90\x3c\x64" + b"\xff\xff\xff\x7f\xb0\0\0" * 2
               + b"\1\x80\x3c\0"), "an impossible time"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path / "odd.mid", data)
    assert "odd.mid" in caught.value.where


def test_files_that_are_missing_or_folders_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_midi(tmp_path / "none.mid")
    with pytest.raises(DataError, match="cannot be read"):
        read_midi(tmp_path)


def test_size_and_number_of_notes_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_midi(piece(tune()), tmp_path / "a.mid")
    monkeypatch.setattr(midi, "MAX_NOTES", 31)
    with pytest.raises(DataError, match="32 notes; more than 31"):
        read_midi(tmp_path / "a.mid")
    (tmp_path / "big.mid").write_bytes(b"MThd" + bytes(midi.MAX_BYTES))
    with pytest.raises(DataError, match="more than 20 MB"):
        read_midi(tmp_path / "big.mid")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (Piece((), tempos=((0, 0.0),)), "a tempo of 0"),
        (Piece((), meters=((0, 4, 3),)), "a meter of 4/3"),
        (Piece((), meters=((0, 300, 4),)), "a meter of 300/4"),
        (Piece((Part((Note(0, 128, 1),)),)), "pitch=128"),
        (Piece((Part((Note(5, 60, 5),)),)), "start=5"),
        (Piece((), ticks_per_quarter=1 << 15), "so many ticks"),
    ],
)
def test_what_midi_cannot_hold_is_refused(tmp_path: Path, wrong: Piece, message: str) -> None:
    with pytest.raises(DataError, match=message):
        write_midi(wrong, tmp_path / "a.mid")
    assert list(tmp_path.iterdir()) == []


def test_mutated_files_are_read_or_refused(tmp_path: Path) -> None:
    """200 damaged files: a piece or an error of ours, never another exception."""
    generator = random.Random(4)
    whole = midi_bytes(
        Piece(
            (Part(tune(4), name="a"), Part(line((36, 38, 40)), is_drum=True), Part(tune(2))),
            tempos=((0, 90.0), (960, 120.0)),
            meters=((0, 3, 4), (1440, 4, 4)),
        )
    )
    outcomes = {"read": 0, "refused": 0}
    for _ in range(200):
        data = bytearray(whole)
        for _ in range(generator.randint(1, 4)):
            at = generator.randrange(len(data))
            match generator.randrange(3):
                case 0:
                    data[at] = generator.randrange(256)
                case 1:
                    del data[at : at + generator.randint(1, 40)]
                case 2:
                    data[at:at] = generator.randbytes(generator.randint(1, 20))
        try:
            extract_melodies(read(tmp_path / "a.mid", bytes(data)))
            outcomes["read"] += 1
        except SegueError:
            outcomes["refused"] += 1
    assert outcomes["read"] >= 5
    assert outcomes["refused"] >= 50
