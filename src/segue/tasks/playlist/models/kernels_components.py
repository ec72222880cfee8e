"""The compiled loop that finds what may come next and how much each component says for it.

One walk over the past plays of the query's tracks feeds every component at once; see `components`
for what they mean. Nothing is computed ahead for pairs of tracks, so fitting is an index and the
memory is that of the plays.

`V` tracks, `C` components, `D` numbers of a vector, `B` queries, `N` candidates of a query.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segue.tasks.playlist.models.kernels import (
    Index,
    Rows,
    Table,
    compiled,
    compiled_sum,
    keep_best,
)

__all__ = ["COMPONENTS", "Form", "Past", "Work", "find_candidates", "make_work"]

COMPONENTS = (
    "loop",
    "bigram",
    "item_cf",
    "rules",
    "rules_recent",
    "after",
    "before",
    "knn",
    "lag1",
    "lag2",
    "lag3",
    "reversed",
    "newest_vector",
    "query_vector",
    "fallback",
)
"""Names of the components, in the order of the columns."""

LOOP, BIGRAM, ITEM_CF, RULES, RULES_RECENT, AFTER, BEFORE, KNN = range(8)
LAG1, REVERSED, NEWEST_VECTOR, QUERY_VECTOR, FALLBACK = 8, 11, 12, 13, 14
_N_LAGS = 3
_NOTHING = -1


class Form(NamedTuple):
    """Constants of the components; see `components.ComponentsConfig`."""

    history: int
    plays_per_track: int
    item_cf_decay: float
    rules_lag: int
    rules_decay: float
    smoothing: float
    neighbours: int
    decay: float
    sequence_neighbours: int
    sequence_decay: float
    vector_decay: float


class Past(NamedTuple):
    """Everything that was fitted."""

    rows: Rows
    """The training sessions, in order of time."""
    where: Index
    """Where every track was played."""
    similar: Table
    """Item-CF's neighbours."""
    rarity: NDArray[np.float32]
    """log(sessions / sessions with the track), [V]."""
    vectors: NDArray[np.float32]
    """[V, D]."""
    popular: NDArray[np.int32]
    """The tracks offered where there is no history."""
    plays: NDArray[np.float32]
    """[V]."""
    recency: NDArray[np.float32]
    """exp(-age / `recent_sessions`) of every session, [S]."""


class Work(NamedTuple):
    """Room for one query at a time."""

    slots: NDArray[np.int32]
    """Where a track stands among the candidates, -1 where it does not, [V]."""
    tracks: NDArray[np.int32]
    """The candidates; the first `filled[0]` are filled."""
    raw: NDArray[np.float32]
    """What each component says, [V, C]; as many rows are filled."""
    filled: NDArray[np.int64]
    """[1]."""
    near: NDArray[np.float64]
    """Similarity of past sessions to the query, for kNN, [S]."""
    near_in_order: NDArray[np.float64]
    """The same for the sequence-aware kNN, [S]."""
    meeting: NDArray[np.int64]
    """Play where a past session holds the newest track that it shares with the query, [S]."""
    sessions: NDArray[np.int32]
    """Past sessions that share a track, [S]."""
    chosen: NDArray[np.int32]
    """[S]."""
    similarity: NDArray[np.float64]
    """[S]."""


def make_work(past: Past) -> Work:
    """Return room for queries to a fitted past; what is not used costs no memory."""
    n_tracks, n_sessions = len(past.plays), len(past.rows.offsets) - 1
    return Work(
        np.full(n_tracks, _NOTHING, dtype=np.int32),
        np.empty(n_tracks, dtype=np.int32),
        np.empty((n_tracks, len(COMPONENTS)), dtype=np.float32),
        np.zeros(1, dtype=np.int64),
        np.zeros(n_sessions),
        np.zeros(n_sessions),
        np.empty(n_sessions, dtype=np.int64),
        np.empty(n_sessions, dtype=np.int32),
        np.empty(n_sessions, dtype=np.int32),
        np.empty(n_sessions),
    )


@compiled
def find_candidates(query: NDArray[np.int32], past: Past, form: Form, work: Work) -> int:
    """Fill `work.tracks` and `work.raw` for one query of known tracks; return how many there are.

    Args:
        query: what was heard, oldest first.
        past: what was fitted.
        form: constants.
        work: room; it is left ready for the next query.
    """
    work.filled[0] = 0
    query = query[max(0, len(query) - form.history) :]
    if len(query):
        n_near = _walk_plays(query, past, form, work)
        _ask_neighbours(n_near, past, form, work)
        _ask_item_cf(query, past, form, work)
        _look_for_loops(query, work)
        _compare_vectors(query, past, form, work)
    if work.filled[0] == 0:
        for track in past.popular:
            _add(work, track, FALLBACK, past.plays[track])
    n = int(work.filled[0])
    for k in range(n):
        work.slots[work.tracks[k]] = _NOTHING
    return n


@compiled
def _add(work: Work, track: int, component: int, amount: float) -> None:
    slot = work.slots[track]
    if slot < 0:
        slot = work.filled[0]
        work.filled[0] += 1
        work.slots[track] = slot
        work.tracks[slot] = track
        for c in range(work.raw.shape[1]):
            work.raw[slot, c] = 0
    work.raw[slot, component] += np.float32(amount)


