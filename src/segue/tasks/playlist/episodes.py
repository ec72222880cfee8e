"""Playlists in the making, many at once: what the environments and the agents play.

A `Pool` holds queries: each a history, the prior's candidates for it, and what is known of the
tracks. An episode makes one list for one query: track after track is chosen among the candidates,
and a `Listener` says what becomes of it. The candidates of a query stay the same during its list;
what is known of each changes with every choice (`CANDIDATE_NUMBERS`, `STATE_NUMBERS`).

Nothing in an episode depends on the other episodes of its batch, to the last bit: one episode is a
batch of one. Letters: `Q` queries, `B` episodes, `N` candidates, `K` tracks of a list, `F` and `S`
numbers of a candidate and of the state, `V` tracks, `D` numbers of a track's vector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import RunError, UsageError
from segue.rl.rewards import WeightedSum
from segue.tasks.playlist.pool import CANDIDATE_NUMBERS, STATE_NUMBERS, WINDOW, Pool
from segue.tasks.playlist.rewards import Decisions
from segue.tasks.playlist.sessions import UNKNOWN

__all__ = [
    "Chooser",
    "Episodes",
    "Situation",
    "play_all",
]

Floats = NDArray[np.float64]
Narrow = NDArray[np.float32]
Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]

_FADE = 0.8
"""What is left, one track later, of the weight of a track that was heard (own choice)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Situation:
    """What a policy may look at."""

    candidates: Narrow
    """[B, N, F]."""
    state: Narrow
    """[B, S]."""
    mask: Flags
    """[B, N] what may be chosen."""
    prior: Narrow
    """[B, N]."""
    episodes: Episodes
    """The episodes themselves; a greedy planner with the truth asks them, an agent must not."""


Chooser = Callable[[Situation], NDArray[Any]]
"""Returns which candidate to take, [B]."""

_LANES = (
    "queries",
    "noise",
    "step_",
    "open",
    "ago",
    "heard",
    "apart",
    "closest",
    "fading",
    "newest",
    "liked",
    "skipped",
    "counts",
    "lists",
)


