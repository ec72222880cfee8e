"""Embeddings computed elsewhere, as files, in the layout of the original soundtrack system.

    FOLDER/video_embs/<video stem>/segment_<i>.pt    one vector per segment, i from 0
    FOLDER/music_embs/<track stem>/full.pt           one vector per track

A `.pt` file is a bare tensor or a dict with the key `imagebind` (any other dict with one tensor is
taken, too) and is never unpickled; a `.npy` file with the same name goes before it. All vectors
must have one length; they are scaled to length 1 (ImageBind's sound vectors come 20 times longer).
The segments must be those for which the files were made, which cannot be checked.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError, MissingModel
from segue.core.files import cache_dir
from segue.media.embed import Scene, unit
from segue.media.embed.torch_file import read_tensors
from segue.media.track import TrackAnalysis

__all__ = ["PrecomputedEmbedder", "read_vector"]

_KEY = "imagebind"
_LARGEST = 1 << 24


class PrecomputedEmbedder:
    """Read the vectors of scenes and tracks from files."""

    name = "precomputed"

    def __init__(self, folder: Path | None = None) -> None:
        """Look for the files.

        Args:
            folder: holds `video_embs` and `music_embs`; default `models/precomputed` in the cache.

        Raises:
            MissingModel: one of the two is not there.
        """
        self.folder = folder or cache_dir() / "models" / self.name
        missing = [n for n in ("video_embs", "music_embs") if not (self.folder / n).is_dir()]
        if missing:
            raise MissingModel(
                f"no precomputed embeddings: {' and '.join(missing)} not found",
                where=os.fsdecode(self.folder),
                advice="Expected video_embs/<video>/segment_<i>.pt and music_embs/<track>/full.pt "
                "(or .npy); the embedder 'affect' works without files",
            )
        self._dim = 0

    def embed_scenes(self, video: Path, scenes: Sequence[Scene]) -> NDArray[np.float32]:
        """Return [T, D].

        Raises:
            DataError: a file is missing or damaged, or the lengths differ.
        """
        own = self.folder / "video_embs" / Path(video).stem
        return self._read(own / f"segment_{scene.index}" for scene in scenes)

    def embed_tracks(self, tracks: Sequence[TrackAnalysis]) -> NDArray[np.float32]:
        """Return [K, D].

        Raises:
            DataError: a file is missing or damaged, or the lengths differ.
        """
        return self._read(self.folder / "music_embs" / t.path.stem / "full" for t in tracks)

    def _read(self, stems: Iterable[Path]) -> NDArray[np.float32]:
        names = list(stems)
        files = [_existing(stem) for stem in names]
        missing = [stem for stem, file in zip(names, files, strict=True) if file is None]
        if missing:
            raise DataError(
                f"{len(missing)} of {len(names)} embedding files are missing",
                where=f"{os.fsdecode(missing[0])}.pt",
                advice="Compute them (result.json of a run with the embedder 'affect' has the "
                "times of the segments), or use the embedder 'affect'",
            )
        vectors = [read_vector(file) for file in files if file is not None]
        for file, values in zip(files, vectors, strict=True):
            self._dim = self._dim or len(values)
            if len(values) != self._dim:
                raise DataError(
                    f"a vector of {len(values)} numbers among vectors of {self._dim}",
                    where=os.fsdecode(file or ""),
                )
        return unit(np.array(vectors, np.float32).reshape(len(vectors), -1))


def read_vector(path: Path) -> NDArray[np.float32]:
    """Read the one vector of a .pt or .npy file as [D].

    Raises:
        DataError: the file cannot be read, holds no single vector, or holds NaN or infinity.
    """
    where = os.fsdecode(path)
    if path.suffix == ".npy":
        try:
            if path.stat().st_size > _LARGEST:
                raise ValueError("too large for one vector")
            found = {"": np.load(path, allow_pickle=False)}
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"not an array that can be read ({error})", where=where) from None
    else:
        found = dict(read_tensors(path))
    if _KEY not in found and len(found) > 1:
        raise DataError(f"tensors {', '.join(sorted(found))}, but no '{_KEY}'", where=where)
    values = found.get(_KEY, next(iter(found.values())))
    if (
        values.dtype.kind not in "fiu"
        or values.size == 0
        or max(values.shape, default=0) != values.size
    ):
        raise DataError(f"expected one vector, found {values.dtype} {values.shape}", where=where)
    vector: NDArray[np.float32] = values.reshape(-1).astype(np.float32)
    if not np.isfinite(vector).all():
        raise DataError("a vector with values that are not finite numbers", where=where)
    return vector


def _existing(stem: Path) -> Path | None:
    for suffix in (".npy", ".pt"):
        file = stem.with_name(stem.name + suffix)
        if file.is_file():
            return file
    return None
