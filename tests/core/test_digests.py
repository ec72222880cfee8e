"""Digests that are remembered, and every way in which a file can have changed."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from segue.core import digests
from segue.core.digests import known_sha256

BIG = b"a" * (1 << 20)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(digests, "_SETTLED_S", -1.0)
    return tmp_path / "cache" / "segue" / "digests"


@pytest.fixture
def film(tmp_path: Path) -> Path:
    (tmp_path / "film.mp4").write_bytes(BIG)
    return tmp_path / "film.mp4"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def forge(cache: Path) -> str:
    """Change the one kept digest, to see whether it is used."""
    (entry,) = cache.iterdir()
    kept = json.loads(entry.read_text())
    entry.write_text(json.dumps({**kept, "sha256": "0" * 64}))
    return "0" * 64


def test_an_unchanged_file_is_not_read_again(cache: Path, film: Path) -> None:
    assert known_sha256(film) == sha256(BIG)
    forged = forge(cache)
    assert known_sha256(film) == forged


def test_a_change_of_the_same_size_is_noticed_with_its_time_set_back(
    cache: Path, film: Path
) -> None:
    known_sha256(film)
    status = film.stat()
    with film.open("r+b") as file:
        file.write(b"b")
    os.utime(film, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert known_sha256(film) == sha256(b"b" + BIG[1:])


def test_another_file_of_that_name_is_noticed(cache: Path, film: Path, tmp_path: Path) -> None:
    known_sha256(film)
    status = film.stat()
    other = tmp_path / "other"
    other.write_bytes(b"c" * len(BIG))
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(film)
    assert known_sha256(film) == sha256(b"c" * len(BIG))


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"{}", b'{"state": 1, "sha256": 2}'])
def test_a_damaged_entry_is_as_good_as_none(cache: Path, film: Path, damage: bytes) -> None:
    known_sha256(film)
    (entry,) = cache.iterdir()
    entry.write_bytes(damage)
    assert known_sha256(film) == sha256(BIG)
    assert json.loads(entry.read_text())["sha256"] == sha256(BIG)


def test_a_file_changed_just_now_is_not_remembered(
    cache: Path, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "_SETTLED_S", 60.0)
    assert known_sha256(film) == sha256(BIG)
    assert not cache.exists()


def test_small_files_are_hashed(cache: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.write_bytes(b"x")
    assert known_sha256(small) == sha256(b"x")
    assert not cache.exists()


def test_a_missing_file_is_an_error_of_the_system(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        known_sha256(tmp_path / "none")
