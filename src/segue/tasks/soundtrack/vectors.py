"""Read one precomputed vector: a `.npy` file, or a `.pt` file as the original writes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError

__all__ = ["read_vector"]

KEY = "imagebind"
"""The entry of a `.pt` dictionary that holds the vector."""


def read_vector(base: Path) -> NDArray[np.float64] | None:
    """Return the vector in `<base>.npy` or `<base>.pt`, or None when there is neither.

    Raises:
        DataError: the file is damaged, is not one vector, or holds NaN or infinity.
    """
    for suffix, read in ((".npy", _read_npy), (".pt", _read_pt)):
        path = base.with_name(base.name + suffix)
        if path.is_file():
            vector = np.asarray(read(path), dtype=np.float64).squeeze()
            if vector.ndim != 1 or vector.size == 0:
                raise DataError(f"has shape {vector.shape}, one vector is needed", where=path)
            if not np.isfinite(vector).all():
                raise DataError("holds NaN or infinity", where=path)
            return vector
    return None


def _read_npy(path: Path) -> NDArray[np.float64]:
    try:
        return np.asarray(np.load(path, allow_pickle=False), dtype=np.float64)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"is not an array file: {error}", where=path) from None


def _read_pt(path: Path) -> NDArray[np.float64]:
    from segue.media.embed.torch_file import read_torch_file

    value = read_torch_file(path)
    if isinstance(value, dict):
        if KEY not in value:
            raise DataError(f"has no entry '{KEY}'", where=path)
        value = value[KEY]
    return np.asarray(value, dtype=np.float64)
