from __future__ import annotations

import random
import zipfile
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.core.errors import DataError, SegueError
from segue.music import xml_tree
from segue.music.extraction import extract_melodies
from segue.music.musicxml import read_musicxml
from segue.music.musicxml_writer import musicxml_bytes, write_musicxml
from segue.music.notes import Note, Part, Piece, sorted_notes
from segue.music.theory import Key
from tests.music.scores import line, piece, tune


def note(step: str, octave: int, duration: int, more: str = "", alter: str = "") -> str:
    alter = f"<alter>{alter}</alter>" if alter else ""
    return (
        f"<note>{more if 'chord' in more else ''}<pitch><step>{step}</step>{alter}"
        f"<octave>{octave}</octave></pitch><duration>{duration}</duration>"
        f"{'' if 'chord' in more else more}</note>"
    )


def score(*measures: str, parts: str = "", listed: str = "") -> str:
    """One part in 4/4 with 2 divisions a quarter; `measures` are the insides of its measures."""
    first = (
        "<attributes><divisions>2</divisions><time><beats>4</beats><beat-type>4</beat-type></time>"
        "</attributes>"
    )
    inside = "".join(
        f'<measure number="{i + 1}">{first * (i == 0)}{m}</measure>' for i, m in enumerate(measures)
    )
    return (
        "<score-partwise><part-list><score-part id='P1'><part-name>Flute</part-name>"
        f"{listed}</score-part></part-list><part id='P1'>{inside}</part>{parts}</score-partwise>"
    )


def read(tmp_path: Path, text: str | bytes) -> Piece:
    path = tmp_path / "a.musicxml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_musicxml(path)


def timed(found: Piece, part: int = 0) -> list[tuple[float, int, float]]:
    """(start, pitch, length) in quarter notes."""
    return [(n.start / 480, n.pitch, (n.end - n.start) / 480) for n in found.parts[part].notes]


def whole(step: str) -> str:
    return note(step, 4, 8)


def test_notes_chords_rests_and_alterations(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        score(
            note("C", 4, 2) + note("E", 4, 2, "<chord/>")
            + "<note><rest/><duration>1</duration></note>"
            + note("F", 5, 3, alter="1") + note("B", 3, 2, alter="-1")
        ),
    )  # fmt: skip
    assert timed(found) == [(0, 60, 1), (0, 64, 1), (1.5, 78, 1.5), (3, 58, 1)]
    assert found.parts[0].name == "Flute"
    assert (found.tempos, found.meters) == (((0, 120.0),), ((0, 4, 4),))


def test_ties_join_over_bar_lines(tmp_path: Path) -> None:
    start, both, stop = (
        "".join(f'<tie type="{kind}"/>' for kind in kinds)
        for kinds in (["start"], ["stop", "start"], ["stop"])
    )
    found = read(
        tmp_path,
        score(
            note("C", 4, 8, start), note("C", 4, 8, both), note("C", 4, 4, stop) + note("C", 4, 4)
        ),
    )
    assert timed(found) == [(0, 60, 10), (10, 60, 2)]


def test_voices_become_parts(tmp_path: Path) -> None:
    upper, lower = "<voice>1</voice>", "<voice>2</voice>"
    backup = "<backup><duration>8</duration></backup>"
    forward = "<forward><duration>4</duration></forward>"
    found = read(
        tmp_path,
        score(
            note("G", 4, 4, upper) + note("A", 4, 4, upper)
            + backup + forward + note("C", 4, 4, lower)
        ),
    )  # fmt: skip
    assert timed(found, 0) == [(0, 67, 2), (2, 69, 2)]
    assert timed(found, 1) == [(2, 60, 2)]
    assert [p.name for p in found.parts] == ["Flute, voice 1", "Flute, voice 2"]


def test_grace_and_cue_notes_are_left_out(tmp_path: Path) -> None:
    grace = "<note><grace/><pitch><step>D</step><octave>4</octave></pitch></note>"
    cue = "<note><cue/><pitch><step>D</step><octave>4</octave></pitch><duration>8</duration></note>"
    assert timed(read(tmp_path, score(grace + whole("C"), cue))) == [(0, 60, 4)]


def test_transposing_instruments_sound_as_they_do(tmp_path: Path) -> None:
    clarinet = (
        "<attributes><transpose><diatonic>-1</diatonic><chromatic>-2</chromatic>"
        "<octave-change>-1</octave-change></transpose></attributes>"
    )
    assert timed(read(tmp_path, score(clarinet + whole("D")))) == [(0, 48, 4)]


