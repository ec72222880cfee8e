"""The voices of the fused ranker: eleven views of the past, and what is known of every track.

A component gives numbers that are not below 0 to tracks that may follow the query x_1 .. x_n; `age`
is the number of sessions since, `back` the number of tracks since, `lag` a distance in a session.

    loop           how often the track followed x_n earlier in this very session
    bigram         how often it followed the pair x_(n-1), x_n in the past
    item_cf        Item-CF's summed similarities
    rules          how often it came up to 7 tracks after a track of the query,
                   1 / lag times decay^back, over the plays of that track
    rules_recent   the same, times exp(-age / 15,000)
    after, before  what the sessions that share most and rarest tracks with the query played after,
                   or before, the newest track in common; squared similarity, fading with distance
    knn            session-kNN's sum
    lag1, 2, 3     what came right after x_n, two tracks after x_(n-1), three after x_(n-2)
    reversed       what came right before x_n
    newest_vector, query_vector
                   cosine to the vector of x_n, and to the fading sum of the query's vectors
    fallback       the number of plays, only where nothing of the query is known

Only tracks that some component found through the past plays are candidates; the vectors add none.
Sequential rules and the sequence-aware kNN are after Ludewig and Jannach (2018).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segue.core.config import Config
from segue.tasks.playlist.models.base import Arrays
from segue.tasks.playlist.models.item_cf import ItemCF, ItemCFConfig
from segue.tasks.playlist.models.kernels import Rows, Table, build_index, known_tracks
from segue.tasks.playlist.models.kernels_components import COMPONENTS, Form, Past
from segue.tasks.playlist.models.track_vectors import track_vectors
from segue.tasks.playlist.sessions import Sessions

__all__ = [
    "COMPONENTS",
    "TRACK_FACTS",
    "ComponentsConfig",
    "fit_past",
    "past_arrays",
    "restore_past",
    "track_facts",
]

TRACK_FACTS = ("recent_plays", "plays", "age", "ends")
"""Logarithm of the plays in the newest sessions and in all, of the age in sessions since the first
play, and the share of a track's plays that end a session."""

_N_POPULAR = 500


class ComponentsConfig(Config):
    """Constants of the components.

    Varied one at a time (decays by .1 to .2, the others by factors of 2 or more) none moved NDCG@10
    of the newest tenth of the #nowplaying training sessions, .121, by as much as .001.
    """

    history: int = Field(20, ge=1)
    """Newest tracks of a query that are looked at."""
    plays_per_track: int = Field(2500, ge=1)
    """Newest past plays of a track that are looked at; bounds the time of a query."""
    item_cf: ItemCFConfig = ItemCFConfig()
    """Settings of Item-CF."""
    rules_lag: int = Field(7, ge=1)
    """Greatest distance of a sequential rule."""
    rules_decay: float = Field(0.7, gt=0, le=1)
    """Weight of a track of the query relative to the one after it, in rules."""
    smoothing: float = Field(5.0, ge=0)
    """Plays added below the line of rules and lags."""
    recent_sessions: float = Field(15000.0, gt=0)
    """Sessions after which `rules_recent` has forgotten to 1 / e."""
    neighbours: int = Field(500, ge=1)
    """Sessions asked by kNN."""
    decay: float = Field(0.6, gt=0, le=1)
    """Weight of a track of the query relative to the one after it, in kNN."""
    sequence_neighbours: int = Field(1500, ge=1)
    """Sessions asked by the sequence-aware kNN."""
    sequence_decay: float = Field(2.0, gt=0)
    """Tracks after which the sequence-aware kNN has forgotten to 1 / e."""
    vector_dimension: int = Field(96, ge=1)
    """Numbers of a track's vector."""
    vector_decay: float = Field(0.7, gt=0, le=1)
    """Weight of a track of the query relative to the one after it, in the query's vector."""
    newest_sessions: int = Field(2000, ge=1)
    """Sessions that make a play recent."""
    seed: int = 0
    """Of the vectors."""

    def form(self) -> Form:
        """Return the constants as the compiled loops want them."""
        values = self.model_dump()
        values["item_cf_decay"] = self.item_cf.decay
        return Form(**{name: values[name] for name in Form._fields})


def fit_past(sessions: Sessions, n_tracks: int, config: ComponentsConfig) -> Past:
    """Index the sessions and fit Item-CF and the vectors."""
    rows = known_tracks(sessions)
    similar = ItemCF(config.item_cf).fit(sessions, n_tracks).neighbours
    vectors = track_vectors(sessions, n_tracks, config.vector_dimension, config.seed)
    return _past(rows, similar, vectors, n_tracks, config)


def past_arrays(past: Past) -> Arrays:
    """Return what cannot be computed again quickly."""
    similar = {f"similar.{name}": value for name, value in past.similar._asdict().items()}
    return {**past.rows._asdict(), **similar, "vectors": past.vectors}


def restore_past(arrays: Arrays, n_tracks: int, config: ComponentsConfig) -> Past:
    """Undo `past_arrays`."""
    similar = Table(*(arrays[f"similar.{name}"] for name in Table._fields))
    rows = Rows(arrays["tracks"], arrays["offsets"])
    return _past(rows, similar, arrays["vectors"], n_tracks, config)


def track_facts(past: Past, config: ComponentsConfig) -> NDArray[np.float32]:
    """Return what is known of every track whatever the query, [V, 4]; see `TRACK_FACTS`."""
    tracks, offsets = past.rows
    n_tracks, n_sessions = len(past.plays), len(offsets) - 1
    since = offsets[max(0, n_sessions - config.newest_sessions)]
    recent = np.bincount(tracks[since:], minlength=n_tracks)
    ages = np.zeros(n_tracks)
    heard = np.flatnonzero(np.diff(past.where.starts))
    ages[heard] = n_sessions - past.where.owners[past.where.places[past.where.starts[heard]]]
    last = offsets[1:][np.diff(offsets) > 0] - 1
    ends = np.bincount(tracks[last], minlength=n_tracks) / np.maximum(past.plays, 1)
    facts = [np.log1p(recent), np.log1p(past.plays), np.log1p(ages), ends]
    return np.stack(facts, axis=1).astype(np.float32)


def _past(
    rows: Rows,
    similar: Table,
    vectors: NDArray[np.float32],
    n_tracks: int,
    config: ComponentsConfig,
) -> Past:
    plays = np.bincount(rows.tracks, minlength=n_tracks).astype(np.float32)
    index = build_index(rows, n_tracks)
    owners = index.owners[index.places]
    track = np.repeat(np.arange(n_tracks), np.diff(index.starts))
    first = np.ones(len(owners), dtype=np.bool_)  # the first play of a track in a session
    first[1:] = (owners[1:] != owners[:-1]) | (track[1:] != track[:-1])
    holders = np.bincount(track[first], minlength=n_tracks)
    # A track that every session holds tells nothing; the added 1 keeps it from counting 0, which
    # would read as "not found".
    rarity = np.log1p((len(rows.offsets) - 1) / np.maximum(holders, 1))
    ages = np.arange(len(rows.offsets) - 1, 0, -1)
    popular = np.lexsort((np.arange(n_tracks), -plays))[:_N_POPULAR]
    popular = popular[plays[popular] > 0]
    return Past(
        rows=rows,
        where=index,
        similar=similar,
        rarity=rarity.astype(np.float32),
        vectors=np.ascontiguousarray(vectors, dtype=np.float32),
        popular=popular.astype(np.int32),
        plays=plays,
        recency=np.exp(-ages / config.recent_sessions).astype(np.float32),
    )
