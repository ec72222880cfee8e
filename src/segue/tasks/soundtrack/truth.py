"""Which track really belongs to a segment, and how high its fit puts it among all tracks.

The truth is known where captions name the music (key `music` of a video or a segment), or where
tracks were cut from labelled videos and are named after them (see `confusion.own_music`).

    recall@k     share of the segments whose own track is among the k best
    median rank  median over segments; (K + 1) / 2 by chance; equals share their places

The fit is the alignment term: retrieval by similarity, which is the prior of this task.
Letters: `T` segments, `K` tracks, `N` segments with a known track.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.core.tables import Value, bootstrap_interval
from segue.tasks.soundtrack.confusion import own_music
from segue.tasks.soundtrack.data import Dataset
from segue.tasks.soundtrack.tables import Tables

__all__ = ["chance_retrieval", "retrieval", "true_tracks"]

RECALLS = (1, 5, 10)


def true_tracks(dataset: Dataset) -> list[list[int | None]]:
    """Return for every video the index of the track that belongs to each segment, or None.

    Raises:
        DataError: captions name a track that is not in the library.
    """
    from segue.tasks.soundtrack.pairs import named_tracks

    named: dict[str, list[int | None]] = {}
    if (Path(dataset.name) / "video_captions.json").is_file():
        named = named_tracks(dataset, Path(dataset.name))
    truth: list[list[int | None]] = []
    for video, pieces in zip(dataset.videos, own_music(dataset), strict=True):
        known = named.get(video.name, [])
        if len(known) == video.n_segments:
            truth.append(known)
            continue
        changes = [bool(s.music_change) for s in video.segments]
        if len(pieces) == 1:
            truth.append([pieces[0]] * video.n_segments)
        elif pieces and video.switch_count is not None:
            turns = np.cumsum([0, *changes[1:]])
            truth.append([pieces[k] if k < len(pieces) else None for k in turns])
        else:
            truth.append([None] * video.n_segments)
    return truth


def retrieval(tables: Sequence[Tables], truth: Sequence[Sequence[int | None]]) -> dict[str, Value]:
    """Return recall and median rank of the fit; nothing where no truth is known.

    Args:
        tables: one for each video.
        truth: for each of them the track that belongs to each segment.
    """
    found = [
        _rank(table.alignment[t], k)
        for table, tracks in zip(tables, truth, strict=True)
        for t, k in enumerate(tracks)
        if k is not None
    ]
    if not found:
        return {}
    ranks = np.array(found)
    rng = np.random.default_rng(0)
    metrics = {f"recall@{k}": bootstrap_interval((ranks <= k).astype(float), rng) for k in RECALLS}
    drawn = np.median(ranks[rng.integers(0, len(ranks), (2000, len(ranks)))], axis=1)
    low, high = (float(q) for q in np.quantile(drawn, [0.025, 0.975]))
    metrics["median rank"] = Value(value=float(np.median(ranks)), low=low, high=high)
    return metrics


def chance_retrieval(n_tracks: int) -> dict[str, Value]:
    """Return what a random order of the tracks gives."""
    metrics = {f"recall@{k}": Value(value=min(k, n_tracks) / n_tracks) for k in RECALLS}
    return metrics | {"median rank": Value(value=(n_tracks + 1) / 2)}


def _rank(fits: NDArray[np.float64], own: int) -> float:
    better, equal = int((fits > fits[own]).sum()), int((fits == fits[own]).sum()) - 1
    return 1.0 + better + 0.5 * equal
