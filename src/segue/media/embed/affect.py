"""The default embedder: mood of picture and mood of music as six numbers that mean something.

Both sides are measured on the same five axes, each in units of the spread of its own reference
material (25 clips, 85 tracks; `picture_axes.py` and `music_axes.py` say how, how well, and what is
not seen: faces, story, words). A vector is

    (sqrt(w) * axis for each axis, 0.35), scaled to length 1

so that the cosine of two vectors weighs the axes by w. The constant sixth number lets a neutral
scene prefer neutral music; without it the cosine compares directions only, and a scene near zero
would match the most extreme tracks.

Measured on four scored clips, 36 segments of five seconds (`benchmarks/picture_affect.py`): the
segment's own sound ranks at the 66th percentile of all (chance 50 +/- 5). Arousal, pace and
brightness follow the picture from moment to moment; valence and tension only tell one clip from
another. The space is better at leaving out misfits than at finding
the one right track.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segue.core.errors import DataError
from segue.media.embed import Scene, unit
from segue.media.embed.music_axes import AXES, AXIS_LIMIT
from segue.media.track import TrackAnalysis

__all__ = ["DIM", "WEIGHTS", "AffectEmbedder", "vector"]

WEIGHTS = {"arousal": 0.35, "valence": 0.25, "tension": 0.15, "pace": 0.15, "brightness": 0.10}
"""Share of each axis in a comparison: what carries the moment and is measured well counts most."""
_CONSTANT = 0.35
DIM = len(AXES) + 1


def vector(axes: ArrayLike) -> NDArray[np.float32]:
    """Return the [..., 6] unit vectors of [..., 5] axes (clipped at +/-2.5).

    Raises:
        DataError: an axis is not a number.
    """
    values = np.asarray(axes, np.float64)
    assert values.shape[-1] == len(AXES), f"expected [..., {len(AXES)}], got {values.shape}"
    if not np.isfinite(values).all():
        raise DataError("an affect axis that is not a finite number")
    values = np.clip(values, -AXIS_LIMIT, AXIS_LIMIT)
    weighted = values * np.sqrt([WEIGHTS[axis] for axis in AXES])
    constant = np.full((*values.shape[:-1], 1), _CONSTANT)
    return unit(np.concatenate([weighted, constant], axis=-1))


class AffectEmbedder:
    """Compare pictures and music by their axes; needs no model and no folder."""

    name = "affect"
    dim = DIM

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder

    def embed_scenes(self, video: Path, scenes: Sequence[Scene]) -> NDArray[np.float32]:
        """Return [T, 6]."""
        return vector(np.array([scene.axes for scene in scenes]).reshape(-1, len(AXES)))

    def embed_tracks(self, tracks: Sequence[TrackAnalysis]) -> NDArray[np.float32]:
        """Return [K, 6]."""
        return vector(np.array([track.axes for track in tracks]).reshape(-1, len(AXES)))
