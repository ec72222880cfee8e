"""Arrays of features in .npy files: their headers, and their rows.

A file is read by its header and its bytes alone, so a file that asks for pickled objects is refused
before anything of it is loaded. Only two-dimensional arrays of real numbers are features.

Letters: `S` rows, `D` numbers of a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from segue.core.errors import DataError

__all__ = ["Header", "read_header", "read_rows"]

_KINDS = "fiu"  # floating, signed and unsigned whole numbers


@dataclass(frozen=True, slots=True)
class Header:
    """What the header of a file of features says."""

    rows: int
    width: int
    dtype: np.dtype[np.generic]
    begin: int
    """Byte at which the numbers begin."""
    fortran: bool
    """Whether they are stored column by column."""


def read_header(path: Path) -> Header:
    """Read and check the header of a file of features.

    Raises:
        DataError: it is not such a file: pickled objects, another shape, not numbers, or fewer
            bytes than its header promises. The error's `what` begins with the same words for the
            same reason, up to a colon.
    """
    try:
        with path.open("rb") as file:
            version = npy.read_magic(file)
            if version not in ((1, 0), (2, 0)):
                raise ValueError(f"version {version} of the format")
            reader = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, fortran, dtype = reader(file)
            begin = file.tell()
            size = file.seek(0, 2) - begin
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=path) from None
    except (ValueError, EOFError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise DataError(f"is not a .npy file: {_first_line(error)}", where=path) from None
    if dtype.hasobject:
        raise DataError("holds pickled objects: such a file may run code", where=path)
    if dtype.kind not in _KINDS:
        raise DataError(f"holds no real numbers: {dtype}", where=path)
    if len(shape) != 2:
        raise DataError(f"is not a table of rows: shape {shape}", where=path)
    if size < int(np.prod(shape, dtype=object)) * dtype.itemsize:
        raise DataError(f"is cut off: {size} bytes for shape {shape}", where=path)
    return Header(shape[0], shape[1], dtype, begin, fortran)


def read_rows(
    path: Path, width: int, first: int = 0, last: int | None = None
) -> NDArray[np.float32]:
    """Return rows first..last - 1 [S, D] of a file of features, as they are.

    Args:
        path: a file of features.
        width: D, as it was when the data was prepared.
        first: first row.
        last: row after the last; None reads to the end.

    Raises:
        DataError: as `read_header`; or it is of another width, or holds a number that is not
            finite.
    """
    header = read_header(path)
    if header.width != width:
        raise DataError(
            f"has width {header.width} instead of {width}: it is not what was prepared", where=path
        )
    last = header.rows if last is None else min(last, header.rows)
    if last <= first:
        return np.zeros((0, width), dtype=np.float32)
    stored = np.memmap(
        path,
        dtype=header.dtype,
        mode="r",
        offset=header.begin,
        shape=(header.rows, header.width),
        order="F" if header.fortran else "C",
    )
    rows = np.array(stored[first:last], dtype=np.float32)
    bad = ~np.isfinite(rows).all(axis=1)
    if bad.any():
        raise DataError(
            f"row {first + int(np.argmax(bad))} holds a number that is not finite", where=path
        )
    return rows


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
