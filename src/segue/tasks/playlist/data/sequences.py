"""Read files of ready-made sessions: one session, or all of one user, in a line of track numbers.

A header names the columns, separated by tabs: one of `track_ids`, `artist_ids`, `item_ids` (names
without spaces, in order of listening, separated by spaces), and, where known, `session_id`,
`user_id`, `split` (train, validation or test) and `time` (seconds since 1970). Without `time` the
order of the lines is the order of time for sessions; sequences of users have no common clock.
"""

from __future__ import annotations

import gzip
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError
from segue.tasks.playlist.data.account import Account
from segue.tasks.playlist.sessions import Sessions

__all__ = ["ITEMS", "ReadyMade", "read_sequences"]

ITEMS = ("track_ids", "artist_ids", "item_ids")
"""Names of the column that holds the tracks."""

_KNOWN = (*ITEMS, "session_id", "user_id", "split", "time")
_SPLITS = {"train": 0, "validation": 1, "valid": 1, "test": 2}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadyMade:
    """Sessions as they were found."""

    sessions: Sessions
    """Tracks are numbered in order of first appearance."""
    names: list[str]
    """Of the tracks, [V]."""
    rows: NDArray[np.uint32]
    """Row of each session, [S]."""
    parts: NDArray[np.int8] | None
    """Part of each session (place in `PARTS`), [S]; None where the file does not say."""
    has_clock: bool
    """Whether the sessions have a common order of time."""
    n_rows: int
    """Rows below the header."""


def read_sequences(path: Path, account: Account) -> ReadyMade:
    """Read a file of sessions; rows that cannot be used are counted in `account`.

    Raises:
        DataError: the file cannot be read, its header lacks something, or no row can be used.
    """
    lines = _lines(path)
    _, header = next(lines, (1, b""))
    columns = header.decode("utf-8", "replace").split("\t")
    item_columns = [name for name in ITEMS if name in columns]
    if len(item_columns) != 1 or len(set(columns)) != len(columns):
        raise DataError(
            f"row 1 is not a header of sessions: {columns[:6]}",
            where=path,
            advice=f"One column must be {' or '.join(ITEMS)}; known are {', '.join(_KNOWN)}",
        )
    item = columns.index(item_columns[0])
    place = {name: columns.index(name) if name in columns else None for name in _KNOWN}
    codes: dict[str, int] = {}
    users: dict[str, int] = {}
    tracks, lengths, rows = array("i"), array("q"), array("I")
    parts, times, owners = array("b"), array("q"), array("i")
    n_rows = 0
    for row, line in lines:
        n_rows += 1
        reason, cells = _cells(line, len(columns))
        part, time, names = 0, len(rows), cells[item].split() if cells else []
        if not reason and not names:
            reason = "no tracks"
        if not reason and (at := place["split"]) is not None:
            part = _SPLITS.get(cells[at].strip().lower(), -1)
            reason = "unknown split" if part < 0 else ""
        if not reason and (at := place["time"]) is not None:
            try:
                time = int(cells[at])
            except ValueError:
                reason = "bad date"
        if not reason and (at := place["user_id"]) is not None and not cells[at].strip():
            reason = "no user"
        if reason:
            account.add(reason, row)
            continue
        tracks.extend([codes.setdefault(name, len(codes)) for name in names])
        lengths.append(len(names))
        rows.append(row)
        parts.append(part)
        times.append(time)
        if (at := place["user_id"]) is not None:
            owners.append(users.setdefault(cells[at].strip(), len(users)))
    if not rows:
        raise account.nothing_left(n_rows)
    return ReadyMade(
        sessions=Sessions.from_flat(
            np.array(tracks, dtype=np.int32),
            np.array(lengths),
            users=np.array(owners) if owners else None,
            times=np.array(times),
        ),
        names=list(codes),
        rows=np.array(rows, dtype=np.uint32),
        parts=np.array(parts, dtype=np.int8) if place["split"] is not None else None,
        has_clock=place["time"] is not None or place["session_id"] is not None,
        n_rows=n_rows,
    )


def _cells(line: bytes, n_columns: int) -> tuple[str, list[str]]:
    """Return why the line cannot be used, or nothing and its cells."""
    if b"\0" in line:
        return "NUL in the row", []
    try:
        cells = line.decode("utf-8").split("\t")
    except UnicodeDecodeError:
        return "not UTF-8", []
    if len(cells) != n_columns:
        return "wrong number of columns", []
    return "", cells


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the number of each line, from 1, and the line without its end."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                yield number, line.rstrip(b"\r\n")
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read this file: {error}", where=path) from None
