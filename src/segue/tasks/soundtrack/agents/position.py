"""Where an episode stands, and what every action would earn now: the agents' look-ahead.

`T` segments, `K` tracks; action K continues. Rewards are the weighted terms of `scoring.TERMS`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from segue.tasks.soundtrack.scoring import (
    REPEAT,
    Indices,
    fading,
    unit_embeddings,
    weighted_alignment,
)
from segue.tasks.soundtrack.tables import Floats, Tables

__all__ = ["Position", "advance", "legal", "lookahead"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """The state of one episode before a decision."""

    segment: int = 0
    track: int = -1
    """Track that plays, -1 before the first one."""
    offset_s: float = 0.0
    """How much of it has been heard."""
    starts: tuple[int, ...] = ()
    """Tracks started so far, in order."""
    heard: tuple[int, ...] = ()
    """Track of every segment so far."""

    @property
    def switches(self) -> int:
        """Starts after the first one."""
        return max(len(self.starts) - 1, 0)


def legal(tables: Tables, position: Position) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which actions are allowed, [K + 1]: no forbidden cell, no continue past the end."""
    allowed = np.isfinite(tables.alignment[position.segment])
    track = position.track
    goes_on = track >= 0 and allowed[track] and position.offset_s < float(tables.durations_s[track])
    return np.append(allowed, goes_on)


def advance(tables: Tables, position: Position, action: int) -> Position:
    """Return the position after a legal action."""
    length = float(tables.lengths_s[position.segment])
    if action == tables.n_tracks:
        return replace(
            position,
            segment=position.segment + 1,
            offset_s=position.offset_s + length,
            heard=(*position.heard, position.track),
        )
    return Position(
        segment=position.segment + 1,
        track=action,
        offset_s=length,
        starts=(*position.starts, action),
        heard=(*position.heard, action),
    )


def lookahead(tables: Tables, position: Position) -> dict[str, Floats]:
    """Return what each action would earn now, [K + 1] for each term; illegal ones minus infinity.

    The terms paid at the end (switch, theme) are 0 before the last segment.
    """
    t, n_tracks, weights = position.segment, tables.n_tracks, tables.weights
    track = np.append(np.arange(n_tracks), max(position.track, 0))
    elapsed = np.zeros(n_tracks + 1)
    elapsed[n_tracks] = position.offset_s
    length = float(tables.lengths_s[t])

    terms = {
        "alignment": weighted_alignment(tables)[t, track] * fading(tables.fade_per_s, elapsed),
        "smoothness": np.zeros(n_tracks + 1),
        "same": np.zeros(n_tracks + 1),
        "illegal": np.zeros(n_tracks + 1),
        "silence": -weights.silence
        * np.clip(elapsed + length - tables.durations_s[track], 0.0, length)
        / length,
        "switch": np.zeros(n_tracks + 1),
        "theme": np.zeros(n_tracks + 1),
    }
    if position.track >= 0:
        smooth = tables.transition[track, position.track]
        terms["smoothness"] = weights.smoothness * float(tables.gate[t]) * smooth
        starts = np.bincount(position.starts, minlength=n_tracks).astype(np.float64)
        starts[position.track] += 1.0
        terms["same"][:n_tracks] = REPEAT * starts
    if t == tables.n_segments - 1:
        switches = position.switches + np.ones(n_tracks + 1, dtype=np.int64)
        switches[n_tracks] -= 1
        if position.track < 0:
            switches[:n_tracks] = 0
        terms["switch"] = tables.switch_cost(switches)
        terms["theme"] = _themes(tables, position.heard, track)
    forbidden = ~legal(tables, position)
    for values in terms.values():
        values[forbidden] = -np.inf
    return terms


def _themes(tables: Tables, heard: tuple[int, ...], last: Indices) -> Floats:
    units, past = unit_embeddings(tables), np.asarray(heard, dtype=np.int64)
    means = (tables.embeddings[past].sum(axis=0) + tables.embeddings[last]) / (len(past) + 1)
    norms = np.linalg.norm(means, axis=1)
    cosines = units[past].sum(axis=0) + units[last]  # [K + 1, D]
    dots = np.einsum("kd,kd->k", cosines, means) / np.maximum(norms, 1e-300)
    worth = norms / (norms + 1e-6) > 1e-6
    return np.asarray(np.where(worth, tables.weights.theme * dots / (len(past) + 1), 0.0))
