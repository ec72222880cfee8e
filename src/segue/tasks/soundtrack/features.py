"""Episodes over candidates: the numbers a policy sees, and what its choices earn.

`CandidateEpisodes` plays `B` episodes of any videos of a `CandidateStack` at once. Action c < C
starts candidate c of the present segment, action C continues. Rewards are those of `scoring.score`
with the switch term paid at every switch (the difference of its expected end value), which adds up
to the same return.

The policy's prior is the best immediate reward: `prior` = SHARPNESS times (immediate reward less
the best one). A network that adds nothing to it is the greedy agent that counts switches.

Letters: `B` episodes, `C` candidates, `F` = len(CANDIDATE_NUMBERS), `S` = len(STATE_NUMBERS).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segue.tasks.soundtrack.candidates import (
    DEPTH,
    FIXED_NUMBERS,
    MILD_LOSS,
    CandidateStack,
    Flags,
    Indices,
    Narrow,
)
from segue.tasks.soundtrack.scoring import REPEAT
from segue.tasks.soundtrack.tables import Floats

__all__ = [
    "CANDIDATE_NUMBERS",
    "EPISODE_STATE",
    "SHARPNESS",
    "STATE_NUMBERS",
    "CandidateEpisodes",
    "Numbers",
]

CANDIDATE_NUMBERS = (
    *FIXED_NUMBERS,
    "smoothness",
    "repeat penalty",
    "switch term",
    "immediate reward minus best",
    "hand-over quality",
    "cosine with the theme so far",
    "continues",
    "first segment",
)
STATE_NUMBERS = (
    "position",
    "segments left / 10",
    "switches / 5",
    "(mean target - switches) / 5",
    "deviation of the target / 5",
    *(f"switch term of the next switch, +{i}" for i in range(4)),
    *(f"gate, +{i}" for i in range(5)),
    *(f"fit of the current track minus best, +{i}" for i in range(4)),
    "segments the current track lasts / 8",
    "cannot continue",
    "cuts left / 5",
    "first segment",
    "length / 10 s",
    "weight of smoothness",
    "weight of theme",
    "weight of silence",
)
SHARPNESS = 8.0
"""Logits per unit of immediate reward in the prior."""

EPISODE_STATE = (
    "video",
    "track",
    "segment",
    "elapsed_s",
    "switches",
    "starts",
    "_vectors",
    "_units",
    "_theme",
)
"""Arrays that say where the episodes of `CandidateEpisodes` are."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Numbers:
    """What a policy sees of `B` episodes."""

    candidates: Narrow
    """[B, C + 1, F]; 0 where `mask` is False."""
    state: Narrow
    """[B, S]."""
    mask: Flags
    """[B, C + 1] allowed actions; at least one of each episode."""
    prior: Narrow
    """[B, C + 1] logits before learning; 0 where `mask` is False."""


