"""The original system's agent: an actor-critic that orders the candidates of Item-CF.

A track is represented by the numbers of its row of Item-CF similarities, at most 30, *without the
tracks that they belong to*; a state by the weighted mean of the last ten tracks, exp(-1..0)
normalised. The actor turns the state into a vector of preference, and a candidate's score is its
product with it; candidates are sampled by softmax, with a temperature that falls from 1 to .5. An
episode is one track: a random window of a session, its next track, one reward (`rewards.original`),
and one step of Adam for

    actor   -log p(chosen) (R - V(state)) - 0.01 entropy
    critic  (V(state) - R)^2

Kept, because this is the row to compare with: a state that does not know which tracks it is made
of, a reward that pays .45 for any familiar track, the loss of the candidates' own Item-CF score,
and training candidates that no evaluation has: the truth, the listener's own tracks and random
popular ones besides Item-CF's best. `truth_offered = false` leaves the truth out.

Different: sessions stand for windows in the fit of Item-CF; a track's numbers stand in the order of
the vocabulary (in the original in no order); among the candidates the truth is never cut off.
Letters: `B` queries, `N` candidates, `V` tracks, `D` = 128 numbers.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segue.core.config import Config
from segue.core.errors import DataError
from segue.core.progress import Advance, silent
from segue.core.seeding import generator
from segue.tasks.playlist.models.base import Arrays
from segue.tasks.playlist.models.item_cf import ItemCF, ItemCFConfig
from segue.tasks.playlist.models.kernels import Table
from segue.tasks.playlist.models.kernels_ranking import SparseRecommender
from segue.tasks.playlist.rewards import Decisions, playlist_reward
from segue.tasks.playlist.sessions import Sessions

__all__ = ["Original", "OriginalConfig"]

Floats = NDArray[np.float64]
Narrow = NDArray[np.float32]

_D = 128
"""Numbers of a track and of a state."""
_RECENT = 10
"""Tracks that a state is made of."""
_ACTOR = ((_D, 128), (128, 128), (128, 64), (64, _D))
_CRITIC = ((_D, 128), (128, 128), (128, 1))


class OriginalConfig(Config):
    """Settings of the original's agent, with its values."""

    neighbours: int = Field(30, ge=1, le=_D)
    """Similar tracks that Item-CF keeps of each."""
    candidates: int = Field(100, ge=1)
    """Candidates, in training and afterwards."""
    from_similar: int = Field(50, ge=0)
    """Of the training candidates, the best of Item-CF."""
    from_history: int = Field(30, ge=0)
    """Of them, at most so many of the listener's own tracks."""
    from_popular: int = Field(15, ge=0)
    """Of them, random ones of the most popular."""
    popular: int = Field(10_000, ge=1)
    """How many tracks are called popular."""
    truth_offered: bool = True
    """Whether the next track is always among the training candidates."""
    episodes: int = Field(10_000, ge=1)
    """One decision each."""
    actor_rate: float = Field(1e-4, gt=0)
    """Of Adam."""
    critic_rate: float = Field(1e-3, gt=0)
    """Of Adam."""
    entropy: float = Field(0.01, ge=0)
    """Weight of the entropy bonus."""
    coldest: float = Field(0.5, gt=0, le=1)
    """Lowest temperature."""
    clip: float = Field(1.0, gt=0)
    """Longer gradients are shortened."""
    least: int = Field(4, ge=1)
    """Fewest tracks of a window."""
    most: int = Field(49, ge=1)
    """Most tracks of a window."""
    seed: int = Field(0, ge=0)
    """Of initial weights, windows and choices."""


