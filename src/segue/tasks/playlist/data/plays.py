"""A log in memory: numbers of users, times and tracks, in the order of the file.

Where quotes mean nothing every line end is the end of a row, so that several threads can read: each
takes every n-th block and numbers names on its own, and the tables are merged at the end. What
comes out does not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.tasks.playlist.data.account import Account
from segue.tasks.playlist.data.config import Identity
from segue.tasks.playlist.data.kernels import COLUMNS, FULL, REASONS, Out, parse
from segue.tasks.playlist.data.table import Table

__all__ = ["Layout", "Plays", "first_places", "read_plays"]

_ROWS = 1 << 17  # rows taken at a time
_IDENTITIES = {"artist_title": 0, "title": 1, "mbid": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What the columns of a delimited text are."""

    columns: dict[str, int]
    """Place of each column of `COLUMNS` that is there."""
    n_columns: int
    delimiter: str = "\t"
    quoted: bool = False
    """Whether quotes have a meaning."""
    first_line: int = 1
    """Number of the first line after the header."""
    identity: Identity = "artist_title"


@dataclass(slots=True, kw_only=True, eq=False)
class Plays:
    """The rows of a log that can be used, in the order of the file; `P` of them, `V` tracks."""

    users: NDArray[np.int32]
    """Number of the user, in order of first appearance, [P]."""
    times: NDArray[np.int64]
    """Seconds since 1970, [P]."""
    tracks: NDArray[np.int32]
    """Number of the track, in no order, [P]."""
    rows: NDArray[np.uint32]
    """Line of the file, [P]."""
    skipped: NDArray[np.bool_] | None
    """[P]"""
    n_rows: int
    """Rows that were read, those that cannot be used included."""
    n_users: int
    n_tracks: int
    labels: Callable[[NDArray[np.int64]], tuple[list[str], list[str]]]
    """Artists and titles of tracks."""


def first_places(numbers: NDArray[np.int32], n: int) -> NDArray[np.int64]:
    """Return where each of 0..n-1 comes first in `numbers` [P]; P where it does not, [n]."""
    first = np.full(n, len(numbers), dtype=np.int64)
    first[numbers[::-1]] = np.arange(len(numbers) - 1, -1, -1)  # of equal ones the last is kept
    return first


def read_plays(
    blocks: Iterable[bytes], layout: Layout, account: Account, work: Path, *, threads: int = 1
) -> Plays:
    """Read delimited text; rows that cannot be used are counted in `account`.

    Args:
        blocks: the text, cut anywhere.
        layout: its columns.
        account: where unusable rows are counted.
        work: a folder for temporary files.
        threads: how many may read; one where quotes have a meaning.

    Raises:
        DataError: no row can be used, or one cannot, and the account is strict.
    """
    n_workers = 1 if layout.quoted else threads
    workers = [_Worker(layout, work, str(i)) for i in range(n_workers)]
    kept: list[tuple[NDArray[Any], ...]] = []
    owners: list[int] = []  # which worker read what is in `kept`
    line, n_rows = layout.first_line, 0
    for number, found in _in_order(workers, _pieces(blocks, split=not layout.quoted)):
        for out in found.rows:
            out.rows[:] += 0 if "row" in layout.columns else line
            kept.append(_take(out, account, skips="skipped" in layout.columns))
            owners.append(number)
            n_rows += len(out.status)
        line += found.n_lines
    if not any(len(part[0]) for part in kept):
        raise account.nothing_left(n_rows)
    tables = workers[0]
    for i, worker in enumerate(workers[1:], start=1):
        users, tracks = tables.users.merge(worker.users), tables.tracks.merge(worker.tracks)
        for part, owner in zip(kept, owners, strict=True):
            if owner == i:
                part[0][:], part[2][:] = users[part[0]], tracks[part[2]]
    columns = [np.concatenate(column) for column in zip(*kept, strict=True)]
    n_users = len(tables.users)
    order = np.argsort(first_places(columns[0], n_users), kind="stable")
    numbers = np.empty(n_users, dtype=np.int32)
    numbers[order] = np.arange(n_users, dtype=np.int32)
    return Plays(
        users=numbers[columns[0]],
        times=columns[1],
        tracks=columns[2],
        rows=columns[3],
        skipped=columns[4] if "skipped" in layout.columns else None,
        n_rows=n_rows,
        n_users=n_users,
        n_tracks=len(tables.tracks),
        labels=tables.tracks.labels,
    )


@dataclass(slots=True, kw_only=True, eq=False)
class _Found:
    """What is in a piece of text."""

    rows: list[Out]
    n_lines: int


