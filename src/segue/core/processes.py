"""Worker processes: interpreters of their own that speak JSON lines with the one that started them.

Unlike a process pool they do not import the caller's main module again (a script without a main
guard works), and each has one thread for its arithmetic.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from typing import IO

__all__ = ["answers", "pipe", "start", "stop"]

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def start(code: str) -> subprocess.Popen[bytes]:
    """Start an interpreter with pipes to its standard input and output.

    Args:
        code: what it runs; its first argument is the caller's `sys.path`, as JSON.

    Raises:
        OSError: it cannot start.
    """
    environment = os.environ | dict.fromkeys(_THREADS, "1")
    command = [sys.executable, "-c", code, json.dumps([p for p in sys.path if p])]
    # Ctrl-C reaches the whole terminal group; the parent decides and ends its workers. Blocked from
    # its first instruction on, no worker prints a traceback while it starts.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return subprocess.Popen(  # noqa: S603  our own code
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def answers() -> IO[str]:
    """Return, in a worker, where answers go; what any library prints goes to standard error."""
    found = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # whatever a library prints must not look like an answer
    return found


def pipe(end_of_it: IO[bytes] | None) -> IO[bytes]:
    """Return an end of a pipe to a process that `start` started; both are there."""
    assert end_of_it is not None, "both ends were asked for"
    return end_of_it


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop a process at once and wait for its end."""
    process.kill()
    for each in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            pipe(each).close()
    process.wait()
