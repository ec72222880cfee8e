"""A listener's history: read from what people have, and found again among known tracks.

A history is a list of plays, the oldest first. It comes from a file (`history_formats.py` names the
forms) or from a text "artist - title; artist - title". Files are read line by line and only the
newest plays are kept, so that a file of any size fits; lines that cannot be read are counted and
named, never fatal unless there is nothing else.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, overload

from segue.core.errors import DataError, UsageError, printable
from segue.tasks.playlist.history_formats import (
    Heard,
    Parser,
    Unreadable,
    from_json,
    parser_for,
)
from segue.tasks.playlist.matching import match_history
from segue.tasks.playlist.spelling import split_label

__all__ = ["KEPT", "Heard", "History", "history_of", "match_history", "read_history"]

KEPT = 200_000
"""Newest plays that are kept, about ten years of a keen listener; some 50 MB."""

_LONGEST_LINE = 1 << 20
_LARGEST_ARRAY = 64 << 20
"""Bytes of a file that is one JSON array, which has to be read at once."""
_SUFFIXES = (".csv", ".json", ".jsonl", ".m3u", ".m3u8", ".tsv", ".txt")
"""A text that ends like this is the name of a file, even with a dash in it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class History(Sequence[Heard]):
    """Plays, the oldest first; where no play has a time, in the order of the file."""

    plays: tuple[Heard, ...]
    source: str
    """Name of the file, or "text"."""
    n_lines: int
    """Lines with a play or with something unreadable."""
    unit: str = "line"
    """What a line is: a line, a part of a text, an entry of an array."""
    unreadable: dict[str, int] = field(default_factory=dict)
    """Reason -> number of lines."""
    first_unreadable: str = ""
    """Place, reason and beginning of the first line that could not be read."""
    n_older: int = 0
    """Plays that were left out because newer ones fill the room."""
    n_repeated: int = 0
    """Plays left out because they were there twice, to the second."""
    n_undated: int = 0
    """Plays without a time among others with one; they count as the oldest."""
    several_users: bool = False
    """Whether the file says that more than one person listened."""

    @overload
    def __getitem__(self, index: int) -> Heard: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Heard, ...]: ...
    def __getitem__(self, index: int | slice) -> Heard | tuple[Heard, ...]:
        return self.plays[index]

    def __len__(self) -> int:
        return len(self.plays)

    @property
    def n_unreadable(self) -> int:
        """Number of lines that could not be read."""
        return sum(self.unreadable.values())

    @property
    def key(self) -> str:
        """SHA-256 of all plays: equal content, equal key, whatever the file is called."""
        digest = hashlib.sha256()
        for play in self.plays:
            row = [play.artist, play.title, play.time, play.skipped]
            digest.update(json.dumps(row).encode("ascii"))
        return digest.hexdigest()

    def notes(self) -> list[str]:
        """Return one sentence for everything that was left out or is odd."""
        said = []
        if self.n_unreadable:
            reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(self.unreadable.items()))
            lines = _plural(self.unit)
            said.append(
                f"{self.n_unreadable} of {self.n_lines} {lines} of the history cannot be read "
                f"({reasons}); the first is {self.first_unreadable}"
            )
        if self.n_older:
            said.append(
                f"the newest {len(self.plays)} plays of the history count; "
                f"{self.n_older} older ones are left out"
            )
        if self.n_repeated:
            said.append(f"{self.n_repeated} plays stand twice in the history and count once")
        if self.n_undated:
            said.append(f"{self.n_undated} plays of the history have no time; they count as old")
        if self.several_users:
            said.append("the history is of several users; it is taken as one listener's")
        return said


def read_history(source: str | Path, *, keep: int = KEPT) -> History:
    """Read a listening history.

    Args:
        source: a file, or a text "artist - title; artist - title" (a part may be in quotes).
        keep: newest plays to keep.

    Raises:
        DataError: there is no such file, it cannot be read, or none of its lines can.
        UsageError: it is empty, or neither a file nor such a text.
    """
    path = _existing(source)
    if path is None:
        return _read_text(str(source), keep)
    where = printable(path)
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise DataError(
                "a folder, not a listening history", where=where, advice="Give a file in it"
            )
        if not stat.S_ISREG(mode):
            raise DataError("not a regular file", where=where, advice="Copy it to a file first")
        with path.open("rb") as file:
            return _read_file(file, path, keep)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=where) from None


