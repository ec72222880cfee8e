"""A prepared folder in memory: captions, segments, references and features, by split.

A *segment* is a stretch of a video that captions describe; a *caption* is one sentence of a
segment, cleaned, and its words as numbers. ActivityNet Captions has one caption for each segment,
MSR-VTT twenty. Files and their layout: `folder`.

Letters: `N` captions and `M` segments of a split, `L` words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.tasks.captioning.data.feature_source import FeatureSource
from segue.tasks.captioning.data.vocabulary import Vocabulary

__all__ = ["Captions", "Prepared", "Segments", "Split"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segments:
    """Stretches of videos, [M]."""

    videos: tuple[str, ...]
    """[M] name of the video of each, as the captions give it."""
    starts_s: NDArray[np.float64]
    """[M]."""
    ends_s: NDArray[np.float64]
    """[M] may lie a little beyond the end of the video, as some annotators put it."""
    durations_s: NDArray[np.float64]
    """[M] length of the whole video."""

    def __len__(self) -> int:
        return len(self.videos)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Captions:
    """Sentences and their words, [N]."""

    texts: tuple[str, ...]
    """[N] cleaned sentences."""
    segment: NDArray[np.int64]
    """[N] number of the segment that each describes."""
    words: NDArray[np.int32]
    """[sum of L] numbers of the words of all captions, one caption after another."""
    offsets: NDArray[np.int64]
    """[N + 1] caption n has the words offsets[n] to offsets[n + 1]."""

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """[N] words of each caption, without START and END."""
        return np.diff(self.offsets)

    def of(self, caption: int) -> NDArray[np.int32]:
        """Return the words [L] of a caption, without START and END."""
        return self.words[self.offsets[caption] : self.offsets[caption + 1]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split:
    """One part of the data: train, val_1, ..."""

    name: str
    segments: Segments
    captions: Captions
    features: FeatureSource
    """By the numbers of `segments`."""
    hints: tuple[str, ...] | None = None
    """[M] for proxy features: the sentence that a segment's best row was made of, to be copied word
    for word as a reference point; empty where there is none."""
    groups: NDArray[np.int64] | None = None
    """[M] for the two-annotators benchmark: 0 where the first annotator is described, 1 where the
    second is."""

    def __len__(self) -> int:
        return len(self.segments)

    def references(self) -> list[list[str]]:
        """Return the sentences of every segment, [M]."""
        found: list[list[str]] = [[] for _ in range(len(self.segments))]
        for segment, text in zip(self.captions.segment, self.captions.texts, strict=True):
            found[segment].append(text)
        return found

    def batch_words(self, captions: Sequence[int] | NDArray[np.int64]) -> list[NDArray[np.int32]]:
        """Return the words of captions, for `Vocabulary.wrapped`."""
        return [self.captions.of(int(n)) for n in captions]

    def annotations(self) -> dict[str, dict[str, Any]]:
        """Return the split as ActivityNet Captions writes it, for the official protocol.

        Video -> `duration`, `timestamps` ([start, end] in seconds) and `sentences`.
        """
        found: dict[str, dict[str, Any]] = {}
        segments = self.segments
        for number, text in zip(self.captions.segment, self.captions.texts, strict=True):
            video = found.setdefault(
                segments.videos[number],
                {
                    "duration": float(segments.durations_s[number]),
                    "timestamps": [],
                    "sentences": [],
                },
            )
            video["timestamps"].append(
                [float(segments.starts_s[number]), float(segments.ends_s[number])]
            )
            video["sentences"].append(text)
        return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """A prepared folder in memory."""

    name: str
    """Name of the data set."""
    fingerprint: str
    """`sha256:...` of captions, segments, vocabulary and the list of features."""
    vocabulary: Vocabulary
    splits: dict[str, Split]
    """Name -> split, `train` first; the others are named as in the source (val_1, val_2, ...)."""
    word_vectors: NDArray[np.float32] | None = None
    """[V, D] published vectors of the words, zeros where there is none; None without any."""
    facts: dict[str, Any]
    """prepared.json: where it comes from, and counts of everything that was left out. `proxy` says
    in words that the features are made from sentences, where they are."""

    @property
    def train(self) -> Split:
        """What is learned from."""
        return self.splits["train"]

    @property
    def validation(self) -> Split:
        """What choices are made on: `validation`, `val` or `val_1`, the first that is there.

        Without any of them it is the first split that is not `train`, else `train` itself.
        """
        for name in ("validation", "val", "val_1", *(n for n in self.splits if n != "train")):
            if name in self.splits:
                return self.splits[name]
        return self.train
