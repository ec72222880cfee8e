"""The segments that an evaluation is about, by the annotator who described them.

Where a data set has two annotators with segments of their own (val_1 and val_2 of ActivityNet, or
the two directions of the two-annotators benchmark), each is a part that is scored by itself.

Letters: `M` segments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import UsageError
from segue.core.names import unknown
from segue.tasks.captioning.data.prepared import Prepared, Split
from segue.tasks.captioning.metrics.submission import Described

__all__ = ["BOTH", "Part", "described", "parts_of", "submission"]

BOTH = "both"
"""Name that stands for val_1 and val_2."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """Segments that one annotator described."""

    name: str
    split: Split
    segments: NDArray[np.int64]
    """[M] their numbers in the split."""


def parts_of(data: Prepared, name: str = "") -> list[Part]:
    """Return the described segments of a split, by annotator.

    Args:
        data: prepared captions.
        name: of a split, or `both`; empty: test, else both, else the split of choices.

    Raises:
        UnknownName: there is no such split.
    """
    pair: list[str] = [n for n in ("val_1", "val_2") if n in data.splits]
    if not name:
        name = "test" if "test" in data.splits else BOTH if len(pair) == 2 else data.validation.name
    if name == BOTH and BOTH not in data.splits:
        if len(pair) < 2:
            raise UsageError(
                f"'{BOTH}' needs the splits val_1 and val_2",
                where=data.name,
                advice=f"There are: {', '.join(data.splits)}",
            )
        names = pair
    elif name not in data.splits:
        raise unknown("split", name, [*data.splits, *([BOTH] if len(pair) == 2 else [])])
    else:
        names = [name]
    parts = []
    for each in names:
        split = data.splits[each]
        spoken_of = np.unique(split.captions.segment).astype(np.int64)
        if split.groups is None:
            parts.append(Part(name=each, split=split, segments=spoken_of))
            continue
        for group in np.unique(split.groups):
            mine = spoken_of[split.groups[spoken_of] == group]
            parts.append(Part(name=f"{each}, annotator {group + 1}", split=split, segments=mine))
    return parts


def submission(parts: Sequence[Part], captions: Sequence[str]) -> dict[str, Any]:
    """Return captions of all parts as the ActivityNet challenge exchanges them."""
    results: dict[str, list[dict[str, Any]]] = {}
    place = iter(captions)
    for part in parts:
        times = part.split.segments
        for n in part.segments:
            stamp = [float(times.starts_s[n]), float(times.ends_s[n])]
            row = {"sentence": next(place), "timestamp": stamp}
            results.setdefault(times.videos[n], []).append(row)
    return {"version": "VERSION 1.0", "external_data": {"used": False}, "results": results}


def described(part: Part, captions: Sequence[str] | None = None) -> dict[str, list[Described]]:
    """Return video -> captions of a part's segments; None: the human ones."""
    times = part.split.segments
    found: dict[str, list[Described]] = {}
    if captions is None:
        kept = set(part.segments.tolist())
        told = part.split.captions
        pairs = [
            (int(n), t) for n, t in zip(told.segment, told.texts, strict=True) if int(n) in kept
        ]
    else:
        pairs = list(zip(map(int, part.segments), captions, strict=True))
    for n, text in pairs:
        one = Described(text, float(times.starts_s[n]), float(times.ends_s[n]))
        found.setdefault(times.videos[n], []).append(one)
    return found