class Original(SparseRecommender):
    """The agent as a recommender: it orders Item-CF's best candidates, and knows no others."""

    name = "original"
    config_type = OriginalConfig
    seeded = True

    item_cf: ItemCF
    weights: dict[str, Narrow]
    history: dict[str, float]
    """What training earned: mean reward, hits and familiar tracks of its last quarter."""

    def fit(
        self,
        sessions: Sessions,
        n_tracks: int,
        *,
        validation: Sessions | None = None,
        advance: Advance = silent,
    ) -> Self:
        """Fit Item-CF, then play the episodes; `validation` is not looked at.

        Raises:
            DataError: no session is long enough for a window and a next track.
        """
        config = self.config
        self.n_tracks = n_tracks
        settings = ItemCFConfig(neighbours=config.neighbours, keep_self=False, decay=1.0)
        self.item_cf = ItemCF(settings).fit(sessions, n_tracks)
        self.weights, self.history = _train(self, sessions, advance)
        return self

    def table(self, queries: Sessions) -> Table:
        """Return the candidates and their scores, rows of [B, V]."""
        tracks, _ = self.item_cf.recommend(queries, self.config.candidates, repeats="masked")
        preference = _layers(self.states(queries), self.weights, "actor", norm=True)
        scores = np.einsum("bnd,bd->bn", self.vectors(tracks), preference)
        there = tracks >= 0
        indptr = np.concatenate([[0], np.cumsum(there.sum(axis=1))]).astype(np.int64)
        return Table(indptr=indptr, indices=tracks[there], values=scores[there].astype(np.float32))

    def vectors(self, tracks: NDArray[Any]) -> Narrow:
        """Return what represents each track of any array: numbers of its similarities, [.., D]."""
        table = self.item_cf.neighbours
        flat = np.asarray(tracks, dtype=np.int64).reshape(-1)
        known = np.maximum(flat, 0)
        low = table.indptr[known]
        count = np.where(flat >= 0, table.indptr[known + 1] - low, 0)
        places = np.arange(self.config.neighbours)
        inside = places < count[:, None]
        found = np.zeros((len(flat), _D), dtype=np.float32)
        if len(table.values):
            at = np.where(inside, low[:, None] + places, 0)
            found[:, : len(places)] = np.where(inside, table.values[at], 0.0)
        return found.reshape(*np.shape(tracks), _D)

    def states(self, queries: Sessions) -> Narrow:
        """Return the state of each query, [B, D]."""
        states = np.zeros((len(queries), _D), dtype=np.float32)
        for i in range(len(queries)):
            tracks = queries[i][-_RECENT:]
            if len(tracks):
                weights = np.exp(np.linspace(-1.0, 0.0, len(tracks)))
                weights /= weights.sum()
                states[i] = weights.astype(np.float32) @ self.vectors(tracks)
        return states

    def arrays(self) -> Arrays:
        """Return Item-CF's table and the weights."""
        kept = {f"item_cf.{name}": value for name, value in self.item_cf.arrays().items()}
        return kept | self.weights

    def restore(self, arrays: Arrays) -> None:
        """Put back what `arrays` returned."""
        config = self.config
        settings = ItemCFConfig(neighbours=config.neighbours, keep_self=False, decay=1.0)
        self.item_cf = ItemCF(settings)
        self.item_cf.n_tracks = self.n_tracks
        prefix = "item_cf."
        self.item_cf.restore(
            {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
        )
        self.weights = {k: v for k, v in arrays.items() if not k.startswith(prefix)}
        self.history = {}


def _layers(x: Narrow, weights: dict[str, Narrow], part: str, *, norm: bool) -> Narrow:
    """Compute a network without torch; the first two layers of the actor are normalised."""
    n = sum(name.startswith(f"{part}.linear") for name in weights) // 2
    for i in range(n):
        x = x @ weights[f"{part}.linear{i}.weight"].T + weights[f"{part}.linear{i}.bias"]
        if norm and i < 2:
            centred = x - x.mean(axis=1, keepdims=True)
            scale = np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + 1e-5)
            x = (
                centred / scale * weights[f"{part}.norm{i}.weight"]
                + weights[f"{part}.norm{i}.bias"]
            )
        if i < n - 1:
            x = np.maximum(x, 0.0)
    return x


