"""One writer for each run folder.

The lock belongs to the open file, so the system releases it when the process ends, however it
ends: after `kill -9` nothing has to be cleaned up.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from segue.core.errors import RunError

try:
    import fcntl
except ImportError:  # a system without POSIX locks
    fcntl = None  # type: ignore[assignment]

__all__ = ["FolderLock"]

log = logging.getLogger(__name__)


class FolderLock:
    """Hold `folder/.lock` until `release`.

    Raises:
        RunError: another process (or this one) holds it, or the folder cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / ".lock"
        try:
            self._file = path.open("a+", encoding="ascii")
        except OSError as error:
            raise RunError(
                f"cannot write to this run: {error.strerror}",
                where=folder,
                advice="Check that the folder exists and is yours to write to.",
            ) from error
        try:
            if fcntl:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            holder = self._file.read(20).strip()
            self._file.close()
            raise RunError(
                f"another process{f' ({holder})' if holder.isdigit() else ''} writes to this run",
                where=folder,
                advice="Wait until it ends, stop it, or choose another run.",
            ) from None
        except OSError as error:  # some network file systems have no locks
            log.warning("%s: cannot lock (%s); keep other writers away", folder, error.strerror)
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def release(self) -> None:
        """Let others write; a second call does nothing."""
        self._file.close()
