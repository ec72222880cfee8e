"""The checkpoints of a run: whole or absent, in order, and never silently wrong.

A checkpoint is a folder `step-000123/` (its content: `checkpoint_format`). It is built in a
temporary sibling, flushed to the disk, and becomes visible by one rename. `last` and `best` are
small files with the name of a checkpoint and the hash of its manifest; they too are replaced
atomically. A process may be killed, or the disk fill up, between any two system calls: what was
complete before is complete after.

A damaged checkpoint is named in a warning and the previous good one is used. A checkpoint of a
later format, of another configuration or of other data is refused: to continue from an older one
would silently throw work away.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segue.core.checkpoint_format import (
    Arrays,
    Checkpoint,
    DamagedError,
    checkpoint_name,
    encode,
    read_checkpoint,
)
from segue.core.errors import RunError
from segue.core.files import atomic_write, sync_directory

__all__ = ["list_checkpoints", "load_checkpoint", "prune_checkpoints", "save_checkpoint"]

_NAME = re.compile(r"step-(\d{6,})")
_HALF = ".tmp-"  # being built, or being removed: never a checkpoint
_ASIDE = ".old-"  # a checkpoint that makes room for a new one of the same step

log = logging.getLogger(__name__)


def save_checkpoint(
    folder: Path,
    step: int,
    arrays: Arrays,
    state: Mapping[str, Any],
    *,
    parent: str = "",
    config_hash: str = "",
    data_hash: str = "",
    best: bool = False,
    keep: int = 2,
) -> Path:
    """Write one checkpoint and point `last` (and `best`) at it.

    Args:
        folder: holds all checkpoints of a run; made if missing.
        step: number of training steps that are done.
        arrays: group -> name -> array; each group becomes one file.
        state: JSON-like values; numbers are kept exactly.
        parent: name of the checkpoint that training continued from.
        config_hash: identifies the configuration; checked on loading.
        data_hash: identifies the data; checked on loading.
        best: also point `best` at it.
        keep: how many of the newest to keep, at least 2; what `best` points at is always kept.

    Returns:
        The folder of the new checkpoint.

    Raises:
        RunError: it cannot be written; earlier checkpoints are as they were.
        ValueError: a wrong `step` or `keep`, a group name that is no file name, or a state that
            JSON does not keep.
    """
    if keep < 2 or step < 0:
        raise ValueError(f"keep = {keep} must be at least 2 and step = {step} at least 0")
    contents, seal = encode(
        step, arrays, state, parent=parent, config_hash=config_hash, data_hash=data_hash
    )
    name = checkpoint_name(step)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _tidy(folder)
        _publish(folder / name, contents)
        # `last` comes last: a save that was killed before it is done again, with its `best`.
        for pointer in ("best", "last") if best else ("last",):
            atomic_write(folder / pointer, f"{name} {seal}\n")
        prune_checkpoints(folder, step, keep)
    except OSError as error:
        needed = sum(map(len, contents.values()))
        raise RunError(
            f"cannot write checkpoint {name} ({needed} bytes): {error.strerror or error}",
            where=folder,
            advice="Free space or correct the permissions, then resume; "
            "earlier checkpoints are untouched.",
        ) from error
    return folder / name


def load_checkpoint(
    folder: Path,
    which: str = "last",
    *,
    config_hash: str | None = None,
    data_hash: str | None = None,
) -> Checkpoint | None:
    """Load the last good checkpoint, or the best, or the one named.

    Args:
        folder: holds all checkpoints of a run.
        which: "last", "best" or a name such as "step-000123". The first two fall back to the
            previous good checkpoint with a warning; a name does not.
        config_hash: refuse a checkpoint of another configuration; None accepts any.
        data_hash: refuse a checkpoint of other data; None accepts any.

    Returns:
        The checkpoint, or None when `folder` holds none at all.

    Raises:
        RunError: none is intact; or it belongs to a later format, another configuration or data.
    """
    with contextlib.suppress(OSError):
        _tidy(folder)
    known = {path.name: path for path in list_checkpoints(folder)}
    order, seal, warnings = _candidates(folder, which, known)
    for name in order:
        try:
            found = read_checkpoint(known[name])
            if seal and name == order[0] and seal != found.seal:
                raise DamagedError(f"exchanged since '{which}' was written", where=known[name])
        except DamagedError as problem:
            warnings.append(str(problem))
            continue
        _refuse_other(found, config_hash, data_hash)
        for warning in warnings:
            log.warning("%s; continuing from %s", warning, name)
        return dataclasses.replace(found, warnings=tuple(warnings))
    if not known and not warnings:
        return None
    raise RunError(
        "no intact checkpoint: " + "; ".join(warnings),
        where=folder,
        advice="Restore the folder from a copy, or start a new run.",
    )


def prune_checkpoints(folder: Path, newest: int, keep: int) -> None:
    """Remove old checkpoints, and later ones left by a stretch of training that is redone.

    Args:
        folder: holds all checkpoints of a run.
        newest: step of the newest one that counts.
        keep: how many to keep, besides the one that `best` points at.
    """
    paths = list_checkpoints(folder)
    kept = [path for path in paths if _step(path.name) <= newest][-keep:]
    best = _pointer(folder, "best")[0]
    unneeded = [path for path in paths if path not in kept and path.name != best]
    for path in unneeded:
        _move(path, _HALF)  # so that a half-removed folder does not look like a damaged one
    if unneeded:
        sync_directory(folder)
        _tidy(folder)


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoint folders in `folder`, oldest first; their content is not looked at."""
    try:
        found = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted((path for path in found if path.is_dir()), key=lambda path: _step(path.name))


