"""A folder of music: what is found, skipped, kept and recomputed; workers come and go."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from segue.core.errors import DataError
from segue.media import analysis_cache, workers
from segue.media.audio import write_wav
from segue.media.library import analyse_library, find_tracks
from segue.media.spectrum import RATE_HZ
from tests.synthetic_audio import cadence, clicks, noise

MUSIC = {
    "b.wav": cadence(60, minor=False, bars=1),
    "a song.wav": cadence(62, minor=True, bars=1),
    "deep/er/c 'q\" ü.wav": clicks(120, 4),
}


@pytest.fixture(autouse=True)
def fresh_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    for name, samples in MUSIC.items():
        write_wav(folder / name, samples, RATE_HZ, 16)
    return folder


def test_finds_music_and_nothing_else(folder: Path) -> None:
    for other in (".hidden.wav", ".git/x.wav", "list.m3u8", "cover.jpg", "film.mp4", "notes.txt"):
        (folder / other).parent.mkdir(exist_ok=True)
        (folder / other).write_bytes(b"x")
    (folder / "LOUD.MP3").write_bytes(b"x")
    (folder / "loop").symlink_to(folder)
    names = [os.fspath(p.relative_to(folder)) for p in find_tracks(folder)]
    assert names == ["LOUD.MP3", "a song.wav", "b.wav", "deep/er/c 'q\" ü.wav"]


def test_analyses_in_order_and_only_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[float] = []
    library = analyse_library(folder, workers=2, advance=steps.append)
    assert [t.path.name for t in library.tracks] == ["a song.wav", "b.wav", "c 'q\" ü.wav"]
    assert [t.key for t in library.tracks[:2]] == ["D minor", "C major"]
    assert steps == [1, 1, 1]
    assert (library.skipped, library.duplicates, library.n_cached) == ((), (), 0)

    def refuse(*_: object) -> None:
        raise AssertionError("a worker was started although everything is kept")

    monkeypatch.setattr(workers, "_Worker", refuse)
    shutil.move(folder / "b.wav", folder / "renamed.wav")
    again = analyse_library(folder)
    assert again.n_cached == 3
    assert [t.path.name for t in again.tracks] == ["a song.wav", "c 'q\" ü.wav", "renamed.wav"]
    for before, after in zip(
        sorted(library.tracks, key=lambda t: t.sha256),
        sorted(again.tracks, key=lambda t: t.sha256),
        strict=True,
    ):
        np.testing.assert_array_equal(before.axes, after.axes)
        np.testing.assert_array_equal(before.onset_strength, after.onset_strength)


def test_a_kept_library_needs_no_signal_processing(folder: Path) -> None:
    analyse_library(folder, workers=1)
    script = (
        "import sys; from segue.media.library import analyse_library; "
        f"assert analyse_library({str(folder)!r}).n_cached == 3; "
        "heavy = {'librosa', 'scipy', 'torch', 'av', 'numba'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_bad_files_are_skipped_and_named(folder: Path) -> None:
    (folder / "text.mp3").write_text("hello " * 1000)
    (folder / "zero.wav").write_bytes(b"")
    write_wav(folder / "silent.wav", np.zeros(RATE_HZ, np.float32), RATE_HZ)
    (folder / "dangling.ogg").symlink_to(folder / "nowhere.ogg")
    (folder / "list.wav").write_text("#EXTM3U\nhttp://example.com/a.ts\n")
    (folder / "copy of zero.wav").write_bytes(b"")
    steps: list[float] = []
    library = analyse_library(folder, workers=1, advance=steps.append)
    assert len(library.tracks) == 3
    assert len(steps) == 9
    reasons = {path.name: reason for path, reason in library.skipped}
    assert set(reasons) == {
        "text.mp3", "zero.wav", "silent.wav", "dangling.ogg", "list.wav", "copy of zero.wav",
    }  # fmt: skip
    assert "silent" in reasons["silent.wav"]
    assert "empty" in reasons["zero.wav"]
    assert "playlist" in reasons["list.wav"]
    notes = library.notes()
    assert len(notes) == 6
    assert any("dangling.ogg" in note for note in notes)


def test_the_same_content_counts_once(folder: Path) -> None:
    shutil.copy(folder / "b.wav", folder / "z copy.wav")
    library = analyse_library(folder, workers=1)
    assert [t.path.name for t in library.tracks] == ["a song.wav", "b.wav", "c 'q\" ü.wav"]
    assert [(c.name, o.name) for c, o in library.duplicates] == [("z copy.wav", "b.wav")]
    assert "same content" in library.notes()[0]


def test_a_damaged_or_foreign_entry_is_recomputed(folder: Path) -> None:
    first = analyse_library(folder, workers=1)
    entries = [analysis_cache.entry_path(t.sha256) for t in first.tracks]
    data = bytearray(entries[0].read_bytes())
    data[len(data) // 2] ^= 1
    entries[0].write_bytes(data)
    entries[1].write_bytes(b"PK\x03\x04 not an archive")
    shutil.copy(entries[2], entries[1])  # another track's entry under this name
    assert analysis_cache.load(first.tracks[0].sha256, Path("a")) is None
    assert analysis_cache.load(first.tracks[1].sha256, Path("a")) is None
    again = analyse_library(folder, workers=1)
    assert again.n_cached == 1
    for before, after in zip(first.tracks, again.tracks, strict=True):
        np.testing.assert_array_equal(before.axes, after.axes)


def test_pickled_arrays_are_not_read(folder: Path, tmp_path: Path) -> None:
    track = analyse_library(folder, workers=1).tracks[0]
    entry = analysis_cache.entry_path(track.sha256)
    canary = tmp_path / "canary"

    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return (os.mkdir, (os.fspath(canary),))

    np.savez(entry, **track.to_arrays() | {"axes": np.array([Bomb()], dtype=object)})
    assert analysis_cache.load(track.sha256, track.path) is None
    assert not canary.exists()


@pytest.mark.parametrize("kind", ["missing", "empty", "file", "all bad"])
def test_a_library_without_music_is_an_error(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "music"
    if kind == "file":
        target.write_bytes(b"x")
    elif kind != "missing":
        target.mkdir()
    if kind == "all bad":
        (target / "a.mp3").write_bytes(b"no")
    word = {"missing": "no such folder", "empty": "no music file", "file": "not a folder",
            "all bad": "none of 1 music files"}[kind]  # fmt: skip
    with pytest.raises(DataError, match=word):
        analyse_library(target)


def test_names_that_are_not_utf8_work(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9\n:x.wav")
    write_wav(tmp_path / "music" / "plain.wav", MUSIC["b.wav"], RATE_HZ, 16)
    (tmp_path / "music" / "plain.wav").rename(tmp_path / "music" / name)
    library = analyse_library(tmp_path / "music", workers=1)
    assert [t.path.name for t in library.tracks] == [name]


def test_a_crash_costs_one_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The worker dies by a signal on one file, as a fault in a decoder would kill it.
    crash = (
        "import os, segue.media.library as library; own = library.analyse_and_keep; "
        "library.analyse_and_keep = lambda path, sha256: "
        "os.kill(os.getpid(), 11) if path.name == 'b.wav' else own(path, sha256); "
    )
    start = workers._START.replace("from segue.media.workers", crash + "from segue.media.workers")
    monkeypatch.setattr(workers, "_START", start)
    library = analyse_library(folder, workers=1)
    assert [t.path.name for t in library.tracks] == ["a song.wav", "c 'q\" ü.wav"]
    assert [(p.name, r) for p, r in library.skipped] == [
        ("b.wav", "the analysis crashed (exit status -11)")
    ]


def test_a_hang_is_given_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hang = (
        "import time, segue.media.library as library; "
        "library.analyse_and_keep = lambda path, sha256: time.sleep(60); "
    )
    start = workers._START.replace("from segue.media.workers", hang + "from segue.media.workers")
    monkeypatch.setattr(workers, "_START", start)
    monkeypatch.setattr(workers, "_LIMIT_S", 0.1)
    with pytest.raises(DataError, match=r"none of 3 music .* no result after"):
        analyse_library(folder, workers=3)


def test_an_interrupt_leaves_no_worker(tmp_path: Path) -> None:
    for i in range(6):
        write_wav(tmp_path / "music" / f"{i}.wav", noise(60, i), RATE_HZ, 16)
    marker = f"segue-test-{os.getpid()}-{time.time_ns()}"
    script = (
        "import sys; from segue.media.library import analyse_library\n"
        f"sys.path.append({marker!r})\n"  # appears in the arguments of the workers
        "try:\n"
        f"    analyse_library({str(tmp_path / 'music')!r}, workers=2)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 30
    while len(_processes_with(marker)) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(parent.pid, signal.SIGINT)  # as a terminal does: to the parent and its workers
    out, _ = parent.communicate(timeout=20)
    assert "interrupted" in out
    deadline = time.monotonic() + 5  # a killed process takes a moment to go on a busy machine
    while _processes_with(marker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _processes_with(marker) == []


def _processes_with(marker: str) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if marker.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found
