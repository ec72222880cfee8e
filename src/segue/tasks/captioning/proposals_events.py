"""Films and their events, as the proposal network learns from them.

Letters: `N` events.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError
from segue.tasks.captioning.data.feature_source import Rows
from segue.tasks.captioning.data.folder_features import FolderFeatures
from segue.tasks.captioning.data.prepared import Split

__all__ = ["Film", "anchors_of", "batches", "films_of"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """A whole film and its events."""

    name: str
    duration_s: float
    features: Rows
    events: Floats
    """[N, 2] start and end in seconds, within the film."""


def films_of(split: Split) -> list[Film]:
    """Return the films of a split that have any feature and any event, by name.

    Raises:
        DataError: the features are of segments and not of whole films.
    """
    source, segments = split.features, split.segments
    if not isinstance(source, FolderFeatures):
        raise DataError(
            "events can only be proposed where features are of whole films",
            where=split.name,
            advice="Prepare the data with folders of features",
        )
    by_name: dict[str, list[int]] = {}
    for n, name in enumerate(segments.videos):
        by_name.setdefault(name, []).append(n)
    films = []
    for name, numbers in sorted(by_name.items()):
        duration_s = float(segments.durations_s[numbers[0]])
        times = np.stack([segments.starts_s[numbers], segments.ends_s[numbers]], axis=1)
        times = np.unique(np.clip(times, 0.0, duration_s), axis=0)
        times = times[times[:, 1] > times[:, 0]]
        features = source.whole(name)
        if len(times) and (features.visual is not None or features.audio is not None):
            films.append(Film(name=name, duration_s=duration_s, features=features, events=times))
    return films


def anchors_of(lengths_s: Floats, n: int, rng: np.random.Generator) -> Floats:
    """Return the centres [n] of a k-means of events' lengths, ascending.

    From `n` lengths drawn at random; where there are fewer different ones, some occur twice.
    """
    values = np.unique(lengths_s)
    centres = np.sort(rng.choice(values, n, replace=len(values) < n))
    for _ in range(100):
        nearest = np.abs(lengths_s[:, None] - centres[None]).argmin(axis=1)
        sums = np.bincount(nearest, lengths_s, minlength=n)
        counts = np.bincount(nearest, minlength=n)
        moved = np.where(counts > 0, sums / np.maximum(counts, 1), centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    return np.sort(centres)


def batches(films: Sequence[Film], size: int, rng: np.random.Generator) -> Iterator[list[Film]]:
    """Yield the films of one epoch in batches of at most `size`, in an order that `rng` draws."""
    order = rng.permutation(len(films))
    for start in range(0, len(order), size):
        yield [films[i] for i in order[start : start + size]]