def history_of(labels: Iterable[str], *, keep: int = KEPT) -> History:
    """Return the history of texts "artist - title", the oldest first.

    Raises:
        DataError: none of them is of that form.
        UsageError: there is none.
    """
    _, parser, _ = parser_for("", "a - b")
    collected = _Collected("text", "part", keep)
    for number, label in enumerate(labels, 1):
        collected.add(number, label, parser)
    return collected.history()


def _existing(source: str | Path) -> Path | None:
    """Return the file or folder that is meant, or None when the source is a text."""
    text = os.fspath(source)
    try:
        path = Path(text).expanduser()
        if text.strip() and path.exists():
            return path
    except (OSError, ValueError, RuntimeError):  # too long for a path, a NUL, no such user
        pass
    if not text.strip():
        raise UsageError(
            "the listening history is empty",
            advice='Give a file, or a text "artist - title; artist - title"',
        )
    is_name = isinstance(source, Path) or text.strip().lower().endswith(_SUFFIXES)
    if is_name or split_label(text.partition("\n")[0]) is None:
        raise DataError(
            "no such file, and not a text of tracks",
            where=printable(text)[:200],
            advice='Give a file, or a text "artist - title; artist - title"',
        )
    return None


def _read_text(text: str, keep: int) -> History:
    parts: list[str] = []
    for line in text.splitlines():
        try:
            row = csv.reader([line], delimiter=";", skipinitialspace=True)
            parts += [part for fields in row for part in fields if part.strip()]
        except csv.Error:
            parts += [part for part in line.split(";") if part.strip()]
    return history_of(parts, keep=keep)


