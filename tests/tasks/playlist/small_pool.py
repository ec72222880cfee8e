"""A small pool of logged queries: random tracks, some queries with few candidates."""

from __future__ import annotations

import numpy as np

from segue.tasks.playlist.candidates import Candidates
from segue.tasks.playlist.listeners import LoggedListener
from segue.tasks.playlist.pool import Pool
from segue.tasks.playlist.rewards import surprisals
from segue.tasks.playlist.sessions import Sessions


def logged_pool(
    n_queries: int = 12, n: int = 9, n_tracks: int = 30, skips: bool = True, seed: int = 0
) -> Pool:
    rng = np.random.default_rng(seed)
    tracks = np.stack([rng.permutation(n_tracks)[:n] for _ in range(n_queries)]).astype(np.int32)
    tracks[1, 4:] = -1  # fewer candidates than places
    tracks[2, 7:] = -1
    prior = -np.sort(rng.exponential(size=tracks.shape)).astype(np.float32)
    there = tracks >= 0
    numbers = rng.normal(size=(n_queries, n, 2)).astype(np.float32) * there[:, :, None]
    lengths = rng.integers(0, 8, n_queries)
    history = Sessions.from_flat(rng.integers(0, n_tracks, lengths.sum()), lengths)
    hidden = rng.integers(0, n_tracks, n_queries * 6)
    return Pool(
        Candidates(
            tracks=tracks,
            numbers=numbers,
            state=rng.normal(size=(n_queries, 3)).astype(np.float32),
            prior=np.where(there, prior, -1e9).astype(np.float32),
        ),
        history,
        LoggedListener(
            Sessions.from_flat(
                hidden,
                np.full(n_queries, 6),
                skipped=rng.random(n_queries * 6) < 0.5 if skips else None,
            )
        ),
        vectors=rng.normal(size=(n_tracks, 5)),
        surprisal=surprisals(rng.integers(0, 50, n_tracks)),
    )