class Episodes:
    """B lists in the making.

    Args:
        pool: of the queries.
        queries: whose lists, [B].
        noise: numbers that decide the chances of each listener, [B].
        reward: what is paid.
        length: tracks of a list, K.
        repeats: whether a track may stand in a list twice.
    """

    def __init__(
        self,
        pool: Pool,
        queries: Indices,
        noise: Indices,
        reward: WeightedSum,
        *,
        length: int,
        repeats: bool = False,
    ) -> None:
        if length < 1:
            raise UsageError(f"a list of {length} tracks: at least 1 is needed")
        self.pool, self.reward, self.length, self.repeats = pool, reward, length, repeats
        b, n = len(queries), pool.n_candidates
        static = pool.candidates.numbers.shape[2]
        self._static = static
        self._numbers = np.zeros((b, n, static + len(CANDIDATE_NUMBERS)), dtype=np.float32)
        self._state = np.zeros((b, pool.layout.state_numbers), dtype=np.float32)
        self._cosines = np.zeros((b, n, n), dtype=np.float32)
        self.queries, self.noise = np.zeros((2, b), dtype=np.int64)
        self.step_ = np.zeros(b, dtype=np.int64)
        """Place that is to be filled next, [B]."""
        self.open = np.zeros((b, n), dtype=np.bool_)
        """What may be chosen, [B, N]."""
        self.ago, self.heard = np.zeros((2, b, n), dtype=np.int64)
        self.apart = np.zeros((b, n))
        self.closest, self.fading, self.newest, self.liked, self.skipped = np.zeros(
            (5, b, n), dtype=np.float32
        )
        self.counts = np.zeros((b, 3), dtype=np.int64)
        """How many were liked, how many skipped, whether the newest was, [B, 3]."""
        self.lists = np.full((b, length), UNKNOWN, dtype=np.int32)
        """What was chosen, [B, K]."""
        self.minds: dict[str, NDArray[Any]] = pool.listener.begin(queries, noise)
        """What the listeners carry along; [B, ...] each."""
        self.restart(np.arange(b), queries, noise)

    def restart(self, lanes: Indices, queries: Indices, noise: Indices) -> None:
        """Begin new lists in some lanes."""
        pool = self.pool
        known, recent = pool.candidates, pool.recent[queries]
        vectors = pool.vectors[known.tracks[queries]]
        past = pool.vectors[recent]
        self.queries[lanes], self.noise[lanes], self.step_[lanes] = queries, noise, 0
        self.open[lanes] = known.mask[queries]
        same = known.tracks[queries][:, :, None] == np.where(recent >= 0, recent, -2)[:, None, :]
        self.ago[lanes] = np.where(same.any(axis=2), same.argmax(axis=2) + 1, 0)
        self.heard[lanes] = same.sum(axis=2) if pool.heard is None else pool.heard[queries]
        # A product of stacked matrices is computed one by one: no lane depends on the others.
        self._cosines[lanes] = np.matmul(vectors, vectors.transpose(0, 2, 1))
        near = np.matmul(vectors, past.transpose(0, 2, 1))
        self.newest[lanes] = near[:, :, 0]
        weights = (_FADE ** np.arange(near.shape[2])).astype(np.float32)
        self.fading[lanes] = np.matmul(near, weights[None, :, None])[:, :, 0]
        for name in ("apart", "closest", "liked", "skipped", "counts"):
            getattr(self, name)[lanes] = 0
        self.lists[lanes] = UNKNOWN
        self._numbers[lanes, :, : self._static] = known.numbers[queries]
        self._numbers[lanes, :, self._static] = pool.prior[queries]
        self._numbers[lanes, :, self._static + 1] = known.mask[queries]
        self._state[lanes, : known.state.shape[1]] = known.state[queries]
        for name, values in pool.listener.begin(queries, noise).items():
            self.minds[name][lanes] = values
        self._show()

    def situation(self) -> Situation:
        """Return what is to be decided now; the arrays change with the next step."""
        return Situation(
            candidates=self._numbers,
            state=self._state,
            mask=self.open,
            prior=self._numbers[:, :, self._static],
            episodes=self,
        )

    def observe(self) -> Narrow:
        """Return the same as rows, [B, N F + S]; see `Pool.layout`."""
        return np.concatenate([self._numbers.reshape(len(self._state), -1), self._state], axis=1)

    def step(
        self, actions: NDArray[Any], among: Indices | None = None
    ) -> tuple[Decisions, Floats, dict[str, Floats], Flags]:
        """Take one candidate in every lane, or in the lanes `among`.

        Returns:
            The decisions, their rewards [B], every part of them, and whether the episode ended.
        """
        pool, listener = self.pool, self.pool.listener
        lanes = np.arange(len(self.queries)) if among is None else among
        queries, place = self.queries[lanes], self.step_[lanes].copy()
        tracks = pool.candidates.tracks[queries, actions].astype(np.int64)
        minds = {name: value[lanes] for name, value in self.minds.items()}
        response = listener.respond(queries, self.noise[lanes], place, minds, tracks)
        for name, value in minds.items():
            self.minds[name][lanes] = value
        decisions = Decisions.make(
            tracks=tracks,
            hits=response.hits,
            length=self.length,
            places=place,
            wanted=listener.wanted(queries),
            heard=self.heard[lanes, actions],
            ago=self.ago[lanes, actions],
            apart=self.apart[lanes, actions],
            surprisal=pool.surprisal[tracks],
            skipped=response.skipped,
            queries=queries,
        )
        rewards, parts = self.reward(decisions)
        self._remember(lanes, np.asarray(actions), tracks, response.hits, response.skipped)
        ended = response.leaves | (place + 1 >= self.length) | ~self.open[lanes].any(axis=1)
        return decisions, rewards, parts, ended

    def _remember(
        self, lanes: Indices, actions: Indices, tracks: Indices, hits: Flags, skipped: Flags
    ) -> None:
        near = self._cosines[lanes, actions]  # [B, N]
        place = self.step_[lanes]
        self.lists[lanes, place] = tracks
        begun = place[:, None] > 0
        self.closest[lanes] = np.where(begun, np.maximum(self.closest[lanes], near), near)
        self.apart[lanes] += np.float64(1.0) - near
        self.newest[lanes] = near
        self.fading[lanes] = np.float32(_FADE) * self.fading[lanes] + near
        ago = self.ago[lanes]
        ago = np.where((ago > 0) & (ago < WINDOW), ago + 1, 0)
        ago[np.arange(len(lanes)), actions] = 1
        self.ago[lanes] = ago
        self.heard[lanes, actions] += 1
        if not self.repeats:
            self.open[lanes, actions] = False
        if self.pool.listener.answers:
            self.liked[lanes] += near * hits[:, None]
            self.skipped[lanes] += near * skipped[:, None]
            self.counts[lanes, 0] += hits
            self.counts[lanes, 1] += skipped
            self.counts[lanes, 2] = skipped
        self.step_[lanes] += 1
        self._show()

    def _show(self) -> None:
        """Write what changes into the numbers."""
        # Column by column, so that no operation runs over several lanes' sums.
        first, made = self._static + 2, np.maximum(self.step_, 1)[:, None]
        liked, skips = (np.maximum(self.counts[:, i], 1)[:, None] for i in (0, 1))
        share = self.step_ / np.float64(self.length)
        columns = (
            self.closest,
            np.where(self.step_[:, None] > 0, 1.0 - self.apart / made, 0.0),
            self.newest,
            self.fading * np.float32(1 - _FADE),
            np.where(self.ago > 0, 1.0 / np.maximum(self.ago, 1), 0.0),
            np.log1p(self.heard) / np.log(WINDOW),
            self.liked / liked.astype(np.float32),
            self.skipped / skips.astype(np.float32),
        )
        there = self._numbers[:, :, self._static + 1]
        for i, column in enumerate(columns):
            self._numbers[:, :, first + i] = column * there
        at = self._state.shape[1] - len(STATE_NUMBERS)
        self._state[:, at] = share
        self._state[:, at + 1] = self.counts[:, 0] / made[:, 0]
        self._state[:, at + 2] = self.counts[:, 1] / made[:, 0]
        self._state[:, at + 3] = self.counts[:, 2]

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Return all that decides the future but the pool."""
        kept = {name: getattr(self, name).copy() for name in _LANES}
        return kept | {f"mind.{name}": value.copy() for name, value in self.minds.items()}

    def set_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Undo `get_state`.

        Raises:
            RunError: it is the state of other episodes.
        """
        now = self.get_state()
        for name, value in now.items():
            if name not in arrays or arrays[name].shape != value.shape:
                raise RunError(f"the checkpoint's episodes do not fit: '{name}'")
        if (arrays["queries"] >= len(self.pool)).any():
            raise RunError("the checkpoint's episodes have more queries")
        self.restart(np.arange(len(self.queries)), arrays["queries"], arrays["noise"])
        for name in _LANES:
            getattr(self, name)[:] = arrays[name]
        for name in self.minds:
            self.minds[name][:] = arrays[f"mind.{name}"]
        self._show()


