"""All splits as a few flat arrays and lists of texts, and back.

The arrays of all splits are put one after another, `train` first; `split_segments` and
`split_captions` say where each begins and ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.tasks.captioning.data.feature_source import FeatureSource, PackedFeatures
from segue.tasks.captioning.data.folder_features import FeatureIndex, FolderFeatures
from segue.tasks.captioning.data.prepared import Captions, Segments, Split
from segue.tasks.captioning.data.vocabulary import Vocabulary

__all__ = ["Arrays", "flat", "unflat"]

Arrays = dict[str, NDArray[Any]]


def flat(vocabulary: Vocabulary, splits: Sequence[Split]) -> tuple[Arrays, dict[str, Any]]:
    """Return all splits, and the vocabulary, as arrays and texts."""
    videos: dict[str, int] = {}
    numbers = [videos.setdefault(name, len(videos)) for s in splits for name in s.segments.videos]
    segments = np.cumsum([0, *(len(split.segments) for split in splits)], dtype=np.int64)
    captions = np.cumsum([0, *(len(split.captions) for split in splits)], dtype=np.int64)
    arrays: Arrays = {
        "counts": vocabulary.counts,
        "split_segments": segments,
        "split_captions": captions,
        "video": np.array(numbers, dtype=np.int64),
        "times": np.concatenate(
            [
                np.stack([s.segments.starts_s, s.segments.ends_s, s.segments.durations_s], axis=1)
                for s in splits
            ]
        ).astype(np.float64),
        "segment": np.concatenate([s.captions.segment for s in splits]).astype(np.int64),
        "words": np.concatenate([s.captions.words for s in splits]).astype(np.int32),
        "lengths": np.concatenate([s.captions.lengths for s in splits]).astype(np.int64),
    }
    if all(split.groups is not None for split in splits):
        arrays["groups"] = np.concatenate([s.groups for s in splits if s.groups is not None])
    texts: dict[str, Any] = {
        "splits": [split.name for split in splits],
        "videos": list(videos),
        "words": list(vocabulary.words),
        "texts": [text for split in splits for text in split.captions.texts],
        "hints": None
        if any(split.hints is None for split in splits)
        else [hint for split in splits for hint in split.hints or ()],
    }
    return arrays, texts


def unflat(
    arrays: Arrays, texts: dict[str, Any], source: FeatureIndex | PackedFeatures
) -> list[Split]:
    """Undo `flat`; a ValueError, KeyError or IndexError says that it cannot be."""
    videos, names = texts["videos"], texts["splits"]
    edges, sentence_edges = arrays["split_segments"], arrays["split_captions"]
    offsets = np.concatenate([[0], np.cumsum(arrays["lengths"])])
    if (
        len(edges) != len(names) + 1
        or len(arrays["video"]) != edges[-1]
        or arrays["times"].shape != (edges[-1], 3)
        or not len(arrays["segment"]) == len(texts["texts"]) == sentence_edges[-1]
        or len(arrays["words"]) != offsets[-1]
        or names[0] != "train"
        or arrays["words"].min(initial=0) < 0
        or arrays["words"].max(initial=0) >= len(texts["words"])
    ):
        raise ValueError("arrays and texts do not belong together")
    found = []
    for number, name in enumerate(names):
        a, b = int(edges[number]), int(edges[number + 1])
        c, d = int(sentence_edges[number]), int(sentence_edges[number + 1])
        times = arrays["times"][a:b]
        segments = Segments(
            videos=tuple(videos[n] for n in arrays["video"][a:b]),
            starts_s=times[:, 0],
            ends_s=times[:, 1],
            durations_s=times[:, 2],
        )
        features: FeatureSource
        if isinstance(source, PackedFeatures):
            features = source.part(a, b)
        else:
            features = FolderFeatures(source, segments.videos, *times.T)
        found.append(
            Split(
                name=name,
                segments=segments,
                captions=Captions(
                    texts=tuple(texts["texts"][c:d]),
                    segment=arrays["segment"][c:d],
                    words=arrays["words"][offsets[c] : offsets[d]],
                    offsets=offsets[c : d + 1] - offsets[c],
                ),
                features=features,
                hints=None if texts["hints"] is None else tuple(texts["hints"][a:b]),
                groups=arrays["groups"][a:b] if "groups" in arrays else None,
            )
        )
    return found