def test_repeats_endings_and_upbeat(tmp_path: Path) -> None:
    def bar(side: str, inside: str) -> str:
        return f'<barline location="{side}">{inside}</barline>'

    again = '<repeat direction="backward"/>'
    found = read(
        tmp_path,
        score(
            note("G", 4, 2),
            bar("left", '<repeat direction="forward"/>') + whole("C"),
            bar("left", '<ending number="1" type="start"/>') + whole("D")
            + bar("right", '<ending number="1" type="stop"/>' + again),
            bar("left", '<ending number="2" type="start"/>') + whole("E")
            + bar("right", '<ending number="2" type="stop"/>'),
            whole("F"),
        ),
    )  # fmt: skip
    assert [(start, pitch) for start, pitch, _ in timed(found)] == [
        (3, 67), (4, 60), (8, 62), (12, 60), (16, 64), (20, 65),
    ]  # fmt: skip


def test_tempo_meter_and_loudness(tmp_path: Path) -> None:
    mark = (
        "<direction><direction-type><metronome><beat-unit>quarter</beat-unit><beat-unit-dot/>"
        "<per-minute>60</per-minute></metronome></direction-type></direction>"
    )
    three = "<attributes><time><beats>2+1</beats><beat-type>4</beat-type></time></attributes>"
    loud = note("C", 4, 6).replace("<note>", '<note dynamics="111.11">')
    found = read(
        tmp_path,
        score('<sound tempo="100"/>' + note("C", 4, 4) + mark + note("C", 4, 4), three + loud),
    )
    assert found.tempos == ((0, 100.0), (960, 90.0))
    assert found.meters == ((0, 4, 4), (1920, 3, 4))
    assert [n.velocity for n in found.parts[0].notes] == [100, 100, 100]
    quiet = loud.replace("111.11", "30")
    assert read(tmp_path, score(quiet)).parts[0].notes[0].velocity == 27


def test_programmes_and_drums(tmp_path: Path) -> None:
    listed = (
        "<midi-instrument id='I1'><midi-channel>10</midi-channel><midi-program>25</midi-program>"
        "<midi-unpitched>43</midi-unpitched></midi-instrument>"
    )
    hit = (
        "<note><unpitched><display-step>C</display-step><display-octave>4</display-octave>"
        "</unpitched><duration>8</duration><instrument id='I1'/></note>"
    )
    part = read(tmp_path, score(hit, listed=listed)).parts[0]
    assert (part.is_drum, part.program, part.notes[0].pitch) == (True, 24, 42)


def test_a_rest_longer_than_its_bar_counts_as_a_bar(tmp_path: Path) -> None:
    rest = "<note><rest/><duration>16</duration></note>"
    found = read(tmp_path, score(whole("C"), rest, whole("D")))
    assert [start for start, _, _ in timed(found)] == [0, 8]


