"""Embedders: pictures and music as vectors in one space, where close means fitting.

| name | scenes by | tracks by | needs |
|---|---|---|---|
| affect | five axes of mood of the picture | five axes of mood of the sound | nothing |
| clap | the mood in words | their sound | a CLAP model in a local folder, extra `models` |
| clip | their pictures | the mood in words | a CLIP or SigLIP model, extra `models` |
| precomputed | files | files | embedding files, as ImageBind pipelines write them |

`make("clap")` makes one. A name may also be a class of the user's own, `package.module:Thing`, that
follows the protocol `Embedder`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from segue.core.names import resolve

if TYPE_CHECKING:
    from segue.media.track import TrackAnalysis

__all__ = ["EMBEDDERS", "Embedder", "Scene", "make", "unit"]

EMBEDDERS: dict[str, str] = {
    "affect": "segue.media.embed.affect:AffectEmbedder",
    "clap": "segue.media.embed.clap:ClapEmbedder",
    "clip": "segue.media.embed.clip:ClipEmbedder",
    "precomputed": "segue.media.embed.precomputed:PrecomputedEmbedder",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scene:
    """A segment of a video, as an embedder sees it."""

    index: int
    """Place in the video, from 0."""
    start_s: float
    end_s: float
    axes: NDArray[np.float64]
    """[5] mood of the wanted music: arousal, valence, tension, pace, brightness."""
    stills: tuple[bytes, ...] = ()
    """JPEG pictures of it."""


class Embedder(Protocol):
    """What stands behind a name in EMBEDDERS: a class that takes a folder or None."""

    name: str
    """Short name, for the result and the messages."""

    def embed_scenes(self, video: Path, scenes: Sequence[Scene]) -> NDArray[np.float32]:
        """Return [T, D] vectors of unit length, one per scene."""
        ...

    def embed_tracks(self, tracks: Sequence[TrackAnalysis]) -> NDArray[np.float32]:
        """Return [K, D] vectors of unit length, one per track."""
        ...


def make(name: str, folder: Path | None = None) -> Embedder:
    """Make an embedder.

    Args:
        name: a key of EMBEDDERS, or `package.module:Thing`.
        folder: of its model or files, where `~` is the user's home; None takes its default folder.

    Raises:
        UnknownName: there is no such embedder.
        MissingModel: its weights or files are not in the folder.
        MissingExtra: the package that it needs is not installed.
        DataError: the folder holds something that will not be loaded.
    """
    place = folder.expanduser() if folder else None
    return cast(Embedder, resolve(EMBEDDERS, name, "embedder")(place))


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return [..., D] vectors scaled to length 1 (a vector of zeros stays one)."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(length > 1e-9, length, 1), np.float32)
