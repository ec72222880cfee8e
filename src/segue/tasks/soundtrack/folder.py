"""Read a dataset folder: captions, features, and precomputed embeddings.

    video_captions.json                             videos and their segments
    music_captions.json                             tracks and their features
    video_embs/<video stem>/segment_<i>.pt | .npy   picture vector of segment i
    music_embs/<track stem>/full.pt | .npy          audio vector
    video_text_embs/<video stem>/segment_<i>.npy    caption vector, optional
    music_text_embs/<track stem>/full.npy           description vector, optional
    video_library/, music_library/                  the media, not opened here (see `layout`)

A caption vector may also stand in the JSON, key `text_emb`. A `.npy` file, which `prepare` writes,
goes before a `.pt` file, which is read without unpickling.

What is missing: profile `reference` completes it with zeros, as the original does; profile
`default` leaves the track or the video out, and of two entries with one name the second. Either is
one line of `Dataset.warnings` that names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError
from segue.tasks.soundtrack.config import Profile
from segue.tasks.soundtrack.data import Dataset, Segment, Track, Video
from segue.tasks.soundtrack.formats import (
    clock_seconds,
    number,
    read_list,
    reference_clock_seconds,
    text,
    texts,
)
from segue.tasks.soundtrack.layout import media_folder

__all__ = ["load_dataset"]

Floats = NDArray[np.float64]

N_MFCC = 13
ORIGINAL_DIMENSION = 1024
"""Size of the zeros that stand for a missing vector when no vector is there to compare with."""


def load_dataset(folder: Path | str, profile: Profile = "default") -> Dataset:
    """Read a dataset folder in the original's layout.

    Args:
        folder: holds video_captions.json and music_captions.json.
        profile: what to do about missing parts, see the module.

    Raises:
        DataError: a file is missing or not what it should be (names file and key), or no
            complete track or video is left.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError("no such folder", where=folder)
    music, film = folder / "music_captions.json", folder / "video_captions.json"
    if not (music.is_file() and film.is_file()) and (
        media_folder(folder, "video") or media_folder(folder, "music")
    ):
        raise DataError(
            "this folder has media, but was not prepared",
            where=folder,
            advice=f"First run: segue soundtrack prepare {folder}",
        )
    reader = _Reader(folder=folder, repair=profile == "reference")
    track_rows = reader.without_duplicates("track", read_list(music))
    video_rows = reader.without_duplicates("video", read_list(film))

    # 1. Every vector that exists, so that the size of the missing ones is known.
    audio = [reader.track_vector(row) for _, row in track_rows]
    pictures = [reader.segment_vectors(row, f"{film}: [{i}]") for i, row in video_rows]
    found = [v for v in [*audio, *(v for row in pictures for v in row)] if v is not None]
    dimension = len(found[0]) if found else ORIGINAL_DIMENSION

    # 2. Tracks and videos, complete ones only.
    tracks = [
        track
        for (i, row), vector in zip(track_rows, audio, strict=True)
        if (track := reader.track(row, vector, dimension, f"{music}: [{i}]")) is not None
    ]
    videos = [
        video
        for (i, row), vectors in zip(video_rows, pictures, strict=True)
        if (video := reader.video(row, vectors, dimension, f"{film}: [{i}]")) is not None
    ]
    for kind, kept, path in (("track", tracks, music), ("video", videos, film)):
        if not kept:
            first = reader.notes[0] if reader.notes else "the list is empty"
            raise DataError(f"no complete {kind} is left: {first}", where=path)
    zeros = [f"track '{t.name}'" for t in tracks if not t.embedding.any()]
    zeros += [
        f"segment {index} of video '{video.name}'"
        for video in videos
        for index, segment in enumerate(video.segments)
        if not segment.embedding.any()
    ]
    if zeros and not reader.repair:
        shown = ", ".join(zeros[:4]) + (f" and {len(zeros) - 4} more" * (len(zeros) > 4))
        reader.notes.append(f"vectors of zeros, which fit everything alike: {shown}")
    has_text = all(track.text_embedding is not None for track in tracks) and all(
        segment.text_embedding is not None for video in videos for segment in video.segments
    )
    if not has_text:
        reader.notes.append("caption vectors are missing: the caption half of alignment is off")
    return Dataset(
        tracks=tuple(tracks),
        videos=tuple(videos),
        name=str(folder),
        warnings=tuple(reader.notes),
    )


