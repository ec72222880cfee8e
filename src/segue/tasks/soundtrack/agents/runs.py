"""What one track earns over consecutive segments: the building blocks of a plan.

A plan is a sequence of runs: track k is started at segment s and heard for n segments. The value
of a run is what it earns inside: alignment, silence, and the smoothness of continuing. What a
hand-over, a repetition, the number of switches and the theme earn depends on several runs.

Letters: `T` segments, `K` tracks, `N_s` the longest run that any track can make from segment s.
"""

from __future__ import annotations

import numpy as np

from segue.tasks.soundtrack.scoring import fading, weighted_alignment
from segue.tasks.soundtrack.tables import Floats, Tables

__all__ = ["run_values"]


def run_values(tables: Tables) -> list[Floats]:
    """Return the value of every run, one array [N_s, K] per first segment s.

    Row n - 1 holds the runs of n segments. Minus infinity stands where the track is forbidden in
    one of the segments or has ended before the last of them starts.
    """
    weights, fade = tables.weights, tables.fade_per_s
    stay = tables.transition.diagonal()
    plain = weighted_alignment(tables)
    values: list[Floats] = []
    for start in range(tables.n_segments):
        elapsed, total = 0.0, np.zeros(tables.n_tracks)
        rows: list[Floats] = []
        for t in range(start, tables.n_segments):
            length = float(tables.lengths_s[t])
            step = plain[t]
            if fade:
                step = step * fading(fade, elapsed)
            if weights.silence:
                unfilled = np.clip(elapsed + length - tables.durations_s, 0.0, length)
                step = step - weights.silence * unfilled / length
            if t > start:
                ended = elapsed >= tables.durations_s
                smooth = weights.smoothness * float(tables.gate[t]) * stay
                step = np.where(ended, -np.inf, step + smooth)
            total = total + step
            if t > start and not np.isfinite(total).any():
                break
            rows.append(total)
            elapsed = elapsed + length  # summed in the environment's order, to the same bits
        values.append(np.array(rows))
    return values
