"""Beam search: the best N beginnings are kept from segment to segment.

A beginning is ranked by what it has earned, plus the best end value its number of switches can
still reach, plus its theme so far. Nothing is proved about the result.

`N` beginnings, `K` tracks, `D` embedding dimensions.
"""

from __future__ import annotations

import time

import numpy as np

from segue.core.errors import ConfigError
from segue.tasks.soundtrack.agents.plan import Plan, check, finish
from segue.tasks.soundtrack.scoring import (
    REPEAT,
    Indices,
    fading,
    unit_embeddings,
    weighted_alignment,
)
from segue.tasks.soundtrack.tables import Floats, Tables

__all__ = ["Beam", "beam_actions"]


class Beam:
    """Beam search over the exact reward.

    Args:
        width: N, the number of beginnings kept.
    """

    def __init__(self, width: str = "8") -> None:
        if not width.isdecimal() or int(width) < 1:
            raise ConfigError(f"the beam width '{width}' must be a whole number above 0")
        self._width = int(width)

    def plan(self, tables: Tables, rng: np.random.Generator) -> Plan:
        """Return the best plan of the beam; see `Agent.plan`. Nothing is random."""
        started = time.perf_counter()
        check(tables)
        return finish(tables, beam_actions(tables, self._width)[0], started)


def beam_actions(tables: Tables, width: int) -> Indices:
    """Return the surviving action sequences, [<= N, T], the best one first."""
    n_segments, n_tracks, weights = tables.n_segments, tables.n_tracks, tables.weights
    units, embeddings = unit_embeddings(tables), tables.embeddings
    dots = units @ embeddings.T  # [K, K] unit vector of the row with the column's vector
    fits = weighted_alignment(tables)
    outlook = _outlook(tables)  # [T + 1, T + 1] best end value by [segments left, switches]

    earned = np.zeros(1)
    track = np.full(1, -1)
    offset = np.zeros(1)
    starts = np.zeros((1, n_tracks))
    switches = np.zeros(1, dtype=np.int64)
    unit_sum = np.zeros((1, embeddings.shape[1]))
    vector_sum = np.zeros((1, embeddings.shape[1]))
    parents: list[Indices] = []
    chosen: list[Indices] = []

    for t in range(n_segments):
        length = float(tables.lengths_s[t])
        current = np.maximum(track, 0)
        first = t == 0
        # 1. What every action earns now, [N, K + 1].
        heard = np.broadcast_to(
            np.append(np.arange(n_tracks), 0), (len(track), n_tracks + 1)
        ).copy()
        heard[:, -1] = current
        elapsed = np.zeros(heard.shape)
        elapsed[:, -1] = offset
        gain = fits[t, heard] * fading(tables.fade_per_s, elapsed)
        gain -= (
            weights.silence
            * np.clip(elapsed + length - tables.durations_s[heard], 0.0, length)
            / length
        )
        if not first:
            smooth = tables.transition[heard, current[:, None]]
            gain += weights.smoothness * float(tables.gate[t]) * smooth
            gain[:, :-1] += REPEAT * starts
            gain[np.arange(len(track)), current] += REPEAT
        ended = offset >= tables.durations_s[current]
        gain[ended | first, -1] = -np.inf
        total = earned[:, None] + gain

        # 2. The outlook of every result: end value of the switches, theme so far.
        after = np.repeat(switches[:, None] + (not first), n_tracks + 1, axis=1)
        after[:, -1] = switches
        rank = total + outlook[n_segments - 1 - t, after]
        if weights.theme:
            rank += weights.theme * _theme(unit_sum, vector_sum, units, embeddings, dots, heard, t)

        # 3. Keep the best.
        flat = rank.ravel()
        keep = min(width, int(np.isfinite(flat).sum()))
        best = np.argpartition(-flat, keep - 1)[:keep]
        best = best[np.argsort(-flat[best], kind="stable")]
        parent, action = np.divmod(best, n_tracks + 1)
        earned, switches = total[parent, action], after[parent, action]
        track = heard[parent, action]
        starts_again = action < n_tracks
        offset = np.where(starts_again, length, offset[parent] + length)
        starts = starts[parent]
        starts[np.flatnonzero(starts_again), track[starts_again]] += 1
        unit_sum = unit_sum[parent] + units[track]
        vector_sum = vector_sum[parent] + embeddings[track]
        parents.append(parent)
        chosen.append(action)

    actions = np.empty((len(track), n_segments), dtype=np.int64)
    at = np.arange(len(track))
    for t in reversed(range(n_segments)):
        actions[:, t] = chosen[t][at]
        at = parents[t][at]
    return actions


def _outlook(tables: Tables) -> Floats:
    n = tables.n_segments
    end = tables.switch_cost(np.arange(2 * n + 1))
    best = np.full((n + 1, n + 1), -np.inf)
    for left in range(n + 1):
        for count in range(n + 1):
            best[left, count] = end[count : count + left + 1].max()
    return best


def _theme(
    unit_sum: Floats,
    vector_sum: Floats,
    units: Floats,
    embeddings: Floats,
    dots: Floats,
    heard: Indices,
    t: int,
) -> Floats:
    # (U + u) . (E + e) / |E + e| / (t + 1), expanded so that no [N, K, D] array is made.
    squared = (embeddings**2).sum(axis=1)
    cross = vector_sum @ embeddings.T  # [N, K]
    norms = np.sqrt(
        np.maximum(
            (vector_sum**2).sum(axis=1)[:, None]
            + 2 * np.take_along_axis(cross, heard, axis=1)
            + squared[heard],
            0.0,
        )
    )
    inner = (
        (unit_sum * vector_sum).sum(axis=1)[:, None]
        + np.take_along_axis(unit_sum @ embeddings.T, heard, axis=1)
        + np.take_along_axis(vector_sum @ units.T, heard, axis=1)
        + dots.diagonal()[heard]
    )
    return np.where(norms > 1e-9, inner / np.maximum(norms, 1e-9) / (t + 1), 0.0)
