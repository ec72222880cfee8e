"""Files appear whole or not at all."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.core.files import (
    atomic_path,
    atomic_write,
    cache_dir,
    fingerprint,
    read_json,
    sha256_file,
    write_json,
)


def test_written_whole_with_usual_permissions(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    atomic_write(path, "héllo")
    assert path.read_bytes() == "héllo".encode()
    assert path.stat().st_mode & 0o777 == 0o644
    atomic_write(path, b"\x00")
    assert path.read_bytes() == b"\x00"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt, SystemExit])
def test_failure_leaves_the_old_content_and_no_litter(
    tmp_path: Path, fault: type[BaseException]
) -> None:
    path = tmp_path / "a.txt"
    atomic_write(path, "old")

    def write() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half of the n")
            raise fault

    with pytest.raises(fault):
        write()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("call", ["fsync", "replace", "chmod"])
def test_failing_system_call_leaves_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "a.txt"
    atomic_write(path, "old")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space left"):
        atomic_write(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_suffix_is_kept_for_writers_that_look_at_it(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a.wav") as temporary:
        assert temporary.suffix == ".wav"
        assert temporary.parent == tmp_path


def test_json_round_trip(tmp_path: Path) -> None:
    value = {"é": [1, 0.1, None, True], "b": {"a": "x\n"}}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert list(read_json(tmp_path / "a.json")) == ["é", "b"]


def test_json_that_others_cannot_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert not list(tmp_path.iterdir())


def test_sha256_of_more_than_one_block(tmp_path: Path) -> None:
    data = os.urandom(3 * (1 << 20) + 5)
    (tmp_path / "a").write_bytes(data)
    assert sha256_file(tmp_path / "a") == hashlib.sha256(data).hexdigest()


@settings(deadline=None)
@given(st.dictionaries(st.text(), st.integers() | st.text() | st.floats(allow_nan=False)))
def test_fingerprint_ignores_the_order_of_keys(value: dict[str, object]) -> None:
    assert fingerprint(value) == fingerprint(dict(reversed(value.items())))


def test_fingerprint_sees_every_change() -> None:
    values = [{}, {"a": 1}, {"a": 2}, {"b": 1}, {"a": "1"}, {"a": [1]}, {"a": 1, "b": 1}, "\udcff"]
    assert len({fingerprint(value) for value in values}) == len(values)


def test_cache_follows_the_usual_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert cache_dir() == tmp_path / "x" / "segue"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_dir() == tmp_path / "home" / ".cache" / "segue"


def test_cache_without_a_home_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = cache_dir()
    assert folder.is_dir()
    assert folder.parent == tmp_path
    assert folder.stat().st_mode & 0o077 == 0
