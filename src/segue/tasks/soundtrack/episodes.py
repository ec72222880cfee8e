"""Many episodes at once, as index arithmetic on reward tables.

`TableStack` puts the tables of several videos of one library side by side; `Episodes` is the state
of `B` episodes over them and makes one decision in each. The batched environment and the scoring
of whole plans are loops over `Episodes.advance`.

Letters: `B` episodes, `V` videos, `T` most segments of a video, `K` tracks. Track K means "none"
in the state and "continue" in the actions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError, UsageError
from segue.tasks.soundtrack.rewards import Steps
from segue.tasks.soundtrack.tables import Tables
from segue.tasks.soundtrack.theme import ThemeTable

__all__ = ["Episodes", "TableStack"]

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]


class TableStack:
    """Tables of `V` videos of one library, padded to the longest video.

    Args:
        tables: one for each video; library, weights and fading must be the same in all.

    Raises:
        UsageError: there is no table, or the tables do not belong together.
        DataError: a segment has no allowed track.
    """

    def __init__(self, tables: Sequence[Tables]) -> None:
        if not tables:
            raise UsageError("no video to play")
        first = tables[0]
        for other in tables[1:]:
            same = other.weights == first.weights and other.fade_per_s == first.fade_per_s
            if not same or not np.array_equal(other.durations_s, first.durations_s):
                raise UsageError("the tables are of different libraries, weights or modes")
        self.tables = tuple(tables)
        self.weights, self.fade_per_s = first.weights, first.fade_per_s
        self.n_videos, self.n_tracks = len(tables), first.n_tracks
        self.n_segments = np.array([table.n_segments for table in tables])
        self.longest = int(self.n_segments.max())
        rows = (self.n_videos, self.longest)
        self.lengths_s, self.gate = np.ones(rows), np.ones(rows)
        self.alignment = np.zeros((*rows, self.n_tracks))
        for v, table in enumerate(tables):
            n = table.n_segments
            self.lengths_s[v, :n], self.gate[v, :n] = table.lengths_s, table.gate
            self.alignment[v, :n] = table.alignment
        allowed = np.isfinite(self.alignment)
        if not allowed.any(axis=2).all():
            v, t = np.argwhere(~allowed.any(axis=2))[0]
            raise DataError(f"no track is allowed in segment {t} of video {v}")
        self.allowed = None if allowed.all() else allowed
        self.alignment[~allowed] = 0.0
        self.durations_s = first.durations_s
        # The column of "no track before" makes the first hand-over worth 0 without a special case.
        self.transition = np.zeros((self.n_tracks, self.n_tracks + 1))
        self.transition[:, : self.n_tracks] = first.transition
        self.theme = ThemeTable(first.embeddings)
        gaps = [-t.switch_cost(np.arange(self.longest + 1)) for t in tables]
        weight = self.weights.switch
        self.expected_gap = np.array(gaps) / weight if weight else np.zeros((len(gaps), 1))
        """[V, T + 1] expected |switches - target| under each video's target distribution."""


