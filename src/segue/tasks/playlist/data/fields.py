"""Compiled parts of reading a log: one field of bytes at a time.

A field is `text[begin:end]`. Times are ISO 8601 to the second (fractions are cut off; without an
offset it is UTC) or seconds since 1970.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["blank", "copied", "equal", "flag", "hashed", "is_utf8", "padded", "seconds"]

_SEED, _MIX, _HALF = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xFF51AFD7ED558CCD), np.uint64(33)
_SPACE, _ZERO, _NINE, _MINUS, _PLUS, _POINT, _COLON = 32, 48, 57, 45, 43, 46, 58
_T, _Z = 84, 90
_LATEST = 100_000_000_000  # the year 5138: greater numbers are milliseconds, or not times


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def hashed(words: Any, start: int, stop: int) -> Any:
    """Return a hash of 64 bits of `words[start:stop]`: multiply and fold, word by word."""
    value = _SEED
    for k in range(start, stop):
        value = (value ^ words[k]) * _MIX
        value ^= value >> _HALF
    value *= _MIX
    return value ^ (value >> _HALF)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def equal(a: Any, a_start: int, b: Any, b_start: int, size: int) -> bool:
    """Return whether `size` entries are the same."""
    for k in range(size):  # noqa: SIM110  compiled
        if a[a_start + k] != b[b_start + k]:
            return False
    return True


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def padded(target: Any, size: int) -> int:
    """Fill `target[size:]` with zeros up to whole words of eight bytes; return where they end."""
    stop = (size + 7) & ~7
    for k in range(size, stop):
        target[k] = 0
    return stop


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def copied(text: Any, begin: int, end: int, doubled: bool, quote: int, target: Any, at: int) -> int:
    """Copy a field to `target[at:]`, two quotes as one; return where it ends there."""
    if not doubled:
        for k in range(end - begin):
            target[at + k] = text[begin + k]
        return at + end - begin
    k = begin
    while k < end:
        target[at] = text[k]
        at += 1
        k += 2 if text[k] == quote else 1
    return at


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def blank(text: Any, begin: int, end: int) -> bool:
    """Return whether a field is empty or has spaces alone."""
    for k in range(begin, end):  # noqa: SIM110  compiled
        if text[k] > _SPACE:
            return False
    return True


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def flag(text: Any, begin: int, end: int) -> int:
    """Return 1 for 1, t, true, y, yes; 0 for 0, f, false, n, no and nothing; else -1."""
    size = end - begin
    if size == 0:
        return 0
    first, last = text[begin] | 32, text[end - 1] | 32  # lower case; digits stay
    if size == 1:
        if first == 49 or first == 116 or first == 121:  # 1 t y
            return 1
        return 0 if first == 48 or first == 102 or first == 110 else -1  # 0 f n
    if (size == 4 and first == 116 and last == 101) or (size == 3 and first == 121 and last == 115):
        return 1
    if (size == 5 and first == 102 and last == 101) or (size == 2 and first == 110 and last == 111):
        return 0
    return -1


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def is_utf8(data: Any, size: int) -> bool:
    """Return whether `data[:size]` is UTF-8 (RFC 3629)."""
    k = 0
    while k < size:
        byte = data[k]
        if byte < 0x80:
            k += 1
            continue
        low, high = 0x80, 0xBF  # of the second byte
        if 0xC2 <= byte <= 0xDF:
            more = 1
        elif 0xE0 <= byte <= 0xEF:
            more = 2
            if byte == 0xE0:
                low = 0xA0
            elif byte == 0xED:
                high = 0x9F
        elif 0xF0 <= byte <= 0xF4:
            more = 3
            if byte == 0xF0:
                low = 0x90
            elif byte == 0xF4:
                high = 0x8F
        else:
            return False
        if k + more >= size or data[k + 1] < low or data[k + 1] > high:
            return False
        for j in range(2, more + 1):
            if data[k + j] < 0x80 or data[k + j] > 0xBF:
                return False
        k += more + 1
    return True


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def seconds(text: Any, begin: int, end: int) -> tuple[bool, int]:
    """Return whether a field is a time, and its seconds since 1970."""
    size = end - begin
    if size == 0:
        return False, 0
    k, sign = begin, 1
    if text[k] == _MINUS:
        sign, k = -1, k + 1
    value, digits = 0, 0
    while k < end and digits < 12 and _ZERO <= text[k] <= _NINE:
        value = value * 10 + text[k] - _ZERO
        k, digits = k + 1, digits + 1
    if digits and (k == end or text[k] == _POINT):
        for j in range(k + 1, end):
            if not _ZERO <= text[j] <= _NINE:
                return False, 0
        return value < _LATEST, sign * value
    if size < 16 or sign < 0:
        return False, 0
    # YYYY-MM-DDTHH:MM
    year, month, day = _two(text, begin) * 100 + _two(text, begin + 2), 0, 0
    month, day = _two(text, begin + 5), _two(text, begin + 8)
    hour, minute, second = _two(text, begin + 11), _two(text, begin + 14), 0
    good = text[begin + 4] == _MINUS and text[begin + 7] == _MINUS
    good = good and (text[begin + 10] == _T or text[begin + 10] == _SPACE)
    good = good and text[begin + 13] == _COLON
    k = begin + 16
    if k + 2 < end and text[k] == _COLON:
        second = _two(text, k + 1)
        k += 3
        if k < end and text[k] == _POINT:
            k += 1
            while k < end and _ZERO <= text[k] <= _NINE:
                k += 1
    good = good and year >= 1 and 1 <= month <= 12 and 0 <= hour <= 23
    good = good and 0 <= minute <= 59 and 0 <= second <= 60
    good = good and 1 <= day <= _days(year, month)
    offset = 0
    if k < end and text[k] == _Z:
        k += 1
    elif k < end and (text[k] == _PLUS or text[k] == _MINUS):
        if end - k == 6 and text[k + 3] == _COLON:
            away_m = _two(text, k + 4)
        elif end - k == 5:
            away_m = _two(text, k + 3)
        else:
            return False, 0
        away_h = _two(text, k + 1)
        good = good and 0 <= away_h <= 18 and 0 <= away_m <= 59
        offset = (away_h * 60 + away_m) * (60 if text[k] == _PLUS else -60)
        k = end
    if not good or k != end:
        return False, 0
    # Days since 1970-01-01 by counting years from March on, so that a leap day is the last of one.
    y = year - (1 if month <= 2 else 0)
    m = month + (9 if month <= 2 else -3)
    days = 365 * y + y // 4 - y // 100 + y // 400 + (153 * m + 2) // 5 + day - 1 - 719468
    return True, days * 86400 + hour * 3600 + minute * 60 + second - offset


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _two(text: Any, at: int) -> int:
    """Return a number of two digits, or something far below zero."""
    tens, ones = np.int64(text[at]) - _ZERO, np.int64(text[at + 1]) - _ZERO
    if 0 <= tens <= 9 and 0 <= ones <= 9:
        return int(tens * 10 + ones)
    return -1_000_000


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _days(year: int, month: int) -> int:
    """Return the number of days in a month."""
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31
