"""What the task knows about videos and music, whatever file it came from.

A dataset is a library of tracks and a list of videos cut into contiguous segments. Vectors come
in two spaces: the embedding, in which pictures and music are comparable, and, where captions
exist, the text embedding. `folder.py` reads a dataset from disk; anything else that has the
vectors builds `Track` and `Video` objects in memory.

Letters: `K` tracks, `T` segments of a video, `D` embedding dimensions, `E` text dimensions.
Times in seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError

__all__ = ["FALLBACK_LENGTH_S", "Dataset", "Segment", "Track", "Video"]

Floats = NDArray[np.float64]

FALLBACK_LENGTH_S = 5.0
"""Length of a segment that ends before or when it starts, from the original."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Track:
    """One piece of music."""

    name: str
    """File name; unique in a library."""
    embedding: Floats
    """[D] where the music lies among pictures."""
    duration_s: float
    tempo_bpm: float
    energy: float
    """Mean root-mean-square level, linear."""
    centroid_hz: float
    """Mean spectral centroid."""
    mfcc: Floats
    """[13] means of the mel-frequency cepstral coefficients."""
    text_embedding: Floats | None = None
    """[E] of the track's mood tags and description."""
    moods: tuple[str, ...] = ()
    description: str = ""
    has_vocals: bool | None = None
    instruments: tuple[str, ...] = ()
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segment:
    """One stretch of a video that gets one decision."""

    start_s: float
    end_s: float
    embedding: Floats
    """[D] where the picture lies among music."""
    text_embedding: Floats | None = None
    """[E] of the segment's mood tags and wished-for music."""
    music_change: bool | None = None
    """Whether the music of the finished video changes here; None when nobody looked."""
    moods: tuple[str, ...] = ()
    wish: str = ""
    """The music that a captioner would like here."""
    summary: str = ""
    has_speech: bool | None = None

    @property
    def length_s(self) -> float:
        """End minus start, or 5 s where that is not positive."""
        length = self.end_s - self.start_s
        return length if length > 0 else FALLBACK_LENGTH_S


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Video:
    """A video as a sequence of segments."""

    name: str
    segments: tuple[Segment, ...]
    path: str = ""

    @property
    def n_segments(self) -> int:
        """Number of segments, T."""
        return len(self.segments)

    @property
    def lengths_s(self) -> Floats:
        """[T] length of each segment."""
        return np.array([segment.length_s for segment in self.segments])

    @property
    def embeddings(self) -> Floats:
        """[T, D] picture vectors."""
        return np.array([segment.embedding for segment in self.segments], dtype=np.float64)

    @property
    def text_embeddings(self) -> Floats | None:
        """[T, E] caption vectors, or None when a segment has none."""
        vectors = [segment.text_embedding for segment in self.segments]
        if any(vector is None for vector in vectors):
            return None
        return np.array(vectors, dtype=np.float64)

    @property
    def switch_count(self) -> int | None:
        """Number of segments labelled as a change of music, or None when one has no label."""
        labels = [segment.music_change for segment in self.segments]
        return None if any(label is None for label in labels) else sum(map(bool, labels))


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """A library and the videos that it may accompany."""

    tracks: tuple[Track, ...]
    videos: tuple[Video, ...]
    name: str = "in memory"
    warnings: tuple[str, ...] = field(default=())
    """One line for every entry that was dropped or completed, each with its name."""

    def __post_init__(self) -> None:
        if not self.tracks:
            raise DataError("the library has no track", where=self.name)
        if not self.videos:
            raise DataError("there is no video", where=self.name)
        dimension, text_dimension = self.tracks[0].embedding.shape, self._text_shape()
        for track in self.tracks:
            where = f"{self.name}: track '{track.name}'"
            _check(track.embedding, dimension, f"{where}: embedding")
            _check(track.mfcc, self.tracks[0].mfcc.shape, f"{where}: mfcc")
            if track.text_embedding is not None:
                _check(track.text_embedding, text_dimension, f"{where}: text_embedding")
            for key in ("duration_s", "tempo_bpm", "energy", "centroid_hz"):
                value = getattr(track, key)
                if not np.isfinite(value) or value < 0:
                    raise DataError(f"{value} is not a valid value", where=f"{where}: {key}")
        for video in self.videos:
            if not video.segments:
                raise DataError("has no segment", where=f"{self.name}: video '{video.name}'")
            for index, segment in enumerate(video.segments):
                where = f"{self.name}: video '{video.name}' segment {index}"
                _check(segment.embedding, dimension, f"{where}: embedding")
                if segment.text_embedding is not None:
                    _check(segment.text_embedding, text_dimension, f"{where}: text_embedding")
                if not (np.isfinite(segment.start_s) and np.isfinite(segment.end_s)):
                    raise DataError("start or end is not finite", where=where)

    @property
    def has_text(self) -> bool:
        """Whether every track and every segment has a text embedding."""
        return self._track_texts is not None and all(
            segment.text_embedding is not None
            for video in self.videos
            for segment in video.segments
        )

    @cached_property
    def track_embeddings(self) -> Floats:
        """[K, D] audio vectors."""
        return np.array([track.embedding for track in self.tracks], dtype=np.float64)

    @property
    def track_text_embeddings(self) -> Floats | None:
        """[K, E] description vectors; None unless `has_text`."""
        return self._track_texts if self.has_text else None

    @cached_property
    def durations_s(self) -> Floats:
        """[K] track lengths."""
        return np.array([track.duration_s for track in self.tracks], dtype=np.float64)

    @cached_property
    def _track_texts(self) -> Floats | None:
        vectors = [track.text_embedding for track in self.tracks]
        if any(vector is None for vector in vectors):
            return None
        return np.array(vectors, dtype=np.float64)

    def _text_shape(self) -> tuple[int, ...]:
        vectors: list[Floats | None] = [track.text_embedding for track in self.tracks]
        vectors += [s.text_embedding for video in self.videos for s in video.segments]
        return next((vector.shape for vector in vectors if vector is not None), ())

    def subset(self, indices: Sequence[int]) -> Dataset:
        """Return a dataset with the same library and only the videos at `indices`."""
        return Dataset(
            tracks=self.tracks, videos=tuple(self.videos[i] for i in indices), name=self.name
        )


def _check(vector: Floats, shape: tuple[int, ...], where: str) -> None:
    if vector.ndim != 1 or vector.shape != shape:
        wanted = shape[0] if len(shape) == 1 else "some"
        raise DataError(f"has shape {vector.shape}, {wanted} numbers are needed", where=where)
    if not np.isfinite(vector).all():
        raise DataError("holds NaN or infinity", where=where)