class _Windows:
    """Random windows of sessions, and the candidates of training."""

    def __init__(self, model: Original, sessions: Sessions) -> None:
        config = model.config
        self.model, self.sessions = model, sessions
        counts = np.maximum(sessions.lengths - config.least, 0)
        self.edges = np.cumsum(counts)
        if not len(counts) or not self.edges[-1]:
            raise DataError(
                f"no session has a window of {config.least} tracks and a next one",
                advice="Set least lower, or prepare longer sessions",
            )
        plays = np.bincount(sessions.tracks[sessions.tracks >= 0], minlength=model.n_tracks)
        self.popular = np.argsort(-plays, kind="stable")[: config.popular]
        self._by_user = np.argsort(sessions.users, kind="stable")
        self._users = sessions.users[self._by_user]

    def draw(self, rng: np.random.Generator) -> tuple[Sessions, int, NDArray[np.int32]]:
        """Return a window, its next track, and all tracks of its listener."""
        config = self.model.config
        number = int(rng.integers(self.edges[-1]))
        session = int(np.searchsorted(self.edges, number, side="right"))
        before = int(self.edges[session - 1]) if session else 0
        tracks = self.sessions[session]
        place = config.least + number - before
        window = tracks[max(0, place - config.most) : place]
        user = self.sessions.users[session]
        heard = [tracks]
        if user >= 0:
            low, high = np.searchsorted(self._users, [user, user + 1])
            heard = [self.sessions[i] for i in self._by_user[low:high]]
        return (
            Sessions.from_flat(window, [len(window)]),
            int(tracks[place]),
            np.unique(np.concatenate(heard)),
        )

    def candidates(
        self, window: Sessions, truth: int, heard: NDArray[np.int32], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Return different tracks, at most N; with the truth first where it is offered."""
        config = self.model.config
        similar, _ = self.model.item_cf.recommend(window, config.from_similar, repeats="masked")
        own = heard[~np.isin(heard, window.tracks) & (heard >= 0)]
        own = rng.permutation(own)[: config.from_history]
        fill = config.from_popular + config.candidates
        others = self.popular[rng.integers(len(self.popular), size=fill)]
        first = [truth] if config.truth_offered else []
        pool = np.concatenate([first, similar[0][similar[0] >= 0], own, others]).astype(np.int64)
        _, begin = np.unique(pool, return_index=True)
        return np.asarray(pool[np.sort(begin)][: config.candidates])


def _train(
    model: Original, sessions: Sessions, advance: Advance
) -> tuple[dict[str, Narrow], dict[str, float]]:
    """Play the episodes; return weights and what the last quarter earned."""
    import torch
    from torch import nn

    torch.set_num_threads(1)  # spinning threads cost more than such small products gain
    config = model.config
    windows, reward = _Windows(model, sessions), playlist_reward("original")
    rng = generator(config.seed, "original agent")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**31)))
        parts: dict[str, nn.Module] = {
            f"{part}.linear{i}": nn.Linear(*shape)
            for part, shapes in (("actor", _ACTOR), ("critic", _CRITIC))
            for i, shape in enumerate(shapes)
        }
    parts |= {f"actor.norm{i}": nn.LayerNorm(128) for i in range(2)}

    def run(part: str, x: torch.Tensor) -> torch.Tensor:
        n = len(_ACTOR if part == "actor" else _CRITIC)
        for i in range(n):
            x = parts[f"{part}.linear{i}"](x)
            if part == "actor" and i < 2:
                x = parts[f"actor.norm{i}"](x)
            x = torch.relu(x) if i < n - 1 else x
        return x

    def weights_of(part: str) -> list[Any]:
        return [p for name, m in parts.items() if name.startswith(part) for p in m.parameters()]

    actor = torch.optim.Adam(weights_of("actor"), lr=config.actor_rate, fused=True)
    critic = torch.optim.Adam(weights_of("critic"), lr=config.critic_rate, fused=True)
    last: list[tuple[float, bool, bool]] = []
    for episode in range(config.episodes):
        window, truth, heard = windows.draw(rng)
        tracks = windows.candidates(window, truth, heard, rng)
        state = torch.from_numpy(model.states(window))
        temperature = max(config.coldest, 1.0 - episode / config.episodes)
        logits = torch.from_numpy(model.vectors(tracks)) @ run("actor", state)[0] / temperature
        log_p = torch.log_softmax(logits, dim=0)
        odds = log_p.detach().exp().numpy().astype(np.float64)
        choice = int(np.searchsorted(np.cumsum(odds), rng.random() * odds.sum(), side="right"))
        choice = min(choice, len(tracks) - 1)
        track = int(tracks[choice])
        backwards = window.tracks[::-1]
        ago = int((backwards == track).argmax()) + 1 if track in backwards else 0
        familiar = bool(np.isin(track, heard))
        decision = Decisions.make(tracks=[track], hits=[track == truth], heard=familiar, ago=ago)
        paid = float(reward(decision)[0][0])
        value = run("critic", state)[0, 0]
        gain = paid - float(value.detach())
        entropy = -(log_p.exp() * log_p).sum()
        actor.zero_grad()
        torch.autograd.backward(-log_p[choice] * gain - config.entropy * entropy)
        nn.utils.clip_grad_norm_(weights_of("actor"), config.clip)
        actor.step()
        critic.zero_grad()
        torch.autograd.backward((value - paid).square())
        nn.utils.clip_grad_norm_(weights_of("critic"), config.clip)
        critic.step()
        if episode >= config.episodes * 3 // 4:
            last.append((paid, track == truth, familiar))
        advance(1 / config.episodes)
    weights = {
        f"{name}.{kind}": getattr(module, kind).detach().numpy().copy()
        for name, module in parts.items()
        for kind in ("weight", "bias")
    }
    means = np.mean(np.array(last, dtype=np.float64), axis=0)
    return weights, dict(zip(("reward", "hits", "familiar"), means.tolist(), strict=True))
