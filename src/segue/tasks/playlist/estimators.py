"""What a policy would have earned, from what another policy did: off-policy estimators.

A log holds decisions that were drawn with known probabilities. For each: the reward r, the
propensity p (probability with which the logged track was drawn), the probability t that the judged
policy gives to the same track, and two numbers of a model of the reward: q of the logged track, and
e, the mean of q over all candidates under the judged policy. With the weight w = t / p:

    dm         mean e                                       the model alone
    ips        mean w r                                     Horvitz and Thompson (1952)
    snips      sum w r / sum w                              Swaminathan and Joachims (2015)
    dr         mean (e + w (r - q))                         Dudik et al. (2014)
    switch-dr  mean (e + [w <= tau] w (r - q))              Wang et al. (2017)

`ips` and `dr` are right on average whatever the model, as long as the propensities are true and
every track that the judged policy may choose could have been logged; `dm` is as right as its model,
and its interval knows nothing of that. `switch-dr` gives up great weights, and so some of the
promise, for a smaller spread; `clip` does the same by cutting weights off.

All five are a sum over a sum, row by row, which gives the intervals: by linearisation with the
normal distribution, or by the bootstrap. Rows of one session are not independent; with `groups`
whole sessions are what varies. Letters: `n` logged decisions, `G` groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError, UsageError
from segue.core.names import unknown
from segue.core.seeding import generator

__all__ = ["ESTIMATORS", "Estimate", "Interval", "Logged", "best_switch", "estimate", "estimates"]

Floats = NDArray[np.float64]

Interval = Literal["normal", "bootstrap"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Logged:
    """Logged decisions and what the judged policy and the model say of them, [n] each."""

    rewards: Floats
    propensities: Floats
    """Probability with which the logged track was drawn; of (0, 1]."""
    targets: Floats
    """Probability that the judged policy gives it; of [0, 1]."""
    modelled: Floats
    """The model's reward of the logged track, q."""
    expected: Floats
    """The model's mean reward under the judged policy, e."""
    groups: NDArray[np.int64] | None = None
    """Number of the session of each row; None when rows are independent."""

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            DataError: no row, a number that is not finite, or a probability out of range.
        """
        if not len(self.rewards):
            raise DataError("the log has no decision")
        for name in ("rewards", "propensities", "targets", "modelled", "expected"):
            values = getattr(self, name)
            assert values.shape == self.rewards.shape, f"{name}: {values.shape}"
            low, high = _RANGES.get(name, (-np.inf, np.inf))
            good = np.isfinite(values) & (values >= low) & (values <= high)
            if name == "propensities":
                good &= values > 0
            if not good.all():
                row = int((~good).argmax())
                raise DataError(
                    f"{_WORDS[name]} {values[row]:g}",
                    where=f"decision {row}",
                    advice=_ADVICE.get(name, "Numbers must be finite"),
                )

    @property
    def weights(self) -> Floats:
        """Importance weights w, [n]."""
        return np.asarray(self.targets / self.propensities)


_RANGES = {"propensities": (0.0, 1.0), "targets": (0.0, 1.0 + 1e-6)}
_WORDS = {
    "rewards": "reward",
    "propensities": "propensity",
    "targets": "probability of the judged policy",
    "modelled": "modelled reward",
    "expected": "expected reward",
}
_ADVICE = {
    "propensities": "A propensity is the probability of what was drawn: above 0 and at most 1",
    "targets": "A probability is of 0..1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The value of a policy, as far as a log tells."""

    name: str
    value: float
    low: float
    """Of the interval."""
    high: float
    standard_error: float
    n: int
    """Decisions."""
    n_groups: int
    """Sessions, or decisions where these are independent."""
    effective: float
    """Effective sample size, (sum w)^2 / sum w^2; much below n, weights are few and great."""
    cut: float = 0.0
    """Share of the decisions whose weight was clipped or switched to the model."""
    switch: float | None = None
    """tau of switch-dr."""


def _dm(logged: Logged, w: Floats, tau: float) -> tuple[Floats, Floats]:
    return logged.expected, np.ones_like(w)


def _ips(logged: Logged, w: Floats, tau: float) -> tuple[Floats, Floats]:
    return w * logged.rewards, np.ones_like(w)


def _snips(logged: Logged, w: Floats, tau: float) -> tuple[Floats, Floats]:
    return w * logged.rewards, w


def _dr(logged: Logged, w: Floats, tau: float) -> tuple[Floats, Floats]:
    return logged.expected + w * (logged.rewards - logged.modelled), np.ones_like(w)


def _switch_dr(logged: Logged, w: Floats, tau: float) -> tuple[Floats, Floats]:
    kept = np.where(w <= tau, w, 0.0)
    return logged.expected + kept * (logged.rewards - logged.modelled), np.ones_like(w)


ESTIMATORS: dict[str, Callable[[Logged, Floats, float], tuple[Floats, Floats]]] = {
    "dm": _dm,
    "ips": _ips,
    "snips": _snips,
    "dr": _dr,
    "switch-dr": _switch_dr,
}
"""Short name -> numerator and denominator of every row, from (log, weights, tau)."""


