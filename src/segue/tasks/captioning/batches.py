"""Batches of captions with their segments' features, as tensors.

Captions of like size stand together, so that little is computed for padding: the order of an
epoch is drawn in blocks of many batches, each block is sorted by size, and its batches are
shuffled. Every caption comes once an epoch.

Letters: `B` captions, `L` words, `S` rows of features.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from segue.tasks.captioning.data.feature_source import FeatureBatch, PackedFeatures
from segue.tasks.captioning.data.prepared import Prepared, Split
from segue.tasks.captioning.models.encoder import Streams

__all__ = ["Batch", "epoch", "make_batch", "sizes", "streams_of"]

_BLOCK = 50  # batches that are sorted together
_ROWS_PER_S = 1 / 2.56 + 1 / 0.96


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Captions to learn from."""

    streams: Streams
    words: torch.Tensor
    """[B, L + 1]: start word, caption, end word, padding; all but the last column is read, all but
    the first is to be said."""
    captions: NDArray[np.int64]
    """[B] their numbers in the split."""
    segments: NDArray[np.int64]
    """[B] numbers of the segments."""

    def __len__(self) -> int:
        return len(self.segments)

    def to(self, device: str) -> Batch:
        """Return the batch on a device."""
        return replace(self, streams=self.streams.to(device), words=self.words.to(device))


def streams_of(features: FeatureBatch) -> Streams:
    """Return features as tensors; an absent modality has length 0."""
    return Streams(
        visual=torch.from_numpy(features.visual),
        visual_lengths=torch.from_numpy(features.visual_lengths * features.has_visual),
        audio=torch.from_numpy(features.audio),
        audio_lengths=torch.from_numpy(features.audio_lengths * features.has_audio),
    )


def make_batch(data: Prepared, split: Split, captions: NDArray[np.int64], longest: int) -> Batch:
    """Return the captions with these numbers, cut to `longest` words."""
    words = [split.captions.of(int(n))[:longest] for n in captions]
    segments = split.captions.segment[captions]
    return Batch(
        streams=streams_of(split.features.batch(segments)),
        words=torch.from_numpy(data.vocabulary.wrapped(words)),
        captions=captions,
        segments=segments,
    )


def sizes(split: Split, longest: int) -> NDArray[np.int64]:
    """Return about how many rows and words [N] each caption is, for `epoch`.

    Rows that are in memory are counted; those of files are taken to be as dense in time as I3D's
    and VGGish's.
    """
    captions, segments, features = split.captions, split.segments, split.features
    if isinstance(features, PackedFeatures):
        rows = np.diff(features.visual_offsets) + np.diff(features.audio_offsets)
    else:
        seconds = np.minimum(segments.ends_s, segments.durations_s) - segments.starts_s
        rows = (np.maximum(seconds, 0.0) * _ROWS_PER_S).astype(np.int64)
    found: NDArray[np.int64] = np.minimum(captions.lengths, longest) + rows[captions.segment]
    return found


def epoch(
    sizes: NDArray[np.int64], batch: int, rng: np.random.Generator | None
) -> Iterator[NDArray[np.int64]]:
    """Yield the numbers of the captions of each batch of one epoch.

    Args:
        sizes: of each caption.
        batch: captions of a batch.
        rng: draws the order; None takes them by size, for evaluation.
    """
    if rng is None:
        order = np.argsort(sizes, kind="stable")
        yield from (order[i : i + batch] for i in range(0, len(order), batch))
        return
    order = rng.permutation(len(sizes))
    block = batch * _BLOCK
    batches = []
    for start in range(0, len(order), block):
        part = order[start : start + block]
        part = part[np.argsort(sizes[part], kind="stable")]
        batches += [part[i : i + batch] for i in range(0, len(part), batch)]
    yield from (batches[i] for i in rng.permutation(len(batches)))
