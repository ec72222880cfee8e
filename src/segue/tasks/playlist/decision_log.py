"""Logged decisions with the probabilities that they were drawn with, as a table.

One row a decision, in a parquet or CSV file:

    session      number of the session that the decision belongs to
    history      tracks heard before it, oldest first
    candidates   tracks that could have been chosen
    chosen       the track that was
    propensity   probability with which it was drawn, above 0 and at most 1
    reward       what came of it, as for instance 1 for heard and 0 for skipped

Lists are lists in parquet, and numbers with spaces between them in CSV. Tracks are the numbers of
a vocabulary. Nothing is dropped: a row that cannot be is an error that names it. Letters: `n`
decisions, `N` candidates.
"""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError
from segue.core.files import atomic_path, atomic_write
from segue.tasks.playlist.sessions import UNKNOWN, Sessions

__all__ = ["COLUMNS", "DecisionLog", "read_log", "write_log"]

COLUMNS = ("session", "history", "candidates", "chosen", "propensity", "reward")

_LIST = "CASE WHEN {0} = '' THEN []::INTEGER[] ELSE string_split({0}, ' ')::INTEGER[] END AS {0}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DecisionLog:
    """Logged decisions."""

    sessions: NDArray[np.int64]
    """[n]."""
    histories: Sessions
    """[n]."""
    candidates: NDArray[np.int32]
    """[n, N]; -1 where there are fewer."""
    places: NDArray[np.int64]
    """Which candidate was chosen, [n]."""
    propensities: NDArray[np.float64]
    """[n]."""
    rewards: NDArray[np.float64]
    """[n]."""

    def __len__(self) -> int:
        return len(self.places)

    @property
    def chosen(self) -> NDArray[np.int32]:
        """The tracks that were chosen, [n]."""
        return self.candidates[np.arange(len(self)), self.places]


def write_log(log: DecisionLog, path: Path) -> None:
    """Write a table; the ending of `path` (.parquet or .csv) says which.

    Raises:
        DataError: another ending.
    """
    kind = _kind(path)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    chosen = log.chosen.tolist()
    for i in range(len(log)):
        offered = log.candidates[i][log.candidates[i] != UNKNOWN]
        lists = [" ".join(map(str, tracks.tolist())) for tracks in (log.histories[i], offered)]
        numbers = (repr(float(log.propensities[i])), repr(float(log.rewards[i])))
        writer.writerow([int(log.sessions[i]), *lists, chosen[i], *numbers])
    if kind == "csv":
        atomic_write(path, text.getvalue())
        return
    import duckdb

    with atomic_path(path) as target, tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "log.csv"
        source.write_text(text.getvalue())
        columns = ", ".join(f"'{name}': 'VARCHAR'" for name in COLUMNS)
        query = (
            "SELECT session::BIGINT AS session, "  # noqa: S608  names of our own files
            f"{_LIST.format('history')}, {_LIST.format('candidates')}, "
            "chosen::INTEGER AS chosen, propensity::DOUBLE AS propensity, "
            "reward::DOUBLE AS reward "
            f"FROM read_csv('{_quoted(source)}', header=true, delim=',', nullstr='\\N', "
            f"columns={{{columns}}})"
        )
        with duckdb.connect() as database:
            database.execute(f"COPY ({query}) TO '{_quoted(target)}' (FORMAT parquet)")


def read_log(path: Path) -> DecisionLog:
    """Read a table of logged decisions.

    Raises:
        DataError: it is missing, or lacks a column, or a row cannot be: a propensity that is not
            above 0 and at most 1, a chosen track that is no candidate, a number that is none.
    """
    rows = _csv_rows(path) if _kind(path) == "csv" else _parquet_rows(path)
    sessions, histories, offered, places = [], [], [], []
    propensities, rewards = [], []
    for number, row in rows:
        where = f"{path}, row {number}"
        history, candidates = (_tracks(row[i], COLUMNS[i], where) for i in (1, 2))
        (chosen,) = _tracks(row[3], "chosen", where, one=True)
        if len(set(candidates)) < len(candidates):
            raise DataError("a candidate is there twice", where=where)
        if chosen not in candidates:
            raise DataError(f"chosen track {chosen} is not among the candidates", where=where)
        propensity = _number(row[4], "propensity", where)
        if not 0.0 < propensity <= 1.0:
            raise DataError(
                f"propensity {propensity:g}",
                where=where,
                advice="A propensity is the probability of what was drawn: above 0 and at most 1",
            )
        sessions.append(int(_number(row[0], "session", where)))
        histories.append(history)
        offered.append(candidates)
        places.append(candidates.index(chosen))
        propensities.append(propensity)
        rewards.append(_number(row[5], "reward", where))
    if not sessions:
        raise DataError("the log has no decision", where=path)
    table = np.full((len(offered), max(map(len, offered))), UNKNOWN, dtype=np.int32)
    for i, candidates in enumerate(offered):
        table[i, : len(candidates)] = candidates
    return DecisionLog(
        sessions=np.array(sessions, dtype=np.int64),
        histories=Sessions.from_lists(histories),
        candidates=table,
        places=np.array(places, dtype=np.int64),
        propensities=np.array(propensities),
        rewards=np.array(rewards),
    )


def _csv_rows(path: Path) -> Iterator[tuple[int, Sequence[str]]]:
    """Yield the line at which each row ends, and its texts in the order of COLUMNS."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file)
            order = _order(next(reader, []), path)
            for row in reader:
                if len(row) <= max(order):
                    raise DataError(f"{len(row)} columns", where=f"{path}, row {reader.line_num}")
                yield reader.line_num, [row[i] for i in order]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read this log: {error}", where=path) from None


def _parquet_rows(path: Path) -> Iterator[tuple[int, Sequence[str]]]:
    """Yield the number of each row, from 1, and its texts in the order of COLUMNS."""
    import duckdb

    try:
        with duckdb.connect() as database:
            found = database.execute("SELECT * FROM read_parquet(?)", [str(path)])
            order = _order([column[0] for column in found.description or []], path)
            number = 0
            while part := found.fetchmany(10_000):
                for row in part:
                    number += 1
                    yield number, [_text(row[i]) for i in order]
    except duckdb.Error as error:
        first = str(error).splitlines()[0]
        raise DataError(f"cannot read this log: {first}", where=path) from None


def _text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _order(header: Sequence[str], path: Path) -> list[int]:
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise DataError(
            f"column {', '.join(missing)} missing",
            where=path,
            advice=f"A log has the columns {', '.join(COLUMNS)}",
        )
    return [list(header).index(name) for name in COLUMNS]


def _tracks(text: str, column: str, where: str, *, one: bool = False) -> list[int]:
    try:
        tracks = [int(part) for part in text.split()]
    except ValueError:
        tracks = [-1]
    low, high = min(tracks, default=0), max(tracks, default=0)
    if low < 0 or high >= 2**31 or (one and len(tracks) != 1):
        raise DataError(f"{column} '{text[:60]}' is not made of track numbers", where=where)
    return tracks


def _number(text: str, column: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise DataError(f"{column} '{text[:60]}' is not a number", where=where)
    return value


def _kind(path: Path) -> str:
    if path.suffix not in (".csv", ".parquet"):
        raise DataError(f"a log ends in .csv or .parquet, not in '{path.suffix}'", where=path)
    return path.suffix[1:]


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
