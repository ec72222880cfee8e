"""What recommendations are judged by.

Of the rank r of the true next track (a rank may be a half where scores tie):

    hit@K  = 1 where r <= K                       recall@K and success@K are the same number here
    ndcg@K = 1 / log2(r + 1) where r <= K         one relevant track, so the ideal is 1
    mrr    = 1 / r

(Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", 2002; Voorhees, "The
TREC-8 question answering track report", 1999), and of the first ten tracks of each list:

    diversity@10    mean of 1 - cosine over the pairs of tracks, by their vectors
    novelty@10      mean of -log2 of the share of plays that the track has
    repeats@10      share of tracks that the listener has heard in this session
    coverage@10     share of the vocabulary that is in any list
    popularity@10   mean place of the tracks in the order of plays, 1 for the most played, 0 for the
                    least: how much the model leans on what everybody hears

Letters: `B` questions, `K` tracks of a list, `V` tracks, `D` numbers of a vector.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segue.tasks.playlist.sessions import Sessions

__all__ = ["CUTS", "coverage", "list_metrics", "rank_metrics"]

Floats = NDArray[np.float64]

CUTS = (5, 10, 20)
"""Values of K."""
_LIST = 10


def rank_metrics(ranks: Floats) -> dict[str, Floats]:
    """Return hit@K, ndcg@K for every K and mrr of each question, [B] each."""
    found: dict[str, Floats] = {}
    for k in CUTS:
        found[f"hit@{k}"] = (ranks <= k).astype(np.float64)
    for k in CUTS:
        found[f"ndcg@{k}"] = np.where(ranks <= k, 1 / np.log2(ranks + 1), 0.0)
    found["mrr"] = 1 / ranks
    return found


def list_metrics(
    lists: NDArray[np.int32],
    queries: Sessions,
    vectors: NDArray[np.float32],
    plays: NDArray[np.int64],
) -> dict[str, Floats]:
    """Return diversity, novelty, repeats and popularity of each list, [B] each.

    Args:
        lists: [B, K] with K >= 10, best first; -1 where there is no track. An empty list is 0 in
            everything, a list of one track has no diversity.
        queries: [B] histories.
        vectors: [V, D] of the tracks, any length.
        plays: [V] in training.
    """
    first = lists[:, :_LIST]
    there = first >= 0
    counts = np.maximum(there.sum(axis=1), 1)
    safe = np.where(there, first, 0)
    share = (plays + 0.5) / (plays.sum() + 0.5 * len(plays))  # a track never played is possible
    surprise = -np.log2(share)
    order = np.empty(len(plays))
    order[np.argsort(-plays, kind="stable")] = np.linspace(1, 0, len(plays))
    return {
        "diversity@10": _diversity(safe, there, vectors),
        "novelty@10": np.where(there, surprise[safe], 0).sum(axis=1) / counts,
        "repeats@10": (_heard(safe, queries) & there).sum(axis=1) / counts,
        "popularity@10": np.where(there, order[safe], 0).sum(axis=1) / counts,
    }


def coverage(lists: NDArray[np.int32], n_tracks: int) -> float:
    """Return the share of the vocabulary that is among the first ten tracks of any list."""
    first = lists[:, :_LIST]
    return len(np.unique(first[first >= 0])) / max(n_tracks, 1)


def _diversity(
    tracks: NDArray[np.int32], there: NDArray[np.bool_], vectors: NDArray[np.float32]
) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(lengths > 0, lengths, 1)
    result = np.zeros(len(tracks))
    for start in range(0, len(tracks), 4096):  # [4096, 10, D] at a time
        part = slice(start, start + 4096)
        sums = (unit[tracks[part]] * there[part][..., None]).sum(axis=1).astype(np.float64)
        own = (unit[tracks[part]] ** 2).sum(axis=2) * there[part]
        n = there[part].sum(axis=1)
        cosines = (sums**2).sum(axis=1) - own.sum(axis=1)  # over ordered pairs
        result[part] = np.where(n > 1, 1 - cosines / np.maximum(n * (n - 1), 1), 0)
    return result


def _heard(tracks: NDArray[np.int32], queries: Sessions) -> NDArray[np.bool_]:
    """Return whether each track of each list is in its query, [B, K]."""
    width = int(max(tracks.max(initial=0), queries.tracks.max(initial=0))) + 1
    known = queries.tracks >= 0
    keys = queries.owners()[known] * width + queries.tracks[known]
    rows = np.arange(len(tracks), dtype=np.int64)[:, None] * width
    return np.isin(rows + tracks, keys)
