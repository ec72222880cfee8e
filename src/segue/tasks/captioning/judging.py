"""What a captioner says of a split, and what that is worth by the in-process metrics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.tasks.captioning.batches import streams_of
from segue.tasks.captioning.data.prepared import Prepared, Split
from segue.tasks.captioning.metrics.judge import CaptionBatch, Judge
from segue.tasks.captioning.models.decoding import Captions, beam_search, greedy, speaking
from segue.tasks.captioning.models.network import Captioner
from segue.tasks.captioning.rewards import cider, length, meteor, repetition

__all__ = ["Said", "judge_of", "quick_metrics", "say"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Captions of segments, in numbers."""

    words: NDArray[np.int32]
    """[M, L] without the start word, padded after the end word."""
    lengths: NDArray[np.int64]
    """[M] words before the end word."""
    segments: NDArray[np.int64]
    """[M] which segment each describes."""

    def sentences(self, vocabulary: tuple[str, ...]) -> list[list[str]]:
        """Return the words of each caption."""
        return [
            [vocabulary[n] for n in row[:size]]
            for row, size in zip(self.words, self.lengths, strict=True)
        ]


def say(
    network: Captioner,
    split: Split,
    segments: NDArray[np.int64] | None = None,
    *,
    limit: int = 30,
    beams: int = 1,
    batch: int = 128,
) -> Said:
    """Return the greedy captions of segments, or the best of several beams.

    Args:
        network: put into evaluation mode.
        split: of prepared data.
        segments: their numbers; default all.
        limit: words of a caption.
        beams: 1 is greedy.
        batch: segments at a time.
    """
    network.eval()
    device = network.embedding.weight.device.type
    which = np.arange(len(split)) if segments is None else np.asarray(segments, dtype=np.int64)
    words = np.full((len(which), limit), network.padding, dtype=np.int32)
    lengths = np.zeros(len(which), dtype=np.int64)
    with speaking(network):
        for start in range(0, len(which), batch):
            part = slice(start, start + batch)
            memory = network.encode(streams_of(split.features.batch(which[part])).to(device))
            found: Captions = (
                greedy(network, memory, limit)
                if beams == 1
                else beam_search(network, memory, limit, width=beams)
            )
            words[part] = found.words.cpu().numpy()
            lengths[part] = found.lengths.cpu().numpy()
    return Said(words=words, lengths=lengths, segments=which)


def judge_of(data: Prepared, split: Split) -> Judge:
    """Return a judge of captions of `split`; frequencies of n-grams are those of the training."""
    return Judge(
        data.vocabulary.words, _references(data, split), corpus=_references(data, data.train)
    )


def quick_metrics(judge: Judge, said: Said) -> dict[str, Floats]:
    """Return in-process metrics of each caption, [M] each: rewards' CIDEr-D, METEOR and more."""
    batch = CaptionBatch.of(judge, said.words, said.segments)
    return {
        "cider_d": cider(batch),
        "meteor_stem": meteor(batch),
        "length_gap": length(batch),
        "repeats": (repetition(batch) < 0).astype(np.float64),
        "words": batch.plain[1].astype(np.float64),
    }


def _references(data: Prepared, split: Split) -> list[list[list[str]]]:
    found: list[list[list[str]]] = [[] for _ in range(len(split))]
    words = data.vocabulary.words
    for n, segment in enumerate(split.captions.segment):
        found[int(segment)].append([words[w] for w in split.captions.of(n)])
    return found