class Episodes:
    """State of `B` episodes.

    Args:
        stack: the tables.
        videos: [B] video of each episode.
        targets: [B] number of switches asked for; None uses each video's distribution.
    """

    def __init__(self, stack: TableStack, videos: Indices, targets: Indices | None = None) -> None:
        n, n_tracks = len(videos), stack.n_tracks
        self.stack = stack
        self.video = np.array(videos, dtype=np.int64)
        self.target = None if targets is None else np.array(targets, dtype=np.int64)
        self.segment = np.zeros(n, dtype=np.int64)
        self.track = np.full(n, n_tracks, dtype=np.int64)
        self.elapsed_s = np.zeros(n)
        self.ended = np.ones(n, dtype=np.bool_)
        self.switches = np.zeros(n, dtype=np.int64)
        self._starts = np.zeros(n * n_tracks, dtype=np.int16)
        self._lane = np.arange(n, dtype=np.int64) * n_tracks
        # Time first: a step writes one contiguous row.
        self.heard = np.full((stack.longest, n), n_tracks, dtype=np.int64)
        self._lanes = np.arange(n)

    @property
    def starts(self) -> NDArray[np.int16]:
        """[B, K] how often each track was started; changes with the next step."""
        return self._starts.reshape(len(self.video), self.stack.n_tracks)

    def can_continue(self) -> Flags:
        """Return where continuing is allowed, [B]."""
        if self.stack.allowed is None:
            return ~self.ended
        track = np.minimum(self.track, self.stack.n_tracks - 1)
        return ~self.ended & self.stack.allowed[self.video, self.segment, track]

    def masks(self) -> Flags:
        """Return which actions are allowed, [B, K + 1]; never none."""
        result = np.ones((len(self.video), self.stack.n_tracks + 1), dtype=np.bool_)
        if self.stack.allowed is not None:
            result[:, :-1] = self.stack.allowed[self.video, self.segment]
        result[:, -1] = self.can_continue()
        return result

    def advance(self, actions: Indices) -> Steps:
        """Make one decision in every episode and return what is to be judged.

        Args:
            actions: [B], 0..K-1 starts that track, K continues. Not checked for range.
        """
        stack, n_tracks = self.stack, self.stack.n_tracks
        row = self.video * stack.longest + self.segment
        length, previous = stack.lengths_s.take(row), self.track

        # 1. What the action means.
        started = actions != n_tracks
        goes_on = ~(started | self.ended)
        illegal = ~(started | goes_on)
        track = np.where(started, actions, previous)
        track[illegal] = 0  # an illegal continue is scored with the first track
        fit = stack.alignment.take(row * n_tracks + track)
        if stack.allowed is not None:
            illegal |= ~stack.allowed.take(row * n_tracks + track)
        start = np.where(goes_on, self.elapsed_s, 0.0)
        duration = stack.durations_s.take(track)

        # 2. What it costs to hear a track again.
        slot = self._lane + track
        earlier = (self._starts.take(slot) + (track == previous)) * started
        self._starts[slot] += started
        self.switches = self.switches + (started & (previous != n_tracks))

        # 3. The clock; an illegal continue does not move it.
        elapsed = start + length
        stuck = illegal & ~started
        if stuck.any():
            elapsed = np.where(stuck, self.elapsed_s, elapsed)
            start = np.where(stuck, np.maximum(self.elapsed_s - length, 0.0), start)
            self.ended = np.where(stuck, self.ended, elapsed >= duration)
        else:
            self.ended = elapsed >= duration
        self.elapsed_s = elapsed
        self.heard[self.segment, self._lanes] = track
        final = illegal | (self.segment + 1 == stack.n_segments.take(self.video))

        # 4. What is paid at the end.
        gap, theme = np.zeros(len(track)), np.zeros(len(track))
        if final.any():
            last = np.flatnonzero(final)
            switches = self.switches[last]
            if self.target is None:
                gap[last] = stack.expected_gap[self.video[last], switches]
            else:
                gap[last] = np.abs(switches - self.target[last])
            n_steps = self.segment[last] + 1
            heard = self.heard[: n_steps.max()]
            if len(last) < len(track):
                heard = heard[:, last]
            theme[last] = stack.theme.batch(heard, n_steps)

        steps = Steps(
            video=self.video,
            segment=self.segment,
            track=track,
            previous=previous,
            started=started,
            earlier=earlier.astype(np.float64),
            start_s=start,
            length_s=length,
            duration_s=duration,
            fit=fit,
            transition=stack.transition.take(track * (n_tracks + 1) + previous),
            gate=stack.gate.take(row),
            illegal=illegal,
            final=final,
            switch_gap=gap,
            theme=theme,
            fade_per_s=stack.fade_per_s,
        )
        self.segment, self.track = self.segment + 1, track
        return steps

    def restart(self, lanes: Indices, videos: Indices, targets: Indices | None) -> None:
        """Begin new episodes in `lanes`."""
        for name in ("video", "segment", "track", "elapsed_s", "ended", "switches"):
            setattr(self, name, getattr(self, name).copy())  # handed-out arrays stay as they were
        self.video[lanes], self.segment[lanes] = videos, 0
        self.track[lanes], self.elapsed_s[lanes] = self.stack.n_tracks, 0.0
        self.ended[lanes], self.switches[lanes] = True, 0
        self.starts[lanes] = 0
        self.heard[:, lanes] = self.stack.n_tracks
        if self.target is not None and targets is not None:
            self.target = self.target.copy()
            self.target[lanes] = targets
