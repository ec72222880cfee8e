"""The relaxed planning problem: repetitions and switches at a price instead of by count.

Charging a plan for the tracks it repeats and for its number of switches needs its whole history.
Two prices remove the history (Lagrangian relaxation) and only ever make a plan look better:

- every start of track k costs `repeat_price[k]`. n starts truly cost 1 for each of their
  n (n - 1) / 2 pairs, of which `pair_cost[k]` <= 1 counts here, and 1 more for each immediate
  restart. Given back for every track: max_n [price n - pair_cost n (n - 1) / 2], so that no number
  of starts costs more than it does in truth.
- every switch costs `switch_price`; the end value f(c) of c switches becomes its best case
  max_c' [f(c') + switch_price c'].

What remains is a longest path over runs, solved backwards:
    begin[s, k]  = max_n  value[s][n, k] + follow[s + n, k]
    follow[e, k] = max_k' smooth[k, k'] gate[e] + begin[e, k'] - repeat_price[k'] - switch_price
An immediate restart (k' = k) costs 1, and at least `pair_cost[k]` with its price. The value of the
best path and what is given back together bound every true plan from above, at any prices.

Letters: `T` segments, `K` tracks still in play, `N_s` longest run from segment s.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from segue.tasks.soundtrack.scoring import REPEAT, Indices
from segue.tasks.soundtrack.tables import Floats, Tables

__all__ = ["Prices", "Relaxation", "Solution"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What repetition and switching cost in the relaxation."""

    repeat: Floats
    """[K] price of a start of each track."""
    switch: float = 0.0
    """Price of a switch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """The best path at given prices."""

    bound: float
    """Its value and what is given back: no plan over the same runs earns more."""
    runs: tuple[tuple[int, int, int], ...]
    """(first segment, end, track in play) of its runs."""
    begin: Floats
    """[T, K] value of the best path from a run of k that starts at s."""
    follow: Floats
    """[T + 1, K] value of the best path after a run of k that ends at e."""


@dataclass(frozen=True, slots=True)
class _HandOver:
    """The hand-overs at one segment: from tracks whose runs may end there to those that start."""

    previous: Indices
    """[P] tracks in play."""
    new: Indices
    """[N] tracks in play."""
    smooth: Floats
    """[P, N] weight times transition."""
    gate: float
    again: tuple[Indices, Indices]
    """Where a track follows itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relaxation:
    """The runs still in play, and what hand-overs between them earn."""

    values: list[Floats]
    """T arrays [N_s, K]: value of each run, minus infinity for one out of play."""
    smooth: Floats
    """[K, K] weight times transition, index order [previous track, new track]."""
    gate: Floats
    """[T] factor of smoothness at each segment."""
    end: Floats
    """[T] end value by number of switches."""
    pair_cost: Floats
    """[K] what every pair of starts of a track costs, above 0 and at most 1."""
    tracks: Indices
    """[K] index in the library of each track in play."""
    constant: float = 0.0
    """Added to the value of every path."""
    hand_overs: tuple[_HandOver, ...]
    """T of them; the first is empty."""

    @classmethod
    def of(cls, tables: Tables, values: list[Floats]) -> Relaxation:
        """Return the relaxation with all tracks in play and the theme left out."""
        smooth = np.ascontiguousarray(tables.weights.smoothness * tables.transition.T)
        return cls(
            values=values,
            smooth=smooth,
            gate=tables.gate,
            end=tables.switch_cost(np.arange(tables.n_segments)),
            pair_cost=np.full(tables.n_tracks, -REPEAT),
            tracks=np.arange(tables.n_tracks),
            hand_overs=_hand_overs(values, smooth, tables.gate),
        )

    @property
    def n_segments(self) -> int:
        """Number of segments, T."""
        return len(self.values)

    def raised(self, amount: float) -> Relaxation:
        """Return the relaxation with `amount` added to the value of every path."""
        return replace(self, constant=self.constant + amount)

    def given_back(self, prices: Prices) -> float:
        """Return what is added to the value of the best path to make it a bound."""
        best_end = (self.end + prices.switch * np.arange(self.n_segments)).max()
        return self.constant + float(self.repaid(prices).sum() + best_end)

    def starts_paid(self, prices: Prices) -> Floats:
        """Return the number of starts of each track that the price gives most back for, [K]."""
        return np.floor(np.maximum(prices.repeat, 0.0) / self.pair_cost) + 1.0

    def repaid(self, prices: Prices, starts: Indices | int = 0) -> Floats:
        """Return what is given back for each track, [..., K].

        Args:
            prices: the prices.
            starts: [..., K] starts whose true cost is paid already; only later ones are priced.
        """
        price = prices.repeat - self.pair_cost * starts
        best = np.floor(np.maximum(price, 0.0) / self.pair_cost) + 1.0
        given = price * best - self.pair_cost * best * (best - 1) / 2
        return np.asarray(np.maximum(given, 0.0))

    def solve(self, prices: Prices) -> Solution:
        """Return the best path at these prices."""
        n_segments, n_tracks = self.n_segments, len(self.tracks)
        begin = np.empty((n_segments, n_tracks))
        follow = np.full((n_segments + 1, n_tracks), -np.inf)
        follow[n_segments] = 0.0
        for s in range(n_segments - 1, -1, -1):
            rows = self.values[s]
            begin[s] = (rows + follow[s + 1 : s + 1 + len(rows)]).max(axis=0)
            if s:
                follow[s, self.hand_overs[s].previous] = self._step(s, prices, begin[s]).max(
                    axis=1, initial=-np.inf
                )
        first = begin[0] - prices.repeat
        track = int(first.argmax())
        bound = float(first[track]) + self.given_back(prices)

        runs, s = [], 0
        while s < n_segments:
            rows = self.values[s][:, track]
            end = s + 1 + int((rows + follow[s + 1 : s + 1 + len(rows), track]).argmax())
            runs.append((s, end, track))
            if end < n_segments:
                link = self.hand_overs[end]
                row = int(np.searchsorted(link.previous, track))
                track = int(link.new[self._step(end, prices, begin[end])[row].argmax()])
            s = end
        return Solution(bound=bound, runs=tuple(runs), begin=begin, follow=follow)

    def run_bounds(self, prices: Prices, solution: Solution) -> list[Floats]:
        """Return for every run a bound on all plans that contain it; shapes as `values`."""
        n_segments, n_tracks = self.n_segments, len(self.tracks)
        extra = self.given_back(prices)
        until = np.full((n_segments + 1, n_tracks), -np.inf)  # best path that ends with a run of k
        bounds: list[Floats] = []
        for s in range(n_segments):
            before = -prices.repeat if s == 0 else np.full(n_tracks, -np.inf)
            if s:
                link = self.hand_overs[s]
                step = self._step(s, prices, np.zeros(n_tracks)) + until[s, link.previous, None]
                before[link.new] = step.max(axis=0, initial=-np.inf)
            rows = self.values[s] + before
            ends = slice(s + 1, s + 1 + len(rows))
            np.maximum(until[ends], rows, out=until[ends])
            bounds.append(rows + solution.follow[ends] + extra)
        return bounds

    def _step(self, segment: int, prices: Prices, begin: Floats) -> Floats:
        """Return what hand-overs at a segment earn and cost, and the rest with `begin`, [P, N]."""
        link = self.hand_overs[segment]
        step = link.smooth * link.gate
        step += (begin - prices.repeat - prices.switch)[link.new]
        again = link.previous[link.again[0]]
        rest = np.maximum(self.pair_cost[again] - prices.repeat[again], 0.0)
        step[link.again] += REPEAT - rest
        return step

    def without(self, drop: list[np.ndarray[tuple[int, int], np.dtype[np.bool_]]]) -> Relaxation:
        """Return the relaxation without the runs marked in `drop` (shapes as `values`)."""
        alive = np.zeros(len(self.tracks), dtype=bool)
        for rows, out in zip(self.values, drop, strict=True):
            alive |= (np.isfinite(rows) & ~out).any(axis=0)
        keep = np.flatnonzero(alive)
        values = []
        for rows, out in zip(self.values, drop, strict=True):
            left = np.where(out, -np.inf, rows)[:, keep]
            longest = np.flatnonzero(np.isfinite(left).any(axis=1))
            values.append(left[: longest[-1] + 1 if longest.size else 1])
        smooth = np.ascontiguousarray(self.smooth[np.ix_(keep, keep)])
        return replace(
            self,
            values=values,
            smooth=smooth,
            pair_cost=self.pair_cost[keep],
            tracks=self.tracks[keep],
            hand_overs=_hand_overs(values, smooth, self.gate),
        )


def _hand_overs(values: list[Floats], smooth: Floats, gate: Floats) -> tuple[_HandOver, ...]:
    """Return the possible hand-overs at every segment."""
    n_segments, n_tracks = len(values), len(smooth)
    ends = np.zeros((n_segments + 1, n_tracks), dtype=bool)
    found: list[_HandOver] = []
    for s, rows in enumerate(values):
        previous = np.flatnonzero(ends[s])
        new = np.flatnonzero(np.isfinite(rows).any(axis=0))
        ends[s + 1 : s + 1 + len(rows)] |= np.isfinite(rows)
        if s and len(previous) * len(new) > n_tracks**2 / 4:
            # Nearly all: share the table, so that a long film does not copy it for each segment.
            previous = new = np.arange(n_tracks)
            table = smooth
        else:
            table = smooth[np.ix_(previous, new)]
        _, row, column = np.intersect1d(previous, new, assume_unique=True, return_indices=True)
        found.append(_HandOver(previous, new, table, float(gate[s]), (row, column)))
    return tuple(found)
