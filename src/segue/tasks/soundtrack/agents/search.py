"""Exact search over the runs that may still be in a best plan.

Beginnings of plans (labels) that cover segments 0..s-1 are extended by every run that starts at s,
for s = 0, 1, ... Each knows its true reward so far: repetitions, switches and theme included. The
relaxed problem bounds what its completion can earn. A label is dropped
- when its bound is not above the best plan known: no loss;
- when another one with the same end, last track, number of switches and tracks is ahead by more
  than the theme could ever repay: no loss;
- when there are too many: the best bound among those dropped here is part of the result.

Letters: `N` labels, `J` runs from a segment, `K` tracks in play, `T` segments.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from segue.tasks.soundtrack.agents.relaxation import Prices, Relaxation, Solution
from segue.tasks.soundtrack.agents.returns import returns
from segue.tasks.soundtrack.agents.theme import ThemeBound
from segue.tasks.soundtrack.scoring import REPEAT, Indices
from segue.tasks.soundtrack.tables import Floats, Tables

__all__ = ["Found", "Search"]

_FINALISTS = 256
"""Complete plans that are scored exactly; the others stay bounded."""
_CROWD = 4
"""Labels looked at for dominance, for each one kept."""
_LEAST = 1e-9
"""A plan has to be better by this much to be of interest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search proved."""

    actions: Indices | None
    """[T] the best plan found, None when none beats the one known before."""
    return_: float
    """Its exact reward, or the one known before."""
    bound: float
    """No plan over the runs in play earns more than the larger of this and `return_`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Labels:
    """Beginnings that end at the same segment."""

    earned: Floats  # [N] true reward without switches and theme
    bound: Floats  # [N] of the best completion
    squared: Floats  # [N] |U|^2, U the sum of the unit embeddings heard
    switches: Indices  # [N]
    history: Indices  # [N] equal for equal multisets of started tracks
    last: Indices  # [N] track in play of the last run
    starts: Indices  # [N, K] starts of each track
    heard: Indices  # [N, K] segments of each track
    along: Floats  # [N, K] u_k . U
    actions: Indices  # [N, T]

    def take(self, rows: Indices) -> _Labels:
        return _Labels(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Children:
    """Extensions of one block of labels that end at the same segment, [N]."""

    parents: _Labels
    start: int
    parent: Indices
    track: Indices
    length: Indices
    earned: Floats
    bound: Floats
    squared: Floats
    switches: Indices

    def take(self, rows: Indices) -> _Children:
        kept: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in kept.keys() - {"parents", "start"}:
            kept[name] = kept[name][rows]
        return _Children(**kept)


class Search:
    """A search over the runs of a relaxation.

    Args:
        tables: for the exact reward of complete plans.
        plain: the runs in play, without theme.
        theme: the theme bound, None without theme term.
        relaxed: `plain` with the theme bound added.
        prices: the prices of `solution`.
        solution: of `relaxed`.
    """

    def __init__(
        self,
        tables: Tables,
        plain: Relaxation,
        theme: ThemeBound | None,
        relaxed: Relaxation,
        prices: Prices,
        solution: Solution,
    ) -> None:
        self._tables, self._plain, self._theme, self._relaxed = tables, plain, theme, relaxed
        self._prices, self._solution = prices, solution
        n_tracks = len(plain.tracks)
        self._products = theme.products if theme else np.zeros((n_tracks, n_tracks))
        self._outlook = _outlook(plain, prices)
        # Dominance needs a theme that is exactly weight |U| / T.
        norms = np.linalg.norm(tables.embeddings, axis=1)
        weight = tables.weights.theme
        even = bool(np.ptp(norms) <= 1e-9 * float(norms.max()))
        self._comparable = weight == 0 or (weight > 0 and even and float(norms.max()) > 1e-3)
        random = np.random.default_rng(0)
        self._codes = random.integers(-(2**62), 2**62, size=n_tracks, dtype=np.int64)

    def run(self, known: float, width: int) -> Found:
        """Search for a plan that earns more than `known`, with `width` labels a segment."""
        n_segments = self._plain.n_segments
        waiting: list[list[_Children]] = [[] for _ in range(n_segments + 1)]
        dropped = -np.inf
        labels: _Labels | None = self._root()
        for s in range(n_segments):
            if s:
                labels, lost = self._arrive(waiting[s], s, known, width)
                dropped = max(dropped, lost)
                waiting[s] = []
            if labels is not None:
                for end, children in self._extend(labels, s, known):
                    waiting[end].append(children)
        done, lost = self._arrive(waiting[n_segments], n_segments, known, _FINALISTS)
        dropped = max(dropped, lost)
        if done is not None:
            rewards = returns(self._tables, done.actions)
            winner = int(rewards.argmax())
            if rewards[winner] > known:
                return Found(
                    actions=done.actions[winner], return_=float(rewards[winner]), bound=dropped
                )
        return Found(actions=None, return_=known, bound=dropped)

    def _extend(self, labels: _Labels, s: int, known: float) -> list[tuple[int, _Children]]:
        """Return the extensions of `labels` that may beat `known`, with the segment they end at."""
        plain, theme, n_segments = self._plain, self._theme, self._plain.n_segments
        rows = plain.values[s]
        length, track = np.nonzero(np.isfinite(rows))  # [J]
        value = rows[length, track]
        length = length + 1
        # 1. True reward of label i and run j, [N, J].
        starts = labels.starts[:, track]
        earned = labels.earned[:, None] + value
        switches = labels.switches
        if s:
            smooth = plain.smooth * plain.gate[s]
            np.fill_diagonal(smooth, smooth.diagonal() + REPEAT)
            earned += smooth[labels.last[:, None], track] + REPEAT * starts.astype(np.float64)
            switches = switches + 1
        # 2. Bound on its completion: later starts are priced, and part of that is given back.
        repaid = self._relaxed.repaid(self._prices, labels.starts)  # [N, K]
        once_more = self._relaxed.repaid(self._prices, labels.starts + 1)
        back = repaid.sum(axis=1)[:, None] + (once_more - repaid)[:, track]
        ends = s + length
        bound = earned + self._solution.follow[ends, track] + back
        bound += self._outlook[ends[None, :], switches[:, None]] + plain.constant
        squared = (
            labels.squared[:, None]
            + 2 * length * labels.along[:, track]
            + length**2 * self._products.diagonal()[track]
        )
        if theme:
            # Products inside the beginning are known; those with the rest are shared out.
            shares = (labels.heard @ theme.share)[:, None] + length * theme.share[track]
            quadratic = theme.scale * (squared + 2 * (n_segments - ends) * shares)
            exact = theme.weight / n_segments * np.sqrt(np.maximum(squared, 0.0))
            bound += np.where(ends == n_segments, exact, quadratic + theme.constant)
        parent, run = np.nonzero(bound > known + _LEAST)
        order = np.argsort(ends[run], kind="stable")
        parent, run = parent[order], run[order]
        every = _Children(
            parents=labels,
            start=s,
            parent=parent,
            track=track[run],
            length=length[run],
            earned=earned[parent, run],
            bound=bound[parent, run],
            squared=squared[parent, run],
            switches=switches[parent],
        )
        found, first = np.unique(ends[run], return_index=True)
        edges = [*first.tolist(), len(run)]
        return [
            (int(end), every.take(np.arange(edges[i], edges[i + 1]))) for i, end in enumerate(found)
        ]

    def _arrive(
        self, batches: list[_Children], s: int, known: float, width: int
    ) -> tuple[_Labels | None, float]:
        """Return at most `width` labels among all that end at s, and the best bound dropped."""
        if not batches:
            return None, -np.inf
        bounds = np.concatenate([batch.bound for batch in batches])
        crowd, dropped = width * _CROWD, -np.inf
        if len(bounds) > crowd:
            threshold = float(np.partition(bounds, len(bounds) - crowd)[len(bounds) - crowd])
            batches = [batch.take(np.flatnonzero(batch.bound >= threshold)) for batch in batches]
            dropped = threshold
        labels = _joined([self._grown(batch) for batch in batches if len(batch.bound)])
        if self._comparable and s < self._plain.n_segments:
            labels = self._undominated(labels)
        if len(labels.bound) > width:
            order = np.argsort(-labels.bound, kind="stable")
            dropped = max(dropped, float(labels.bound[order[width]]))
            labels = labels.take(np.sort(order[:width]))
        return labels, dropped

    def _grown(self, children: _Children) -> _Labels:
        """Write out the histories of children."""
        parents, parent, track = children.parents, children.parent, children.track
        place = np.arange(len(parent))
        starts, heard = parents.starts[parent], parents.heard[parent]
        starts[place, track] += 1
        heard[place, track] += children.length
        actions = parents.actions[parent]
        actions[:, children.start] = self._plain.tracks[track]
        return _Labels(
            earned=children.earned,
            bound=children.bound,
            squared=children.squared,
            switches=children.switches,
            history=parents.history[parent] + self._codes[track],
            last=track,
            starts=starts,
            heard=heard,
            along=parents.along[parent] + children.length[:, None] * self._products[track],
            actions=actions,
        )

    def _undominated(self, labels: _Labels) -> _Labels:
        """Drop labels that another one with the same tracks beats for every completion."""
        order = np.lexsort((-labels.earned, labels.last, labels.history))
        history, last = labels.history[order], labels.last[order]
        fresh = np.ones(len(order), dtype=bool)
        fresh[1:] = (history[1:] != history[:-1]) | (last[1:] != last[:-1])
        leader = np.empty(len(order), dtype=np.int64)
        leader[order] = order[np.flatnonzero(fresh)[np.cumsum(fresh) - 1]]
        behind = labels.earned[leader] - labels.earned
        repaid = np.zeros(len(order))
        if self._theme:
            # |U + X| - |V + X| <= |U - V| for every completion X.
            inner = np.einsum("nk,nk->n", labels.heard, labels.along[leader])
            apart = np.maximum(labels.squared + labels.squared[leader] - 2 * inner, 0.0)
            repaid = self._theme.weight / self._theme.n_segments * np.sqrt(apart)
        # `history` is a hash: two different multisets with one hash must not be compared.
        same = (labels.starts == labels.starts[leader]).all(axis=1)
        beaten = same & (leader != np.arange(len(order))) & (behind > repaid + _LEAST)
        return labels.take(np.flatnonzero(~beaten))

    def _root(self) -> _Labels:
        n_tracks, n_segments = len(self._plain.tracks), self._plain.n_segments
        zero, none = np.zeros(1), np.zeros(1, dtype=np.int64)
        return _Labels(
            earned=zero,
            bound=np.full(1, np.inf),
            squared=zero,
            switches=none,
            history=none,
            last=none,
            starts=np.zeros((1, n_tracks), dtype=np.int16),
            heard=np.zeros((1, n_tracks), dtype=np.int16),
            along=np.zeros((1, n_tracks)),
            actions=np.full((1, n_segments), self._tables.n_tracks, dtype=np.int64),
        )


def _outlook(plain: Relaxation, prices: Prices) -> Floats:
    """Return the best end value less prices still to be paid, [T + 1, T] by segment and switches.

    From segment s < T on, at least one and at most T - s switches follow.
    """
    n = plain.n_segments
    count = np.arange(n)
    priced = plain.end + prices.switch * count
    outlook = np.empty((n + 1, n))
    outlook[n] = plain.end
    for s in range(n):
        ahead = np.append(priced[1:], np.full(n - s, -np.inf))
        windows = np.lib.stride_tricks.sliding_window_view(ahead, n - s)
        outlook[s] = windows[:n].max(axis=1) - prices.switch * count
    return outlook


def _joined(parts: list[_Labels]) -> _Labels:
    if len(parts) == 1:
        return parts[0]
    return _Labels(
        **{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(_Labels)}
    )
