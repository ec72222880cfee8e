"""The playlist environment of Gymnasium: one list, track after track.

It is a batch of one of `episodes`; `batched.BatchedPlaylist` plays many at once and pays the same
to the last bit.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from segue.core.errors import UsageError
from segue.core.names import unknown
from segue.rl.rewards import WeightedSum
from segue.tasks.playlist.episodes import Episodes, Narrow
from segue.tasks.playlist.pool import CANDIDATE_NUMBERS, STATE_NUMBERS, Pool
from segue.tasks.playlist.rewards import playlist_reward

__all__ = ["ILLEGAL", "OPTIONS", "PlaylistEnv", "bounds"]

ILLEGAL = -1.0
"""Paid for a candidate that may not be chosen, which also ends the episode (own choice)."""
OPTIONS = ("noise", "query")
"""What `reset` takes as options."""
_NOISE = 2**62
_MANY = 1000
"""More often than that nobody hears a track in one session."""


def bounds(pool: Pool) -> Any:
    """Return the space of observations of a pool, a `Box`."""
    layout, known = pool.layout, pool.candidates
    lowest, highest = known.numbers.min(axis=(0, 1)), known.numbers.max(axis=(0, 1))
    ours = np.ones(len(CANDIDATE_NUMBERS), dtype=np.float32)
    own_low, own_high = -1.001 * ours, 1.001 * ours
    own_low[0] = float(pool.prior.min())
    most = _MANY if pool.heard is None else _MANY + float(pool.heard.max(initial=0))
    own_high[CANDIDATE_NUMBERS.index("log times heard")] = np.log1p(most) / np.log(50)
    zero = np.zeros(layout.candidate_numbers, dtype=np.float32)  # where there is no candidate
    low = np.minimum(np.concatenate([lowest, own_low]), zero)
    high = np.maximum(np.concatenate([highest, own_high]), zero)
    state = known.state
    ends = np.ones(len(STATE_NUMBERS), dtype=np.float32)
    return spaces.Box(
        np.concatenate([np.tile(low, layout.n_actions), state.min(axis=0), 0 * ends]),
        np.concatenate([np.tile(high, layout.n_actions), state.max(axis=0), ends]),
        dtype=np.float32,
    )


class PlaylistEnv(gymnasium.Env[Narrow, Any]):
    """Make a playlist for a listener, one track at a time.

    ## Description
    A query is what a listener has heard; the prior offers N candidates for what comes next. The
    agent fills a list of K places. The listener is the hidden rest of a logged session
    (`listeners.LoggedListener`) or a simulated person (`simulator.SimulatedListener`), who may go
    away before the list is full.

    ## Action Space
    `Discrete(N)`: which candidate. A track may stand in a list once (unless `repeats`), and a query
    may have fewer than N candidates; `action_masks()` says what is allowed, in the form that
    MaskablePPO asks for.

    ## Observation Space
    A `Box` of float32 as `rl.candidate_policy` lays it out: for each candidate the numbers of its
    query and those of `pool.CANDIDATE_NUMBERS`, then the numbers of the query and those of
    `pool.STATE_NUMBERS`. A candidate that does not exist is zeros.

    ## Rewards
    The weighted sum of terms of `rewards.REWARDS`; each weighted part is in `info`, with `track`,
    `wanted` and `skipped`. Returns of a list are figures of the list, see there.

    ## Starting State
    A query drawn at random and the noise of the listener. Options of `reset`: `query`, its number;
    `noise`, a whole number that decides every chance of the episode.

    ## Episode End
    Terminates when the list is full, when the listener leaves, when nothing is left to choose, and
    at an action that is not allowed. Never truncates. `info["list"]` then holds the whole list.

    ## Arguments
    `pool`; `reward` (by default the preset `playlist`); `length` of a list; `repeats`;
    `render_mode`, None or "ansi": one line for the last step.
    """

    metadata = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012  as Gymnasium types it

    def __init__(
        self,
        pool: Pool,
        reward: WeightedSum | None = None,
        *,
        length: int = 5,
        repeats: bool = False,
        render_mode: str | None = None,
    ) -> None:
        self.pool, self.reward = pool, reward or playlist_reward()
        self.length, self.repeats = length, repeats
        self.render_mode = render_mode
        self.layout = pool.layout
        self.observation_space: spaces.Space[Narrow] = bounds(pool)
        self.action_space = spaces.Discrete(pool.n_candidates)
        self.episodes = self._begin(0, 0)
        self._playing = False
        self._last = ""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Narrow, dict[str, Any]]:
        """Begin a list; see the options under "Starting State".

        Raises:
            UnknownName: there is no such option.
            UsageError: there is no such query.
        """
        super().reset(seed=seed)
        given = dict(options or {})
        for name in given:
            if name not in OPTIONS:
                raise unknown("option of reset", name, OPTIONS)
        query = int(given.get("query", self.np_random.integers(len(self.pool))))
        noise = int(given.get("noise", self.np_random.integers(_NOISE)))
        if not 0 <= query < len(self.pool):
            raise UsageError(f"there is no query {query}", advice=f"0 to {len(self.pool) - 1}")
        self.episodes = self._begin(query, noise)
        self._playing, self._last = True, ""
        return self.episodes.observe()[0], {"query": query, "noise": noise}

    def step(self, action: Any) -> tuple[Narrow, float, bool, bool, dict[str, Any]]:
        """Put a candidate on the list.

        Raises:
            ResetNeeded: no list is being made.
            UsageError: the action is outside 0..N-1.
        """
        if not self._playing:
            raise ResetNeeded("call reset() before step()")
        choice, episodes = int(action), self.episodes
        if not 0 <= choice < self.pool.n_candidates:
            raise UsageError(f"action {choice} is outside 0..{self.pool.n_candidates - 1}")
        if not episodes.open[0, choice]:
            self._playing = False
            info = {"illegal": True, "list": self._list()}
            return episodes.observe()[0], ILLEGAL, True, False, info
        decisions, rewards, parts, ended = episodes.step(np.array([choice]))
        info = {name: float(value[0]) for name, value in parts.items()}
        track = int(decisions.tracks[0])
        hit, skipped = bool(decisions.hits[0]), bool(decisions.skipped[0])
        info |= {"track": track, "wanted": hit, "skipped": skipped}
        final = bool(ended[0])
        if final:
            self._playing = False
            info["list"] = self._list()
        reward = float(rewards[0])
        self._last = f"track {track}: {'wanted' if hit else 'not wanted'}, {reward:+.3f}"
        return episodes.observe()[0], reward, final, False, info

    def action_masks(self) -> NDArray[np.bool_]:
        """Return the allowed actions, [N]."""
        return np.array(self.episodes.open[0])

    def render(self) -> str | None:
        """Return a line about the last step."""
        return self._last if self.render_mode == "ansi" else None

    def _list(self) -> list[int]:
        return [int(track) for track in self.episodes.lists[0] if track >= 0]

    def _begin(self, query: int, noise: int) -> Episodes:
        return Episodes(
            self.pool,
            np.array([query]),
            np.array([noise]),
            self.reward,
            length=self.length,
            repeats=self.repeats,
        )
