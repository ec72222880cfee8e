"""A place in space for every track, from who is heard beside whom.

Two tracks that stand near each other in more sessions than chance would have it get similar
vectors: the matrix of their positive pointwise mutual information, which is the larger of 0 and
log p(i, j) - log p(i) p(j), is cut to its strongest directions, as Levy and Goldberg (2014) do for
words. Nothing is trained, and rare tracks get a usable place from a handful of plays.

`V` tracks, `D` numbers of a vector.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from segue.core.seeding import generator
from segue.tasks.playlist.sessions import Sessions

__all__ = ["neighbour_information", "track_vectors"]

_MAX_LAG = 7
_OVERSAMPLING = 8
_ROUNDS = 1
"""More rounds find the exact directions, which gather around small cliques of rare tracks, and the
neighbours get worse: NDCG@10 of the newest track's neighbours falls from .121 (1) over .119 (2) to
.111 (4). Measured on the #nowplaying sessions: fit on the older 90 % of those for training, the
last tracks of the next 4,000 asked for."""


def track_vectors(
    sessions: Sessions, n_tracks: int, dimension: int = 96, seed: int = 0
) -> NDArray[np.float32]:
    """Return a vector of length 1 for every track, [V, D]; cosine is the scalar product.

    A track that never stood beside another one has the zero vector, and so have the directions
    beyond the rank of the matrix.

    Args:
        sessions: [S].
        n_tracks: V.
        dimension: D.
        seed: of the random start; another seed turns the space a little and moves no neighbours.
    """
    information = neighbour_information(sessions, n_tracks)
    width = min(dimension + _OVERSAMPLING, n_tracks)
    vectors = np.zeros((n_tracks, dimension), dtype=np.float32)
    if information.nnz == 0:
        return vectors
    # Halko, Martinsson, Tropp (2011), algorithm 4.4: a random subspace, turned towards the
    # strongest directions by multiplying again and again; the matrix is symmetric.
    start = generator(seed, "track vectors").standard_normal((n_tracks, width), dtype=np.float32)
    basis = np.linalg.qr(information @ start)[0]
    for _ in range(_ROUNDS):
        basis = np.linalg.qr(information @ basis)[0]
    small = basis.T @ (information @ basis)
    strengths, turn = np.linalg.eigh(((small + small.T) / 2).astype(np.float64))
    order = np.argsort(-np.abs(strengths), kind="stable")[:dimension]
    found = basis @ turn[:, order].astype(np.float32)
    found *= np.sqrt(np.abs(strengths[order])).astype(np.float32)
    heaviest = np.abs(found).argmax(axis=0)  # the sign of a direction is free: fix it
    found *= np.where(found[heaviest, np.arange(found.shape[1])] < 0, -1, 1).astype(np.float32)
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    beside = np.diff(information.indptr) > 0
    vectors[:, : found.shape[1]] = np.where(
        beside[:, None] & (lengths > 0), found / np.maximum(lengths, 1e-12), 0
    )
    return vectors


def neighbour_information(sessions: Sessions, n_tracks: int) -> Any:
    """Return the positive pointwise mutual information of tracks near each other, sparse [V, V].

    A pair at distance `lag` in a session counts 1 / sqrt(lag), up to a lag of 7; a track is no
    neighbour of itself.
    """
    owners, tracks = sessions.owners(), sessions.tracks
    rows, columns, weights = [], [], []
    for lag in range(1, _MAX_LAG + 1):
        near = owners[lag:] == owners[:-lag]
        first, second = tracks[:-lag][near], tracks[lag:][near]
        keep = (first != second) & (first >= 0) & (second >= 0)
        rows.append(first[keep])
        columns.append(second[keep])
        weights.append(np.full(int(keep.sum()), lag**-0.5, dtype=np.float32))
    forward = sparse.csr_matrix(
        (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))),
        shape=(n_tracks, n_tracks),
    )
    counts = (forward + forward.T).tocsr()
    sums = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    owner = np.repeat(np.arange(n_tracks), np.diff(counts.indptr))
    with np.errstate(divide="ignore"):
        log_sums = np.log(sums)
    values = np.log(counts.data) + np.log(sums.sum() or 1.0) - log_sums[owner]
    values -= log_sums[counts.indices]
    counts.data = np.maximum(values, 0).astype(np.float32)
    counts.eliminate_zeros()
    return counts
