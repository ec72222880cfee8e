"""Compiled loops over sessions: the index of who played what, and rows of a sparse matrix.

The loops are what the models share. Each walks plain arrays in a fixed order on one thread, so a
result depends on its input alone; sums are kept in double precision, so that tracks which earn the
same by another order of adding still tie.

Compressed rows are three arrays: row i holds the columns `indices[indptr[i]:indptr[i + 1]]` and the
values beside them. `S` sessions, `P` plays, `V` tracks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from segue.tasks.playlist.sessions import Sessions

__all__ = [
    "Index",
    "Rows",
    "Table",
    "build_index",
    "compiled",
    "compiled_sum",
    "keep_best",
    "known_tracks",
    "make_room",
    "sort_best",
    "sum_rows",
]

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a loop once and keep it on disk; it runs without the interpreter's lock."""
    return cast(F, njit(cache=True, nogil=True)(function))


def compiled_sum(function: F) -> F:
    """Compile a loop that may add in any order, so that a processor adds several numbers at once.

    The result is the same from call to call; between kinds of processors the last bit may differ.
    """
    return cast(F, njit(cache=True, nogil=True, fastmath={"reassoc"})(function))


class Table(NamedTuple):
    """Sparse rows, as compiled loops want them."""

    indptr: NDArray[np.int64]
    """[rows + 1]."""
    indices: NDArray[np.int32]
    """Columns; not sorted."""
    values: NDArray[np.float32]


class Rows(NamedTuple):
    """Sessions without unknown tracks, as compiled loops want them."""

    tracks: NDArray[np.int32]
    """[P]."""
    offsets: NDArray[np.int64]
    """[S + 1]."""


class Index(NamedTuple):
    """Where every track was played."""

    starts: NDArray[np.int64]
    """The plays of track t are `places[starts[t]:starts[t + 1]]`, [V + 1]."""
    places: NDArray[np.int64]
    """Numbers of plays, rising for each track, [P]."""
    owners: NDArray[np.int32]
    """The session of every play, [P]."""


def known_tracks(sessions: Sessions, *, once: bool = False) -> Rows:
    """Return the sessions without unknown tracks; with `once` each track only at its last place."""
    tracks, offsets = _known(sessions.tracks, sessions.offsets, once)
    return Rows(tracks, offsets)


def build_index(rows: Rows, n_tracks: int) -> Index:
    """Return where every track was played."""
    return Index(*_index(rows.tracks, rows.offsets, n_tracks))


