"""The soundtrack environment for `B` episodes at once, in one process, without a Python loop.

A decision costs a few hundred nanoseconds because nothing is computed that the tables know
already, and because the observation is a handful of indices: whoever learns from it looks the
vectors up where they are (on the device, once per update) instead of having them copied.

Letters: `B` episodes, `K` tracks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import UsageError
from segue.tasks.soundtrack.episodes import Episodes, TableStack
from segue.tasks.soundtrack.rewards import soundtrack_reward
from segue.tasks.soundtrack.tables import Tables

__all__ = ["BatchObservation", "BatchStep", "BatchedSoundtrack"]

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BatchObservation:
    """Where each episode stands, [B] each; rows of the tables, not vectors."""

    video: Indices
    segment: Indices
    track: Indices
    """Track that plays, K before the first one."""
    elapsed_s: Floats
    """How much of it has been heard."""
    can_continue: Flags
    switches: Indices
    target: Indices
    """Number of switches asked for."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BatchStep:
    """Result of one decision in each episode."""

    observation: BatchObservation
    """After an episode's end: the first observation of its successor."""
    reward: Floats
    """[B]."""
    terminated: Flags
    """[B]. Episodes are never cut short, so this is the only way they end."""
    terms: dict[str, Floats]
    """[B] each: the weighted parts of the reward."""


class BatchedSoundtrack:
    """`B` episodes with automatic restart.

    Args:
        tables: one for each video; their target distributions give the targets.
        batch: number of episodes, B.
        seed: of the generator that draws videos and targets.
        extra_terms: more reward terms, `package.module:term` -> weight.

    Raises:
        UsageError: the tables do not belong together, or `batch` is not positive.
    """

    def __init__(
        self,
        tables: Sequence[Tables],
        batch: int,
        seed: int = 0,
        extra_terms: Mapping[str, float] | None = None,
    ) -> None:
        if batch < 1:
            raise UsageError(f"a batch of {batch} episodes is impossible")
        self.stack = TableStack(tables)
        self.batch = batch
        self.reward = soundtrack_reward(self.stack.weights, extra_terms)
        self._rng = np.random.default_rng(seed)
        # Inverse transform sampling: [V, M] cumulative probabilities, padded with 1.
        width = max(len(table.target_values) for table in tables)
        self._values = np.zeros((len(tables), width), dtype=np.int64)
        self._cumulative = np.ones((len(tables), width))
        for row, table in enumerate(tables):
            n = len(table.target_values)
            self._values[row, :n] = table.target_values
            self._values[row, n:] = table.target_values[-1]
            self._cumulative[row, : n - 1] = np.cumsum(table.target_probabilities)[:-1]
        self.reset()

    def reset(
        self,
        seed: int | None = None,
        videos: Indices | None = None,
        targets: Indices | None = None,
    ) -> BatchObservation:
        """Begin all episodes anew.

        Args:
            seed: re-seeds the generator when given.
            videos: [B] video of each first episode; None draws them.
            targets: [B] switch target of each first episode; None draws them.
        """
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        if videos is None:
            videos = self._rng.integers(self.stack.n_videos, size=self.batch)
        if targets is None:
            targets = self._targets(videos)
        self.episodes = Episodes(self.stack, videos, targets)
        return self._observe()

    def step(self, actions: Indices) -> BatchStep:
        """Make one decision in each episode; finished episodes restart at once.

        Args:
            actions: [B], 0..K-1 starts that track, K continues.
        """
        steps = self.episodes.advance(actions)
        reward, terms = self.reward(steps)
        if steps.final.any():
            lanes = np.flatnonzero(steps.final)
            videos = self._rng.integers(self.stack.n_videos, size=len(lanes))
            self.episodes.restart(lanes, videos, self._targets(videos))
        return BatchStep(
            observation=self._observe(), reward=reward, terminated=steps.final, terms=terms
        )

    def action_masks(self) -> Flags:
        """Return which actions are allowed, [B, K + 1]; never none."""
        return self.episodes.masks()

    def _targets(self, videos: Indices) -> Indices:
        draws = self._rng.random(len(videos))
        below = (self._cumulative[videos] <= draws[:, None]).sum(axis=1)
        chosen = np.minimum(below, self._values.shape[1] - 1)
        return np.asarray(self._values[videos, chosen])

    def _observe(self) -> BatchObservation:
        episodes = self.episodes
        assert episodes.target is not None
        return BatchObservation(
            video=episodes.video,
            segment=episodes.segment,
            track=episodes.track,
            elapsed_s=episodes.elapsed_s,
            can_continue=episodes.can_continue(),
            switches=episodes.switches,
            target=episodes.target,
        )
