"""What the towers of a learned projection see: vectors of the embedder, and measurements.

`prepare` writes beside every vector what was measured of the same picture or sound
(`video_measures/`, `music_measures/`). Where these files exist for everything in a dataset they are
joined to the vectors; in data that came with vectors of its own there are none, and the vectors
stand alone.

Letters: `T` segments, `K` tracks, `P` and `S` numbers that a tower of pictures and of sounds sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.media.embed import unit
from segue.media.embed.precomputed import read_vector
from segue.tasks.soundtrack.data import Dataset
from segue.tasks.soundtrack.layout import vector_stem

__all__ = ["Inputs", "joined", "read_inputs"]

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inputs:
    """Inputs of a dataset."""

    pictures: tuple[Floats, ...]
    """[T, P] for each video."""
    sounds: Floats
    """[K, S] of the tracks."""
    picture_measures: bool
    """Whether measurements are part of the pictures' inputs."""
    sound_measures: bool


def read_inputs(dataset: Dataset, folder: Path) -> Inputs:
    """Return the inputs of everything in a dataset.

    Args:
        dataset: read from `folder`.
        folder: may hold measurements.

    Raises:
        DataError: a file of measurements is damaged.
    """
    tracks = [_measures(folder, "music_measures", t.name, None) for t in dataset.tracks]
    segments = [
        [_measures(folder, "video_measures", v.name, i) for i in range(v.n_segments)]
        for v in dataset.videos
    ]
    flat = [each for rows in segments for each in rows]
    has_pictures, has_sounds = _complete(flat), _complete(tracks)
    return Inputs(
        pictures=tuple(
            joined(video.embeddings, [m for m in rows if m is not None] if has_pictures else None)
            for video, rows in zip(dataset.videos, segments, strict=True)
        ),
        sounds=joined(
            dataset.track_embeddings,
            [m for m in tracks if m is not None] if has_sounds else None,
        ),
        picture_measures=has_pictures,
        sound_measures=has_sounds,
    )


def joined(vectors: NDArray[np.floating], measures: Sequence[Floats] | None) -> Floats:
    """Return [N, D + G]: vectors at length 1, followed by measurements unless they are None."""
    plain = unit(vectors)
    if measures is None:
        return plain
    return np.concatenate([plain, np.array(measures, np.float32)], axis=1)


def _measures(folder: Path, group: str, name: str, segment: int | None) -> Floats | None:
    stem = vector_stem(folder, group, name, segment)
    path = stem.with_name(f"{stem.name}.npy")
    return read_vector(path) if path.is_file() else None


def _complete(rows: Sequence[Floats | None]) -> bool:
    return (
        all(row is not None for row in rows) and len({len(r) for r in rows if r is not None}) == 1
    )