def _publish(final: Path, contents: Mapping[str, bytes]) -> None:
    folder = final.parent
    temporary = Path(tempfile.mkdtemp(prefix=_HALF, dir=folder))
    aside = None
    try:
        for file, data in contents.items():
            _write(temporary / file, data)
        temporary.chmod(0o755)
        sync_directory(temporary)
        if final.exists():  # this step is done again, after a damaged or a lost checkpoint
            aside = _move(final, _ASIDE)
        temporary.rename(final)
        sync_directory(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        if aside and not final.exists():
            aside.rename(final)
        raise
    if aside:
        shutil.rmtree(aside.parent, ignore_errors=True)


def _tidy(folder: Path) -> None:
    """Undo what an interrupted save left behind."""
    for path in folder.iterdir():
        if path.name.startswith(_ASIDE):
            for kept in path.iterdir():
                if not (folder / kept.name).exists():  # killed between the two renames
                    kept.rename(folder / kept.name)
        if path.name.startswith((_ASIDE, _HALF)):
            shutil.rmtree(path, ignore_errors=True)
            path.unlink(missing_ok=True) if path.is_file() else None


def _move(path: Path, prefix: str) -> Path:
    return path.rename(Path(tempfile.mkdtemp(prefix=prefix, dir=path.parent)) / path.name)


def _write(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        view = memoryview(data)
        while view:  # a write may take only a part
            view = view[os.write(handle, view) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def _candidates(
    folder: Path, which: str, known: Mapping[str, Path]
) -> tuple[list[str], str, list[str]]:
    """Return the names to try in order, the seal of the first, and what is odd already."""
    if which not in ("last", "best"):
        if which not in known:
            raise RunError(
                f"no checkpoint '{which}'",
                where=folder,
                advice=f"There is: {', '.join(known) or 'none'}",
            )
        return [which], "", []
    target, seal = _pointer(folder, which)
    warnings = []
    if target is None and known and (seal or which == "best"):
        # `last` may be missing: the process was killed before it wrote the first one
        warnings.append(f"{folder / which}: {seal or 'missing'}")
    elif target is not None and target not in known:
        warnings.append(f"{target}, which '{which}' names, is missing")
    # the target, then those before it from new to old, then later ones
    limit = _step(target) if target else max(map(_step, known), default=0)
    order = sorted(known, key=lambda name: (_step(name) > limit, -_step(name)))
    return order, seal if target in known else "", warnings


def _pointer(folder: Path, which: str) -> tuple[str | None, str]:
    """Return (name, seal) of a pointer file, or (None, what is wrong; empty when missing)."""
    try:
        name, seal = (folder / which).read_text(encoding="ascii").split()
    except FileNotFoundError:
        return None, ""
    except (OSError, ValueError):
        return None, "unreadable"
    return (name, seal) if _NAME.fullmatch(name) else (None, "names no checkpoint")


def _step(name: str) -> int:
    found = _NAME.fullmatch(name)
    return int(found[1]) if found else -1


def _refuse_other(found: Checkpoint, config_hash: str | None, data_hash: str | None) -> None:
    for kind, given, kept in (
        ("configuration", config_hash, found.config_hash),
        ("data", data_hash, found.data_hash),
    ):
        if given is not None and given != kept:
            raise RunError(
                f"this checkpoint belongs to another {kind} ({kept or 'none'}, now {given})",
                where=found.path,
                advice=f"Resume with the {kind} it was made with, or start a new run.",
            )
