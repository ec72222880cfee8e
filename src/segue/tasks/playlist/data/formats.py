"""Find the file in a source, and tell which format it has."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path

from segue.core.errors import DataError
from segue.tasks.playlist.data.config import Format
from segue.tasks.playlist.data.sequences import ITEMS

__all__ = ["find_source", "first_line"]

_LAST_FM = "userid-timestamp-artid-artname-traid-traname.tsv"
_PARQUET = b"PAR1"
_LONGEST = 1 << 20


def find_source(source: Path, wanted: Format) -> tuple[Path, Format]:
    """Return the file to read and its format.

    Raises:
        DataError: there is no such file, or its format cannot be told.
    """
    path = _file(source)
    if wanted != "auto":
        return path, wanted
    line = first_line(path)
    if line.startswith(_PARQUET) or path.suffix == ".parquet":
        return path, "parquet"
    text = line.decode("utf-8", "replace").rstrip("\r\n")
    cells = text.split("\t")
    if set(cells) & set(ITEMS):
        return path, "sessions" if "session_id" in cells else "sequences"
    if text.lstrip("\ufeff").startswith("{"):
        try:
            json.loads(text)
        except ValueError:
            pass
        else:
            return path, "listenbrainz"
    if path.name.removesuffix(".gz") == _LAST_FM or (len(cells) == 6 and cells[1][:4].isdigit()):
        return path, "lastfm"
    names = [name for name in (".jsonl", ".listens", ".json") if name in path.suffixes]
    if names:
        return path, "listenbrainz"
    return path, "csv"


def first_line(path: Path) -> bytes:
    """Return the first line of a file, which may be packed by gzip.

    Raises:
        DataError: it cannot be read, or is empty.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            line: bytes = file.readline(_LONGEST)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read this file: {error}", where=path) from None
    if not line:
        raise DataError("this file is empty", where=path, advice="Is the download complete?")
    return line


def _file(source: Path) -> Path:
    if not source.exists():
        raise DataError("no such file or folder", where=source)
    if not source.is_dir():
        return source
    for name in (_LAST_FM, f"{_LAST_FM}.gz"):
        if (found := source / name).is_file():
            return found
    files = [path for path in sorted(source.iterdir()) if path.is_file()]
    if len(files) == 1:
        return files[0]
    raise DataError(
        f"this folder holds {len(files)} files, and none is called {_LAST_FM}",
        where=source,
        advice="Name the file itself",
    )
