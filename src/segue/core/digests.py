"""Fingerprints of large files, remembered while the files stay as they are.

A film of some gigabytes takes seconds to hash, and every run asks for it. The digest is kept in the
user's cache beside the file's size, inode, and times of the last change of its content and of its
entry (which no program can set back). A file whose any of these differs, or that changed so shortly
before that another change could carry the same times, is read again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
from pathlib import Path

from segue.core.files import cache_dir, sha256_file

__all__ = ["known_sha256"]

_SMALL = 1 << 20
"""Bytes; hashing less is as quick as looking it up."""
_SETTLED_S = 3.0
"""File systems tell times to within two seconds at worst."""


def known_sha256(path: Path) -> str:
    """Return the hex SHA-256 of a file's content, from the cache where the file is unchanged.

    Raises:
        OSError: the file cannot be read.
    """
    before = _state(path)
    if before[0] < _SMALL:
        return sha256_file(path)
    name = hashlib.sha256(os.fsencode(Path(path).absolute())).hexdigest()
    entry = cache_dir() / "digests" / f"{name[:32]}.json"
    try:
        kept = json.loads(entry.read_bytes())
        if kept["state"] == before and len(bytes.fromhex(kept["sha256"])) == 32:
            return str(kept["sha256"])
    except (OSError, ValueError, KeyError, TypeError):  # missing, damaged, or of another form
        pass
    started_ns = time.time_ns()
    digest = sha256_file(path)
    settled = started_ns - max(before[1], before[2]) > _SETTLED_S * 1e9
    if settled and _state(path) == before:
        with contextlib.suppress(OSError):  # a full disk must not cost more than time
            _keep(entry, json.dumps({"state": before, "sha256": digest}))
    return digest


def _state(path: Path) -> list[int]:
    status = path.stat()
    changed = [status.st_mtime_ns, status.st_ctime_ns]
    return [status.st_size, *changed, status.st_ino, status.st_dev]


def _keep(entry: Path, text: str) -> None:
    # Renamed but not flushed: an entry that a power cut tore is not JSON, and as good as none.
    entry.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".tmp-", dir=entry.parent)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text)
    Path(temporary).replace(entry)
