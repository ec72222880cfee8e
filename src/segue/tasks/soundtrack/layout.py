"""Where things are in a dataset folder, and the files that this task writes there.

    video_library/ or videos/ or raw_videos/     films        (the first that exists)
    music_library/ or music/ or raw_music/       tracks
    video_captions.json, music_captions.json     what is known about them
    video_captions_old.json, music_captions_old.json
                                                 the same from a captioner, names not yet matched
    video_switch_gt.json                         detected changes of music: labels
    video_embs/<stem>/segment_<i>.npy            vectors; also music_embs, video_text_embs,
    music_embs/<stem>/full.npy                   music_text_embs, video_measures, music_measures
    prepared.json                                how the vectors were made

`raw_videos` and `raw_music` are the names of the original's first generation. Everything is
written whole or not at all, and nothing in a dry run.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError
from segue.core.files import atomic_write, read_json, write_json

__all__ = [
    "MUSIC_FOLDERS",
    "VIDEO_FOLDERS",
    "Kind",
    "Layout",
    "Writer",
    "media_folder",
    "vector_stem",
]

Kind = Literal["video", "music"]

VIDEO_FOLDERS = ("video_library", "videos", "raw_videos")
MUSIC_FOLDERS = ("music_library", "music", "raw_music")

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts",
     ".mxf", ".ogv", ".ts", ".webm", ".wmv"}
)  # fmt: skip
"""Endings of films."""


def media_folder(folder: Path, kind: Kind) -> Path | None:
    """Return the library folder of a dataset, or None when it has none of the known names."""
    names = VIDEO_FOLDERS if kind == "video" else MUSIC_FOLDERS
    return next((folder / name for name in names if (folder / name).is_dir()), None)


def vector_stem(folder: Path, group: str, name: str, segment: int | None = None) -> Path:
    """Return the path without ending of a vector file; `segment` None is the whole track."""
    part = "full" if segment is None else f"segment_{segment}"
    return folder / group / Path(name).stem / part


@dataclass(frozen=True, slots=True)
class Layout:
    """A dataset folder as it was found."""

    folder: Path

    def captions(self, kind: Kind) -> Path:
        """Return where the captions are or will be."""
        return self.folder / f"{kind}_captions.json"

    def raw_captions(self, kind: Kind) -> Path:
        """Return where a captioner's output would be."""
        return self.folder / f"{kind}_captions_old.json"

    @property
    def labels(self) -> Path:
        """Where detected changes of music would be."""
        return self.folder / "video_switch_gt.json"

    def media(self, kind: Kind) -> Path | None:
        """Return the folder of the media, or None."""
        return media_folder(self.folder, kind)

    def media_files(self, kind: Kind) -> tuple[list[str], list[tuple[str, str]]]:
        """Return the names of usable media files, sorted, and (name, reason) of unusable ones."""
        from segue.media.library import SUFFIXES

        media = self.media(kind)
        if media is None:
            return [], []
        endings = VIDEO_SUFFIXES if kind == "video" else SUFFIXES
        found: list[str] = []
        dropped: list[tuple[str, str]] = []
        for entry in sorted(os.scandir(media), key=lambda e: os.fsencode(e.name)):
            name, ending = entry.name, Path(entry.name).suffix.lower()
            if name.startswith(".") or (ending not in endings and not entry.is_dir()):
                continue
            if entry.is_dir():
                inside = [p for p in Path(entry.path).rglob("*") if p.suffix.lower() in endings]
                if inside:
                    dropped.append((name, f"a folder with {len(inside)} media files in it"))
            elif not name.isprintable() or name.encode("utf-8", "replace") != os.fsencode(name):
                dropped.append((name, "its name is not printable text"))
            elif Path(name).stem in {Path(other).stem for other in found}:
                dropped.append((name, "another file has the same name but for its ending"))
            else:
                found.append(name)
        return found, dropped

    def manifest(self) -> dict[str, Any]:
        """Return what prepared.json says, empty when there is none.

        Raises:
            DataError: it is not one.
        """
        path = self.folder / "prepared.json"
        try:
            value = read_json(path)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise DataError(
                f"cannot be read: {error}", where=path, advice="Remove it and run with --force"
            ) from None
        kinds = {"embedder": str | None, "captions": dict}
        if not isinstance(value, dict) or not all(
            isinstance(value[key], kind) for key, kind in kinds.items() if key in value
        ):
            raise DataError("is not what it was", where=path, advice="Remove it and use --force")
        return value


@dataclass(slots=True)
class Writer:
    """Writes into one dataset folder, or only says what it would write."""

    folder: Path
    dry_run: bool
    written: dict[str, int] = field(default_factory=dict)
    """Kind of file -> number of files."""

    def json(self, path: Path, value: Any, kind: str) -> None:
        """Write a JSON file."""
        self.count(kind)
        if not self.dry_run:
            try:
                write_json(path, value)
            except ValueError as error:  # NaN and half surrogate pairs, which JSON files may hold
                raise DataError(
                    f"a value of its captions cannot be written: {error}", where=path
                ) from None

    def vector(self, stem: Path, vector: NDArray[np.float32]) -> None:
        """Write `<stem>.npy`; it is read before a `.pt` file of the same name."""
        buffer = io.BytesIO()
        np.save(buffer, np.asarray(vector, np.float32), allow_pickle=False)
        atomic_write(stem.with_name(f"{stem.name}.npy"), buffer.getvalue())

    def count(self, kind: str, number: int = 1) -> None:
        """Take note of files that were, or would be, written."""
        if number:
            self.written[kind] = self.written.get(kind, 0) + number
