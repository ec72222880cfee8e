"""What one track earns over consecutive segments: the building blocks of a plan.

A plan is a sequence of runs (first segment s, end e, track k). `value[s, e, k]` is what the run
earns inside: alignment, silence, and the smoothness of continuing; minus infinity where the track
may not be heard or has ended before segment e - 1.

Letters: `T` segments, `K` tracks; index order [start, end, track].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segue.tasks.soundtrack.tables import Floats, Tables

__all__ = ["Runs"]


@dataclass(frozen=True, slots=True)
class Runs:
    """Values of all runs."""

    value: Floats
    """[T, T + 1, K] reward inside the run that plays track k in segments s..e-1."""

    @classmethod
    def of(cls, tables: Tables) -> Runs:
        """Compute all run values."""
        n_segments, weights = tables.n_segments, tables.weights
        stay = tables.transition.diagonal()
        value = np.full((n_segments, n_segments + 1, tables.n_tracks), -np.inf)
        for start in range(n_segments):
            elapsed, total = 0.0, np.zeros(tables.n_tracks)
            for t in range(start, n_segments):
                length = float(tables.lengths_s[t])
                step = weights.alignment * tables.alignment[t]
                step = step * np.exp(max(-tables.fade_per_s * elapsed, -700.0))
                step -= (
                    weights.silence
                    * np.clip(elapsed + length - tables.durations_s, 0.0, length)
                    / length
                )
                if t > start:
                    step += weights.smoothness * float(tables.gate[t]) * stay
                    step[elapsed >= tables.durations_s] = -np.inf
                total = total + step
                value[start, t + 1] = total
                elapsed = elapsed + length  # summed in the environment's order, to the same bits
        return cls(value)
