"""A bound on the theme term that is a sum over runs.

With unit embeddings u and U the sum of u over all T segments, theme <= weight |U| / T (equality
when all embeddings are equally long). For any r > 0, |U| <= (|U|^2 / r + r) / 2. Let track k be
heard in n_k segments, q_k = |u_k|^2, and let `share` satisfy share_i + share_j >= u_i . u_j for all
pairs i != j. Then

    |U|^2 = sum_k n_k^2 q_k + sum_{i != j} n_i n_j u_i . u_j
         <= sum_k [ n_k^2 (q_k - 2 share_k) + 2 T share_k n_k ]

which is a sum over tracks, and over runs when no track has two. The product of two runs of one
track is left out. The cost of 1 that the pair has pays for it, and only the rest counts as the
relaxation's `pair_cost`: 1 - weight / (r T) (q_k - 2 share_k) (largest product of two lengths).

Letters: `T` segments, `K` tracks in play.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from segue.tasks.soundtrack.agents.relaxation import Relaxation
from segue.tasks.soundtrack.scoring import Indices
from segue.tasks.soundtrack.tables import Floats

__all__ = ["ThemeBound"]

_LARGEST_ALLOWANCE = 0.5
"""Part of a repetition's cost that may be spent on the product of two runs of one track."""
_SWEEPS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class ThemeBound:
    """The quadratic bound for the tracks in play."""

    weight: float
    """Weight of the theme term, above 0."""
    n_segments: int
    """T."""
    products: Floats
    """[K, K] u_i . u_j."""
    share: Floats
    """[K] part of each track in its products with others."""
    radius: float
    """r, the expected length of U."""
    largest: Floats
    """[K] largest product of the lengths of two runs of each track."""

    @classmethod
    def of(cls, weight: float, units: Floats, plain: Relaxation, radius: float) -> ThemeBound:
        """Build the bound.

        Args:
            weight: of the theme term, above 0.
            units: [K, D] unit embeddings of the tracks in play.
            plain: the relaxation without theme.
            radius: expected length of U.
        """
        products = units @ units.T
        bound = cls(
            weight=weight,
            n_segments=plain.n_segments,
            products=products,
            share=_shares(products),
            radius=radius,
            largest=_largest_products(plain),
        )
        return bound._with(bound.share, radius)

    def adapted(self, segments: Floats, step: float) -> ThemeBound:
        """Return the bound a step closer to the one that is tightest for a given plan.

        Shares that are small for the plan's own tracks, and as large as then needed for all others
        (near duplicates of them above all), are mixed in; a mixture of valid shares is valid.

        Args:
            segments: [K] number of segments in which the plan plays each track.
            step: weight of the new shares, 0 to 1.
        """
        apart = self.products.copy()
        np.fill_diagonal(apart, -np.inf)
        used = segments > 0
        share = np.zeros(len(used))
        share[used] = _shares(self.products[np.ix_(used, used)])
        if not used.all():
            needed = (apart[np.ix_(~used, used)] - share[used]).max(axis=1)
            share[~used] = _shares(self.products[np.ix_(~used, ~used)], needed)
        length = float(np.sqrt(max(self.squared(segments).sum(), 1.0)))
        return self._with(
            share=(1 - step) * self.share + step * share,
            radius=(self.radius + length) / 2,
        )

    def restricted(self, plain: Relaxation, kept: Indices) -> ThemeBound:
        """Return the bound for the tracks `kept` [K'] (places in play) of the pruned `plain`."""
        return replace(
            self,
            products=self.products[np.ix_(kept, kept)],
            share=self.share[kept],
            largest=_largest_products(plain),
        )

    def _with(self, share: Floats, radius: float) -> ThemeBound:
        """Return the bound with these values, kept where a repetition can pay for its product."""
        radius = max(radius, 1e-3 * self.n_segments)
        allowance = _LARGEST_ALLOWANCE * radius * self.n_segments / self.weight
        floor = self.products.diagonal() - allowance / np.maximum(self.largest, 1.0)
        return replace(self, share=np.maximum(share, floor / 2), radius=radius)

    @property
    def scale(self) -> float:
        """Reward per unit of |U|^2 in the bound."""
        return self.weight / (2 * self.radius * self.n_segments)

    @property
    def constant(self) -> float:
        """Reward added once."""
        return self.weight * self.radius / (2 * self.n_segments)

    def squared(self, lengths: Floats) -> Floats:
        """Return the bound on |U|^2 that runs of these lengths [..., K] add up to."""
        own = self.products.diagonal() - 2 * self.share
        return np.asarray(lengths**2 * own + 2 * self.n_segments * self.share * lengths)

    def added_to(self, plain: Relaxation) -> Relaxation:
        """Return the relaxation with the theme bound in the value of every run."""
        longest = max(len(rows) for rows in plain.values)
        lengths = np.arange(1.0, longest + 1)[:, None] * np.ones(len(self.share))
        bonus = self.scale * self.squared(lengths)
        own = np.maximum(self.products.diagonal() - 2 * self.share, 0.0)
        return replace(
            plain,
            values=[rows + bonus[: len(rows)] for rows in plain.values],
            pair_cost=plain.pair_cost - 2 * self.scale * own * self.largest,
            constant=plain.constant + self.constant,
        )


def _shares(products: Floats, least: Floats | None = None) -> Floats:
    """Return small shares with share_i + share_j >= products_ij for all i != j, [K].

    Args:
        products: [K, K].
        least: [K] lower limit of each share.
    """
    least = np.full(len(products), -np.inf) if least is None else least
    if len(products) == 1:
        return np.maximum(products.diagonal() / 2, least)
    apart = products.copy()
    np.fill_diagonal(apart, -np.inf)
    share = np.maximum(apart.max(axis=1) / 2, least)
    for _ in range(_SWEEPS):
        # Halfway to what the others require: all at once stays feasible.
        share = np.maximum((share + (apart - share).max(axis=1)) / 2, least)
    return np.asarray(share)


def _largest_products(plain: Relaxation) -> Floats:
    """Return the largest product of the lengths of two runs of each track, [K]."""
    longest = np.zeros(len(plain.tracks))
    for rows in plain.values:
        lengths = np.isfinite(rows) * np.arange(1.0, len(rows) + 1)[:, None]
        longest = np.maximum(longest, lengths.max(axis=0))
    return np.minimum(longest**2, float(plain.n_segments**2 // 4))
