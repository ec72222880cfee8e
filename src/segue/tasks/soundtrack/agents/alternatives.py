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
            if not others.size:
                found.append([])
                continue
            rewards = np.full(len(others), -np.inf)
            for rows in _changes(tables, plan, others, first, segment, end):
                rewards = np.maximum(rewards, returns(tables, rows))
                rewards = np.maximum(rewards, returns(tables, _merged(tables, rows)))
            order = np.argsort(-rewards, kind="stable")[:n]
            found.append(
                [Alternative(track=int(others[i]), reward=float(rewards[i])) for i in order]
            )
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
    changes = [alone, given(first, end), given(segment, end)]
    if end < tables.n_segments:
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
