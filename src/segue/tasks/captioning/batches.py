"""Batches of captions with their segments' features, as tensors.

Captions of like length stand together, so that little is computed for padding: the order of an
epoch is drawn in blocks of many batches, each block is sorted by length, and its batches are
shuffled. Every caption comes once an epoch.

Letters: `B` captions, `L` words, `S` rows of features.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from segue.tasks.captioning.data.feature_source import FeatureBatch
from segue.tasks.captioning.data.prepared import Prepared, Split
from segue.tasks.captioning.models.encoder import Streams

__all__ = ["Batch", "epoch", "make_batch", "streams_of"]

_BLOCK = 50  # batches that are sorted together


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Captions to learn from."""

    streams: Streams
    words: torch.Tensor
    """[B, L + 1]: start word, caption, end word, padding; all but the last column is read, all but
    the first is to be said."""
    segments: NDArray[np.int64]
    """[B] numbers of the segments."""

    def __len__(self) -> int:
        return len(self.segments)

    def to(self, device: str) -> Batch:
        """Return the batch on a device."""
        return Batch(
            streams=self.streams.to(device), words=self.words.to(device), segments=self.segments
        )


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
        segments=segments,
    )


def epoch(
    lengths: NDArray[np.int64], size: int, rng: np.random.Generator | None
) -> Iterator[NDArray[np.int64]]:
    """Yield the numbers of the captions of each batch of one epoch.

    Args:
        lengths: words of each caption.
        size: captions of a batch.
        rng: draws the order; None takes them by length, for evaluation.
    """
    if rng is None:
        order = np.argsort(lengths, kind="stable")
        yield from (order[i : i + size] for i in range(0, len(order), size))
        return
    order = rng.permutation(len(lengths))
    block = size * _BLOCK
    batches = []
    for start in range(0, len(order), block):
        part = order[start : start + block]
        part = part[np.argsort(lengths[part], kind="stable")]
        batches += [part[i : i + size] for i in range(0, len(part), size)]
    yield from (batches[i] for i in rng.permutation(len(batches)))