@compiled
def _known(
    tracks: NDArray[np.int32], offsets: NDArray[np.int64], once: bool
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    found = np.empty(len(tracks), dtype=np.int32)
    starts = np.zeros(len(offsets), dtype=np.int64)
    n = 0
    for s in range(len(offsets) - 1):
        for p in range(offsets[s], offsets[s + 1]):
            keep = tracks[p] >= 0
            if keep and once:
                for later in range(p + 1, offsets[s + 1]):
                    if tracks[later] == tracks[p]:
                        keep = False
                        break
            if keep:
                found[n] = tracks[p]
                n += 1
        starts[s + 1] = n
    return found[:n].copy(), starts


@compiled
def _index(
    tracks: NDArray[np.int32], offsets: NDArray[np.int64], n_tracks: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    starts = np.zeros(n_tracks + 1, dtype=np.int64)
    for track in tracks:
        starts[track + 1] += 1
    for t in range(n_tracks):
        starts[t + 1] += starts[t]
    at = starts[:-1].copy()
    places = np.empty(len(tracks), dtype=np.int64)
    owners = np.empty(len(tracks), dtype=np.int32)
    for s in range(len(offsets) - 1):
        for p in range(offsets[s], offsets[s + 1]):
            owners[p] = s
            places[at[tracks[p]]] = p
            at[tracks[p]] += 1
    return starts, places, owners


@compiled
def keep_best(keys: NDArray[np.int32], values: NDArray[np.float64], n: int, n_best: int) -> int:
    """Move the `n_best` largest of the first `n` values, with their keys, to the front.

    Equal values are kept in the order of falling keys: of equal sessions the newer stays. The order
    at the front is not sorted. Return how many there are.
    """
    if n <= n_best:
        return n
    # A heap whose root is the worst that is kept.
    for i in range(n_best // 2 - 1, -1, -1):
        _sink(keys, values, i, n_best)
    for i in range(n_best, n):
        if values[i] > values[0] or (values[i] == values[0] and keys[i] > keys[0]):
            keys[0], keys[i] = keys[i], keys[0]
            values[0], values[i] = values[i], values[0]
            _sink(keys, values, 0, n_best)
    return n_best


@compiled
def sort_best(keys: NDArray[np.int32], values: NDArray[np.float64], n: int) -> None:
    """Sort the first `n` by falling values; equal ones by falling keys."""
    for i in range(n // 2 - 1, -1, -1):
        _sink(keys, values, i, n)
    for last in range(n - 1, 0, -1):  # the worst of the heap goes to its end
        keys[0], keys[last] = keys[last], keys[0]
        values[0], values[last] = values[last], values[0]
        _sink(keys, values, 0, last)


@compiled
def _sink(keys: NDArray[np.int32], values: NDArray[np.float64], i: int, n: int) -> None:
    key, value = keys[i], values[i]
    while True:
        child = 2 * i + 1
        if child >= n:
            break
        right = child + 1
        if right < n and (
            values[right] < values[child]
            or (values[right] == values[child] and keys[right] < keys[child])
        ):
            child = right
        if values[child] > value or (values[child] == value and keys[child] > key):
            break
        keys[i], values[i] = keys[child], values[child]
        i = child
    keys[i], values[i] = key, value


@compiled
def make_room(
    indices: NDArray[np.int32], values: NDArray[np.float32], used: int, wanted: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the two arrays, longer if `used + wanted` do not fit."""
    if used + wanted <= len(indices):
        return indices, values
    size = max(2 * len(indices), used + wanted)
    more_indices = np.empty(size, dtype=np.int32)
    more_values = np.empty(size, dtype=np.float32)
    for k in range(used):  # assigning slices would compile for a second longer
        more_indices[k] = indices[k]
        more_values[k] = values[k]
    return more_indices, more_values


@compiled
def sum_rows(queries: Rows, table: Table, n_tracks: int, decay: float, newest: int) -> Table:
    """Return for every query the sum of the table's rows of its tracks, [B, V].

    Args:
        queries: [B].
        table: [V, V].
        n_tracks: V.
        decay: the k-th track from the end counts decay to the power k.
        newest: how many tracks from the end count.
    """
    n_queries = len(queries.offsets) - 1
    indptr = np.zeros(n_queries + 1, dtype=np.int64)
    indices = np.empty(max(64 * n_queries, 1024), dtype=np.int32)
    values = np.empty(len(indices), dtype=np.float32)
    sums = np.zeros(n_tracks)
    seen = np.zeros(n_tracks, dtype=np.bool_)
    touched = np.empty(n_tracks, dtype=np.int32)
    used = 0
    for q in range(n_queries):
        n_touched = 0
        weight = 1.0
        low = max(queries.offsets[q], queries.offsets[q + 1] - newest)
        for p in range(queries.offsets[q + 1] - 1, low - 1, -1):
            track = queries.tracks[p]
            for k in range(table.indptr[track], table.indptr[track + 1]):
                column = table.indices[k]
                if not seen[column]:
                    seen[column] = True
                    touched[n_touched] = column
                    n_touched += 1
                sums[column] += weight * table.values[k]
            weight *= decay
        indices, values = make_room(indices, values, used, n_touched)
        for k in range(n_touched):
            column = touched[k]
            indices[used + k] = column
            values[used + k] = sums[column]
            sums[column] = 0.0
            seen[column] = False
        used += n_touched
        indptr[q + 1] = used
    return Table(indptr, indices[:used], values[:used])