class CandidateEpisodes:
    """State of `B` episodes.

    Args:
        stack: the videos.
        videos: [B] video of each episode.
    """

    def __init__(self, stack: CandidateStack, videos: Indices) -> None:
        self.stack = stack
        n, width = len(videos), stack.vectors.shape[1]
        self.video = np.array(videos, dtype=np.int64)
        self.segment = np.zeros(n, dtype=np.int64)
        self.track = np.full(n, -1, dtype=np.int64)
        """Place in the universe of the track that plays, -1 before the first one."""
        self.elapsed_s = np.zeros(n)
        self.switches = np.zeros(n, dtype=np.int64)
        self.starts = np.zeros((n, int(stack.size.max())), dtype=np.int8)
        self._vectors = np.zeros((n, width))
        self._units = np.zeros((n, width))
        self._theme = np.zeros((n, stack.directions.shape[1]), dtype=np.float32)
        self._lanes = np.arange(n)

    @property
    def done(self) -> Flags:
        """[B] whether all segments are decided."""
        return np.asarray(self.segment >= self.stack.n_segments[self.video])

    def take(self, rows: Indices) -> CandidateEpisodes:
        """Return copies of the episodes `rows`, which may repeat."""
        copy = object.__new__(CandidateEpisodes)
        copy.stack, copy._lanes = self.stack, np.arange(len(rows))
        for name in EPISODE_STATE:
            setattr(copy, name, getattr(self, name)[rows])
        return copy

    def restart(self, lanes: Indices, videos: Indices) -> None:
        """Begin new episodes in `lanes`."""
        self.video[lanes] = videos
        self.track[lanes] = -1
        for name in EPISODE_STATE[2:]:
            getattr(self, name)[lanes] = 0

    def library_actions(self, actions: Indices) -> Indices:
        """Return [B] the actions in terms of the library: a track, or K to continue."""
        stack, chosen = self.stack, np.empty(len(actions), dtype=np.int64)
        for b, action in enumerate(actions.tolist()):
            v, t = int(self.video[b]), int(self.segment[b])
            if action == stack.n_candidates:
                chosen[b] = stack.tables[v].n_tracks
            else:
                chosen[b] = stack.universe[stack.library[v]][stack.candidates[v, t, action]]
        return chosen

    def numbers(self) -> Numbers:
        """Return what the policy sees; no episode may be done."""
        stack, v, t, track = self.stack, self.video, self.segment, self.track
        n, n_candidates = len(v), stack.n_candidates
        playing = track >= 0
        current = np.maximum(track, 0)
        size, weights = stack.size[v], stack.weights[v].astype(np.float32)
        gate = stack.gate[v[:, None], t[:, None] + np.arange(5)].astype(np.float32)
        n_left = stack.n_segments[v] - t

        # 1. The current track: what it earns from here on.
        ahead, lasts, silent = self._ahead(current, size)
        lasts = np.where(playing, lasts, 0)
        goes_on = lasts > 0
        shown = np.where(np.isnan(ahead), np.float32(-MILD_LOSS), ahead)

        # 2. Fixed numbers of the candidates, and those of continuing.
        numbers = np.empty((n, n_candidates + 1, len(CANDIDATE_NUMBERS)), dtype=np.float32)
        n_fixed = len(FIXED_NUMBERS)
        numbers[:, :-1, :n_fixed] = stack.fixed[v, t]
        places = np.empty((n, n_candidates + 1), dtype=np.int64)
        places[:, :-1], places[:, -1] = stack.candidates[v, t], current
        mask = np.empty((n, n_candidates + 1), dtype=np.bool_)
        mask[:, :-1], mask[:, -1] = stack.valid[v, t], goes_on
        own = numbers[:, -1]
        own[:, :4] = shown[:, :4]
        own[:, 4], own[:, 5] = shown[:, :2].sum(axis=1), shown[:, :4].sum(axis=1)
        own[:, 6] = shown[:, :8].sum(axis=1)
        own[:, 7] = np.minimum(lasts, 8) / 8
        own[:, 8] = lasts >= n_left
        length = stack.lengths_s[v, t]
        rest = stack.durations_s[stack.track_base[v] + current] - self.elapsed_s - length
        own[:, 9] = rest.clip(-60.0, 120.0) / 60
        own[:, 10] = shown[:, 0] + stack.best[v, t] + silent
        own[:, 11] = silent
        for column, step in ((12, 1), (13, 2), (14, lasts)):
            later = t + step
            inside = later < stack.n_segments[v]
            cell = stack.cell_base[v] + np.where(inside, later, 0) * size + current
            own[:, column] = np.where(inside, stack.hand_over.take(cell), 0.0)

        # 3. What depends on the past.
        pair = stack.pair_base[v][:, None] + places * size[:, None] + current[:, None]
        quality = stack.transition.take(pair).astype(np.float32)
        quality *= playing[:, None]
        smooth = weights[:, :1] * gate[:, :1] * quality
        again = self.starts[self._lanes[:, None], places].astype(np.float32)
        again += (places == track[:, None]) & playing[:, None]
        again *= np.float32(REPEAT)
        again[:, -1] = 0.0
        increments = self._increments()
        switch = np.repeat(increments[:, :1] * playing[:, None], n_candidates + 1, axis=1)
        switch[:, -1] = 0.0
        immediate = numbers[..., 0] + smooth + again + switch
        immediate[~mask] = -np.inf
        immediate -= immediate.max(axis=1, keepdims=True)
        immediate[~mask] = 0.0
        directions = stack.directions[stack.track_base[v][:, None] + places]
        theme = np.matmul(directions, self._theme[:, :, None])[..., 0]
        theme /= np.maximum(np.linalg.norm(self._theme, axis=1, keepdims=True), 1e-6)
        for column, values in enumerate((smooth, again, switch, immediate, quality, theme)):
            numbers[..., n_fixed + column] = values
        numbers[..., -2] = 0.0
        numbers[:, -1, -2] = 1.0
        numbers[..., -1] = ~playing[:, None]
        numbers *= mask[..., None]

        # 4. The state.
        state = np.empty((n, len(STATE_NUMBERS)), dtype=np.float32)
        state[:, 0] = t / stack.n_segments[v]
        state[:, 1] = n_left / 10
        state[:, 2] = self.switches / 5
        state[:, 3] = (stack.target[v, 0] - self.switches) / 5
        state[:, 4] = stack.target[v, 1] / 5
        state[:, 5:9] = increments
        state[:, 9:14] = gate
        state[:, 14:18] = shown[:, :4] * playing[:, None]
        state[:, 18] = np.minimum(lasts, 8) / 8
        state[:, 19] = ~goes_on
        state[:, 20] = stack.cuts_left[v, t] / 5
        state[:, 21] = ~playing
        state[:, 22] = length / 10
        state[:, 23:26] = weights
        return Numbers(
            candidates=numbers,
            state=state,
            mask=mask,
            prior=np.float32(SHARPNESS) * immediate,
        )

    def step(self, actions: Indices) -> tuple[Floats, Flags]:
        """Decide one segment of every episode.

        Args:
            actions: [B] allowed actions, 0..C.

        Returns:
            The reward, [B], and whether the episode is over, [B]; see `restart`.
        """
        stack, v, t, previous = self.stack, self.video, self.segment, self.track
        goes_on = actions == stack.n_candidates
        chosen = stack.candidates[v, t, np.where(goes_on, 0, actions)]
        track = np.where(goes_on, previous, chosen)
        hand_over = previous >= 0
        switched = hand_over & ~goes_on
        size, length = stack.size[v], stack.lengths_s[v, t]
        weights = stack.weights[v]
        start = np.where(goes_on, self.elapsed_s, 0.0)
        row = stack.track_base[v] + track

        fit = stack.fit.take(stack.cell_base[v] + t * size + track)
        fade = np.exp(np.maximum(-stack.fade_per_s[v] * start, -700.0))
        reward = fit * fade
        silent = np.clip(start + length - stack.durations_s[row], 0.0, length) / length
        reward -= weights[:, 2] * silent
        pair = stack.pair_base[v] + track * size + np.maximum(previous, 0)
        smooth = weights[:, 0] * stack.gate[v, t] * stack.transition.take(pair)
        reward += np.where(hand_over, smooth, 0.0)
        earlier = self.starts[self._lanes, track] + (switched & (track == previous))
        reward += np.where(goes_on, 0.0, REPEAT * earlier)
        cost = stack.switch_cost
        before = cost[v, self.switches]
        self.switches = self.switches + switched
        reward += cost[v, self.switches] - before

        self.starts[self._lanes, track] += ~goes_on
        self._vectors += stack.vectors[row]
        self._units += stack.units[row]
        self._theme += stack.directions[row]
        self.elapsed_s = start + length
        self.segment, self.track = t + 1, track
        final = self.segment == stack.n_segments[v]
        if final.any():
            last = np.flatnonzero(final)
            norm = np.linalg.norm(self._vectors[last], axis=1)
            n_steps = stack.n_segments[v[last]]
            inner = (self._vectors[last] * self._units[last]).sum(axis=1)
            mean = norm / n_steps
            worth = mean / (mean + 1e-6) > 1e-6
            theme = np.where(worth, inner / np.maximum(norm, 1e-300) / n_steps, 0.0)
            reward[last] += weights[last, 1] * theme + cost[v[last], 0]
        return reward, final

    def _ahead(self, current: Indices, size: Indices) -> tuple[Narrow, Indices, Narrow]:
        """Look ahead along the current track.

        Returns:
            What it earns less `best`, [B, DEPTH]; for how many segments it may go on; the silence
            that it costs now.
        """
        stack, v, t = self.stack, self.video, self.segment
        duration = stack.durations_s[stack.track_base[v] + current]
        left = (stack.n_segments[v] - t)[:, None]
        # Elapsed time at the start of each later segment; infinite past the end.
        later = np.minimum(t[:, None] + np.arange(stack.longest + 1), stack.longest)
        clock = stack.clock_s[v[:, None], later] - stack.clock_s[v, t][:, None]
        elapsed = self.elapsed_s[:, None] + clock
        playing = (elapsed < duration[:, None]) & (np.arange(elapsed.shape[1]) < left)
        allowed = stack.last.take(stack.cell_base[v] + t * size + current)
        lasts = np.minimum(playing.sum(axis=1), allowed)
        steps = np.arange(DEPTH)
        inside = steps < left
        row = np.where(inside, t[:, None] + steps, 0)
        fit = stack.fit.take(stack.cell_base[v][:, None] + row * size[:, None] + current[:, None])
        elapsed = np.where(inside, self._first(elapsed), 0.0)
        if stack.fade_per_s.any():
            fit = fit * np.exp(np.maximum(-stack.fade_per_s[v][:, None] * elapsed, -700.0))
        length = stack.lengths_s[v[:, None], t[:, None] + steps]
        silent = np.clip(elapsed + length - duration[:, None], 0.0, length) / length
        silent *= stack.weights[v, 2][:, None]
        ahead = fit - silent - stack.best[v[:, None], t[:, None] + steps]
        ahead[steps >= lasts[:, None]] = np.nan
        ahead[~inside] = 0.0
        return ahead.astype(np.float32), lasts, silent[:, 0].astype(np.float32)

    def _first(self, elapsed: Floats) -> Floats:
        """Return the first DEPTH columns, padded with the last one."""
        if elapsed.shape[1] >= DEPTH:
            return elapsed[:, :DEPTH]
        return np.pad(elapsed, ((0, 0), (0, DEPTH - elapsed.shape[1])), mode="edge")

    def _increments(self) -> Narrow:
        """Return what the next four switches change in the switch term, [B, 4]."""
        next_ = self.switches[:, None] + np.arange(5)
        cost = self.stack.switch_cost[self.video[:, None], next_]
        return np.asarray(np.diff(cost, axis=1), dtype=np.float32)
