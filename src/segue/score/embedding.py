"""Where pictures and music meet: vectors of segments and tracks from the chosen embedder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.core.names import resolve
from segue.media.embed import EMBEDDERS
from segue.score.library import Music
from segue.score.understand import Film, FilmSegment

__all__ = ["embed"]

Floats = NDArray[np.float64]


def embed(
    name: str, film: Film, segments: Sequence[FilmSegment], music: Music, video: Path
) -> tuple[Floats, Floats]:
    """Return ([T, D] vectors of the wanted music, [K, D] vectors of the tracks).

    Raises:
        UnknownName: there is no such embedder.
        MissingModel: its weights are not where they should be.
    """
    if name == "affect":
        # Everything it needs was measured when the film was watched and the library was heard.
        from segue.media.embed.affect import vector

        return (
            vector(np.stack([s.wanted for s in segments])),
            vector(np.stack([t.axes for t in music.tracks])),
        )
    raise NotImplementedError(resolve(EMBEDDERS, name, "embedder"))
