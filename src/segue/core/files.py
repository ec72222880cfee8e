"""Files written whole or not at all, and fingerprints of content."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from segue.core.errors import RunError, UsageError

__all__ = [
    "atomic_path",
    "atomic_write",
    "cache_dir",
    "check_target",
    "fingerprint",
    "read_json",
    "sha256_file",
    "sync_directory",
    "work_folder",
    "write_json",
]

_BLOCK = 1 << 20


def sync_directory(path: Path) -> None:
    """Flush a directory entry, so that a rename inside it survives a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary sibling of `path` to write to; rename it to `path` only on success.

    On any exception the temporary file is removed and `path` is left as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".tmp-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
        sync_directory(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def atomic_write(path: Path, data: bytes | str) -> None:
    """Write `data` to `path` so that a reader sees the old content or all of the new one."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.encode("utf-8") if isinstance(data, str) else data)


def write_json(path: Path, value: Any) -> None:
    """Write `value` atomically as UTF-8 JSON with sorted keys left as given."""
    atomic_write(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def check_target(folder: Path, ours: Callable[[str], bool]) -> None:
    """Refuse a folder for prepared data in which something else is.

    Args:
        folder: where the data are to be written.
        ours: whether a file of this name may have been written there before.

    Raises:
        UsageError: `folder` is a file, or holds other things.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir():
        raise UsageError("is not a folder", where=folder, advice="Choose another --out")
    foreign = sorted(path.name for path in folder.iterdir() if not ours(path.name))
    if foreign:
        raise UsageError(
            f"holds other things, such as {foreign[0]}",
            where=folder,
            advice="Choose a new or empty folder as --out; one that was prepared may be replaced",
        )


def work_folder(out: Path) -> Path:
    """Make a folder beside the one that its files will be moved to.

    Raises:
        RunError: nothing can be written there.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=".tmp-", dir=out.parent))
    except OSError as error:
        raise RunError(
            f"cannot write: {error.strerror or error}",
            where=out.parent,
            advice="Choose a folder that can be written to",
        ) from error


def sha256_file(path: Path) -> str:
    """Return the hex SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def fingerprint(value: Any) -> str:
    """Return a short stable hash of a JSON-like value (keys sorted)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16]


def cache_dir() -> Path:
    """Return the user's cache folder for Segue: `$XDG_CACHE_HOME/segue` or `~/.cache/segue`.

    Falls back to a folder in the system's temporary directory when there is no writable home.
    """
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "segue"
        base.mkdir(parents=True, exist_ok=True)
        if os.access(base, os.W_OK):
            return base
    except (OSError, RuntimeError):
        pass
    base = Path(tempfile.gettempdir()) / f"segue-cache-{os.getuid()}"
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    return base
