"""The inner loop of reading a log: bytes of delimited text -> numbers of users, times, tracks.

A log of twenty million plays has a few thousand users and a million tracks, so nearly all work is
to find the fields of a row and to look its names up. One pass does both and keeps each name once.
Every row gets a status; nothing is skipped in silence. Quotes are taken as part of a name where
quoting is off (Last.fm's log: "N.A." and 12" are titles), else as RFC 4180 says: a field that
starts with a quote ends at the next single one, and two stand for one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from segue.tasks.playlist.data.fields import blank, copied, equal, flag, padded, seconds
from segue.tasks.playlist.data.names import LONGEST_ROW, NO_ROOM, NOT_UTF8, SEPARATOR, number

__all__ = [
    "COLUMNS",
    "FULL",
    "MOST_COLUMNS",
    "REASONS",
    "Out",
    "parse",
]

REASONS = (
    "",
    "wrong number of columns",
    "NUL in the row",
    "no user",
    "bad date",
    "no track name",
    "no artist name",
    "not UTF-8",
    "row too long, or a quote that is not closed",
    "text after a closing quote",
    "skipped is neither yes nor no",
    "empty row",
)
"""Why a row cannot be used, by status; status 0 is a good row."""

COLUMNS = ("user", "time", "artist", "title", "mbid", "skipped", "row")
"""What a column may hold; `parse` is told the place of each, -1 where there is none."""

MOST_COLUMNS = 256
FULL = 1
"""`parse` stopped because a table is full."""

_NEWLINE, _RETURN = 10, 13
(
    _GOOD, _COLUMNS, _NUL, _NO_USER, _BAD_DATE, _NO_TITLE, _NO_ARTIST, _NOT_UTF8, _TOO_LONG,
    _AFTER_QUOTE, _BAD_FLAG, _EMPTY,
) = range(len(REASONS))  # fmt: skip


class Out(NamedTuple):
    """One entry for each row of the file, [N]."""

    users: NDArray[np.int32]
    times: NDArray[np.int64]
    tracks: NDArray[np.int32]
    skipped: NDArray[np.int8]
    rows: NDArray[np.int64]
    status: NDArray[np.int8]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def parse(
    text: Any,
    final: bool,
    delimiter: int,
    quote: int,
    n_columns: int,
    places: Any,
    identity: int,
    line: int,
    users: Any,
    tracks: Any,
    out: Any,
) -> Any:
    """Read rows from `text` until it ends, `out` is full, or a table is.

    Args:
        text: bytes of the file from the beginning of a row, [T].
        final: whether the file ends here.
        delimiter: the byte between fields.
        quote: the byte around fields, -1 where quotes mean nothing.
        n_columns: what every row must have.
        places: column of each of `COLUMNS`, -1 where there is none, [7].
        identity: 0 artist and title, 1 title, 2 mbid.
        line: number of the first line of `text`.
        users: table of the users.
        tracks: table of the tracks.
        out: where the rows go.

    Returns:
        how many bytes were read (negative: the last row has no end yet, and what comes next belongs
        to it up to the end of the line), the number of rows, the number of the next line, and
        `FULL` where a table must grow first.
    """
    n = len(text)
    words = np.empty(LONGEST_ROW // 8 + 8, dtype=np.uint64)
    scratch = words.view(np.uint8)
    begins = np.empty(MOST_COLUMNS, dtype=np.int64)
    ends = np.empty(MOST_COLUMNS, dtype=np.int64)
    doubled = np.empty(MOST_COLUMNS, dtype=np.bool_)
    position, count, last_user, last_at, last_size = 0, 0, -1, 0, -1
    while position < n and count < len(out.status):
        # 1. find the fields
        i, column, status, inner, has_nul = position, 0, _GOOD, 0, False
        complete, endless, in_quotes, end = False, False, False, 0
        while i <= n:
            begin = i
            in_quotes = quote >= 0 and i < n and text[i] == quote
            if in_quotes:
                begin, twice, closed = i + 1, False, False
                i += 1
                while i < n:
                    byte = text[i]
                    if byte == quote:
                        if i + 1 < n and text[i + 1] == quote:
                            twice = True
                            i += 1
                        else:
                            closed = True
                            break
                    elif byte == _NEWLINE:
                        inner += 1
                    elif byte == 0:
                        has_nul = True
                    i += 1
                    if i - position > LONGEST_ROW:
                        break
                if not closed:
                    break
                end = i
                i += 1
                while i < n and text[i] != delimiter and text[i] != _NEWLINE:
                    if text[i] != _RETURN:
                        status = _AFTER_QUOTE
                    i += 1
            else:
                twice = False
                while i < n:
                    byte = text[i]
                    if byte == delimiter or byte == _NEWLINE:  # noqa: SIM109  compiled
                        break
                    if byte == 0:
                        has_nul = True
                    i += 1
                end = i
            if column < MOST_COLUMNS:
                begins[column], ends[column], doubled[column] = begin, end, twice
            column += 1
            if i >= n:
                complete = final
                break
            if text[i] == _NEWLINE:
                complete = True
                break
            i += 1
        returned = not in_quotes and end > begin and text[end - 1] == _RETURN
        if complete and returned and column <= MOST_COLUMNS:
            ends[column - 1] = end - 1
        if not complete and not final and i - position <= LONGEST_ROW:
            break  # the rest of the row comes with the next block
        if not complete or i - position > LONGEST_ROW:
            status = _TOO_LONG
        if status == _TOO_LONG or (inner > 0 and (status != _GOOD or column != n_columns)):
            # Go on after the line in which the row began, so that a stray quote costs one row.
            inner, i = 0, position
            while i < n and text[i] != _NEWLINE:
                i += 1
            endless = i >= n and not final
        next_position = min(i + 1, n)
        # 2. judge and take them
        user, time, track, skip = -1, 0, -1, 0
        row = line
        if places[6] >= 0 and column == n_columns:
            row = 0
            for k in range(begins[places[6]], ends[places[6]]):
                row = row * 10 + text[k] - 48
        if status == _GOOD and has_nul:
            status = _NUL
        if status == _GOOD and column == 1 and ends[0] == begins[0] and n_columns > 1:
            status = _EMPTY
        if status == _GOOD and column != n_columns:
            status = _COLUMNS
        if status == _GOOD:
            at = places[0]
            size = copied(text, begins[at], ends[at], doubled[at], quote, scratch, 0)
            n_words = padded(scratch, size) // 8
            if blank(scratch, 0, size):
                status = _NO_USER
            elif size == last_size and equal(words, 0, users.heap, last_at, n_words):
                user = last_user
            else:
                user = number(users, words, scratch, size, size)
                if user == NO_ROOM:
                    return position, count, line, FULL
                if user == NOT_UTF8:
                    status = _NOT_UTF8
                else:
                    last_user, last_at, last_size = user, users.starts[user] + 1, size
        if status == _GOOD:
            good, time = seconds(text, begins[places[1]], ends[places[1]])
            if not good:
                status = _BAD_DATE
        if status == _GOOD and places[5] >= 0:
            skip = flag(text, begins[places[5]], ends[places[5]])
            if skip < 0:
                status = _BAD_FLAG
        if status == _GOOD:
            at = places[3]
            if blank(text, begins[at], ends[at]):
                status = _NO_TITLE
        if status == _GOOD and identity == 0 and places[2] >= 0:
            at = places[2]
            if blank(text, begins[at], ends[at]):
                status = _NO_ARTIST
        if status == _GOOD:
            # The key, and "artist NUL title" where that is not the key.
            size, key_size = 0, 0
            if identity == 2 and places[4] >= 0:
                at = places[4]
                if not blank(text, begins[at], ends[at]):
                    key_size = copied(text, begins[at], ends[at], doubled[at], quote, scratch, 0)
                    size = padded(scratch, key_size)
            if identity != 1:
                at = places[2]
                if at >= 0:
                    size = copied(text, begins[at], ends[at], doubled[at], quote, scratch, size)
                scratch[size] = SEPARATOR
                size += 1
            at = places[3]
            size = copied(text, begins[at], ends[at], doubled[at], quote, scratch, size)
            if key_size == 0:
                key_size = size
            track = number(tracks, words, scratch, size, key_size)
            if track == NO_ROOM:
                return position, count, line, FULL
            if track == NOT_UTF8:
                status = _NOT_UTF8
        out.users[count] = user
        out.times[count] = time
        out.tracks[count] = track
        out.skipped[count] = skip
        out.rows[count] = row
        out.status[count] = status
        count += 1
        line += 1 + inner
        position = next_position
        if endless:
            return -n, count, line, 0
    return position, count, line, 0
