"""The best tracks for a query among a million, exactly, in little memory.

An index is a folder of plain arrays, read in blocks (the scan) and by rows (the rest). A memory map
would do both, but counts whatever the system maps around a row as memory of the process.

    codes.npy    [K, D] int8     rows of length 1, rounded to 1/127 of their largest number
    scales.npy   [K]    float32  that largest number / 127
    errors.npy   [K]    float32  length of what the rounding took away, rounded up
    vectors.npy  [K, D] float32  the rows themselves
    facts.npy    [K, F] float32  anything else about the rows, given by the caller
    index.json   sizes

The score of a row v is its inner product with the query q. A scan over the codes gives it to within
errors[k] |q| (Cauchy-Schwarz), so that all rows whose upper bound reaches the M-th best lower bound
contain the M best ones for certain; only these are read and scored exactly. Nothing is approximate:
the answer is that of the full product, and its last score bounds every row that is not in it.

Letters: `K` rows, `D` dimensions, `Q` queries, `M` results for each.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError, UsageError
from segue.core.files import read_json, sync_directory, write_json

__all__ = ["Rows", "Top", "VectorIndex", "build_index"]

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

_FORMAT = 1
_BLOCK = 1 << 15
"""Rows scored at a time: 32 MB of them as float32 at 256 dimensions."""
_ARRAYS = ("codes", "scales", "errors", "vectors", "facts")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Top:
    """The best rows for each query."""

    indices: Indices
    """[Q, M] rows, best first; of equal ones the first."""
    scores: Floats
    """[Q, M] their exact scores. No other row scores more than the last."""
    n_scored: int
    """Rows that were scored exactly, over all queries."""


class Rows:
    """An array in a .npy file, of which parts are read.

    Raises:
        ValueError: it is no such file, or not in C order.
    """

    def __init__(self, path: Path) -> None:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)  # reads nothing but the header
        if not isinstance(mapped, np.memmap) or mapped.ndim == 0 or not mapped.flags.c_contiguous:
            raise ValueError(f"{path.name} is not an array of rows")
        self.path, self.shape, self.dtype = path, mapped.shape, mapped.dtype
        self._start = mapped.offset
        self._row = mapped.dtype.itemsize * int(np.prod(mapped.shape[1:], dtype=np.int64))

    def __len__(self) -> int:
        return int(self.shape[0])

    def block(self, start: int, stop: int) -> NDArray[Any]:
        """Return rows `start` to `stop`."""
        return self._read([(start, min(stop, len(self)) - start)])

    def take(self, rows: Indices) -> NDArray[Any]:
        """Return single rows."""
        return self._read([(row, 1) for row in rows.tolist()])

    def _read(self, parts: list[tuple[int, int]]) -> NDArray[Any]:
        out = np.empty((sum(n for _, n in parts), *self.shape[1:]), self.dtype)
        flat = out.reshape(-1).view(np.uint8)
        view, done = memoryview(flat), 0  # type: ignore[arg-type]
        with self.path.open("rb", buffering=0) as file:
            for row, n in parts:
                file.seek(self._start + row * self._row)
                end = done + n * self._row
                while done < end:
                    got = file.readinto(view[done:end])
                    if not got:
                        raise DataError("ends too early", where=self.path)
                    done += got
        return out


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VectorIndex:
    """An open index; the arrays are on disk."""

    codes: Rows
    scales: NDArray[np.float32]
    errors: NDArray[np.float32]
    vectors: Rows
    facts: Rows

    @classmethod
    def open(cls, folder: Path) -> VectorIndex:
        """Open the index in `folder`.

        Raises:
            DataError: there is none, or its files do not belong together.
        """
        try:
            about = read_json(folder / "index.json")
            arrays: dict[str, Any] = {name: Rows(folder / f"{name}.npy") for name in _ARRAYS}
            n, d = about["rows"], about["dimensions"]
            shapes = {"codes": (n, d), "scales": (n,), "errors": (n,), "vectors": (n, d)}
            if about["format"] != _FORMAT:
                raise ValueError(f"format {about['format']}, {_FORMAT} is known")
            if any(arrays[k].shape != s for k, s in shapes.items()) or len(arrays["facts"]) != n:
                raise ValueError("its arrays differ in size")
            if arrays["codes"].dtype != np.int8 or arrays["vectors"].dtype != np.float32:
                raise ValueError("its arrays are of another type")
            for name in ("scales", "errors"):
                arrays[name] = arrays[name].block(0, n)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"no index that can be read: {error}", where=folder, advice="Build it again"
            ) from None
        return cls(**arrays)

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def dimension(self) -> int:
        """Length of a row, D."""
        return int(self.codes.shape[1])

    def top(self, queries: Floats, m: int) -> Top:
        """Return the `m` rows with the largest inner product with each query.

        Args:
            queries: [Q, D].
            m: number of results; all rows when there are fewer.

        Raises:
            UsageError: the queries are of another dimension, not finite, or `m` is below 1.
        """
        if queries.ndim != 2 or queries.shape[1] != self.dimension:
            raise UsageError(
                f"queries of shape {queries.shape} for rows of {self.dimension} numbers",
                advice="Index and video must come from the same embedder",
            )
        if m < 1 or not np.isfinite(queries).all():
            raise UsageError(f"m = {m} must be at least 1 and the queries finite")
        m, n_queries = min(m, len(self)), len(queries)
        # 1. The scan: what may be among the best, by bounds that only get tighter.
        lengths = np.linalg.norm(queries, axis=1)
        single = queries.astype(np.float32)
        # Beyond the rounding of codes: that of queries and sums in single precision.
        slack = 1e-6 * np.sqrt(self.dimension) * lengths + 1e-12
        floor = np.full(n_queries, -np.inf)  # [Q] M-th best lower bound so far
        best = [np.empty(0) for _ in range(n_queries)]  # the M best lower bounds so far
        kept: list[list[tuple[Indices, Floats]]] = [[] for _ in range(n_queries)]
        for start in range(0, len(self), _BLOCK):
            rows = slice(start, start + _BLOCK)
            codes = self.codes.block(rows.start, rows.stop)
            scores = single @ codes.astype(np.float32).T  # [Q, B]
            scores *= self.scales[rows]
            errors = self.errors[rows]
            for q in range(n_queries):
                reach = errors * lengths[q] + slack[q]
                likely = np.flatnonzero(scores[q] + reach >= floor[q])
                if not likely.size:
                    continue
                middle, width = scores[q, likely].astype(np.float64), reach[likely]
                lower = np.concatenate([best[q], middle - width])
                if len(lower) > m:
                    lower = np.partition(lower, len(lower) - m)[-m:]
                best[q] = lower
                if len(lower) == m:
                    floor[q] = lower.min()
                    inside = middle + width >= floor[q]
                    likely, middle, width = likely[inside], middle[inside], width[inside]
                kept[q].append((likely + start, middle + width))
        # 2. The exact scores of what is left.
        indices, exact = np.empty((n_queries, m), np.int64), np.empty((n_queries, m))
        n_scored = 0
        for q in range(n_queries):
            rows_q = np.concatenate([rows for rows, _ in kept[q]])
            upper = np.concatenate([bounds for _, bounds in kept[q]])
            rows_q = np.sort(rows_q[upper >= floor[q]])
            n_scored += len(rows_q)
            values = self.vectors.take(rows_q).astype(np.float64) @ queries[q]
            order = np.argsort(-values, kind="stable")[:m]
            indices[q], exact[q] = rows_q[order], values[order]
        return Top(indices=indices, scores=exact, n_scored=n_scored)


def build_index(
    folder: Path,
    blocks: Iterable[tuple[NDArray[np.floating], NDArray[np.floating]]],
    n_rows: int,
    dimension: int,
    n_facts: int,
) -> VectorIndex:
    """Write an index block by block; the folder appears when it is complete.

    Args:
        folder: where to; an index that is there is replaced.
        blocks: (vectors [B, D], facts [B, F]) with `n_rows` rows in all; memory for one is needed.
        n_rows: K.
        dimension: D.
        n_facts: F.

    Raises:
        DataError: a block of another shape or with values that are not finite, or another number
            of rows.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".tmp-", dir=folder.parent))
    types: dict[str, tuple[type, tuple[int, ...]]] = {
        "codes": (np.int8, (n_rows, dimension)),
        "scales": (np.float32, (n_rows,)),
        "errors": (np.float32, (n_rows,)),
        "vectors": (np.float32, (n_rows, dimension)),
        "facts": (np.float32, (n_rows, n_facts)),
    }
    try:
        arrays = {
            name: np.lib.format.open_memmap(
                partial / f"{name}.npy", mode="w+", dtype=np.dtype(kind), shape=shape
            )
            for name, (kind, shape) in types.items()
        }
        done = 0
        for vectors, facts in blocks:
            here = slice(done, done + len(vectors))
            if (
                vectors.shape[1:] != (dimension,)
                or facts.shape != (len(vectors), n_facts)
                or here.stop > n_rows
            ):
                raise DataError(
                    f"a block of {vectors.shape} vectors and {facts.shape} facts at row {done}; "
                    f"{n_rows} rows of {dimension} and {n_facts} numbers were announced"
                )
            if not (np.isfinite(vectors).all() and np.isfinite(facts).all()):
                raise DataError(f"numbers that are not finite after row {done}")
            rows = np.asarray(vectors, np.float32)
            codes, scales, errors = _rounded(rows)
            for name, part in zip(_ARRAYS, (codes, scales, errors, rows, facts), strict=True):
                arrays[name][here] = part
            done = here.stop
        if done != n_rows:
            raise DataError(f"{done} rows came, {n_rows} were announced")
        for array in arrays.values():
            array.flush()
        write_json(
            partial / "index.json", {"format": _FORMAT, "rows": n_rows, "dimensions": dimension}
        )
        partial.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
        sync_directory(folder.parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return VectorIndex.open(folder)


def _rounded(
    rows: NDArray[np.float32],
) -> tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.float32]]:
    """Return codes, scales, and an upper bound of the length of what rounding takes away."""
    largest = np.abs(rows).max(axis=1, initial=0.0)
    scales = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    codes = np.clip(np.rint(rows / scales[:, None]), -127, 127).astype(np.int8)
    lost = rows.astype(np.float64) - codes * scales[:, None].astype(np.float64)
    errors = np.linalg.norm(lost, axis=1) * (1 + 1e-6)
    return codes, scales, np.nextafter(errors.astype(np.float32), np.float32(np.inf))
