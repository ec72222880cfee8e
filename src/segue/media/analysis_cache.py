"""Analyses of tracks, kept by the content of the file, so that no file is listened to twice.

The name of an entry is the SHA-256 of the media file, so a renamed, moved or copied file is known
and a changed one is not. Entries are .npz files of plain arrays, written whole or not at all; an
entry that is damaged, or of another version of the analysis, is as good as none.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from segue.core.files import atomic_write, cache_dir
from segue.media.track import TrackAnalysis

__all__ = ["VERSION", "entry_path", "load", "store"]

VERSION = 4
"""To be raised whenever a change of the code changes anything in an analysis."""

_LARGEST = 64 << 20
"""Bytes; the analysis of ten hours of music has 13 MB."""


def entry_path(sha256: str) -> Path:
    """Return where the analysis of the file with this content is kept."""
    return cache_dir() / "tracks" / f"v{VERSION}" / sha256[:2] / f"{sha256}.npz"


def load(sha256: str, path: Path) -> TrackAnalysis | None:
    """Return the kept analysis of the file `path` with this content, or None."""
    entry = entry_path(sha256)
    try:
        if entry.stat().st_size > _LARGEST:
            return None
        with np.load(entry, allow_pickle=False) as arrays:
            track = TrackAnalysis.from_arrays({name: arrays[name] for name in arrays}, path)
    except Exception:  # missing, damaged (zipfile has a dozen complaints), or of another form
        return None
    return track if track.sha256 == sha256 else None


def store(track: TrackAnalysis) -> None:
    """Keep an analysis under its `sha256`."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **track.to_arrays())
    atomic_write(entry_path(track.sha256), buffer.getvalue())
