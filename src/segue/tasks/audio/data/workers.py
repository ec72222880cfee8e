"""Processes that render clips straight into the files of a prepared folder.

A clip follows from the settings and its number, so it does not matter which process makes it. Like
the workers of `segue.media.workers` they are interpreters of their own that read one job from their
standard input and end with it; the caller's main module is never imported again.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from segue.core.errors import DataError, printable
from segue.core.processes import answers, pipe, start, stop
from segue.core.progress import Advance
from segue.tasks.audio.data.config import PrepareConfig
from segue.tasks.audio.data.planning import sound_of
from segue.tasks.audio.data.prepared import audio_file

__all__ = ["render_clips", "reserve", "serve", "write_row"]

_START = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from segue.tasks.audio.data.workers import serve; serve()"
)
_CHUNK = 25
"""Clips that are reported together: a quarter of a second of work."""
_FEW = 100
"""A process takes about as long to start as it takes to render this many clips."""
_MOST_WORKERS = 8

Chunk = tuple[str, int, int]
"""Split, first clip, clip after the last."""


def reserve(folder: Path, split: str, n: int, n_samples: int) -> None:
    """Make the file of a split's sound, silent, with its place on the disk.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    path = folder / audio_file(split)
    with path.open("wb") as file:
        npy.write_array_header_1_0(
            file, {"descr": "<i2", "fortran_order": False, "shape": (n, n_samples)}
        )
        begin = file.tell()
        os.posix_fallocate(file.fileno(), 0, begin + 2 * n * n_samples)


def write_row(folder: Path, split: str, index: int, sound: NDArray[np.int16]) -> None:
    """Write one clip into the file that `reserve` made.

    Raises:
        OSError: it cannot be written.
    """
    with (folder / audio_file(split)).open("r+b") as file:
        npy.read_magic(file)
        npy.read_array_header_1_0(file)
        file.seek(2 * index * len(sound), os.SEEK_CUR)
        file.write(np.ascontiguousarray(sound, "<i2").tobytes())


def render_clips(
    folder: Path,
    counts: Mapping[str, int],
    config: PrepareConfig,
    sampling_rate: int,
    advance: Advance,
) -> None:
    """Render all clips of all splits into files that `reserve` made.

    Args:
        folder: where the files are.
        counts: split -> number of its clips.
        config: settings.
        sampling_rate: in Hz.
        advance: told the number of clips just done.

    Raises:
        DataError: a process ended before its work did.
        SegueError: whatever rendering raises.
        OSError: the disk cannot be written.
    """
    chunks = [
        (split, begin, min(begin + _CHUNK, n))
        for split, n in counts.items()
        for begin in range(0, n, _CHUNK)
    ]
    n_workers = min(_n_workers(config), sum(counts.values()) // _FEW)
    if n_workers < 2:
        for n in _rendered(folder, chunks, config, sampling_rate):
            advance(n)
        return
    workers: list[subprocess.Popen[bytes]] = []
    try:
        for k in range(n_workers):
            job = {
                "folder": os.fspath(folder.absolute()),
                "chunks": chunks[k::n_workers],
                "config": config.model_dump(mode="json"),
                "sampling_rate": sampling_rate,
            }
            workers.append(_started(job))
        _await(workers, advance)
    finally:
        for worker in workers:
            stop(worker)


def serve() -> None:
    """Be a worker: do the one job that the standard input holds, tell of every chunk."""
    told = answers()
    job = json.loads(sys.stdin.readline())
    answer: dict[str, Any]
    try:
        for n in _rendered(
            Path(job["folder"]),
            [tuple(chunk) for chunk in job["chunks"]],
            PrepareConfig.parse(job["config"]),
            int(job["sampling_rate"]),
        ):
            told.write(json.dumps({"done": n}) + "\n")
            told.flush()
        answer = {"end": True}
    except Exception as error:
        answer = {"failed": printable(f"{error}" or type(error).__name__)}
    told.write(json.dumps(answer) + "\n")
    told.flush()


def _rendered(
    folder: Path, chunks: list[Any], config: PrepareConfig, sampling_rate: int
) -> Iterator[int]:
    """Render chunks; yields the number of clips of each."""
    for split, begin, end in chunks:
        for index in range(begin, end):
            write_row(folder, split, index, sound_of(config, split, index, sampling_rate))
        yield end - begin


def _n_workers(config: PrepareConfig) -> int:
    return config.workers or min(len(os.sched_getaffinity(0)), _MOST_WORKERS)


def _started(job: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    try:
        worker = start(_START)
    except OSError as error:
        raise DataError(f"cannot start a process that renders ({error})") from None
    with contextlib.suppress(OSError):  # it has died: the end of its output will tell
        pipe(worker.stdin).write((json.dumps(job) + "\n").encode("ascii"))
        pipe(worker.stdin).close()
    return worker


def _await(workers: list[subprocess.Popen[bytes]], advance: Advance) -> None:
    with selectors.DefaultSelector() as selector:
        for worker in workers:
            selector.register(pipe(worker.stdout), selectors.EVENT_READ, worker)
        while selector.get_map():
            for key, _ in selector.select():
                worker = key.data
                line = pipe(worker.stdout).readline()
                answer = json.loads(line) if line.endswith(b"\n") else {}
                if "done" in answer:
                    advance(answer["done"])
                elif "end" in answer:
                    selector.unregister(pipe(worker.stdout))
                elif "failed" in answer:
                    raise DataError(f"clips cannot be rendered: {answer['failed']}")
                else:
                    raise DataError(
                        f"a process that renders ended early (exit status {worker.wait()})",
                        advice="Try again with --set workers=1",
                    )
