"""Simulated listeners, whose minds are known: where planning ahead can be told from greed.

Tracks lie around genres in a space of D dimensions; a listener is a taste in the same space. The
chance that listener u hears track v to its end is

    p = sigmoid(bias + sharpness cos(u, v) + appeal_v - depth_cost depth_v
                - boredom max(0, m . v) + mood)

- *appeal* of a track is the same for everybody, and so is its *depth*, of -1..1: what is deep
  takes more at first and leaves the listener in a better mood for what follows; what is shallow
  pleases at once and wears out (after the "choc and kale" of Ie et al., "RecSim", 2019).
- *mood* moves a part of the way to `mood_gain` depth_v with every track, less if it is skipped.
- *m* is the fading sum of the vectors of what was heard: what is like it bores, and recovers when
  it rests (as in Kleinberg and Immorlica, "Recharging Bandits", 2018).
- *frustration* grows with skips and falls with what is heard; a listener leaves with the chance
  1 - exp(-(leave + leave_frustrated frustration^2)).

A recommender sees estimates of appeal, depth and taste that are wrong by known amounts, and what
was skipped. Greedy agents are given more: the true p of every candidate (`chances`). The numbers
are our own choice, such that the future matters; they describe nobody.

Letters: `Q` listeners, `B` episodes, `N` candidates, `V` tracks, `D` dimensions, `K` longest list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segue.core.config import Config
from segue.core.errors import ConfigError
from segue.core.seeding import generator
from segue.tasks.playlist.candidates import Candidates
from segue.tasks.playlist.episodes import Situation
from segue.tasks.playlist.listeners import Indices, Minds, Response
from segue.tasks.playlist.pool import Pool
from segue.tasks.playlist.rewards import surprisals
from segue.tasks.playlist.sessions import Sessions

__all__ = [
    "SimulatedListener",
    "World",
    "WorldConfig",
    "draw_world",
    "greedy",
    "simulated_pool",
    "true_chances",
]

Floats = NDArray[np.float64]


class WorldConfig(Config):
    """How a world of tracks and listeners is drawn."""

    n_tracks: int = Field(600, ge=2)
    """V."""
    n_genres: int = Field(12, ge=1)
    """Centres that tracks lie around."""
    dimensions: int = Field(8, ge=1)
    """D."""
    genre_spread: float = Field(0.5, ge=0)
    """Length of a track's deviation from its genre, whose length is 1."""
    bias: float = -0.5
    """Logit of a track that means nothing to the listener."""
    sharpness: float = 2.5
    """Logits between a track across the taste and one along it."""
    appeal: float = Field(0.7, ge=0)
    """Deviation of appeal, in logits."""
    depth_cost: float = Field(0.8, ge=0)
    """Logits that a track of depth 1 costs when it is heard."""
    mood_gain: float = Field(2.5, ge=0)
    """Mood, in logits, after a long time of depth 1."""
    mood_pace: float = Field(0.15, gt=0, le=1)
    """Part of the way that the mood moves with a track."""
    boredom: float = Field(0.6, ge=0)
    """Logits lost for every like track of late."""
    recovery: float = Field(0.8, ge=0, le=1)
    """What is left of a track in m, one track later."""
    leave: float = Field(0.01, ge=0)
    """Rate of leaving for no reason."""
    leave_frustrated: float = Field(0.15, ge=0)
    """Rate of leaving at frustration 1."""
    frustration_pace: float = Field(0.4, gt=0, le=1)
    """Part of the way to 1 that frustration moves with a skip, and to 0 without."""
    estimate_error: float = Field(0.3, ge=0)
    """Deviation of the errors of what a recommender knows of appeal, depth and taste."""
    history: int = Field(5, ge=1)
    """Tracks that a listener has heard before."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class World:
    """Tracks, and what is true of them."""

    config: WorldConfig
    vectors: Floats
    """[V, D], unit length."""
    genres: NDArray[np.int64]
    """[V]."""
    appeal: Floats
    """[V]."""
    depth: Floats
    """[V], -1..1."""
    plays: NDArray[np.int64]
    """How often others play each track, [V]."""
    seen_appeal: Floats
    """What a recommender takes for the appeal, [V]."""
    seen_depth: Floats
    """What a recommender takes for the depth, [V]."""


def draw_world(config: WorldConfig, seed: int) -> World:
    """Draw the tracks of a world."""
    rng = generator(seed, "simulated world")
    centres = _units(rng.normal(size=(config.n_genres, config.dimensions)))
    genres = rng.integers(config.n_genres, size=config.n_tracks)
    deviation = rng.normal(size=(config.n_tracks, config.dimensions))
    scale = config.genre_spread / np.sqrt(config.dimensions)
    appeal = config.appeal * rng.normal(size=config.n_tracks)
    depth = rng.uniform(-1.0, 1.0, config.n_tracks)
    errors = config.estimate_error * rng.normal(size=(2, config.n_tracks))
    return World(
        config=config,
        vectors=_units(centres[genres] + scale * deviation),
        genres=genres,
        appeal=appeal,
        depth=depth,
        plays=rng.poisson(100.0 * np.exp(appeal - depth)),  # the charts like what is shallow
        seen_appeal=appeal + errors[0],
        seen_depth=depth + errors[1],
    )


class SimulatedListener:
    """Persons who hear or skip, get bored, and leave.

    Args:
        world: of the tracks.
        tastes: of the listeners, [Q, D], unit length.
        histories: what each has heard before, [Q]; it bores already.
    """

    answers = True

    def __init__(self, world: World, tastes: Floats, histories: Sessions) -> None:
        self.world, self.tastes = world, tastes
        self._bored = np.zeros_like(tastes)
        for i in range(len(histories)):
            for track in histories[i]:
                self._bored[i] = world.config.recovery * self._bored[i] + world.vectors[track]

    def begin(self, queries: Indices, noise: Indices) -> Minds:
        """Return minds in their usual mood, bored by their history."""
        n = len(queries)
        return {
            "bored": self._bored[queries],
            "mood": np.zeros(n),
            "frustration": np.zeros(n),
        }

    def chances(self, queries: Indices, minds: Minds, tracks: NDArray[Any]) -> Floats:
        """Return the true chance that each of `tracks` [B, N] would be heard to its end now."""
        world, config = self.world, self.world.config
        vectors = world.vectors[tracks]  # [B, N, D]
        # Sums over D as sums of products: the same bits for one listener as for many.
        along = (vectors * self.tastes[queries][:, None, :]).sum(axis=2)
        alike = (vectors * minds["bored"][:, None, :]).sum(axis=2)
        logits = config.bias + config.sharpness * along + world.appeal[tracks]
        logits = logits - config.depth_cost * world.depth[tracks]
        logits = logits - config.boredom * np.maximum(alike, 0.0) + minds["mood"][:, None]
        return np.asarray(1.0 / (1.0 + np.exp(-logits)))

    def respond(
        self, queries: Indices, noise: Indices, places: Indices, minds: Minds, tracks: Indices
    ) -> Response:
        """Hear or skip, by the chances of this place."""
        world, config = self.world, self.world.config
        chance = self.chances(queries, minds, tracks[:, None])[:, 0]
        hits = _uniform(noise, 2 * places) < chance
        minds["bored"] = config.recovery * minds["bored"] + world.vectors[tracks]
        effect = np.where(hits, config.mood_pace, 0.5 * config.mood_pace)
        minds["mood"] += effect * (config.mood_gain * world.depth[tracks] - minds["mood"])
        minds["frustration"] += config.frustration_pace * (~hits - minds["frustration"])
        rate = config.leave + config.leave_frustrated * minds["frustration"] ** 2
        leaves = _uniform(noise, 2 * places + 1) < -np.expm1(-rate)
        return Response(hits=hits, skipped=~hits, leaves=leaves)

    def wanted(self, queries: Indices) -> Indices:
        """Return a number that no list reaches: every track could be heard."""
        return np.full(len(queries), 1_000_000)


def simulated_pool(world: World, n_listeners: int, n_candidates: int, seed: int) -> Pool:
    """Draw listeners and return what a recommender would offer them.

    The prior is the logit by the estimates of taste and appeal; the candidates are the best by it.
    The numbers of a candidate are the estimated cosine with the taste, appeal and depth.

    Args:
        world: of the tracks.
        n_listeners: Q.
        n_candidates: N.
        seed: of the listeners.

    Raises:
        ConfigError: there are fewer tracks than candidates.
    """
    config = world.config
    if n_candidates > config.n_tracks:
        raise ConfigError(f"{n_candidates} candidates of {config.n_tracks} tracks")
    rng = generator(seed, "simulated listeners")
    shape = (n_listeners, config.dimensions)
    tastes = _units(rng.normal(size=shape))
    error = config.estimate_error / np.sqrt(config.dimensions)
    seen = _units(tastes + error * rng.normal(size=shape))
    along = seen @ world.vectors.T
    prior = config.sharpness * along + world.seen_appeal
    tracks = np.argsort(-prior, axis=1, kind="stable")[:, :n_candidates].astype(np.int32)
    p = np.exp(2.0 * tastes @ world.vectors.T)
    p /= p.sum(axis=1, keepdims=True)
    heard = [rng.choice(config.n_tracks, config.history, p=row) for row in p]
    histories = Sessions.from_flat(np.concatenate(heard), np.full(n_listeners, config.history))
    numbers = np.stack(
        [
            np.take_along_axis(along, tracks.astype(np.int64), axis=1),
            world.seen_appeal[tracks],
            world.seen_depth[tracks],
        ],
        axis=2,
    )
    return Pool(
        Candidates(
            tracks=tracks,
            numbers=numbers.astype(np.float32),
            state=np.zeros((n_listeners, 1), dtype=np.float32),
            prior=np.take_along_axis(prior, tracks.astype(np.int64), axis=1).astype(np.float32),
        ),
        histories,
        SimulatedListener(world, tastes, histories),
        vectors=world.vectors,
        surprisal=surprisals(world.plays),
    )


def true_chances(now: Situation) -> Floats:
    """Return the true chances of all candidates of a simulated situation, [B, N]."""
    episodes = now.episodes
    listener = episodes.pool.listener
    assert isinstance(listener, SimulatedListener)
    queries = episodes.queries
    tracks = episodes.pool.candidates.tracks[queries]
    return listener.chances(queries, episodes.minds, tracks)


def greedy(now: Situation) -> NDArray[np.int64]:
    """Choose what the listener is likeliest to hear to its end now, by the truth; a bar."""
    return np.asarray(np.where(now.mask, true_chances(now), -1.0).argmax(axis=1))


def _units(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _uniform(noise: Indices, counter: Indices) -> Floats:
    """Return uniform numbers that depend on noise and counter alone (splitmix64)."""
    with np.errstate(over="ignore"):
        z = noise.astype(np.uint64) + (counter.astype(np.uint64) + np.uint64(1)) * np.uint64(
            0x9E3779B97F4A7C15
        )
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return np.asarray((z >> np.uint64(11)).astype(np.float64) * 2.0**-53)
