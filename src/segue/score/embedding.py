"""Where pictures and music meet: vectors of segments and tracks from the chosen embedder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError
from segue.media.embed import Embedder
from segue.score.library import Music
from segue.score.understand import FilmSegment

__all__ = ["embed"]

Floats = NDArray[np.float64]


def embed(
    embedder: Embedder,
    video: Path,
    segments: Sequence[FilmSegment],
    music: Music,
) -> tuple[Floats, Floats]:
    """Return ([T, D] vectors of the wanted music, [K, D] vectors of the tracks).

    Raises:
        DataError: its vectors are of different lengths, or not numbers.
    """
    scenes = [segment.scene for segment in segments]
    wanted = np.asarray(embedder.embed_scenes(video, scenes), np.float64)
    heard = np.asarray(embedder.embed_tracks(music.tracks), np.float64)
    for kind, vectors, count in (("segments", wanted, len(scenes)),
                                 ("tracks", heard, len(music.tracks))):  # fmt: skip
        if vectors.ndim != 2 or len(vectors) != count or not np.isfinite(vectors).all():
            raise DataError(f"the embedder '{embedder.name}' gave no usable vectors of {kind}")
    if wanted.shape[1] != heard.shape[1]:
        raise DataError(
            f"'{embedder.name}' gave segments {wanted.shape[1]} and tracks {heard.shape[1]} "
            "numbers each",
            advice="Both must come from the same model",
        )
    return wanted, heard
