from __future__ import annotations

import contextlib
import random
import time
from pathlib import Path

import pytest

from segue.core.errors import DataError, SegueError
from segue.music.abc import parse_tune, read_abc
from segue.music.abc_fields import parse_order, parse_signature, signature_of
from segue.music.extraction import extract_melodies
from segue.music.notes import Piece

HEADER = "X:1\nT:A tune\nM:4/4\nL:1/4\nK:C\n"


def pitches(text: str, header: str = HEADER) -> list[int]:
    return [note.pitch for note in parse_tune(header + text).parts[0].notes]


def timed(text: str, header: str = HEADER) -> list[tuple[float, int, float]]:
    """(start, pitch, length) in quarter notes."""
    notes = parse_tune(header + text).parts[0].notes
    return [(n.start / 480, n.pitch, (n.end - n.start) / 480) for n in notes]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("C,CEGc c'", [48, 60, 64, 67, 72, 84]),
        ("^F_B=F ^^C__D", [66, 70, 65, 62, 60]),
        ("^FFf|F", [66, 66, 78, 65]),  # to the end of the bar, in all octaves
        ('"Am7"A "^text"B !trill!c {gf}d ~e .f vg | Tc', [69, 71, 72, 74, 76, 77, 79, 72]),
        ("A % B c\n% d\nB", [69, 71]),
        ("A\\\nB`c y2 d$e*", [69, 71, 72, 74, 76]),
        ("w:words here\nW:more\nA", [69]),
        ("(AB)(c(de))", [69, 71, 72, 74, 76]),
    ],
)
def test_notes(text: str, expected: list[int]) -> None:
    assert pitches(text) == expected


@pytest.mark.parametrize(
    ("text", "lengths"),
    [
        ("A A2 A/ A// A3/2 A/4", [1, 2, 0.5, 0.25, 1.5, 0.25]),
        ("A>B A<<B", [1.5, 0.5, 0.25, 1.75]),
        ("(3ABc d", [2 / 3, 2 / 3, 2 / 3, 1]),
        ("(3:2:2A2B c", [4 / 3, 2 / 3, 1]),
        ("(2AB c", [1.5, 1.5, 1]),
    ],
)
def test_lengths(text: str, lengths: list[float]) -> None:
    assert [length for _, _, length in timed(text)] == pytest.approx(lengths, abs=1e-2)


def test_rests_and_bars_of_rest() -> None:
    assert [start for start, _, _ in timed("A z B x2 | Z2 | c")] == [0, 2, 13]


def test_ties_join_and_slurs_do_not() -> None:
    assert timed("A2-A2|A2-B2|^F2-|F2") == [
        (0, 69, 4), (4, 69, 2), (6, 71, 2), (8, 66, 4),
    ]  # fmt: skip


def test_chords_and_layers() -> None:
    assert timed("[CE]2 [C2G2-]/2 G|")[:4] == [(0, 60, 2), (0, 64, 2), (2, 60, 1), (2, 67, 2)]
    two = parse_tune(HEADER + "A B c d & E4 | e4 |")
    assert [[n.pitch for n in part.notes] for part in two.parts] == [[69, 71, 72, 74, 76], [64]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("|:A:|B", "AAB"),
        ("A:|B:|c", "AABBc"),  # nobody says where the repeats begin
        ("|:A::B:|", "AABB"),
        ("|:A|[1B:|[2c|d", "ABAcd"),
        ("|:A|1B:|2c:|d", "ABAcd"),
        ("|:A [1,3 B:|2 c:|d", "ABAcABd"),
        ("A||:B:||c|]", "ABBc"),
        ("|::A::|B", "AAAB"),
        ("|:A|:B:|", "ABB"),
    ],
)
def test_repeats_are_written_out(text: str, expected: str) -> None:
    assert pitches(text) == pitches(" ".join(expected))


def test_parts_are_played_in_their_order() -> None:
    header = "X:1\nP:A2(BA)\nL:1/4\nK:C\n"
    assert pitches("P:A\nA|\nP:B\nB|\n", header) == [69, 69, 71, 69]
    assert parse_order("(A(BC)2)3D") == "ABCBC" * 3 + "D"
    with pytest.raises(DataError, match="more than 1000 parts"):
        parse_order("(A99)99")


@pytest.mark.parametrize(
    ("key", "altered"),
    [
        ("C", {}), ("G", {"F": 1}), ("Bb", {"B": -1, "E": -1}), ("Am", {}), ("D dor", {}),
        ("F#m", {"F": 1, "C": 1, "G": 1}), ("A Mixolydian", {"F": 1, "C": 1}), ("E phrygian", {}),
        ("Dmix", {"F": 1}), ("Flyd", {}), ("Bloc", {}), ("C ionian", {}), ("Aaeo", {}),
        ("Hp", {"F": 1, "C": 1}), ("none", {}), ("", {}), ("D =c", {"F": 1, "C": 0}),
        ("C exp ^f_b", {"F": 1, "B": -1}), ("G clef=bass", {"F": 1}), ("GM", {"F": 1}),
    ],
)  # fmt: skip
def test_signatures(key: str, altered: dict[str, int]) -> None:
    found = parse_signature(key) or {}
    assert {k: v for k, v in found.items() if v or k in altered} == altered


def test_signatures_of_many_accidentals() -> None:
    assert signature_of(8)["F"] == 2
    assert sorted(signature_of(-7).values()) == [-1] * 7
    assert parse_signature("clef=bass") is None


def test_an_upbeat_stands_at_the_end_of_its_bar() -> None:
    found = parse_tune(HEADER + "c|A4|B4|")
    assert [n.start for n in found.parts[0].notes] == [3 * 480, 4 * 480, 8 * 480]


