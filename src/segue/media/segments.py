"""Segments: shots grouped by mood into the parts of a film that want one music.

A hand-over of music reads best on a cut where the mood changes, and music needs a few seconds to
say something. So boundaries are chosen among the cuts (and, inside a shot that is longer than a
segment may be, among its seconds) by dynamic programming: the sum over segments of the squared
deviation of the mood curves from the segment's mean, plus a price for each segment, plus a price
for a boundary that is not a cut, under a least and a greatest length.

Letters: `N` samples of the mood curves, `P` candidate boundaries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from segue.core.config import Config
from segue.media.embed.affect import WEIGHTS

__all__ = ["SegmentSettings", "Span", "group_shots"]


class SegmentSettings(Config):
    """How the film is cut into parts that each want one music."""

    min_s: float = Field(6.0, ge=0.5, le=600)
    """Least length of a segment in seconds; a shorter film is one segment."""
    max_s: float = Field(30.0, ge=1.0, le=3600)
    """Greatest length of a segment in seconds."""
    price: float = Field(1.2, ge=0)
    """Price of one more segment, in (standard deviations of mood)^2 x seconds; higher: longer."""
    off_cut_price: float = Field(6.0, ge=0)
    """Extra price of a boundary that is not on a cut, in the same unit."""

    @model_validator(mode="after")
    def _ordered(self) -> SegmentSettings:
        if self.max_s < 2 * self.min_s:
            raise ValueError(f"max_s = {self.max_s} must be at least twice min_s = {self.min_s}")
        return self


@dataclass(frozen=True, slots=True)
class Span:
    """A segment: [start_s, end_s) on the picture's clock."""

    start_s: Fraction
    end_s: Fraction

    @property
    def length_s(self) -> float:
        """Length in seconds."""
        return float(self.end_s - self.start_s)


def group_shots(
    duration_s: Fraction,
    cuts_s: list[Fraction],
    times_s: NDArray[np.float64],
    axes: NDArray[np.float64],
    settings: SegmentSettings,
) -> list[Span]:
    """Return the segments that tile [0, duration_s) with the least total price.

    Args:
        duration_s: length of the picture.
        cuts_s: times of the cuts, ascending.
        times_s: [N] sample times of the mood curves.
        axes: [N, 5] mood curves in standard units.
        settings: lengths and prices.
    """
    if float(duration_s) < 2 * settings.min_s:
        return [Span(Fraction(0), duration_s)]
    points, off_cut = _candidates(duration_s, cuts_s, settings)
    cost = _deviation(points, times_s, axes)
    positions = np.array([float(p) for p in points])
    last = len(points) - 1
    best = np.full(len(points), np.inf)
    back = np.zeros(len(points), dtype=int)
    best[0] = 0.0
    for j in range(1, len(points)):
        lengths = positions[j] - positions[:j]
        allowed = (lengths >= settings.min_s - 1e-9) & (lengths <= settings.max_s + 1e-9)
        if not allowed.any():
            continue
        starts = np.flatnonzero(allowed)
        edge = settings.off_cut_price if off_cut[j] and j != last else 0.0
        totals = best[starts] + cost(starts, j) + settings.price + edge
        choice = int(np.argmin(totals))
        best[j], back[j] = totals[choice], starts[choice]
    cuts = [last]
    while cuts[-1] != 0:
        cuts.append(int(back[cuts[-1]]))
    marks = [points[i] for i in reversed(cuts)]
    return [Span(a, b) for a, b in pairwise(marks)]


def _candidates(
    duration_s: Fraction, cuts_s: list[Fraction], settings: SegmentSettings
) -> tuple[list[Fraction], list[bool]]:
    """Return candidate boundaries, both ends included, and which of them are not cuts."""
    edges = [Fraction(0), *(c for c in cuts_s if 0 < c < duration_s), duration_s]
    points: list[Fraction] = [edges[0]]
    off_cut = [False]
    # Every whole second may end a segment too, at a price: a long shot must be divisible, and a
    # film whose cuts all fall within one short stretch must still have a solution.
    for start, end in pairwise(edges):
        inside = int(start) + 1
        while inside < end:
            if inside - start > Fraction(1, 2) and end - inside > Fraction(1, 2):
                points.append(Fraction(inside))
                off_cut.append(True)
            inside += 1
        points.append(end)
        off_cut.append(False)
    return points, off_cut


def _deviation(
    points: list[Fraction], times_s: NDArray[np.float64], axes: NDArray[np.float64]
) -> Callable[[NDArray[np.int64], int], NDArray[np.float64]]:
    """Return cost(starts, j): squared deviation in (sd^2 x s) of the curves from starts to j."""
    weights = tuple(WEIGHTS.values())
    weighted = axes * np.sqrt(np.array(weights) / sum(weights))
    step_s = float(np.median(np.diff(times_s))) if len(times_s) > 1 else 0.25
    zero = np.zeros((1, axes.shape[1]))
    total = np.concatenate([zero, np.cumsum(weighted, axis=0)])
    square = np.concatenate([[0.0], np.cumsum((weighted**2).sum(axis=1))])
    index = np.searchsorted(times_s, [float(p) for p in points])

    def cost(starts: NDArray[np.int64], j: int) -> NDArray[np.float64]:
        first, end = index[starts], index[j]
        n = np.maximum(end - first, 1)
        mean_square = ((total[end] - total[first]) ** 2).sum(axis=1) / n
        deviation: NDArray[np.float64] = square[end] - square[first] - mean_square
        return np.maximum(deviation, 0.0) * step_s

    return cost