def estimate(
    name: str,
    logged: Logged,
    *,
    clip: float | None = None,
    switch: float | None = None,
    interval: Interval = "normal",
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Estimate the mean reward of the judged policy.

    Args:
        name: of `ESTIMATORS`.
        logged: the log.
        clip: greatest weight; greater ones are set to it. None clips nothing.
        switch: tau of switch-dr; None chooses it by `best_switch`.
        interval: how the interval is made.
        confidence: of the interval.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        UnknownName: there is no such estimator.
        UsageError: `clip` or `switch` is not positive, or all weights are 0 in snips.
    """
    if name not in ESTIMATORS:
        raise unknown("estimator", name, ESTIMATORS)
    for label, limit in (("clip", clip), ("switch", switch)):
        if limit is not None and not limit > 0:
            raise UsageError(f"{label} = {limit:g}: it must be above 0")
    weights = logged.weights
    w = weights if clip is None else np.minimum(weights, clip)
    tau = np.inf
    if name == "switch-dr":
        tau = best_switch(logged) if switch is None else switch
    top, bottom = ESTIMATORS[name](logged, w, tau)
    if not bottom.any():
        raise UsageError(
            "the judged policy never chooses what was logged: there is nothing to estimate from"
        )
    value = float(top.sum() / bottom.sum())
    sums = _by_group(logged, np.stack([top, bottom, np.ones_like(top)]))
    if interval == "normal":
        error = _linear_error(sums[0], sums[1], value)
        reach = NormalDist().inv_cdf(0.5 + confidence / 2) * error
        low, high = value - reach, value + reach
    else:
        drawn = _bootstrap(sums[0], sums[1], resamples, seed)
        error = float(drawn.std())
        edges = np.quantile(drawn, [0.5 - confidence / 2, 0.5 + confidence / 2])
        low, high = float(edges[0]), float(edges[1])
    given_up = weights > min(tau, np.inf if clip is None else clip)
    square = float(np.square(w).sum())
    return Estimate(
        name=name,
        value=value,
        low=low,
        high=high,
        standard_error=error,
        n=len(w),
        n_groups=sums.shape[1],
        effective=float(w.sum()) ** 2 / square if square else 0.0,
        cut=float(given_up.mean()),
        switch=tau if name == "switch-dr" else None,
    )


def estimates(
    logged: Logged,
    names: Sequence[str] = tuple(ESTIMATORS),
    *,
    clip: float | None = None,
    switch: float | None = None,
    interval: Interval = "normal",
    seed: int = 0,
) -> list[Estimate]:
    """Return several estimates of the same log; see `estimate`."""
    return [
        estimate(name, logged, clip=clip, switch=switch, interval=interval, seed=seed)
        for name in names
    ]


def best_switch(logged: Logged, n_grid: int = 20) -> float:
    """Choose tau of switch-dr from the log (Wang et al., section 4).

    Of weights at even quantiles and infinity, the one with the least sum of the variance of the
    estimate and the square of an upper bound of its bias: the greatest difference of two rewards
    times the probability that the judged policy needs a greater weight. The variance counts
    groups as `estimate` does.
    """
    w = logged.weights
    span = float(np.ptp(logged.rewards))
    grid = [*np.unique(np.quantile(w[w > 0], np.linspace(0.05, 1, n_grid))), np.inf]
    if not (w > 0).any():
        return np.inf
    risks = []
    for tau in grid:
        top, bottom = _switch_dr(logged, w, tau)
        sums = _by_group(logged, np.stack([top, bottom]))
        error = _linear_error(sums[0], sums[1], float(top.mean()))
        bias = span * float(np.where(w > tau, w, 0.0).mean())
        risks.append(error**2 + bias**2)
    return float(grid[int(np.argmin(risks))])


def _by_group(logged: Logged, rows: Floats) -> Floats:
    """Return the sums of each group, [.., G], of [.., n]."""
    if logged.groups is None:
        return rows
    _, place = np.unique(logged.groups, return_inverse=True)
    return np.stack([np.bincount(place, weights=row) for row in rows])


def _linear_error(top: Floats, bottom: Floats, value: float) -> float:
    """Return the standard error of sum(top) / sum(bottom) over independent groups."""
    n = len(top)
    if n < 2:
        return np.inf
    residual = top - value * bottom
    variance = n / (n - 1) * float(np.square(residual).sum()) / float(bottom.sum()) ** 2
    return float(np.sqrt(variance))


def _bootstrap(top: Floats, bottom: Floats, resamples: int, seed: int) -> Floats:
    """Return ratios of resampled groups, [resamples]."""
    rng = generator(seed, "off-policy bootstrap")
    n = len(top)
    found = np.empty(resamples)
    for i in range(resamples):
        counts = np.bincount(rng.integers(n, size=n), minlength=n)
        below = float(counts @ bottom)
        found[i] = float(counts @ top) / below if below else np.nan
    return found[np.isfinite(found)]