def test_meter_tempo_and_key_may_change() -> None:
    found = parse_tune("X:1\nM:C|\nQ:1/2=60\nK:G\n|:F4 F4|[M:3/4][K:C]F6:|\nQ:3/8=100\n[L:1/4]F3|")
    assert found.meters == ((0, 2, 2), (1920, 3, 4), (3360, 2, 2), (5280, 3, 4))
    assert found.tempos == ((0, 120.0), (6720, 150.0))
    assert [n.pitch for n in found.parts[0].notes] == [66, 66, 65, 66, 66, 65, 65]


@pytest.mark.parametrize(
    ("meter", "unit"), [("2/4", 1 / 4), ("6/8", 1 / 2), ("4/4", 1 / 2), ("none", 1 / 2)]
)
def test_the_unit_follows_from_the_meter(meter: str, unit: float) -> None:
    assert timed("A", f"X:1\nM:{meter}\nK:C\n")[0][2] == unit


def test_voices_become_parts() -> None:
    found = parse_tune(HEADER + "V:1\nA B|\nV:2\nE2|\n[V:1]c d|[V:2]F2|\n")
    assert [p.name for p in found.parts] == ["1", "2"]
    assert [n.pitch for n in found.parts[0].notes] == [69, 71, 72, 74]
    assert [n.pitch for n in found.parts[1].notes] == [64, 65]


def test_a_book_of_tunes(tmp_path: Path) -> None:
    book = tmp_path / "book.abc"
    book.write_bytes(
        "% a book\r\nM:3/4\r\n\r\nX:1\r\nT:One é\r\nL:1/4\r\nK:C\r\nABc|\r\n\r\n"
        "Some words about it: ABC.\r\n\r\nX:2\nT:Two\nK:Q\nABC\n\nX:3\nT:Three\nM:2/4\nK:D\nF2\n"
        "X:4\nT:Four\nABC\n".encode("latin-1")
    )
    pieces, unreadable = read_abc(book)
    assert [(p.title, p.meters[0][1:], len(p.parts[0].notes)) for p in pieces] == [
        ("One é", (3, 4), 3), ("Three", (2, 4), 1),
    ]  # fmt: skip
    assert unreadable == [
        ("X:2 Two", "'Q' is not a key"),
        ("X:4 Four", "it has no key (K:), so no music"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("X:1\nM:0/4\nK:C\nA", "'0/4' is not a meter"),
        ("X:1\nL:1/0\nK:C\nA", "not a unit of length"),
        ("X:1\nQ:1/4=9999\nK:C\nA", "not a tempo"),
        (HEADER + "z4|", "it has no notes"),
        (HEADER + "A/0", "a length of /0"),
        (HEADER + "c''''''", "outside the MIDI pitches"),
        (HEADER + "|:A" + ":" * 30 + "|", "more than 20 times"),
        (HEADER + "Z999999|" * 9 + "A", "impossible time"),
        (HEADER + "1234567890 + @#" * 9 + "A", "signs in it mean nothing"),
        (HEADER + "A" * 500_000, "more than 500,000 signs"),
    ],
)
def test_what_is_wrong_is_said(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_tune(text)


def test_a_file_without_tunes(tmp_path: Path) -> None:
    (tmp_path / "a.abc").write_text("hello")
    with pytest.raises(DataError, match=r"no line begins with X:.*|no tune"):
        read_abc(tmp_path / "a.abc")


@pytest.mark.parametrize(
    "text",
    ["A/" + "/" * 9, "[K:" * 3000, "[" * 9000, "(9" * 9000 + "A", "[1A:|" * 3000, "^" * 9000, "{"],
)
def test_odd_texts_end_soon(text: str) -> None:
    """abc2midi never ends on texts like these."""
    started = time.perf_counter()
    with contextlib.suppress(SegueError):
        parse_tune(HEADER + text)
    assert time.perf_counter() - started < 3


def test_mutated_tunes_are_read_or_refused(tmp_path: Path) -> None:
    """200 damaged books: pieces or an error of ours, never another exception."""
    generator = random.Random(5)
    whole = (
        'X:1\nT:Tune\nP:AB\nM:6/8\nL:1/8\nQ:3/8=100\nK:Am\nP:A\n|:"Am"A>B (3cde [M:3/4]|[1 f2-f2:|'
        "[2 g4||\nP:B\nV:1\n[CE]2 z2 & C4|Z2|{ag}~a3::b'3:|\nK:D =c\nL:1/16\nd<e f/2g// _a^b|]\n"
    )
    signs = "[]{}()|:\"!+KLMQVPXABCDEFGabcdefgz/0123456789^_=,'<>%\n\\&-"
    outcomes = {"read": 0, "refused": 0}
    for _ in range(200):
        text = list(whole)
        for _ in range(generator.randint(1, 8)):
            at = generator.randrange(len(text))
            match generator.randrange(3):
                case 0:
                    text[at] = generator.choice(signs)
                case 1:
                    del text[at : at + generator.randint(1, 9)]
                case 2:
                    text[at:at] = generator.choices(signs, k=generator.randint(1, 9))
        (tmp_path / "a.abc").write_text("".join(text), encoding="utf-8")
        try:
            pieces, unreadable = read_abc(tmp_path / "a.abc")
            for piece in pieces:
                extract_melodies(piece)
            outcomes["refused" if unreadable else "read"] += 1
        except SegueError:
            outcomes["refused"] += 1
    assert outcomes["read"] >= 50
    assert outcomes["refused"] >= 10


def test_the_same_tune_gives_the_same_piece() -> None:
    one, two = (parse_tune(HEADER + "|:ABc [1d:|[2e|") for _ in range(2))
    assert isinstance(one, Piece)
    assert one == two
