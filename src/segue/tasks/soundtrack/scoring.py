"""What a sequence of actions earns: the reward of one episode, exact and step by step.

This is the slow, obvious form of the reward. The batched environment and the planner are tested
against it, and every plan is scored by it before it is handed out.

Letters: `T` segments, `K` tracks, `n` scored steps (n < T only after an illegal continue). Action
`k < K` starts track k from its beginning; action K continues the current track.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.tasks.soundtrack.tables import Floats, Tables

__all__ = [
    "ILLEGAL",
    "REPEAT",
    "TERMS",
    "Outcome",
    "fading",
    "score",
    "theme_of",
    "unit_embeddings",
    "weighted_alignment",
]

Indices = NDArray[np.int64]

REPEAT = -1.0
"""For starting the track that plays already, and again for every earlier start of that track."""
ILLEGAL = -5.0
"""For continuing before the first track or after a track's end; the episode ends there."""
TERMS = ("alignment", "smoothness", "same", "illegal", "silence", "switch", "theme")
"""The named terms; each is already weighted, so that they add up to the return."""

_ZERO_NORM = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One finished episode."""

    return_: float
    """Sum of all terms over all steps."""
    terms: dict[str, float]
    """Weighted total of each name in TERMS."""
    step_terms: dict[str, Floats]
    """[n] weighted value of each name in TERMS at each step; end terms stand on the last one."""
    tracks: Indices
    """[n] track that each step was scored with."""
    offsets_s: Floats
    """[n] position in the track at which the step starts."""
    switches: int
    """Starts of a track after the first one; starting the same track again counts."""
    complete: bool
    """False when an illegal continue ended the episode."""


def score(tables: Tables, actions: Sequence[int] | Indices) -> Outcome:
    """Play `actions` and return what they earn.

    Args:
        tables: the video against the library.
        actions: [T] one action per segment; those after an illegal continue are not read.

    Raises:
        ValueError: the number of actions is not T, or an action is not in 0..K.
    """
    n_tracks, lengths = tables.n_tracks, tables.lengths_s
    actions = np.asarray(actions, dtype=np.int64)
    if len(actions) != tables.n_segments:
        raise ValueError(f"{len(actions)} actions for {tables.n_segments} segments")
    if actions.size and (actions.min() < 0 or actions.max() > n_tracks):
        raise ValueError(f"actions must lie in 0..{n_tracks}")

    weights = tables.weights
    steps: dict[str, list[float]] = {name: [] for name in TERMS}
    tracks: list[int] = []
    offsets: list[float] = []
    starts = np.zeros(n_tracks, dtype=np.int64)
    fits = weighted_alignment(tables)
    track, offset, ended, switches, complete = -1, 0.0, True, 0, True

    for segment, action in enumerate(actions.tolist()):
        length = float(lengths[segment])
        previous, same, illegal = track, 0.0, 0.0
        if action < n_tracks:
            track, start = action, 0.0
            same = REPEAT * (float(track == previous) + float(starts[track]))
            starts[track] += 1
            switches += previous >= 0
            offset = length
            ended = offset >= tables.durations_s[track]
        elif ended:  # also before the first track
            illegal, complete = ILLEGAL, False
            track, start = 0, max(0.0, offset - length)
        else:
            start = offset
            offset = start + length
            ended = offset >= tables.durations_s[track]

        unfilled = min(max(start + length - float(tables.durations_s[track]), 0.0), length)
        smooth = float(tables.transition[track, previous]) if previous >= 0 else 0.0
        steps["alignment"].append(float(fits[segment, track] * fading(tables.fade_per_s, start)))
        steps["smoothness"].append(weights.smoothness * float(tables.gate[segment]) * smooth)
        steps["same"].append(same)
        steps["illegal"].append(illegal)
        steps["silence"].append(-weights.silence * unfilled / length)
        steps["switch"].append(0.0)
        steps["theme"].append(0.0)
        tracks.append(track)
        offsets.append(start)
        if not complete:
            break

    if tracks:
        steps["switch"][-1] = float(tables.switch_cost(switches))
        steps["theme"][-1] = theme_of(tables, tracks)
    step_terms = {name: np.array(values) for name, values in steps.items()}
    terms = {name: float(values.sum()) for name, values in step_terms.items()}
    return Outcome(
        return_=sum(terms.values()),
        terms=terms,
        step_terms=step_terms,
        tracks=np.array(tracks, dtype=np.int64),
        offsets_s=np.array(offsets),
        switches=switches,
        complete=complete,
    )


def weighted_alignment(tables: Tables) -> Floats:
    """Return the alignment term of every cell before fading, [T, K]; forbidden: minus infinity."""
    allowed = np.isfinite(tables.alignment)
    return np.where(
        allowed, tables.weights.alignment * np.where(allowed, tables.alignment, 0.0), -np.inf
    )


def fading(fade_per_s: float, elapsed_s: Floats | float) -> Floats:
    """Return the factor of the alignment after so many seconds of the same track, above 0."""
    return np.asarray(np.exp(np.maximum(-fade_per_s * np.asarray(elapsed_s), -700.0)))


def unit_embeddings(tables: Tables) -> Floats:
    """Return the embeddings at length 1, [K, D]; one that is as good as zero becomes zero."""
    norms = np.linalg.norm(tables.embeddings, axis=1, keepdims=True)
    return np.where(norms > _ZERO_NORM, tables.embeddings / np.maximum(norms, _ZERO_NORM), 0.0)


def theme_of(tables: Tables, tracks: Sequence[int] | Indices) -> float:
    """Return the theme term of the tracks heard: mean cosine with their mean embedding.

    theme = weight * mean_t cos(e_t, z), z = mean_t e_t, scaled to |z| / (|z| + 1e-6); a cosine
    with a vector not longer than 1e-6 is 0.
    """
    mean = tables.embeddings[np.asarray(tracks)].mean(axis=0)
    norm = float(np.linalg.norm(mean))
    if norm / (norm + 1e-6) <= _ZERO_NORM:
        return 0.0
    cosines = unit_embeddings(tables)[np.asarray(tracks)] @ (mean / norm)
    return tables.weights.theme * float(cosines.mean())
