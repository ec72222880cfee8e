"""What else could play: for every segment the best other tracks, with the reward of the change.

The run that holds the segment is given to another track: all of it, from the segment on, this
segment alone, or the beginning with the following track coming in early. Every change is scored
exactly, as a complete plan, and the best of them counts; the other runs stay as they are.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from segue.tasks.soundtrack.agents.plan import Plan
from segue.tasks.soundtrack.scoring import Indices, returns
from segue.tasks.soundtrack.tables import Tables

__all__ = ["Alternative", "alternatives"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """Another track for a segment."""

    track: int
    reward: float
    """Total reward of the whole plan after the change."""


def alternatives(tables: Tables, plan: Plan, n: int = 3) -> list[list[Alternative]]:
    """Return, for each segment, the `n` best other tracks, the best one first.

    A segment has fewer than `n` when fewer other tracks are allowed there.
    """
    n_segments, n_tracks = tables.n_segments, tables.n_tracks
    starts = [*np.flatnonzero(plan.actions < n_tracks).tolist(), n_segments]
    found: list[list[Alternative]] = []
    for first, end in itertools.pairwise(starts):
        for segment in range(first, end):
            others = np.flatnonzero(np.isfinite(tables.alignment[segment]))
            others = others[others != plan.tracks[segment]]
            changes = _changes(tables, plan, others, first, segment, end)
            rows = np.concatenate(changes)
            rewards = returns(tables, rows)
            merged = _merged(tables, rows)
            other = np.flatnonzero((merged != rows).any(axis=1))
            rewards[other] = np.maximum(rewards[other], returns(tables, merged[other]))
            best = rewards.reshape(len(changes), len(others)).max(axis=0)
            order = np.argsort(-best, kind="stable")[:n]
            found.append([Alternative(track=int(others[i]), reward=float(best[i])) for i in order])
    return found


def _changes(
    tables: Tables, plan: Plan, others: Indices, first: int, segment: int, end: int
) -> list[Indices]:
    """Return the ways to give `segment` of the run `first`..`end` to each other track, [n, T]."""

    def given(since: int, until: int) -> Indices:
        rows = np.tile(plan.actions, (len(others), 1))
        rows[:, since] = others
        rows[:, since + 1 : until] = tables.n_tracks
        return rows

    alone = given(segment, segment + 1)  # always legal: the old track starts again after it
    if segment + 1 < end:
        alone[:, segment + 1] = plan.tracks[segment]
    changes = [alone]
    if segment + 1 < end:
        changes.append(given(segment, end))
    if segment > first:
        changes.append(given(first, end))
    if end < tables.n_segments and (segment > first or segment + 1 < end):
        early = given(first, segment + 1)
        early[:, segment + 1 : end + 1] = tables.n_tracks
        early[:, segment + 1] = plan.tracks[end]
        changes.append(early)
    return changes


def _merged(tables: Tables, rows: Indices) -> Indices:
    """Return the plans with every immediate restart turned into a continue."""
    last = rows[:, 0].copy()
    merged = rows.copy()
    for t in range(1, rows.shape[1]):
        starts = rows[:, t] < tables.n_tracks
        merged[starts & (rows[:, t] == last), t] = tables.n_tracks
        last = np.where(starts, rows[:, t], last)
    return merged
