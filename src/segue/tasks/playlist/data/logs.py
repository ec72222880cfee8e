"""Readers of logs of plays: each gives `read_plays` delimited text and the layout of its columns.

lastfm        six columns without a header: user, time, artist's mbid, artist, track's mbid, title;
              quotes mean nothing, and "NA", "null" or "nan" are titles like others
csv           a header and commas, semicolons, tabs or bars; quotes as in RFC 4180
listenbrainz  JSON lines: `listened_at`, `user_name`, `track_metadata.artist_name`, `.track_name`
parquet       the columns of `csv`, read by DuckDB
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import queue
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from segue.core.errors import DataError
from segue.core.progress import Advance, silent
from segue.tasks.playlist.data.account import Account
from segue.tasks.playlist.data.config import PrepareConfig
from segue.tasks.playlist.data.formats import first_line
from segue.tasks.playlist.data.kernels import MOST_COLUMNS
from segue.tasks.playlist.data.plays import Layout, Plays, read_plays

__all__ = ["read_csv", "read_lastfm", "read_listenbrainz", "read_parquet"]

_BLOCK = 1 << 24
_LINES = 20_000
_BOM = b"\xef\xbb\xbf"
_WRITTEN = ("row", "user", "time", "artist", "title", "mbid", "skipped")


def read_lastfm(
    path: Path, config: PrepareConfig, account: Account, work: Path, *, advance: Advance = silent
) -> Plays:
    """Read the raw log of Last.fm-1K."""
    columns = {"user": 0, "time": 1, "artist": 3, "mbid": 4, "title": 5}
    layout = Layout(columns=columns, n_columns=6, identity=config.identity)
    return read_plays(_blocks(path, advance), layout, account, work, threads=config.threads)


def read_csv(
    path: Path, config: PrepareConfig, account: Account, work: Path, *, advance: Advance = silent
) -> Plays:
    """Read delimited text with a header.

    Raises:
        DataError: the header lacks a column, or has too many.
    """
    header = first_line(path).removeprefix(_BOM).decode("utf-8", "replace").rstrip("\r\n")
    delimiter = max("\t,;|", key=header.count)
    found = next(csv.reader([header], delimiter=delimiter))
    if len(found) > MOST_COLUMNS:
        raise DataError(f"{len(found)} columns; at most {MOST_COLUMNS} are read", where=path)
    layout = Layout(
        columns=_places(found, config, path),
        n_columns=len(found),
        delimiter=delimiter,
        quoted=True,
        identity=config.identity,
        first_line=2,
    )
    return read_plays(_without_header(_blocks(path, advance)), layout, account, work)


def read_listenbrainz(
    path: Path, config: PrepareConfig, account: Account, work: Path, *, advance: Advance = silent
) -> Plays:
    """Read JSON lines of listens; a line that is not an object of JSON is counted as such."""
    layout = Layout(
        columns={name: i for i, name in enumerate(_WRITTEN)},
        n_columns=len(_WRITTEN),
        delimiter=",",
        quoted=True,
        identity=config.identity,
    )
    lost = [0]
    plays = read_plays(_listens(path, account, lost, advance), layout, account, work)
    plays.n_rows += lost[0]
    plays.skipped = None  # listens do not say
    return plays


def read_parquet(
    path: Path, config: PrepareConfig, account: Account, work: Path, *, advance: Advance = silent
) -> Plays:
    """Read a parquet file; times may be time stamps, numbers or text.

    Raises:
        DataError: it is damaged, or lacks a column.
    """
    import duckdb

    settings = {
        "memory_limit": f"{config.memory_gb:g}GB",
        "threads": config.threads,
        "temp_directory": str(work / "duckdb"),
        "preserve_insertion_order": True,
        "TimeZone": "UTC",
    }
    table = work / "rows.csv"
    with duckdb.connect() as database:
        try:
            for key, value in settings.items():
                database.execute(f"SET {key} = ?", [value])
            kinds = database.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(path)])
            types = {str(row[0]): str(row[1]) for row in kinds.fetchall()}
            found = list(types)
            places = _places(found, config, path)
            chosen = [_expression(name, places, found, types) for name in _WRITTEN[1:]]
            query = ", ".join(["file_row_number + 1", *chosen])
            source, target = (str(p).replace("'", "''") for p in (path, table))
            database.execute(
                f"COPY (SELECT {query} FROM read_parquet('{source}', file_row_number=true)) "  # noqa: S608
                f"TO '{target}' (FORMAT csv, HEADER false, FORCE_QUOTE *)"
            )
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            raise DataError(f"cannot read this file: {reason}", where=path) from None
    columns = {name: i for i, name in enumerate(_WRITTEN) if name == "row" or name in places}
    layout = Layout(
        columns=columns,
        n_columns=len(_WRITTEN),
        delimiter=",",
        quoted=True,
        identity=config.identity,
    )
    plays = read_plays(_blocks(table, advance), layout, account, work)
    table.unlink()
    return plays


def _places(found: list[str], config: PrepareConfig, path: Path) -> dict[str, int]:
    """Return the place of each known column.

    Raises:
        DataError: one that is needed is missing.
    """
    wanted = {
        "user": config.user_column,
        "time": config.time_column,
        "title": config.track_column,
        "artist": config.artist_column,
        "skipped": config.skipped_column,
        "mbid": "mbid",
    }
    names = [name.strip() for name in found]
    places = {key: names.index(name) for key, name in wanted.items() if name in names}
    for key in ("user", "time", "title"):
        if key not in places:
            setting = "track_column" if key == "title" else f"{key}_column"
            raise DataError(
                f"there is no column '{wanted[key]}' in row 1; there are {', '.join(names)[:200]}",
                where=path,
                advice=f"Name it with --set {setting}=NAME, or say what the file is with format",
            )
    return places


def _expression(name: str, places: dict[str, int], found: list[str], types: dict[str, str]) -> str:
    """Return the SQL for a column as text; an empty text where there is none."""
    if name not in places:
        return "''"
    column = found[places[name]]
    quoted = '"' + column.replace('"', '""') + '"'
    if name == "time" and types[column].startswith(("TIMESTAMP", "DATE")):
        return f"coalesce(floor(epoch({quoted}))::BIGINT::VARCHAR, '')"
    return f"coalesce({quoted}::VARCHAR, '')"


def _listens(path: Path, account: Account, lost: list[int], advance: Advance) -> Iterator[bytes]:
    text = io.StringIO()
    write = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow

    def taken() -> bytes:
        block = text.getvalue().encode("utf-8", "surrogatepass")
        text.seek(0)
        text.truncate()
        return block

    for number, line in enumerate(_lines(path, advance), start=1):
        try:
            write((number, *_listen(json.loads(line))))
        except ValueError:
            if account.strict:
                yield taken()  # what comes before this row is judged before it
            account.add("not a listen in JSON", number)
            lost[0] += 1
        if number % _LINES == 0:
            yield taken()
    yield taken()


def _listen(record: Any) -> tuple[Any, ...]:
    """Return user, time, artist, title, mbid, skipped of a listen.

    Raises:
        ValueError: it is not an object.
    """
    if not isinstance(record, dict):
        raise ValueError
    track = record.get("track_metadata", record)
    if not isinstance(track, dict):
        raise ValueError
    more = track.get("additional_info")
    more = more if isinstance(more, dict) else {}
    mapping = track.get("mbid_mapping")
    mapping = mapping if isinstance(mapping, dict) else {}
    user = record.get("user_name", record.get("user_id"))
    time = record.get("listened_at", record.get("timestamp"))
    mbid = (
        more.get("recording_mbid") or mapping.get("recording_mbid") or track.get("recording_mbid")
    )
    cells = (user, time, track.get("artist_name"), track.get("track_name"), mbid)
    return (*("" if cell is None else str(cell) for cell in cells), "")


def _lines(path: Path, advance: Advance) -> Iterator[bytes]:
    try:
        with _opened(path) as (file, share_read):
            for number, line in enumerate(file):
                yield line
                if number % _LINES == 0:
                    advance(share_read())
            advance(share_read())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read this file: {error}", where=path) from None


@contextmanager
def _opened(path: Path) -> Iterator[tuple[IO[bytes], Callable[[], float]]]:
    """Yield the unpacked file, and what tells which share was read since it was last asked."""
    with path.open("rb") as raw:
        size, told = max(path.stat().st_size, 1), 0

        def share_read() -> float:
            nonlocal told
            before, told = told, raw.tell()
            return (told - before) / size

        packed = path.suffix == ".gz"
        yield (cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if packed else raw), share_read


def _without_header(blocks: Iterable[bytes]) -> Iterator[bytes]:
    header = True
    for block in blocks:
        if header:
            _, end, block = block.partition(b"\n")
            header = not end
        yield block


def _blocks(path: Path, advance: Advance) -> Iterator[bytes]:
    """Yield the unpacked content; a thread reads ahead by one block."""
    ahead: queue.Queue[tuple[bytes, float] | BaseException] = queue.Queue(maxsize=1)
    stop = threading.Event()

    def give(value: tuple[bytes, float] | BaseException) -> None:
        while not stop.is_set():
            try:
                return ahead.put(value, timeout=0.2)
            except queue.Full:
                continue

    def read() -> None:
        try:
            with _opened(path) as (file, share_read):
                while (block := file.read(_BLOCK)) and not stop.is_set():
                    give((block, share_read()))
            give((b"", 0.0))
        except BaseException as error:
            give(error)

    thread = threading.Thread(target=read, name="read-ahead", daemon=True)
    thread.start()
    try:
        first = True
        while True:
            found = ahead.get()
            if isinstance(found, (OSError, EOFError, zlib.error)):
                raise DataError(f"cannot read this file: {found}", where=path)
            if isinstance(found, BaseException):
                raise found
            block, share = found
            if not block:
                return
            yield block.removeprefix(_BOM) if first else block
            advance(share)
            first = False
    finally:
        stop.set()
        thread.join()
