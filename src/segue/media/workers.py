"""Worker processes that listen to music: started by need, one thread each, gone with their parent.

A worker is an interpreter of its own that reads jobs as JSON lines from its standard input and
answers on its standard output; results go into the cache. Unlike a process pool, it does not import
the caller's main module again (a script without a main guard works), a decoder that crashes or
hangs costs one file and not the run, and a worker ends by itself when its input closes, whatever
happened to the parent.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segue.core.errors import DataError, SegueError, printable
from segue.core.processes import answers, pipe, start, stop
from segue.core.progress import Advance

__all__ = ["run_workers", "serve"]

_START = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from segue.media.workers import serve; serve()"
)
_LIMIT_S = 900.0
"""A file without a result after this time is given up; ten hours of music take five minutes."""


def run_workers(jobs: Mapping[str, Path], n_workers: int, advance: Advance) -> dict[str, str]:
    """Analyse files in parallel and keep the results.

    Args:
        jobs: SHA-256 of each file -> its path.
        n_workers: processes at most.
        advance: told 1 for every file that is done.

    Returns:
        SHA-256 -> reason, for the files that cannot be used.

    Raises:
        DataError: the workers cannot start, or the cache cannot be written.
    """
    # Long files first: the last worker to finish then has a short one.
    waiting = sorted(jobs, key=lambda digest: _size(jobs[digest]))
    reasons: dict[str, str] = {}
    workers: dict[_Worker, None] = {}
    with selectors.DefaultSelector() as selector:
        try:
            for _ in range(min(n_workers, len(waiting))):
                _employ(workers, selector)
            for worker in workers:
                worker.give(waiting.pop(), jobs)
            while any(worker.job for worker in workers):
                ready = {key.data for key, _ in selector.select(timeout=1.0)}
                for worker in list(workers):
                    answer = worker.answer() if worker in ready else worker.overdue()
                    if answer is None:
                        continue
                    digest, worker.job = worker.job, ""
                    advance(1)
                    if answer["kind"] == "skip":
                        reasons[digest] = answer["reason"]
                    elif answer["kind"] == "fail":
                        raise DataError(
                            answer["reason"], advice="Free some space or set XDG_CACHE_HOME"
                        )
                    elif answer["kind"] == "lost":
                        reasons[digest] = answer["reason"]
                        selector.unregister(pipe(worker.process.stdout))
                        del workers[worker]
                        worker.end()
                        if waiting:
                            worker = _employ(workers, selector)
                    if waiting:
                        worker.give(waiting.pop(), jobs)
        finally:
            for worker in workers:
                worker.end()
    return reasons


def serve() -> None:
    """Be a worker: read jobs until the input ends."""
    from segue.media.library import analyse_and_keep

    told = answers()
    for line in sys.stdin:
        job = json.loads(line)
        answer = {"kind": "done", "reason": ""}
        try:
            analyse_and_keep(Path(job["path"]), job["sha256"])
        except SegueError as error:
            answer = {"kind": "skip", "reason": f"{error.what}. {error.advice}".rstrip(". ")}
        except OSError as error:
            answer = {"kind": "fail", "reason": f"cannot keep an analysis ({error})"}
        except Exception as error:
            text = printable(f"{type(error).__name__}: {error}")
            answer = {"kind": "skip", "reason": f"the analysis failed ({text})"}
        told.write(json.dumps(answer) + "\n")
        told.flush()


class _Worker:
    """One process and the job it is at."""

    def __init__(self) -> None:
        try:
            self.process = start(_START)
        except OSError as error:
            raise DataError(f"cannot start a worker process ({error})") from None
        self.job = ""
        self.since_s = 0.0

    def give(self, digest: str, jobs: Mapping[str, Path]) -> None:
        """Hand over a job."""
        line = json.dumps({"sha256": digest, "path": os.fspath(jobs[digest])}) + "\n"
        self.job, self.since_s = digest, time.monotonic()
        with contextlib.suppress(OSError):  # it has died: the end of its output will tell
            pipe(self.process.stdin).write(line.encode("ascii"))
            pipe(self.process.stdin).flush()

    def answer(self) -> dict[str, Any] | None:
        """Read the answer to the job."""
        line = pipe(self.process.stdout).readline()
        try:
            return dict(json.loads(line)) if self.job else None
        except ValueError:
            code = self.process.wait()
            return {"kind": "lost", "reason": f"the analysis crashed (exit status {code})"}

    def overdue(self) -> dict[str, Any] | None:
        """Give up after the limit."""
        if not self.job or time.monotonic() - self.since_s < _LIMIT_S:
            return None
        return {"kind": "lost", "reason": f"no result after {_LIMIT_S:.0f} s"}

    def end(self) -> None:
        """Stop the process at once and wait for its end."""
        stop(self.process)


def _employ(workers: dict[_Worker, None], selector: selectors.BaseSelector) -> _Worker:
    worker = _Worker()
    workers[worker] = None
    selector.register(pipe(worker.process.stdout), selectors.EVENT_READ, worker)
    return worker


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
