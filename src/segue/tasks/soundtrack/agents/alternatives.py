"""What else could play: for every segment the best other tracks, with the reward of the change.

The run that holds the segment is given to another track: all of it, from the segment on, this
segment alone, or the beginning with the following track coming in early. Where the other track is
the neighbour's, it may go on instead of starting again. Every change is scored exactly, as a
complete plan, and the best of them counts; the other runs stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segue.tasks.soundtrack.agents.plan import Plan
from segue.tasks.soundtrack.agents.returns import Changes
from segue.tasks.soundtrack.scoring import Indices
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
    starts = [*np.flatnonzero(plan.actions < tables.n_tracks).tolist(), tables.n_segments]
    exact = Changes(tables, plan.actions)
    found: list[list[Alternative]] = []
    for run in range(len(starts) - 1):
        # The run and its neighbours are played again, everything else stays.
        since, until = starts[max(run - 1, 0)], starts[min(run + 2, len(starts) - 1)]
        for segment in range(starts[run], starts[run + 1]):
            others = np.flatnonzero(np.isfinite(tables.alignment[segment]))
            others = others[others != plan.tracks[segment]]
            changes = _changes(tables, plan, others, starts[run], segment, starts[run + 1])
            rows = np.concatenate([change[:, since:until] for change in changes])
            rewards = exact.returns(rows, since)
            merged = _merged(rows, tables.n_tracks)
            differ = np.flatnonzero((merged != rows).any(axis=1))
            if differ.size:
                goes_on = exact.returns(merged[differ], since)
                rewards[differ] = np.maximum(rewards[differ], goes_on)
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
    if end < tables.n_segments and segment + 1 < end:
        early = given(first, segment + 1)
        early[:, segment + 1 : end + 1] = tables.n_tracks
        early[:, segment + 1] = plan.tracks[end]
        changes.append(early)
    return changes


def _merged(rows: Indices, n_tracks: int) -> Indices:
    """Return the plans with every immediate restart turned into a continue."""
    merged, last = rows.copy(), rows[:, 0].copy()
    for t in range(1, rows.shape[1]):
        starts = rows[:, t] < n_tracks
        merged[starts & (rows[:, t] == last), t] = n_tracks
        last = np.where(starts, rows[:, t], last)
    return merged
