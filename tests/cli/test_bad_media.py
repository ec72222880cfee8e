"""Names, playlists and files that are not films: one clear line, code 1, nothing left behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from examples.sample_film import make_film
from examples.sample_library import make_library
from segue.cli import root
from segue.core.options import run


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    make_film(folder / "film.mp4", 64, 36, shorten=0.06)
    make_library(folder / "library", seconds=8, count=1)
    return folder


def score(film: object, library: Path, out: Path, *more: str) -> int:
    arguments = ["score", os.fsdecode(str(film)), "--library", str(library), "--out", str(out)]
    return run(root, [*arguments, "--set", "workers=1", *more])


@pytest.mark.parametrize(
    "name",
    [
        "with spaces.mp4",
        'it\'s "quoted".mp4',
        "film 🎬.mp4",
        "a:b.mp4",
        "two\nlines.mp4",
        "-dash.mp4",
        "100%d.mp4",
        os.fsdecode(b"latin-\xe9.mp4"),
    ],
)
def test_odd_names_work(
    name: str, media: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = tmp_path / name
    film.write_bytes((media / "film.mp4").read_bytes())
    library = tmp_path / f"library {name}"
    library.mkdir()
    (library / f"{name}.flac").write_bytes((media / "library/slow-morning.flac").read_bytes())
    assert score(film, library, tmp_path / f"out {name}", "--json") == 0, capsys.readouterr().err
    assert (tmp_path / f"out {name}" / "report.html").stat().st_size > 1000


def refuse_folder(folder: Path) -> object:
    return folder


def refuse_empty(folder: Path) -> object:
    (folder / "empty.mp4").touch()
    return folder / "empty.mp4"


def refuse_text(folder: Path) -> object:
    (folder / "text.mp4").write_text("hello " * 100)
    return folder / "text.mp4"


def refuse_pipe(folder: Path) -> object:
    os.mkfifo(folder / "pipe.mp4")
    return folder / "pipe.mp4"


def refuse_playlist(folder: Path) -> object:
    (folder / "list.m3u8").write_text("#EXTM3U\n#EXTINF:5,\nfilm.mp4\n#EXT-X-ENDLIST\n")
    return folder / "list.m3u8"


def refuse_disguised_playlist(folder: Path) -> object:
    (folder / "list.mp4").write_text("#EXTM3U\n#EXTINF:5,\nfilm.mp4\n#EXT-X-ENDLIST\n")
    return folder / "list.mp4"


def refuse_concat_script(folder: Path) -> object:
    (folder / "list.mp4").write_text("ffconcat version 1.0\nfile film.mp4\n")
    return folder / "list.mp4"


def refuse_concat_name(folder: Path) -> object:
    return "concat:a.mp4|b.mp4"


def refuse_url(folder: Path) -> object:
    return "http://127.0.0.1:9/film.mp4"


def refuse_missing(folder: Path) -> object:
    return folder / "none.mp4"


@pytest.mark.parametrize("make", [f for n, f in list(globals().items()) if n.startswith("refuse_")])
def test_what_is_not_a_film_is_refused_in_one_line(
    make: object, media: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = make(tmp_path)  # type: ignore[operator]
    assert score(film, media / "library", tmp_path / "out") == 1
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err
    assert "fault in Segue" not in captured.err
    assert not (tmp_path / "out").exists()


def test_an_empty_library_is_refused(
    media: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "library").mkdir()
    assert score(media / "film.mp4", tmp_path / "library", tmp_path / "out") == 1
    assert "no music file" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
