"""Captions without any tuning, to compare tuned ones with.

| name | what it says |
|---|---|
| `random` | the caption of a training segment, drawn |
| `nearest` | the caption of the training segment whose features are most alike |
| `hint` | the sentence that proxy features were made of, word for word |
| `consensus` | of several samples, the one that agrees most with the others (CIDEr-D) |

Letters: `M` segments, `K` samples of each, `L` words, `D` numbers of a mean row.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from segue.core.seeding import generator
from segue.tasks.captioning.batches import streams_of
from segue.tasks.captioning.data.prepared import Prepared, Split
from segue.tasks.captioning.data.vocabulary import END
from segue.tasks.captioning.judging import Said
from segue.tasks.captioning.metrics.cider_batch import CiderBatch
from segue.tasks.captioning.metrics.words import References, padded
from segue.tasks.captioning.models.decoding import repeat_memory, sample
from segue.tasks.captioning.models.network import Captioner

__all__ = ["consensus", "drawn", "hints", "nearest", "random_captions"]

Indices = NDArray[np.int64]


def random_captions(data: Prepared, n: int, seed: int = 0) -> list[str]:
    """Draw n training captions."""
    rng = generator(seed, "captioning", "random captions")
    texts = data.train.captions.texts
    return [texts[i] for i in rng.integers(0, len(texts), n)]


def hints(split: Split, segments: Indices) -> list[str]:
    """Return the sentence that each segment's features were made of; empty where there is none."""
    return [(split.hints or ())[n] for n in segments] if split.hints else []


def nearest(data: Prepared, split: Split, segments: Indices) -> list[str]:
    """Return the first caption of the training segment that is most like each segment.

    Likeness is the cosine of mean feature rows, both modalities side by side, each number in
    standard deviations of the training segments.
    """
    first: dict[int, int] = {}
    for caption, segment in enumerate(data.train.captions.segment):
        first.setdefault(int(segment), caption)
    known = np.array(sorted(first), dtype=np.int64)
    told, asked = _mean_rows(data.train, known), _mean_rows(split, segments)
    centre, spread = told.mean(axis=0), told.std(axis=0)
    spread[spread < 1e-6] = 1.0
    told, asked = (_unit((rows - centre) / spread) for rows in (told, asked))
    best = [
        int(n)
        for start in range(0, len(asked), 256)
        for n in (asked[start : start + 256] @ told.T).argmax(axis=1)
    ]
    return [data.train.captions.texts[first[int(known[n])]] for n in best]


def drawn(
    network: Captioner,
    split: Split,
    segments: Indices,
    *,
    samples: int,
    temperature: float,
    limit: int = 30,
    seed: int = 0,
    batch: int = 64,
) -> Said:
    """Draw captions of segments, [M K]: those of a segment stand side by side.

    Args:
        network: put into evaluation mode.
        split: of prepared data.
        segments: their numbers.
        samples: captions of each.
        temperature: of sampling.
        limit: words of a caption.
        seed: of the draws.
        batch: segments at a time.
    """
    network.eval()
    device = network.embedding.weight.device
    rng = generator(seed, "captioning", "drawn")
    source = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
    words = np.full((len(segments) * samples, limit), network.padding, dtype=np.int32)
    lengths = np.zeros(len(words), dtype=np.int64)
    for start in range(0, len(segments), batch):
        part = segments[start : start + batch]
        with torch.no_grad():
            streams = streams_of(split.features.batch(part)).to(device.type)
            memory = repeat_memory(network.encode(streams), samples)
        found = sample(network, memory, limit, generator=source, temperature=temperature)
        rows = slice(start * samples, start * samples + len(part) * samples)
        words[rows] = found.words.cpu().numpy()
        lengths[rows] = found.lengths.cpu().numpy()
    return Said(words=words, lengths=lengths, segments=np.repeat(segments, samples))


def consensus(data: Prepared, said: Said, samples: int) -> Said:
    """Return of each segment's samples the one with the highest mean CIDEr-D to the others.

    Document frequencies are those of the training captions, so no reference of the segment is used.

    Args:
        data: whose training captions count.
        said: of `drawn`, [M K].
        samples: K, at least 2.
    """
    end = np.array([END], dtype=np.int32)
    captions = [
        np.concatenate([row[:size], end])
        for row, size in zip(said.words, said.lengths, strict=True)
    ]
    told = data.train.captions
    corpus = References.of([[np.concatenate([told.of(n), end])] for n in range(len(told))])
    groups = [captions[i : i + samples] for i in range(0, len(captions), samples)]
    matrix, lengths = padded(captions)
    items = np.repeat(np.arange(len(groups)), samples)
    with_all = CiderBatch(References.of(groups), corpus).scores(matrix, lengths, items)
    alone = CiderBatch(References.of([[c] for c in captions]), corpus)
    with_self = alone.scores(matrix, lengths, np.arange(len(captions)))
    others = (samples * with_all - with_self).reshape(-1, samples)
    rows = np.arange(len(groups)) * samples + others.argmax(axis=1)
    return Said(words=said.words[rows], lengths=said.lengths[rows], segments=said.segments[rows])


def _mean_rows(split: Split, segments: Indices) -> NDArray[np.float32]:
    """Return the mean row of each segment, [M, D]."""
    parts = []
    for start in range(0, len(segments), 256):
        batch = split.features.batch(segments[start : start + 256])
        halves = [
            rows.sum(axis=1) / np.maximum(lengths, 1)[:, None]
            for rows, lengths in (
                (batch.visual, batch.visual_lengths),
                (batch.audio, batch.audio_lengths),
            )
        ]
        parts.append(np.concatenate(halves, axis=1))
    return np.concatenate(parts).astype(np.float32)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9))