class _Worker:
    """Reads one piece after the other, and keeps what was not the end of a row."""

    def __init__(self, layout: Layout, work: Path, name: str) -> None:
        self.layout = layout
        self.places = np.array([layout.columns.get(c, -1) for c in COLUMNS], dtype=np.int64)
        self.users, self.tracks = Table(work / f"users{name}"), Table(work / f"tracks{name}")
        self.rest = b""
        self.lost = False  # in a row that was too long: what comes up to a line end belongs to it

    def read(self, piece: bytes | memoryview, final: bool) -> _Found:
        """Read the rows of `piece`, counting lines from 0."""
        layout, line, found = self.layout, 0, []
        if self.lost:
            _, end, piece = bytes(piece).partition(b"\n")
            self.lost = not end
        text = np.frombuffer(self.rest + piece if self.rest else piece, dtype=np.uint8)
        position = 0
        while position < len(text):
            out = _new_out()
            used, n, line, state = parse(
                text[position:], final, ord(layout.delimiter), ord('"') if layout.quoted else -1,
                layout.n_columns, self.places, _IDENTITIES[layout.identity], line,
                self.users.names, self.tracks.names, out,
            )  # fmt: skip
            if n:
                found.append(_where(out, slice(n)))
            if state == FULL:
                self.users.grow()
                self.tracks.grow()
            if used < 0:
                self.lost, position = True, len(text)
            elif not n and state != FULL:
                break  # the rest is the beginning of a row
            else:
                position += used
        self.rest = text[position:].tobytes()
        return _Found(rows=found, n_lines=line)


def _in_order(
    workers: list[_Worker], pieces: Iterable[tuple[bytes | memoryview, bool]]
) -> Iterator[tuple[int, _Found]]:
    """Give the pieces to the workers in turn; yield the number of the worker and what it found."""
    if len(workers) == 1:
        for piece, final in pieces:
            yield 0, workers[0].read(piece, final)
        return
    pools = [ThreadPoolExecutor(1, f"read-{i}") for i in range(len(workers))]
    waiting: list[tuple[int, Future[_Found]]] = []
    try:
        for i, (piece, final) in enumerate(pieces):
            number = i % len(workers)
            waiting.append((number, pools[number].submit(workers[number].read, piece, final)))
            if len(waiting) > 2 * len(workers):
                number, future = waiting.pop(0)
                yield number, future.result()
        for number, future in waiting:
            yield number, future.result()
    finally:
        for pool in pools:
            pool.shutdown(cancel_futures=True)


def _pieces(blocks: Iterable[bytes], *, split: bool) -> Iterator[tuple[bytes | memoryview, bool]]:
    """Yield text, and whether the file ends with it; with `split`, cut after line ends."""
    before: bytes | None = None
    for block in blocks:
        if not split:
            if before is not None:
                yield before, False
            before = block
            continue
        start, stop = block.find(b"\n") + 1, block.rfind(b"\n") + 1
        if not start:
            before = (before or b"") + block
            continue
        yield (before or b"") + block[:start], True
        if stop > start:
            yield memoryview(block)[start:stop], True
        before = block[stop:]
    if before:
        yield before, True


def _take(out: Out, account: Account, *, skips: bool) -> tuple[NDArray[Any], ...]:
    """Count the rows that cannot be used; return the columns of the others."""
    good = out.status == 0
    if not good.all():
        bad = np.flatnonzero(~good)
        if account.strict:
            account.add(REASONS[out.status[bad[0]]], int(out.rows[bad[0]]))
        for reason in np.unique(out.status[bad]).tolist():
            which = out.rows[out.status == reason]
            account.add(REASONS[reason], int(which.min()), len(which))
        out = _where(out, good)
    flags = out.skipped.astype(np.bool_) if skips else np.zeros(0, dtype=np.bool_)
    return out.users, out.times, out.tracks, out.rows.astype(np.uint32), flags


def _where(out: Out, which: slice | NDArray[np.bool_]) -> Out:
    return Out(
        users=out.users[which],
        times=out.times[which],
        tracks=out.tracks[which],
        skipped=out.skipped[which],
        rows=out.rows[which],
        status=out.status[which],
    )


def _new_out() -> Out:
    return Out(
        users=np.empty(_ROWS, dtype=np.int32),
        times=np.empty(_ROWS, dtype=np.int64),
        tracks=np.empty(_ROWS, dtype=np.int32),
        skipped=np.empty(_ROWS, dtype=np.int8),
        rows=np.empty(_ROWS, dtype=np.int64),
        status=np.empty(_ROWS, dtype=np.int8),
    )
