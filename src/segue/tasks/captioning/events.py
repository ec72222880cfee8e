"""Events of a film from a file, for `segue captioning caption --segments`.

Letters: `M` events.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError
from segue.core.files import read_json

__all__ = ["Events", "read_events"]

Events = NDArray[np.float64]
"""[M, 2] start and end in seconds."""


def read_events(path: Path, name: str = "") -> tuple[Events, float | None]:
    """Read events of a film [M, 2], and its length where the file tells it.

    The file is JSON: a list of `[start, end]` or of objects with `start` and `end`, or
    `{"duration", "timestamps"}`, or an object of these by the name of the film.

    Raises:
        DataError: it cannot be read, or an item is no stretch of time; it is named.
    """
    try:
        found = read_json(path)
    except FileNotFoundError:
        raise DataError("there is no such file of events", where=path) from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"is not a file of events: {error}", where=path) from None
    if isinstance(found, dict) and isinstance(found.get(name), (dict, list)):
        found = found[name]
    length = found.get("duration") if isinstance(found, dict) else None
    items = found.get("timestamps") if isinstance(found, dict) else found
    if not isinstance(items, list) or not items:
        raise DataError(
            "holds no events", where=path, advice='Wanted: [[0, 9.5], ...] or [{"start", "end"}]'
        )
    events: list[list[float]] = []
    for n, item in enumerate(items):
        pair = [item.get("start"), item.get("end")] if isinstance(item, dict) else item
        times = [_time(value) for value in pair] if isinstance(pair, list) else []
        known = [value for value in times if value is not None]
        if len(times) != 2 or len(known) != 2 or known[1] <= known[0]:
            raise DataError(
                f"is no stretch of time: {json.dumps(item)[:60]}", where=f"{path}, item {n}"
            )
        events.append(known)
    return np.array(events, dtype=np.float64), _time(length)


def _time(value: object) -> float | None:
    """Return seconds, or None for what is no time."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if np.isfinite(value) and value >= 0 else None