def test_compressed_files(tmp_path: Path) -> None:
    text = score(whole("C"))
    container = (
        '<?xml version="1.0"?><container><rootfiles><rootfile full-path="in/it.xml"/></rootfiles>'
        "</container>"
    )
    path = tmp_path / "a.mxl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("META-INF/container.xml", container)
        archive.writestr("cover.xml", "<nothing/>")
        archive.writestr("in/it.xml", text)
    assert timed(read_musicxml(path)) == [(0, 60, 4)]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("it.musicxml", text)
    assert timed(read_musicxml(path)) == [(0, 60, 4)]


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE score-partwise [<!ENTITY a "lol">'
    + "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10 if i else "&a;" * 10}">' for i in range(9))
    + "]><score-partwise>&a8;</score-partwise>"
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "DOCTYPE with declarations"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd" [ ]><score-partwise/>', "DOCTYPE with decl"),
        ("", "not well-formed"),
        ("{}", "not well-formed"),
        ("<html></html>", "its root is <html>"),
        ("<score-timewise></score-timewise>", "only score-partwise"),
        ("<score-partwise></score-partwise>", "no measures"),
        ("<score-partwise>" + "<a>" * 100, "too deep"),
        (score(note("H", 4, 8)), "measure 1: a pitch 'H'"),
        (score(whole("C"), note("C", 12, 8)), "measure 2: <octave> is '12'"),
        (score(note("C", 10, 8)), "outside the MIDI pitches"),
        (score("<note><rest/></note>"), "without duration"),
        (score(whole("C").replace(">8<", ">-8<")), "<duration> is '-8'"),
        (score("<attributes><divisions>0</divisions></attributes>"), "0 divisions"),
        (score('<sound tempo="0"/>' + whole("C")), "a tempo of 0"),
        (score('<sound tempo="nan"/>' + whole("C")), "'nan' is not a number"),
        (score("<attributes><time><beats>0</beats><beat-type>4</beat-type></time></attributes>"),
         "a time signature of 0/4"),
        (score(note("C", 4, 999_999_999), note("C", 4, 999_999_999)), "impossible time"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, text)
    assert "a.musicxml" in caught.value.where


def test_a_doctype_without_declarations_is_usual(tmp_path: Path) -> None:
    doctype = '<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD" "http://a.b/partwise.dtd">'
    assert timed(read(tmp_path, doctype + score(whole("C")))) == [(0, 60, 4)]


def test_elements_and_unpacked_size_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "a.mxl", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.xml", bytes(21 << 20))
    with pytest.raises(DataError, match="more than 20 MB when unpacked"):
        read_musicxml(tmp_path / "a.mxl")
    monkeypatch.setattr(xml_tree, "MAX_ELEMENTS", 10)
    with pytest.raises(DataError, match="too many"):
        read(tmp_path, score(whole("C")))


@pytest.mark.parametrize("data", [b"PK", b"PK\3\4" + bytes(40), b"PK\5\6" + bytes(18)])
def test_damaged_archives(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(DataError, match="archive"):
        read(tmp_path, data)


NOTES = st.lists(
    st.builds(
        lambda start, pitch, length, velocity: Note(start, pitch, start + length, velocity),
        st.integers(0, 4000), st.integers(0, 127), st.integers(1, 3000), st.integers(1, 127),
    ),
    min_size=1, max_size=12,
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(NOTES, st.sampled_from([(4, 4), (3, 4), (6, 8), (5, 16)]))
def test_any_notes_come_back(
    tmp_path_factory: pytest.TempPathFactory, notes: list[Note], meter: tuple[int, int]
) -> None:
    """Overlapping notes come back in voices, each a part of its own."""
    before = Piece((Part(sorted_notes(notes)),), meters=((0, *meter),))
    path = tmp_path_factory.mktemp("xml") / "a.musicxml"
    write_musicxml(before, path)
    after = read_musicxml(path)
    assert sorted(n for p in after.parts for n in p.notes) == list(before.parts[0].notes)
    assert after.meters == before.meters


def test_a_piece_comes_back_as_it_was(tmp_path: Path) -> None:
    before = Piece(
        (
            Part(tune(4), program=73, name="flute"),
            Part(line((36, 38), length=720), is_drum=True, name="kit"),
        ),
        tempos=((0, 100.0), (700, 62.5)),
        meters=((0, 4, 4), (1920, 3, 4), (3000, 4, 4)),
        title="Ein Stück & mehr",
    )
    write_musicxml(before, tmp_path / "a.musicxml")
    assert read_musicxml(tmp_path / "a.musicxml") == before
    assert musicxml_bytes(before) == musicxml_bytes(before)


def test_music21_reads_what_is_written(tmp_path: Path) -> None:
    """An independent reader hears the same notes, and sees no black key spelt against the key."""
    converter = pytest.importorskip("music21.converter")
    notes = (*line((58, 63, 66, 70), length=160), *line((60, 61), length=600, start=480))
    before = piece(notes, (Note(0, 39, 2100), Note(0, 46, 2100)), title="Both")
    write_musicxml(before, tmp_path / "a.musicxml", key=Key(3, "major"))
    heard = converter.parse(tmp_path / "a.musicxml", forceSource=True).stripTies()
    found = [
        sorted(
            (Fraction(n.getOffsetInHierarchy(heard)), Fraction(n.quarterLength), pitch.midi)
            for n in part.recurse().notes
            for pitch in n.pitches
        )
        for part in heard.parts
    ]
    quarter = Fraction(1, 480)
    assert found == [
        [(n.start * quarter, (n.end - n.start) * quarter, n.pitch) for n in part.notes]
        for part in before.parts
    ]
    assert {p.name for n in heard.recurse().notes for p in n.pitches} == {
        "B-", "E-", "G-", "C", "D-",
    }  # fmt: skip


def test_mutated_files_are_read_or_refused(tmp_path: Path) -> None:
    """200 damaged files: a piece or an error of ours, never another exception."""
    generator = random.Random(6)
    text = musicxml_bytes(
        Piece((Part(tune(2), name="a"), Part(line((36, 40), length=500), is_drum=True)))
    ).decode()
    outcomes = {"read": 0, "refused": 0}
    for _ in range(200):
        changed = text
        for _ in range(generator.randint(1, 3)):
            at = generator.randrange(len(changed))
            match generator.randrange(4):
                case 0:
                    changed = changed[:at] + changed[at + generator.randint(1, 30) :]
                case 1:
                    changed = changed[:at] + generator.choice("<>&/0-9 é") + changed[at:]
                case _:  # a number that is none, or far too big
                    digits = [i for i, c in enumerate(changed) if c.isdigit()]
                    at = generator.choice(digits)
                    wild = generator.choice(["0", "-1", "99999", "1e9", "", "7.5", "9" * 5000])
                    changed = changed[:at] + wild + changed[at + 1 :]
        try:
            extract_melodies(read(tmp_path, changed))
            outcomes["read"] += 1
        except SegueError:
            outcomes["refused"] += 1
    assert outcomes["read"] >= 30
    assert outcomes["refused"] >= 50
