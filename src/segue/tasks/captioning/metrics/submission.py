"""Files of predictions and references, as the ActivityNet challenge exchanges them.

Predictions: `{"results": {video: [{"sentence": ..., "timestamp": [start, end]}, ...]}}`.
References: `{video: {"duration": s, "timestamps": [[start, end], ...], "sentences": [...]}}`.
Either may be packed with gzip. Times in seconds.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segue.core.errors import DataError

__all__ = ["Described", "read_predictions", "read_references"]


@dataclass(frozen=True, slots=True)
class Described:
    """One segment and its sentence."""

    sentence: str
    start_s: float
    end_s: float


def read_predictions(path: Path) -> dict[str, list[Described]]:
    """Read the sentences that a model says, by video.

    Raises:
        DataError: the file cannot be read or an item is not of the format; it is named.
    """
    value = _json(path)
    results = value.get("results") if isinstance(value, dict) else None
    if not isinstance(results, dict):
        raise DataError(
            "holds no predictions: no object 'results'",
            where=path,
            advice='Wanted: {"results": {video: [{"sentence": "...", "timestamp": [0, 9.5]}]}}',
        )
    found: dict[str, list[Described]] = {}
    for video, items in results.items():
        if not isinstance(items, list):
            raise DataError(f"is {_kind(items)}, not a list", where=f"{path}: results.{video}")
        found[video] = []
        for i, item in enumerate(items):
            where = f"{path}: results.{video}[{i}]"
            if not isinstance(item, Mapping):
                raise DataError(f"is {_kind(item)}, not an object", where=where)
            found[video].append(_segment(item.get("sentence"), item.get("timestamp"), where))
    return found


def read_references(path: Path) -> dict[str, list[Described]]:
    """Read the sentences that people wrote, by video.

    Raises:
        DataError: the file cannot be read, is empty, or an item is not of the format; it is named.
    """
    value = _json(path)
    if not isinstance(value, dict) or not value:
        raise DataError("holds no references: not an object of videos", where=path)
    found: dict[str, list[Described]] = {}
    for video, item in value.items():
        where = f"{path}: {video}"
        if not isinstance(item, dict):
            raise DataError(f"is {_kind(item)}, not an object", where=where)
        times, sentences = item.get("timestamps"), item.get("sentences")
        if not isinstance(times, list) or not isinstance(sentences, list):
            raise DataError("lacks the lists 'timestamps' and 'sentences'", where=where)
        if len(times) != len(sentences) or not times:
            raise DataError(
                f"has {len(times)} timestamps and {len(sentences)} sentences", where=where
            )
        found[video] = [
            _segment(sentence, time, f"{where}, segment {i}")
            for i, (sentence, time) in enumerate(zip(sentences, times, strict=True))
        ]
    return found


def _segment(sentence: Any, time: Any, where: str) -> Described:
    if not isinstance(sentence, str):
        raise DataError(f"the sentence is {_kind(sentence)}, not text", where=where)
    numbers = isinstance(time, list) and len(time) == 2
    if not numbers or not all(type(t) in (int, float) and math.isfinite(t) for t in time):
        raise DataError(
            f"the timestamp is {json.dumps(time)[:60]}, not [start, end] in seconds", where=where
        )
    return Described(sentence, float(time[0]), float(time[1]))


def _json(path: Path) -> Any:
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        return json.loads(data.decode("utf-8-sig"))
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=path) from None
    except (EOFError, zlib.error) as error:
        raise DataError(f"is a damaged gzip file: {error}", where=path) from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"is not JSON: {error}", where=path) from None


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "text", bool: "a truth value"}
    return "null" if value is None else kinds.get(type(value), "a number")
