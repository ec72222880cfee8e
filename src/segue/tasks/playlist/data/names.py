"""Compiled tables of names: what gives each user and each track of a log its number.

Names are kept in a table. `slots` is a hash table with open addressing: the upper half of the hash,
and the place in `heap`. There, in words of eight bytes: the number of the name and the size of its
key, the key, and, where the key is not the name, the name. Both are filled up with zeros, so that
keys are hashed and compared by words. To look a name up costs two visits to far memory, and those
are most of the time that all of this takes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from segue.tasks.playlist.data.fields import equal, hashed, is_utf8, padded

__all__ = [
    "LONGEST_ROW",
    "NOT_UTF8",
    "NO_ROOM",
    "SEPARATOR",
    "Names",
    "enter",
    "gather",
    "number",
    "rehash",
]

LONGEST_ROW = 1 << 20
"""Bytes; a longer row is a file of another kind, or a quote that is never closed."""
SEPARATOR = 0
"""Between artist and title: no name holds it, as rows with NUL are refused."""
NO_ROOM, NOT_UTF8 = -1, -2

_UPPER, _LOWER = np.uint64(0xFFFFFFFF00000000), np.uint64(0xFFFFFFFF)
_ONE, _HALF = np.uint64(1), np.uint64(32)


class Names(NamedTuple):
    """A table of names; see the module."""

    slots: NDArray[np.uint64]
    heap: NDArray[np.uint64]
    starts: NDArray[np.int64]
    """Word of the heap where each name begins, [capacity]."""
    sizes: NDArray[np.int32]
    """Bytes of the key, and of all; the same where the key is the name, [capacity, 2]."""
    used: NDArray[np.int64]
    """Number of names, and of words of the heap, [2]."""


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def rehash(names: Any, slots: Any) -> None:
    """Enter all names into the larger, empty `slots`."""
    mask = np.uint64(len(slots) - 1)
    for i in range(names.used[0]):
        start = names.starts[i]
        value = hashed(names.heap, start + 1, start + 1 + (names.sizes[i, 0] + 7) // 8)
        place = value & mask
        while slots[place] != 0:
            place = (place + _ONE) & mask
        slots[place] = (value & _UPPER) | np.uint64(start)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def enter(names: Any, others: Any, start: int, numbers: Any) -> int:
    """Enter the names of `others` from `start` on; return where room ended, or how many there are.

    Args:
        names: the table that takes them.
        others: the table that has them.
        start: number of the first one to enter.
        numbers: is told the number of each in `names`.
    """
    words = np.empty(LONGEST_ROW // 8 + 8, dtype=np.uint64)
    scratch = words.view(np.uint8)
    for i in range(start, others.used[0]):
        begin, size = others.starts[i] + 1, others.sizes[i, 1]
        for k in range((size + 7) // 8):
            words[k] = others.heap[begin + k]
        found = number(names, words, scratch, size, others.sizes[i, 0])
        if found < 0:
            return i
        numbers[i] = found
    return int(others.used[0])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def gather(names: Any, which: Any) -> Any:
    """Return the names of tracks as bytes: artist, NUL, title, NUL, and so on."""
    total = 0
    for i in which:
        total += names.sizes[i, 1] + 2
    heap = names.heap.view(np.uint8)
    out = np.empty(total, dtype=np.uint8)
    at = 0
    for i in which:
        begin = 8 * (names.starts[i] + 1)
        end = begin + names.sizes[i, 1]
        if names.sizes[i, 1] > names.sizes[i, 0]:  # the name follows the key
            begin += (names.sizes[i, 0] + 7) // 8 * 8
        whole = False
        for k in range(begin, end):
            whole = whole or heap[k] == SEPARATOR
        if not whole:
            out[at] = SEPARATOR
            at += 1
        for k in range(begin, end):
            out[at] = heap[k]
            at += 1
        out[at] = SEPARATOR
        at += 1
    return out[:at]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def number(names: Any, words: Any, scratch: Any, size: int, key_size: int) -> int:
    """Return the number of a name, a new one where needed; or `NO_ROOM` or `NOT_UTF8`."""
    padded(scratch, size)
    n_words = (key_size + 7) // 8
    value = hashed(words, 0, n_words)
    upper = value & _UPPER
    mask = np.uint64(len(names.slots) - 1)
    place = value & mask
    while True:
        slot = names.slots[place]
        if slot == 0:
            break
        if slot & _UPPER == upper:
            start = np.int64(slot & _LOWER)
            head = names.heap[start]
            if head & _LOWER == np.uint64(key_size) and equal(
                words, 0, names.heap, start + 1, n_words
            ):
                return int(np.int64(head >> _HALF))
        place = (place + _ONE) & mask
    n, start, all_words = names.used[0], names.used[1], (size + 7) // 8
    if 2 * (n + 1) > len(names.slots) or n >= len(names.starts):
        return NO_ROOM
    if start + 1 + all_words > len(names.heap):
        return NO_ROOM
    if not is_utf8(scratch, size):
        return NOT_UTF8
    names.heap[start] = (np.uint64(n) << _HALF) | np.uint64(key_size)
    for k in range(all_words):
        names.heap[start + 1 + k] = words[k]
    names.starts[n], names.sizes[n, 0], names.sizes[n, 1] = start, key_size, size
    names.slots[place] = upper | np.uint64(start)
    names.used[0], names.used[1] = n + 1, start + 1 + all_words
    return int(n)
