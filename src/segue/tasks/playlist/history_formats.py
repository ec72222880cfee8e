"""The forms in which people have their listening history, one line at a time.

    plain       Artist - Title                               (also Artist<tab>Title)
    table       CSV, TSV with a header: artist, title and, where there are any, time and skipped
    lastfm      user <tab> time <tab> artist id <tab> artist <tab> track id <tab> title
    json        one object a line: ListenBrainz listens, Spotify's streams, {"artist":, "title":}
    m3u         "#EXTINF:seconds,Artist - Title", else the name of the file; nothing is opened

Quotes mean nothing in a TSV: names hold unbalanced ones. "NA", "null" and "nan" are titles.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from segue.tasks.playlist.spelling import split_label

__all__ = ["Heard", "Parser", "Unreadable", "bare_stem", "file_label", "from_json", "parser_for"]

LONGEST_NAME = 1000
"""Characters of an artist or title; what is longer is not a name."""

BRIEF_MS = 30_000
"""A stream of less, where nothing says whether it was skipped, was: services count from here on."""

_COLUMNS = {
    "artist": ("artist", "artistname", "creator", "mastermetadataalbumartistname"),
    "title": ("title", "track", "trackname", "tracktitle", "name", "song",
              "mastermetadatatrackname"),
    "time": ("time", "timestamp", "listenedat", "date", "datetime", "playedat", "uts", "utctime",
             "ts", "endtime"),
    "skipped": ("skipped", "skip"),
    "played_ms": ("msplayed", "playedms"),
}  # fmt: skip
"""What we read -> how tables and JSON files call it, in letters alone."""

_LAST_FM_FIELDS = 6
_NUMBERED = re.compile(r"^(?:\d{1,3}\s*[-._)]|0\d\s)\s*(?=\S)")
"""A track number in front of a file's name; "50 Cent" begins with none."""
_WORDY_DATES = ("%d %b %Y, %H:%M", "%d %b %Y %H:%M")
_LAST_SECOND = 4_102_444_800
"""The year 2100: times beyond are not times."""


class Heard(NamedTuple):  # made by the million, and a frozen dataclass takes six times as long
    """A track that was played once."""

    artist: str
    title: str
    time: int | None = None
    """Seconds since 1970; None where it is not known."""
    skipped: bool | None = None
    """Whether it was broken off; None where it is not known."""


class Unreadable(ValueError):  # noqa: N818  a reason, not a fault of the program
    """Why a line is no play."""


Parser = Callable[[str], Heard | None]
"""Turns a line into a play, or into None when it holds none on purpose; raises `Unreadable`."""


def parser_for(suffix: str, first: str) -> tuple[str, Parser, bool]:
    """Return (name of the form, parser, whether the first line was its header).

    Args:
        suffix: of the file, ".csv"; empty for a text.
        first: first line that is not blank.
    """
    suffix = suffix.lower()
    if suffix in (".m3u", ".m3u8") or first.startswith("#EXTM3U"):
        return "m3u", _Playlist(), False
    if first.lstrip().startswith("{"):
        return "json", _json_line, False
    fields = first.split("\t")
    if len(fields) == _LAST_FM_FIELDS and _time(fields[1]) is not None:
        return "lastfm", _lastfm_line, False
    for delimiter in ("\t", ",", ";"):
        try:
            columns = _columns(_split(first, delimiter))
        except Unreadable:
            continue
        if {"artist", "title"} <= columns.keys():
            n_fields = first.count("\t") + 1 if delimiter == "\t" else None
            return "table", _table(delimiter, columns, n_fields), True
    return "plain", _plain_line, False


def from_json(value: Any) -> Heard:
    """Return the play that a JSON object describes.

    Raises:
        Unreadable: it describes none.
    """
    if not isinstance(value, dict):
        raise Unreadable("not an object")
    row: dict[str, Any] = dict(value)
    inner = value.get("track_metadata")
    if isinstance(inner, dict):  # a listen of ListenBrainz
        row |= inner
    columns = _columns(list(row))
    found = {what: list(row.values())[place] for what, place in columns.items()}
    artist, title = found.get("artist"), found.get("title")
    if isinstance(artist, Mapping):  # Last.fm's web answers
        artist = artist.get("name") or artist.get("#text")
    if not isinstance(artist, str) or not isinstance(title, str):
        raise Unreadable("no artist or no title")
    skipped = found.get("skipped")
    played_ms = found.get("played_ms")
    if not isinstance(skipped, bool) and isinstance(played_ms, int | float):
        skipped = played_ms < BRIEF_MS
    time = found.get("time")
    return _heard(
        artist,
        title,
        _time(str(time)) if time is not None else None,
        skipped if isinstance(skipped, bool) else None,
    )