def _read_file(file: BinaryIO, path: Path, keep: int) -> History:
    begin = file.read(4)
    if begin[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError("is UTF-16", where=path, advice="Save it as UTF-8")
    file.seek(3 if begin[:3] == b"\xef\xbb\xbf" else 0)
    collected = _Collected(printable(path), "line", keep)
    # By custom an .m3u is in the alphabet of its machine, an .m3u8 in UTF-8.
    fallback = "cp1252" if path.suffix.lower() == ".m3u" else None
    parser: Parser | None = None
    form = ""
    users: set[str] = set()
    for number, raw in _lines(file):
        if raw is None:
            collected.refuse(number, f"longer than {_LONGEST_LINE} bytes", "")
            continue
        line = _decoded(raw, fallback)
        if line is None:
            collected.refuse(number, "not UTF-8", repr(raw[:40]))
            continue
        if not line.strip():
            continue
        if parser is None:
            if _begins_array(line, path.suffix):
                return _read_array(file, path, collected)
            form, parser, is_header = parser_for(path.suffix, line)
            if is_header:
                continue
        collected.add(number, line, parser)
        if form == "lastfm" and len(users) < 2:
            users.add(line.partition("\t")[0])
    return collected.history(several_users=len(users) > 1)


def _read_array(file: BinaryIO, path: Path, collected: _Collected) -> History:
    size = os.fstat(file.fileno()).st_size
    if size > _LARGEST_ARRAY:
        raise DataError(
            f"one JSON array of {size >> 20} MB, more than {_LARGEST_ARRAY >> 20}",
            where=path,
            advice="Write one object a line, as `jq -c '.[]'` does",
        )
    file.seek(0)
    try:
        rows = json.loads(file.read().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"is not JSON: {error}", where=path) from None
    collected.unit = "entry"
    for number, row in enumerate(rows, 1):
        try:
            collected.keep(number, from_json(row))
        except Unreadable as reason:
            collected.refuse(number, str(reason), json.dumps(row)[:40])
    return collected.history()


def _begins_array(line: str, suffix: str) -> bool:
    """Return whether JSON begins here, and not an artist called "[Unknown]"."""
    text = "".join(line.split())
    return text.startswith("[") and (suffix.lower() == ".json" or text[1:2] in ("", "{"))


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Yield (line number, content); None for a line that is too long to be one."""
    number = 0
    while raw := file.readline(_LONGEST_LINE):
        number += 1
        if len(raw) == _LONGEST_LINE and not raw.endswith(b"\n"):
            while raw and not raw.endswith(b"\n"):
                raw = file.readline(_LONGEST_LINE)
            yield number, None
        else:
            yield number, raw


def _decoded(raw: bytes, fallback: str | None) -> str | None:
    try:
        return raw.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        return raw.decode(fallback, "replace").rstrip("\r\n") if fallback else None


class _Collected:
    """Plays and complaints so far; never more than twice the plays that are kept."""

    def __init__(self, source: str, unit: str, keep: int) -> None:
        self.source, self.unit, self.room = source, unit, max(keep, 1)
        self.rows: list[tuple[int, int, Heard]] = []
        self.unreadable: Counter[str] = Counter()
        self.first_unreadable = ""
        self.n_lines = self.n_plays = self.n_repeated = self.n_undated = 0
        self.first_time: int | None = None
        self.last_time: int | None = None
        self.floor = -1

    def add(self, number: int, line: str, parser: Parser) -> None:
        try:
            if "\0" in line:
                raise Unreadable("a NUL in it")
            play = parser(line)
        except Unreadable as reason:
            self.refuse(number, str(reason), line)
            return
        if play is not None:
            self.keep(number, play)

    def keep(self, number: int, play: Heard) -> None:
        self.n_lines += 1
        self.n_plays += 1
        if play.time is not None:
            self.last_time = play.time
            self.first_time = play.time if self.first_time is None else self.first_time
        else:
            self.n_undated += 1
        time = -1 if play.time is None else play.time
        if time < self.floor:
            return  # counted, and older than all that is kept
        self.rows.append((time, number, play))
        if len(self.rows) >= 2 * self.room:
            self._shorten()
            self.floor = self.rows[0][0] if len(self.rows) == self.room else -1

    def refuse(self, number: int, reason: str, line: str) -> None:
        self.n_lines += 1
        self.unreadable[reason] += 1
        if not self.first_unreadable:
            shown = printable(line.strip())[:60]
            self.first_unreadable = f"{self.unit} {number}, {reason}" + (
                f": {shown}" if shown else ""
            )

    def _shorten(self) -> None:
        # A file that begins with the newest play has those of one second backwards, too.
        backwards = (self.first_time or 0) > (self.last_time or 0)
        self.rows.sort(key=lambda row: (row[0], -row[1] if backwards else row[1]))
        seen: set[tuple[int, str, str]] = set()
        once = []
        for row in reversed(self.rows):
            key = (row[0], row[2].artist, row[2].title)
            if row[0] >= 0 and key in seen:
                self.n_repeated += 1
                continue
            seen.add(key)
            once.append(row)
        self.rows = once[: self.room][::-1]

    def history(self, *, several_users: bool = False) -> History:
        if not self.n_plays:
            if not self.n_lines:
                raise UsageError(
                    "the listening history is empty",
                    where=self.source,
                    advice='Give lines "artist - title"',
                )
            raise DataError(
                f"none of the {self.n_lines} {_plural(self.unit)} is a play; the first: "
                f"{self.first_unreadable}",
                where=self.source,
                advice='Give lines "artist - title", a CSV with a header artist,title,time, an '
                "export of Last.fm, ListenBrainz or Spotify, or an .m3u",
            )
        self._shorten()
        dated = self.first_time is not None
        return History(
            plays=tuple(row[2] for row in self.rows),
            source=self.source,
            n_lines=self.n_lines,
            unit=self.unit,
            unreadable=dict(self.unreadable),
            first_unreadable=self.first_unreadable,
            n_older=self.n_plays - self.n_repeated - len(self.rows),
            n_repeated=self.n_repeated,
            n_undated=self.n_undated if dated else 0,
            several_users=several_users,
        )


def _plural(unit: str) -> str:
    return "entries" if unit == "entry" else f"{unit}s"
