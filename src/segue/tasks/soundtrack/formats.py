"""The text formats of a dataset folder: clock text, and JSON that says where it is wrong.

    video_captions.json   [{filename, segments: [{start, end, mood_tags, ...}]}]
    music_captions.json   [{filename, rich_caption, mfcc, bpm, energy, ...}]

Clock text is `MM:SS` or `HH:MM:SS`. Times in seconds.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segue.core.errors import DataError

__all__ = ["clock_seconds", "number", "read_list", "reference_clock_seconds", "text", "texts"]


def reference_clock_seconds(value: str) -> float:
    """Return the seconds of a clock text as the original reads it.

    Two or three whole numbers between colons; any other number of parts is 0; seconds above 59
    are taken as they are.

    Raises:
        ValueError: a part is not a whole number.
    """
    parts = value.split(":")
    if len(parts) not in (2, 3):
        return 0.0
    seconds = 0
    for part in parts:
        seconds = 60 * seconds + int(part)
    return float(seconds)


def clock_seconds(value: object) -> float:
    """Return the seconds of `SS`, `MM:SS` or `HH:MM:SS`, decimals allowed, or of a number.

    Raises:
        ValueError: it is neither, or it is not finite or negative.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"{value!r} is not a time")
    parts = value.split(":") if isinstance(value, str) else [value]
    if len(parts) > 3:
        raise ValueError(f"{value!r} has more than hours, minutes and seconds")
    seconds = 0.0
    for part in parts:
        seconds = 60.0 * seconds + float(part)
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"{value!r} is not a time")
    return seconds


def read_list(path: Path) -> list[dict[str, Any]]:
    """Read a JSON file that holds a list of objects, each with a `filename`.

    Raises:
        DataError: the file is missing, is not JSON, or holds something else; names the key.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(
            "no such file", where=path, advice="Make a dataset folder with segue soundtrack prepare"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read: {error}", where=path) from None
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"is not JSON: {error}", where=path) from None
    if not isinstance(value, list):
        raise DataError(f"holds {_kind(value)} where a list of entries is needed", where=path)
    for index, entry in enumerate(value):
        if not isinstance(entry, dict):
            raise DataError(
                f"holds {_kind(entry)} instead of an object", where=f"{path}: [{index}]"
            )
        name = entry.get("filename")
        where = f"{path}: [{index}].filename"
        if not isinstance(name, str) or not name:
            raise DataError(f"a file name is needed, found {name!r}", where=where)
        if Path(name).name != name or name in (".", ".."):
            raise DataError(f"'{name}' is a path, a bare file name is needed", where=where)
    return value


def number(entry: Mapping[str, Any], key: str, where: str) -> float | None:
    """Return a finite number of `entry`, or None when the key is absent or null.

    A list of one number counts as that number: some beat trackers return their tempo so.

    Raises:
        DataError: the value is something else.
    """
    value = entry.get(key)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise DataError(f"{value!r} is not a finite number", where=f"{where}.{key}")
    return float(value)


def text(entry: Mapping[str, Any], key: str, where: str) -> str:
    """Return a text of `entry`, empty when absent or null.

    Raises:
        DataError: the value is something else.
    """
    value = entry.get(key)
    if value is not None and not isinstance(value, str):
        raise DataError(f"{_kind(value)} where a text is needed", where=f"{where}.{key}")
    return value or ""


def texts(entry: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    """Return a list of texts of `entry`, empty when absent or null; a single text is one item.

    Raises:
        DataError: the value is something else.
    """
    value = entry.get(key) or []
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise DataError("a list of texts is needed", where=f"{where}.{key}")
    return tuple(value)


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}
    return "null" if value is None else names.get(type(value), "a number")