@dataclass(slots=True)
class _Reader:
    """Builds tracks and videos of one folder and takes note of what is missing."""

    folder: Path
    repair: bool
    """Complete with zeros (reference) rather than leave out."""
    notes: list[str] = field(default_factory=list)

    def without_duplicates(
        self, kind: str, rows: list[dict[str, Any]]
    ) -> list[tuple[int, dict[str, Any]]]:
        """Return (place in the file, entry), each name once (profile `reference`: all)."""
        kept: dict[str, tuple[int, dict[str, Any]]] = {}
        for index, row in enumerate(rows):
            # Vectors are found by the stem, so that names which differ only in their ending
            # would share them.
            stem = Path(row["filename"]).stem
            if stem in kept and not self.repair:
                other = kept[stem][1]["filename"]
                self.notes.append(
                    f"{kind} '{row['filename']}' left out: entry {index} has the name of "
                    f"entry {kept[stem][0]}, '{other}'"
                )
            kept.setdefault(stem if not self.repair else f"{index}", (index, row))
        return list(kept.values())

    def track_vector(self, row: Mapping[str, Any]) -> Floats | None:
        return _vector(self.folder / "music_embs" / Path(row["filename"]).stem / "full")

    def segment_vectors(self, row: Mapping[str, Any], where: str) -> list[Floats | None]:
        segments = row.get("segments")
        if not isinstance(segments, list) or not all(isinstance(s, dict) for s in segments):
            raise DataError("a list of segments is needed", where=f"{where}.segments")
        base = self.folder / "video_embs" / Path(row["filename"]).stem
        return [_vector(base / f"segment_{index}") for index in range(len(segments))]

    def track(
        self, row: Mapping[str, Any], vector: Floats | None, dimension: int, where: str
    ) -> Track | None:
        name = row["filename"]
        keys = ("duration", "bpm", "energy", "spectral_centroid")
        values = {key: number(row, key, where) for key in keys}
        mfcc = _numbers(row, "mfcc", where)
        if mfcc is not None and len(mfcc) != N_MFCC:
            raise DataError(f"{len(mfcc)} numbers, {N_MFCC} are needed", where=f"{where}.mfcc")
        missing = [key for key, value in values.items() if value is None]
        missing += ["mfcc"] * (mfcc is None) + ["embedding"] * (vector is None)
        if not self.repair and values["duration"] == 0:
            missing.append("duration (0 s)")
        if missing and not self._completes("track", name, missing):
            return None
        stem = Path(name).stem
        return Track(
            name=name,
            embedding=np.zeros(dimension) if vector is None else vector,
            duration_s=values["duration"] or 0.0,
            tempo_bpm=values["bpm"] or 0.0,
            energy=values["energy"] or 0.0,
            centroid_hz=values["spectral_centroid"] or 0.0,
            mfcc=np.zeros(N_MFCC) if mfcc is None else mfcc,
            text_embedding=self._text_vector(row, f"music_text_embs/{stem}/full", where),
            moods=texts(row, "mood_tags", where),
            description=text(row, "rich_caption", where),
            has_vocals=_flag(row, "has_vocals", where),
            instruments=texts(row, "instrumentation", where),
            path=self._path("music", name),
        )

    def video(
        self, row: Mapping[str, Any], vectors: list[Floats | None], dimension: int, where: str
    ) -> Video | None:
        name, stem = row["filename"], Path(row["filename"]).stem
        if not vectors:
            self.notes.append(f"video '{name}' left out: it has no segments")
            return None
        absent = [f"embedding of segment {i}" for i, v in enumerate(vectors) if v is None]
        if absent and not self._completes("video", name, absent):
            return None
        segments = []
        for index, (entry, vector) in enumerate(zip(row["segments"], vectors, strict=True)):
            here = f"{where}.segments[{index}]"
            segments.append(
                Segment(
                    start_s=self._time(entry, "start", here),
                    end_s=self._time(entry, "end", here),
                    embedding=np.zeros(dimension) if vector is None else vector,
                    text_embedding=self._text_vector(
                        entry, f"video_text_embs/{stem}/segment_{index}", here
                    ),
                    music_change=_flag(entry, "music_change", here),
                    moods=texts(entry, "mood_tags", here),
                    wish=text(entry, "ideal_music_description", here),
                    summary=text(entry, "visual_summary", here),
                    has_speech=_flag(entry, "has_speech", here),
                )
            )
        return Video(name=name, segments=tuple(segments), path=self._path("video", name))

    def _path(self, kind: Literal["video", "music"], name: str) -> str:
        folder = media_folder(self.folder, kind) or self.folder / f"{kind}_library"
        return str(folder / name)

    def _completes(self, kind: str, name: str, missing: list[str]) -> bool:
        shown = ", ".join(missing[:4]) + (f" and {len(missing) - 4} more" * (len(missing) > 4))
        verb = "completed with zeros" if self.repair else "left out"
        self.notes.append(f"{kind} '{name}' {verb}: {shown} missing")
        return self.repair

    def _time(self, entry: Mapping[str, Any], key: str, where: str) -> float:
        value = entry.get(key, "00:00")
        try:
            if self.repair and isinstance(value, str):
                return reference_clock_seconds(value)
            return clock_seconds(value)
        except ValueError:
            raise DataError(
                f"{value!r} is not a time", where=f"{where}.{key}", advice="Write MM:SS or HH:MM:SS"
            ) from None

    def _text_vector(self, entry: Mapping[str, Any], base: str, where: str) -> Floats | None:
        given = _numbers(entry, "text_emb", where)
        return given if given is not None else _vector(self.folder / base)


def _numbers(entry: Mapping[str, Any], key: str, where: str) -> Floats | None:
    value = entry.get(key)
    if value is None:
        return None
    plain = isinstance(value, list) and all(
        isinstance(item, (int, float)) and not isinstance(item, bool) for item in value
    )
    vector = np.array(value, dtype=np.float64) if plain else np.empty(0)
    if vector.size == 0 or not np.isfinite(vector).all():
        raise DataError("a list of finite numbers is needed", where=f"{where}.{key}")
    return vector


def _flag(entry: Mapping[str, Any], key: str, where: str) -> bool | None:
    value = entry.get(key)
    if value is not None and not isinstance(value, bool):
        raise DataError(f"{value!r} is not true or false", where=f"{where}.{key}")
    return value


def _vector(base: Path) -> Floats | None:
    """Return the vector in `<base>.npy` or `<base>.pt`, or None when there is neither."""
    from segue.media.embed.precomputed import read_vector

    for suffix in (".npy", ".pt"):
        path = base.with_name(base.name + suffix)
        if path.is_file():
            return read_vector(path).astype(np.float64)
    return None