def play_all(
    pool: Pool,
    choose: Chooser,
    reward: WeightedSum,
    *,
    length: int,
    noise: Indices | None = None,
    queries: Indices | None = None,
    repeats: bool = False,
    batch: int = 256,
) -> tuple[dict[str, Floats], NDArray[np.int32]]:
    """Make one list for every query.

    Args:
        pool: of the queries.
        choose: the policy.
        reward: what is paid.
        length: tracks of a list.
        noise: of the listeners, [n]; by default the number of the query.
        queries: numbers of the queries, [n]; all by default.
        repeats: whether a track may stand in a list twice.
        batch: lists that are made at once.

    Returns:
        "return", "length" (tracks until the listener left), "hits", "skipped" and every part of
        the reward, [n] each; and the lists [n, K], -1 after the end.
    """
    which = np.arange(len(pool)) if queries is None else np.asarray(queries, dtype=np.int64)
    chances = which if noise is None else np.asarray(noise, dtype=np.int64)
    lists = np.full((len(which), length), UNKNOWN, dtype=np.int32)
    names = ("return", "length", "hits", "skipped", *reward.parts)
    sums = {name: np.zeros(len(which)) for name in names}
    for start in range(0, len(which), batch):
        rows = np.arange(start, min(start + batch, len(which)))
        episodes = Episodes(
            pool, which[rows], chances[rows], reward, length=length, repeats=repeats
        )
        going = np.ones(len(rows), dtype=np.bool_)
        while going.any():
            actions = np.asarray(choose(episodes.situation()))
            among = np.flatnonzero(going)
            decisions, paid, parts, ended = episodes.step(actions[among], among)
            at = rows[among]
            for name, value in parts.items():
                sums[name][at] += value
            sums["return"][at] += paid
            sums["length"][at] += 1
            sums["hits"][at] += decisions.hits
            sums["skipped"][at] += decisions.skipped
            going[among[ended]] = False
        lists[rows] = episodes.lists
    return sums, lists
