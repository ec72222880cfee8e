"""Checkpoints on a disk that fails, fills up, or loses power, at every single operation.

`Disk` stands between the code and the operating system. It counts the operations that change the
disk; the test lets the first one fail, then the second, and so on until nothing fails any more.
After a loss of power it keeps only what a real disk would guarantee: a file's content counts once
the file was synchronised; its name, and a rename, once the folder was.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segue.core.checkpoint import list_checkpoints, load_checkpoint, save_checkpoint
from segue.core.checkpoint_format import read_checkpoint
from segue.core.errors import RunError


class PowerCut(BaseException):
    """Nothing runs after this; no handler may help."""


class Disk:
    """Fails at operation number `fail_at` (from 0), once or for good."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fail_at: int, mode: str) -> None:
        self.count, self.fail_at, self.mode = 0, fail_at, mode
        self.unsynced: set[Path] = set()  # files whose content would be lost
        self.unnamed: set[Path] = set()  # files whose folder would not know them
        self.renames: list[tuple[Path, Path, bytes | None]] = []  # not yet synchronised
        self.paths: dict[int, Path] = {}
        self._patch(monkeypatch)

    @property
    def failed(self) -> bool:
        return self.count > self.fail_at

    def _step(self, kind: str) -> None:
        self.count += 1
        if self.mode == "power" and self.failed:
            raise PowerCut
        if self.mode == "full" and self.failed and kind in ("write", "make"):
            raise OSError(errno.ENOSPC, "No space left on device")
        if self.mode == "dead" and self.failed:
            raise OSError(errno.EIO, "Input/output error")
        if self.mode == "once" and self.count == self.fail_at + 1:
            raise OSError(errno.EIO, "Input/output error")

    def _patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = {
            name: getattr(os, name)
            for name in ("open", "write", "rename", "replace", "mkdir", "unlink", "rmdir")
        }

        def opened(path: Any, flags: int, *rest: Any, **options: Any) -> int:
            if flags & (os.O_WRONLY | os.O_RDWR):
                self._step("make")
            handle: int = real["open"](path, flags, *rest, **options)
            if "dir_fd" not in options or options["dir_fd"] is None:
                self.paths[handle] = Path(path)
                if flags & os.O_CREAT:
                    self.unsynced.add(Path(path))
                    self.unnamed.add(Path(path))
            return handle

        def write(handle: int, data: Any) -> int:
            self._step("write")
            half = max(1, len(data) // 2)  # a write may always be short
            done: int = real["write"](handle, bytes(data[:half]))
            return done

        def fsync(handle: int) -> None:
            self._step("sync")
            path = self.paths.get(handle)
            if path and path.is_dir():
                self.renames = [r for r in self.renames if path not in (r[0].parent, r[1].parent)]
                self.unnamed = {name for name in self.unnamed if name.parent != path}
            elif path:
                self.unsynced.discard(path)

        def move(name: str) -> Callable[..., None]:
            def moved(source: Any, target: Any, **options: Any) -> None:
                self._step("rename")
                before = Path(target).read_bytes() if Path(target).is_file() else None
                real[name](source, target, **options)
                source, target = Path(source), Path(target)
                self.renames.append((source, target, before))
                for group in (self.unsynced, self.unnamed):  # they go along under the new name
                    for path in [p for p in group if source in (p, p.parent)]:
                        group.remove(path)
                        group.add(target / path.relative_to(source))
                self.unnamed.discard(target)  # that is in the list of renames now

            return moved

        def plain(name: str, kind: str) -> Callable[..., None]:
            def call(*args: Any, **options: Any) -> None:
                self._step(kind)
                real[name](*args, **options)

            return call

        def write_bytes(path: Path, data: bytes) -> int:  # writes below the level of os.write
            self._step("write")
            with path.open("wb") as file:
                self.unsynced.add(path)
                return file.write(data)

        def sync_file(handle: int) -> None:
            path = Path(f"/proc/self/fd/{handle}").readlink()
            self.paths[handle] = path
            fsync(handle)

        monkeypatch.setattr(os, "open", opened)
        monkeypatch.setattr(os, "write", write)
        monkeypatch.setattr(os, "fsync", sync_file)
        monkeypatch.setattr(os, "rename", move("rename"))
        monkeypatch.setattr(os, "replace", move("replace"))
        monkeypatch.setattr(os, "mkdir", plain("mkdir", "make"))
        monkeypatch.setattr(os, "unlink", plain("unlink", "remove"))
        monkeypatch.setattr(os, "rmdir", plain("rmdir", "remove"))
        monkeypatch.setattr(Path, "write_bytes", write_bytes)

    def lose_power(self, *, only_first_rename: bool) -> None:
        """Undo what was never made durable: of renames all, newest first, or only the oldest."""
        for path in self.unsynced:
            if path.is_file():
                path.write_bytes(b"")
        for path in self.unnamed:
            path.unlink(missing_ok=True)
        for source, target, before in self.renames[:1] if only_first_rename else self.renames[::-1]:
            if not target.exists() or source.exists():
                continue  # a later operation needed this one, so it cannot be lost alone
            if before is None:
                source.parent.mkdir(exist_ok=True)
                target.rename(source)
            else:
                target.write_bytes(before)


def save(folder: Path, step: int) -> None:
    weights = np.full(40, step, dtype=np.float32)
    save_checkpoint(folder, step, {"model": {"w": weights}}, {"step": step}, parent="p")


@pytest.mark.parametrize(
    "mode",
    ["once", "full", "dead", "power, all kept", "power, all lost", "power, first rename lost"],
)
@pytest.mark.parametrize("again", [False, True], ids=["next step", "same step again"])
def test_fault_at_every_operation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, again: bool
) -> None:
    """Two good checkpoints, then a third (or the second again) with a fault at operation k."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # for speed; Disk keeps its own account
    new = 2 if again else 3
    points = 0
    for fail_at in range(400):
        folder = tmp_path / f"{fail_at}"
        save(folder, 1)
        save(folder, 2)
        with monkeypatch.context() as patch:
            disk = Disk(patch, fail_at, mode.partition(",")[0])
            with contextlib.suppress(RunError, PowerCut):
                save(folder, new)
        if mode in ("power, all lost", "power, first rename lost"):
            disk.lose_power(only_first_rename=mode.endswith("rename lost"))
        if not disk.failed:
            assert not [path for path in folder.iterdir() if path.name.startswith(".")]
        found = load_checkpoint(folder)
        assert found is not None
        assert found.step in (2, new)
        assert (found.arrays["model"]["w"] == found.step).all()
        assert found.warnings == ()
        for path in list_checkpoints(folder):
            read_checkpoint(path)  # nothing half-written is visible
        save(folder, 4)  # and the next save works, and tidies up
        after = load_checkpoint(folder)
        assert after is not None
        assert after.step == 4
        assert not [path for path in folder.iterdir() if path.name.startswith(".")]
        if not disk.failed:
            break
        points += 1
    assert points >= 15, "the faults did not reach the code"
    assert not disk.failed, "there were more operations than tried"


def test_message_of_a_full_disk_names_the_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Disk(monkeypatch, 3, "full")
    with pytest.raises(RunError, match=r"step-000001 \(\d+ bytes\): No space left on device"):
        save(tmp_path, 1)
