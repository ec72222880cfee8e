from __future__ import annotations

from pathlib import Path

import pytest

from segue.core.errors import DataError
from segue.core.names import resolve
from segue.music.midi import write_midi
from segue.music.musicxml_writer import write_musicxml
from segue.music.reading import READERS, find_scores, read_book, read_pieces
from tests.music.scores import piece, tune

ABC = "X:1\nT:One\nL:1/4\nK:C\nCDEF|\n\nX:2\nT:Two\nK:?\nC\n"


def test_every_reader_can_be_loaded() -> None:
    assert all(callable(resolve(READERS, suffix, "format")) for suffix in READERS)


def test_the_suffix_chooses_the_reader(tmp_path: Path) -> None:
    write_midi(piece(tune()), tmp_path / "a.MID")
    write_musicxml(piece(tune()), tmp_path / "b.xml")
    (tmp_path / "c.abc").write_text(ABC)
    counts = {p.name: len(read_pieces(p)[0].parts[0].notes) for p in find_scores(tmp_path)}
    assert counts == {"a.MID": 32, "b.xml": 32, "c.abc": 4}


def test_a_book_names_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "c.abc").write_text(ABC)
    book = read_book(tmp_path / "c.abc")
    assert [found.title for found in book.pieces] == ["One"]
    assert book.unreadable == (("X:2 Two", "'?' is not a key"),)


def test_a_book_without_any_readable_tune(tmp_path: Path) -> None:
    (tmp_path / "c.abc").write_text("X:7\nK:?\nC\n")
    with pytest.raises(DataError, match=r"no tune can be read; X:7: '\?' is not a key"):
        read_pieces(tmp_path / "c.abc")


@pytest.mark.parametrize("name", ["a.wav", "a", "a.mid.txt"])
def test_other_suffixes_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError, match=r"Known: \.mid, \.midi, \.abc"):
        read_pieces(tmp_path / name)


def test_a_file_of_another_kind_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.mid").write_text(ABC)
    with pytest.raises(DataError, match="not a MIDI file"):
        read_pieces(tmp_path / "a.mid")


def test_folders_are_searched_in_order(tmp_path: Path) -> None:
    for name in ("b/z.abc", "b/a.krn", "a.midi", "c.txt", "d.mid/e.mxl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [p.relative_to(tmp_path).as_posix() for p in find_scores(tmp_path)] == [
        "a.midi", "b/a.krn", "b/z.abc", "d.mid/e.mxl",
    ]  # fmt: skip
    with pytest.raises(DataError, match="no such folder"):
        find_scores(tmp_path / "a.midi")