def bare_stem(stem: str) -> str:
    """Return the name of a music file without the track number before it."""
    return _NUMBERED.sub("", stem.strip()) or stem


def file_label(stem: str) -> tuple[str, str] | None:
    """Return (artist, title) of a file called "Artist - Title" or "03 - Artist - Title"."""
    found = split_label(bare_stem(stem)) or split_label(stem)
    return None if found is None or re.fullmatch(r"\d\d?", found[0]) else found


def _heard(artist: str, title: str, time: int | None = None, skipped: bool | None = None) -> Heard:
    artist, title = artist.strip(), title.strip()
    if not artist or not title:
        raise Unreadable("no artist or no title")
    if max(len(artist), len(title)) > LONGEST_NAME:
        raise Unreadable(f"a name of more than {LONGEST_NAME} characters")
    return Heard(artist, title, time, skipped)


def _plain_line(line: str) -> Heard:
    fields = [field for field in line.split("\t") if field.strip()]
    if len(fields) == 2:
        return _heard(fields[0], fields[1])
    found = split_label(line)
    if found is None:
        raise Unreadable('not of the form "artist - title"')
    return _heard(found[0], found[1])


def _lastfm_line(line: str) -> Heard:
    fields = line.split("\t")
    if len(fields) != _LAST_FM_FIELDS:
        raise Unreadable(f"{len(fields)} columns instead of {_LAST_FM_FIELDS}")
    return _heard(fields[3], fields[5], _time(fields[1]))


def _json_line(line: str) -> Heard:
    try:
        return from_json(json.loads(line))
    except (json.JSONDecodeError, RecursionError):
        raise Unreadable("not JSON") from None


def _table(delimiter: str, columns: Mapping[str, int], n_fields: int | None) -> Parser:
    def line_of_table(line: str) -> Heard:
        fields = _split(line, delimiter)
        # Without quotes a separator inside a name shifts all that follows.
        if n_fields is not None and len(fields) != n_fields:
            raise Unreadable(f"{len(fields)} columns instead of {n_fields}")
        if len(fields) <= max(columns["artist"], columns["title"]):
            raise Unreadable("too few columns")

        def text(what: str) -> str:
            place = columns.get(what, len(fields))
            return fields[place].strip() if place < len(fields) else ""

        said = text("skipped").casefold()
        skipped = None if not said else said in ("1", "true", "yes", "y", "t")
        if skipped is None and text("played_ms").isdecimal():
            skipped = int(text("played_ms")) < BRIEF_MS
        return _heard(text("artist"), text("title"), _time(text("time")), skipped)

    return line_of_table


class _Playlist:
    """Lines of an .m3u file: a title may stand above the path of its file."""

    def __init__(self) -> None:
        self.named = False

    def __call__(self, line: str) -> Heard | None:
        if line.startswith("#EXTINF:"):
            self.named = True
            return _plain_line(_after_comma(line))
        if line.startswith("#"):
            return None
        if self.named:
            self.named = False
            return None
        name = re.split(r"[/\\]", line)[-1]
        found = file_label(name.rpartition(".")[0] or name)
        if found is None:
            raise Unreadable('a file that is not called "artist - title"')
        return _heard(found[0], found[1])


def _after_comma(line: str) -> str:
    """Return what follows the first comma outside quotes."""
    quoted = False
    for i, character in enumerate(line):
        quoted ^= character == '"'
        if character == "," and not quoted:
            return line[i + 1 :]
    return line.partition(",")[2]


def _split(line: str, delimiter: str) -> list[str]:
    if delimiter == "\t":
        return line.split("\t")
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error:
        raise Unreadable("quotes that do not end on the line") from None


def _columns(names: Sequence[str]) -> dict[str, int]:
    """Return what we read -> its place among names."""
    bare = ["".join(filter(str.isalpha, name.casefold())) for name in names]
    found: dict[str, int] = {}
    for what, known in _COLUMNS.items():
        place = next((bare.index(name) for name in known if name in bare), None)
        if place is not None:
            found[what] = place
    return found


def _time(text: str) -> int | None:
    """Return seconds since 1970 from those, from milliseconds, or from a date; else None."""
    text = text.strip()
    if not text:
        return None
    if text[4:5] == "-":  # 2009-05-04...: a failing float() costs more than all the rest
        seconds = _date(text)
    else:
        try:
            seconds = float(text)
        except ValueError:
            seconds = _date(text)
    if seconds > 1e11:  # milliseconds
        seconds /= 1000
    return int(seconds) if 0 < seconds < _LAST_SECOND else None


def _date(text: str) -> float:
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        for form in _WORDY_DATES:
            try:
                date = datetime.strptime(text, form)
                break
            except ValueError:
                continue
        else:
            return -1.0
    try:
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (OverflowError, ValueError):
        return -1.0
