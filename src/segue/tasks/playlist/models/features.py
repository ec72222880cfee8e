"""The best candidates of the fused ranker, described by numbers: what a network re-ranks.

To learn from, the numbers must come from models that have not seen the session.

`B` queries, `N` candidates, `F` numbers of a candidate, `S` numbers of a query, `C` components.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.tasks.playlist.candidates import Candidates
from segue.tasks.playlist.models.base import Recommender
from segue.tasks.playlist.models.components import COMPONENTS, TRACK_FACTS
from segue.tasks.playlist.models.fused import Fused
from segue.tasks.playlist.sessions import Sessions

__all__ = ["feature_names", "make_candidates", "state_names"]

Narrow = NDArray[np.float32]

_SMALLEST = np.float32(1e-4)
"""Added before a logarithm of a number between 0 and 1."""
_NO_CANDIDATE = -1e9
_BATCH = 128

_VOICES = tuple(name for name in COMPONENTS if name != "fallback")
_SHARES = ("rules", "rules_recent", "lag1", "lag2", "lag3", "reversed")
"""Components that are shares of plays, comparable between queries."""
_COUNTS = ("bigram", "knn", "after", "item_cf", "before")
"""Components whose size says how sure they are."""
_RANKED = ("item_cf", "rules", "after", "knn", "lag1", "newest_vector", "query_vector")
_COSINES = ("newest_vector", "query_vector")
_SESSION = ("last_heard", "times_heard", "is_newest")


def feature_names(extra: Sequence[str] = ()) -> tuple[str, ...]:
    """Return what the `F` numbers of a candidate mean, in order.

    Args:
        extra: names of other models whose opinion is added.
    """
    return (
        "log_prior",
        "place_prior",
        *(f"scaled_{name}" for name in _VOICES),
        *(f"log_scaled_{name}" for name in _VOICES),
        *(f"log_{name}" for name in (*_SHARES, *_COUNTS)),
        *(f"cosine_{name}" for name in _COSINES),
        *(f"place_{name}" for name in _RANKED),
        *TRACK_FACTS,
        *_SESSION,
        *(f"{part}_{name}" for name in extra for part in ("log_share", "place")),
    )


def state_names() -> tuple[str, ...]:
    """Return what the `S` numbers of a query mean, in order."""
    sure = (*_SHARES, *_COUNTS)
    return (*(f"log_most_{name}" for name in sure), "log_length", "share_repeats", "newest_repeats")


def make_candidates(
    fused: Fused, queries: Sessions, n: int, extra: Sequence[Recommender] = ()
) -> Candidates:
    """Return the `n` best candidates of each query with their numbers.

    Args:
        fused: fitted on sessions earlier than the queries.
        queries: [B].
        n: N.
        extra: other fitted models with dense scores that are logits; each adds two numbers.
    """
    if len(queries) <= _BATCH:
        return _describe(fused, queries, n, extra)
    parts = [
        _describe(fused, queries.part(start, min(start + _BATCH, len(queries))), n, extra)
        for start in range(0, len(queries), _BATCH)
    ]
    return Candidates(
        tracks=np.concatenate([part.tracks for part in parts]),
        numbers=np.concatenate([part.numbers for part in parts]),
        state=np.concatenate([part.state for part in parts]),
        prior=np.concatenate([part.prior for part in parts]),
    )


def _describe(fused: Fused, queries: Sessions, n: int, extra: Sequence[Recommender]) -> Candidates:
    best = fused.best(queries, n)
    here = best.tracks >= 0
    prior = np.where(here, np.log(np.maximum(best.scores, 1e-9)), _NO_CANDIDATE)
    raw = {name: best.components[:, :, c] for c, name in enumerate(COMPONENTS)}
    most = {name: best.maxima[:, c] for c, name in enumerate(COMPONENTS)}
    places = np.broadcast_to(1 / np.arange(1.0, n + 1), here.shape)  # they come best first
    columns: list[NDArray[Any]] = [prior, places]
    scaled = [raw[name] / np.maximum(most[name], 1e-12)[:, None] for name in _VOICES]
    columns += scaled
    columns += [np.log(values + _SMALLEST) for values in scaled]
    columns += [np.log(raw[name] + _SMALLEST) for name in _SHARES]
    columns += [np.log1p(raw[name]) for name in _COUNTS]
    columns += [raw[name] for name in _COSINES]
    columns += [_places(raw[name]) for name in _RANKED]
    facts = fused.facts[np.maximum(best.tracks, 0)]
    columns += [facts[:, :, k] for k in range(facts.shape[2])]
    columns += _in_session(queries, best.tracks)
    for model in extra:
        columns += _opinion(model, queries, best.tracks)
    numbers = np.stack([np.asarray(c, dtype=np.float32) for c in columns], axis=2)
    numbers[~here] = 0
    state = [np.log(most[name] + _SMALLEST) for name in _SHARES]
    state += [np.log1p(most[name]) for name in _COUNTS]
    state += _of_session(queries)
    return Candidates(
        tracks=best.tracks,
        numbers=numbers,
        state=np.stack(state, axis=1).astype(np.float32),
        prior=prior.astype(np.float32),
    )


def _places(values: Narrow) -> Narrow:
    """Return 1 / place of each candidate by `values`, 0 where nothing speaks for it, [B, N]."""
    order = np.argsort(-values, axis=1, kind="stable")
    places = np.empty(values.shape, dtype=np.float32)
    np.put_along_axis(
        places, order, np.arange(1, values.shape[1] + 1, dtype=np.float32)[None], axis=1
    )
    return np.where(values > 0, 1 / places, 0).astype(np.float32)


def _in_session(queries: Sessions, tracks: NDArray[np.int32]) -> list[Narrow]:
    last, times, newest = (np.zeros(tracks.shape, dtype=np.float32) for _ in range(3))
    for i in range(len(queries)):
        heard = queries[i]
        if not len(heard):
            continue
        found, back, counts = np.unique(heard[::-1], return_index=True, return_counts=True)
        at = np.minimum(np.searchsorted(found, tracks[i]), len(found) - 1)
        match = (found[at] == tracks[i]) & (tracks[i] >= 0)
        last[i] = np.where(match, 1 / (1 + back[at]), 0)
        times[i] = np.where(match, counts[at], 0)
        newest[i] = tracks[i] == heard[-1]
    return [last, times, newest]


def _of_session(queries: Sessions) -> list[Narrow]:
    lengths = queries.lengths
    repeats, newest = np.zeros(len(queries)), np.zeros(len(queries))
    for i in range(len(queries)):
        heard = queries[i]
        if len(heard):
            repeats[i] = 1 - len(np.unique(heard)) / len(heard)
            newest[i] = np.count_nonzero(heard == heard[-1]) > 1
    return [np.log1p(lengths), repeats, newest]


def _opinion(model: Recommender, queries: Sessions, tracks: NDArray[np.int32]) -> list[Narrow]:
    share = np.empty(tracks.shape, dtype=np.float32)
    for start in range(0, len(queries), 256):
        stop = min(start + 256, len(queries))
        scores = np.asarray(model.score(queries.part(start, stop)), dtype=np.float32)
        top = scores.max(axis=1, keepdims=True)
        total = np.log(np.exp(scores - top).sum(axis=1, keepdims=True)) + top
        own = np.take_along_axis(scores, np.maximum(tracks[start:stop], 0), axis=1)
        share[start:stop] = own - total
    share = np.where(tracks >= 0, share, -np.inf)
    return [share, _places(np.exp(share))]
