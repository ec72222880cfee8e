from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from segue.core.errors import DataError, MissingExtra, UnknownName
from segue.music import kern
from segue.music.kern import corpus_files, read_kern
from segue.music.reading import read_pieces

pytest.importorskip("music21")

TUNE = """**kern\t**kern
*M3/4\t*M3/4
*MM90\t*MM90
4C\t4g
=1\t=1
2.CC\t4e
.\t8f#
.\t8g
.\t[4a
=2\t=2
2.r\t4a]
.\t2b- dd
==\t==
*-\t*-
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "a.krn"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_kern_file(tmp_path: Path) -> None:
    found = read_kern(write(tmp_path, TUNE))
    notes = {
        tuple((n.start / 480, n.pitch, (n.end - n.start) / 480) for n in part.notes)
        for part in found.parts
    }
    assert notes == {
        ((2, 48, 1), (3, 36, 3)),
        ((2, 67, 1), (3, 64, 1), (4, 66, 0.5), (4.5, 67, 0.5), (5, 69, 2), (7, 70, 2), (7, 74, 2)),
    }
    assert (found.meters, found.tempos) == (((0, 3, 4),), ((0, 90.0),))
    assert read_pieces(tmp_path / "a.krn") == [found]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no [*][*]kern in it"),
        ("hello", "no [*][*]kern in it"),
        (TUNE.replace("8f#", "8?"), "1 events cannot be read"),
        (TUNE.replace("=1\t=1", "*v\t*"), "damaged kern file"),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_kern(write(tmp_path, text))
    assert "a.krn" in caught.value.where
    assert capsys.readouterr() == ("", "")


def test_size_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kern, "_MOST_BYTES", 20)
    with pytest.raises(DataError, match="are not read as kern"):
        read_kern(write(tmp_path, TUNE))


def test_the_corpus_is_named_by_its_parts() -> None:
    files = corpus_files("oneills1850")
    assert len(files) >= 30
    assert {path.suffix for path in files} == {".abc"}
    with pytest.raises(UnknownName, match="Did you mean 'oneills1850'"):
        corpus_files("oneils1850")
    with pytest.raises(UnknownName):
        corpus_files("../corpus")


def test_without_music21_the_command_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'segue\[corpus\]'"):
        read_kern(write(tmp_path, TUNE))
    with pytest.raises(MissingExtra, match="music21 is needed"):
        corpus_files("bach")