@compiled
def _walk_plays(query: NDArray[np.int32], past: Past, form: Form, work: Work) -> int:
    """Feed rules, lags and bigrams; return the number of past sessions that share a track."""
    tracks, offsets = past.rows.tracks, past.rows.offsets
    starts, places, owners = past.where.starts, past.where.places, past.where.owners
    n_near = 0
    newest = len(query) - 1
    for back in range(len(query)):
        track = query[newest - back]
        first_time = True  # the newest place of this track in the query
        for later in range(newest - back + 1, len(query)):
            if query[later] == track:
                first_time = False
                break
        high = starts[track + 1]
        low = max(starts[track], high - form.plays_per_track)
        share = 1.0 / (high - low + form.smoothing)
        rule = share * form.rules_decay**back
        weight = form.decay**back
        weight_in_order = past.rarity[track] * np.exp(-back / form.sequence_decay)
        last_session = _NOTHING
        for k in range(high - 1, low - 1, -1):
            p = places[k]
            s = owners[p]
            begin, end = offsets[s], offsets[s + 1]
            recency = past.recency[s]
            for lag in range(1, min(form.rules_lag, end - 1 - p) + 1):
                amount = rule / lag
                _add(work, tracks[p + lag], RULES, amount)
                _add(work, tracks[p + lag], RULES_RECENT, amount * recency)
            if back < _N_LAGS and p + back + 1 < end:
                _add(work, tracks[p + back + 1], LAG1 + back, share)
            if back == 0 and p > begin:
                _add(work, tracks[p - 1], REVERSED, share)
                if newest and p + 1 < end and tracks[p - 1] == query[newest - 1]:
                    _add(work, tracks[p + 1], BIGRAM, 1.0)
            if first_time and s != last_session:
                last_session = s
                if work.near[s] == 0:
                    work.sessions[n_near] = s
                    work.meeting[s] = p
                    n_near += 1
                work.near[s] += weight
                work.near_in_order[s] += weight_in_order
    return n_near


@compiled
def _ask_neighbours(n_near: int, past: Past, form: Form, work: Work) -> None:
    tracks, offsets = past.rows.tracks, past.rows.offsets
    # 1. Plain kNN: what the nearest sessions hold.
    for k in range(n_near):
        s = work.sessions[k]
        work.chosen[k] = s
        work.similarity[k] = work.near[s] / np.sqrt(offsets[s + 1] - offsets[s])
    n = keep_best(work.chosen, work.similarity, n_near, form.neighbours)
    for k in range(n):
        s = work.chosen[k]
        for p in range(offsets[s], offsets[s + 1]):
            _add(work, tracks[p], KNN, work.similarity[k])
    # 2. In order: what they played just after and just before the newest track in common.
    for k in range(n_near):
        s = work.sessions[k]
        work.chosen[k] = s
        work.similarity[k] = work.near_in_order[s] ** 2
        work.near[s] = 0.0
        work.near_in_order[s] = 0.0
    n = keep_best(work.chosen, work.similarity, n_near, form.sequence_neighbours)
    step = np.exp(-1.0 / form.sequence_decay)
    for k in range(n):
        s = work.chosen[k]
        amount = work.similarity[k]
        for p in range(work.meeting[s] + 1, offsets[s + 1]):
            _add(work, tracks[p], AFTER, amount)
            amount *= step
        amount = work.similarity[k]
        for p in range(work.meeting[s] - 1, offsets[s] - 1, -1):
            _add(work, tracks[p], BEFORE, amount)
            amount *= step


@compiled
def _ask_item_cf(query: NDArray[np.int32], past: Past, form: Form, work: Work) -> None:
    weight = 1.0
    for place in range(len(query) - 1, -1, -1):
        track = query[place]
        for k in range(past.similar.indptr[track], past.similar.indptr[track + 1]):
            amount = weight * past.similar.values[k]
            _add(work, past.similar.indices[k], ITEM_CF, amount)
        weight *= form.item_cf_decay


@compiled
def _look_for_loops(query: NDArray[np.int32], work: Work) -> None:
    for place in range(len(query) - 1):
        if query[place] == query[-1]:
            _add(work, query[place + 1], LOOP, 1.0)


@compiled
def _compare_vectors(query: NDArray[np.int32], past: Past, form: Form, work: Work) -> None:
    newest = past.vectors[query[-1]]
    together = np.zeros(len(newest), dtype=np.float32)
    weight = np.float32(1.0)
    for place in range(len(query) - 1, -1, -1):
        for d in range(len(together)):
            together[d] += weight * past.vectors[query[place], d]
        weight *= np.float32(form.vector_decay)
    length = np.sqrt(_product(together, together))
    if length > 0:
        for d in range(len(together)):
            together[d] /= length
    for k in range(work.filled[0]):
        vector = past.vectors[work.tracks[k]]
        work.raw[k, NEWEST_VECTOR] = max(np.float32(0), _product(newest, vector))
        work.raw[k, QUERY_VECTOR] = max(np.float32(0), _product(together, vector))


@compiled_sum
def _product(a: NDArray[np.float32], b: NDArray[np.float32]) -> np.float32:
    total = np.float32(0)
    for d in range(len(a)):
        total += a[d] * b[d]
    return total
