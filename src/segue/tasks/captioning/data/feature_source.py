"""Features of segments, in batches, wherever they come from.

`FeatureSource` is what a model reads. `PackedFeatures` holds the rows of every segment in memory;
`folder_features.FolderFeatures` cuts them out of files of whole videos.

A batch says by lengths which rows are real, never by a magic value: a real row may hold any number,
0 and 1 among them (the original marks padding by the value 1, and so loses real rows that begin
with it). A segment without rows of a modality has one row of zeros, length 1, and `has_...` False:
the row is the place of the model's own "absent" vector, so no attention is ever over nothing.

Letters: `B` segments of a batch, `S` rows, `D` numbers of a row, `N` segments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["FeatureBatch", "FeatureSource", "PackedFeatures", "Rows", "collate"]

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The rows of one segment; None where a modality is missing."""

    visual: Floats | None
    """[S_v, D_v]."""
    audio: Floats | None
    """[S_a, D_a]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FeatureBatch:
    """Features of B segments; rows beyond a length are zeros."""

    visual: Floats
    """[B, S_v, D_v]; S_v is the largest of the lengths, at least 1."""
    visual_lengths: NDArray[np.int64]
    """[B] real rows, at least 1."""
    audio: Floats
    """[B, S_a, D_a]."""
    audio_lengths: NDArray[np.int64]
    """[B]."""
    has_visual: NDArray[np.bool_]
    """[B] False: the one row is zeros and stands for "absent"."""
    has_audio: NDArray[np.bool_]
    """[B]."""

    def __len__(self) -> int:
        return len(self.visual)


class FeatureSource(Protocol):
    """Where a model gets the features of the segments of one split."""

    @property
    def visual_width(self) -> int:
        """D_v; 1 where no segment has visual features (their rows are then all absent)."""
        ...

    @property
    def audio_width(self) -> int:
        """D_a; 1 where no segment has audio features."""
        ...

    def __len__(self) -> int:
        """Number of segments, N."""
        ...

    def rows(self, segment: int) -> Rows:
        """Return the rows of one segment, by its number in the split."""
        ...

    def batch(self, segments: ArrayLike) -> FeatureBatch:
        """Return the features of segments [B], given by their numbers in the split."""
        ...


def collate(rows: Sequence[Rows], visual_width: int, audio_width: int) -> FeatureBatch:
    """Put the rows of B segments into one batch."""
    visual, visual_lengths, has_visual = _padded([row.visual for row in rows], visual_width)
    audio, audio_lengths, has_audio = _padded([row.audio for row in rows], audio_width)
    return FeatureBatch(
        visual=visual,
        visual_lengths=visual_lengths,
        audio=audio,
        audio_lengths=audio_lengths,
        has_visual=has_visual,
        has_audio=has_audio,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PackedFeatures:
    """Features in memory: the rows of all segments, one segment after another.

    Segment n has the rows offsets[n] to offsets[n + 1]; none means that the modality is missing.
    """

    visual: NDArray[np.floating]
    """[sum of S_v, D_v], of any floating type; batches are float32."""
    visual_offsets: NDArray[np.int64]
    """[N + 1]."""
    audio: NDArray[np.floating]
    """[sum of S_a, D_a]."""
    audio_offsets: NDArray[np.int64]
    """[N + 1]."""

    @property
    def visual_width(self) -> int:
        """D_v."""
        return int(self.visual.shape[1])

    @property
    def audio_width(self) -> int:
        """D_a."""
        return int(self.audio.shape[1])

    def __len__(self) -> int:
        return len(self.visual_offsets) - 1

    def rows(self, segment: int) -> Rows:
        """Return the rows of one segment."""
        return Rows(
            _cut(self.visual, self.visual_offsets, segment),
            _cut(self.audio, self.audio_offsets, segment),
        )

    def batch(self, segments: ArrayLike) -> FeatureBatch:
        """Return the features of segments [B]."""
        rows = [self.rows(int(n)) for n in np.asarray(segments, dtype=np.int64)]
        return collate(rows, self.visual_width, self.audio_width)

    def part(self, first: int, last: int) -> PackedFeatures:
        """Return the segments first..last - 1, without copying."""
        return PackedFeatures(
            visual=self.visual,
            visual_offsets=self.visual_offsets[first : last + 1],
            audio=self.audio,
            audio_offsets=self.audio_offsets[first : last + 1],
        )


def _cut(values: NDArray[np.floating], offsets: NDArray[np.int64], n: int) -> Floats | None:
    first, last = int(offsets[n]), int(offsets[n + 1])
    return values[first:last].astype(np.float32) if last > first else None


def _padded(
    rows: Sequence[Floats | None], width: int
) -> tuple[Floats, NDArray[np.int64], NDArray[np.bool_]]:
    """Return [B, S, D], lengths [B] and which are there [B]."""
    lengths = np.array([1 if row is None else len(row) for row in rows], dtype=np.int64)
    there = np.array([row is not None for row in rows], dtype=np.bool_)
    batch = np.zeros((len(rows), int(lengths.max(initial=1)), width), dtype=np.float32)
    for place, row in zip(batch, rows, strict=True):
        if row is not None:
            place[: len(row)] = row
    return batch, lengths, there
