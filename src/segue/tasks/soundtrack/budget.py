"""How many changes of music a video should have: learned from finished videos.

Videos are sorted by sigma, their visual unrest (mean over t >= 1 of 1 - cos(v_t, v_t-1)), into five
bins with edges at the quantiles 0, .2, .4, .6, .8, 1. A bin keeps the mean and the standard
deviation of its videos' numbers of changes C. The target of an episode is drawn as
round(mu + kappa * N(0, std)), halves to even.

Profile `reference` keeps the original's flaws: the largest sigma belongs to no bin, an empty bin is
NaN, a sigma outside all bins gets the last one, and a draw may be negative. Profile `default`
closes the last bin, draws the bins towards the mean of all videos, gives an outside sigma its
nearest bin, and clips the draw to 0..T-1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError

__all__ = ["Bin", "SwitchBudget", "fit_budget", "unlabelled_budget"]

QUANTILES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Written out: a computed 0.6 differs in the last bit, and edges then miss the sigma they mean."""
_STD_FLOOR = 1e-6


@dataclass(frozen=True, slots=True)
class Bin:
    """Videos of similar unrest."""

    mean: float
    """Mean number of changes."""
    std: float
    """Standard deviation of the number of changes, plus 1e-6."""
    lower: float
    upper: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchBudget:
    """The distribution of the number of switches, given a video's unrest."""

    bins: tuple[Bin, ...]
    reference: bool = False
    """Whether to choose bins and draw as the original does."""
    rate: float | None = None
    """Switches per segment where no label was available; then there are no bins."""

    def bin_of(self, sigma: float) -> Bin:
        """Return the bin that a video of unrest `sigma` belongs to (NaN: the last one)."""
        for each in self.bins:
            if each.lower <= sigma < each.upper:
                return each
        if not self.reference and sigma < self.bins[0].lower:
            return self.bins[0]
        return self.bins[-1]

    def moments(self, sigma: float, n_segments: int) -> tuple[float, float]:
        """Return mean and standard deviation of the number of switches before rounding."""
        if self.rate is not None:  # each hand-over is a coin with this rate
            mean = self.rate * max(n_segments - 1, 0)
            return mean, math.sqrt(mean * (1.0 - self.rate)) + _STD_FLOOR
        chosen = self.bin_of(sigma)
        return chosen.mean, chosen.std

    def draw(
        self, sigma: float, n_segments: int, rng: np.random.Generator, kappa: float = 1.0
    ) -> int:
        """Return a target for one episode.

        Args:
            sigma: unrest of the video.
            n_segments: number of its segments, T.
            rng: gives one standard normal number, also when `kappa` is 0.
            kappa: spread; 0 always gives the rounded mean.

        Raises:
            DataError: the video's bin is empty (profile `reference` with too few videos).
        """
        mean, std = self.moments(sigma, n_segments)
        value = mean + kappa * float(rng.normal(0.0, 1.0)) * std
        if not math.isfinite(value):
            raise DataError(
                f"no training video has an unrest like {sigma:.4f}: its switch target is undefined",
                advice="Use profile 'default', or at least 6 videos",
            )
        target = round(value)
        return target if self.reference else min(max(target, 0), max(n_segments - 1, 0))

    def distribution(
        self, sigma: float, n_segments: int, kappa: float = 1.0
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the values that `draw` can give, [M], and their probabilities, [M].

        Values less likely than about 1e-15 are left out; the rest adds up to 1.
        """
        mean, std = self.moments(sigma, n_segments)
        spread = kappa * std
        if not math.isfinite(mean + spread):
            raise DataError("the switch target of this video is undefined: its bin is empty")
        reach = math.ceil(8.0 * spread) + 1
        values = np.arange(round(mean) - reach, round(mean) + reach + 1)
        if spread > 0:
            edges = (np.append(values, values[-1] + 1) - 0.5 - mean) / (spread * math.sqrt(2.0))
            cumulative = np.array([0.5 * (1.0 + math.erf(edge)) for edge in edges])
            probabilities = np.diff(cumulative)
        else:
            probabilities = (values == round(mean)).astype(np.float64)
        if not self.reference:
            values = np.clip(values, 0, max(n_segments - 1, 0))
        unique, inverse = np.unique(values, return_inverse=True)
        mass = np.bincount(inverse, weights=probabilities)
        kept = mass > 1e-15
        return unique[kept].astype(np.int64), mass[kept] / mass[kept].sum()

    def as_dict(self) -> dict[str, Any]:
        """Return the model as JSON-like values."""
        rows = [[each.mean, each.std, each.lower, each.upper] for each in self.bins]
        return {"bins": rows, "reference": self.reference, "rate": self.rate}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SwitchBudget:
        """Undo `as_dict`."""
        bins = tuple(Bin(*row) for row in values["bins"])
        return cls(bins=bins, reference=values["reference"], rate=values["rate"])


def fit_budget(
    sigmas: Sequence[float],
    counts: Sequence[int],
    *,
    reference: bool = False,
    shrinkage: float = 4.0,
) -> SwitchBudget:
    """Learn the number of changes from labelled videos of two or more segments.

    Args:
        sigmas: unrest of each video.
        counts: number of labelled changes of each video.
        reference: reproduce the original, empty bins included.
        shrinkage: videos' worth of weight of the global mean and variance; ignored by
            `reference`.

    Raises:
        DataError: there is no video to learn from.
    """
    if len(sigmas) == 0:
        raise DataError("no labelled video of two or more segments to learn the switch budget from")
    sigma, count = np.asarray(sigmas, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    edges = np.quantile(sigma, QUANTILES)
    bins = []
    for index in range(len(QUANTILES) - 1):
        lower, upper = float(edges[index]), float(edges[index + 1])
        inside = (sigma >= lower) & (sigma < upper)
        if reference:
            mean = float(count[inside].mean()) if inside.any() else math.nan
            std = float(count[inside].std()) if inside.any() else math.nan
        else:
            if index == len(QUANTILES) - 2:
                inside |= sigma == upper
            mean, std = _shrunk(count[inside], count, shrinkage)
        bins.append(Bin(mean, std + _STD_FLOOR, lower, upper))
    return SwitchBudget(bins=tuple(bins), reference=reference)


def unlabelled_budget(rate: float) -> SwitchBudget:
    """Return the budget used where no video is labelled: `rate` switches per segment."""
    return SwitchBudget(bins=(), rate=rate)


def _shrunk(
    inside: NDArray[np.float64], everything: NDArray[np.float64], shrinkage: float
) -> tuple[float, float]:
    """Return mean and std of `inside` with `shrinkage` pseudo-videos like `everything`."""
    overall, n = everything.mean(), len(inside)
    if n + shrinkage == 0:
        return float(overall), float(everything.std())
    mean = (inside.sum() + shrinkage * overall) / (n + shrinkage)
    # Second moment about the new mean, of the bin's videos and of the pseudo-videos.
    own = ((inside - mean) ** 2).sum()
    borrowed = shrinkage * (everything.var() + (overall - mean) ** 2)
    return float(mean), math.sqrt(float((own + borrowed) / (n + shrinkage)))
