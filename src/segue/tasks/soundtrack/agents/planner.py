"""The planner: the best plan that can be found, and a proof of how good it is.

The reward is known in tables, so choosing the music is a deterministic planning problem over runs.
It is solved in five steps:

1. value every run (`runs`);
2. find prices for repetitions and switches at which the relaxed problem says least too much, by
   subgradient steps (`relaxation`); every relaxed plan is scored as a candidate, beside a beam;
3. drop every run that no plan better than the best candidate can contain: a few dozen to a
   thousand of hundreds of thousands remain, without loss;
4. add a bound on the theme that is a sum over runs, tightened in the same way (`theme`);
5. search the rest exactly (`search`), first narrowly for a better candidate, then widely.

The upper bound is the smallest of the bounds that these steps prove. It equals the return when the
search ran without dropping anything: then the plan is optimal.

Known and unknown switch targets are one case: `Tables.switch_cost` is the expectation. Plans are
complete: the illegal continue, which ends an episode early at a cost of 5, is not among them, and
the bound is one for complete plans. (Where the rest of a video can only earn less than -5, ending
it early would pay; such a "plan" leaves segments without music.)

Wolsey, "Integer Programming" (1998), chapter 10, for Lagrangian relaxation and its subgradients.
Letters: `T` segments, `K` tracks in play.
"""

from __future__ import annotations

import time

import numpy as np

from segue.core.errors import ConfigError
from segue.tasks.soundtrack.agents.beam import beam_actions
from segue.tasks.soundtrack.agents.plan import Plan, check, finish
from segue.tasks.soundtrack.agents.relaxation import Prices, Relaxation, Solution
from segue.tasks.soundtrack.agents.runs import run_values
from segue.tasks.soundtrack.agents.search import Search
from segue.tasks.soundtrack.agents.theme import ThemeBound
from segue.tasks.soundtrack.scoring import Indices, score, unit_embeddings
from segue.tasks.soundtrack.tables import Floats, Tables

__all__ = ["Planner"]

_LEAST = 1e-9
"""Differences of reward below this are rounding."""
_BEAM = 8
_ITERATIONS = 20
"""Subgradient steps without theme; the later steps with theme are cheaper, on fewer tracks."""
_THEME_ITERATIONS = 12
_REHEARSAL_RUNS = 300
"""Runs in play when a good plan is looked for without proof."""
_NARROW = 48
_USUAL_SEGMENTS = 60


class Planner:
    """Run decomposition with prices, pruning and exact search; see the module.

    Args:
        width: labels that the last search keeps per segment (of a film of up to 60; fewer of a
            longer one); more is slower and proves more.
    """

    def __init__(self, width: str = "400") -> None:
        if not width.isdecimal() or int(width) < 1:
            raise ConfigError(f"the search width '{width}' must be a whole number above 0")
        self._width = int(width)

    def plan(self, tables: Tables, rng: np.random.Generator) -> Plan:
        """Return the best plan found and its upper bound; see `Agent.plan`. Nothing is random."""
        started = time.perf_counter()
        check(tables)
        best = _Best(tables)
        best.offer(beam_actions(tables, _BEAM)[0])
        upper = _prove(tables, best, self._width)
        return finish(tables, best.actions, started, max(upper, best.return_))


class _Best:
    """The best plan so far."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.actions: Indices = np.zeros(0, dtype=np.int64)
        self.return_ = -np.inf
        self.without_theme = -np.inf

    def offer(self, actions: Indices) -> None:
        """Keep `actions` if they earn more."""
        outcome = score(self._tables, actions)
        self.without_theme = max(self.without_theme, outcome.return_ - outcome.terms["theme"])
        if outcome.return_ > self.return_:
            self.return_, self.actions = outcome.return_, actions


class _State:
    """Runs in play, prices and theme bound, with the best bound they gave."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.plain = Relaxation.of(tables, run_values(tables))
        self.theme: ThemeBound | None = None
        self.prices = Prices(repeat=np.zeros(tables.n_tracks))
        self.full = self.plain
        self.solution = self.full.solve(self.prices)

    def set(self, prices: Prices, theme: ThemeBound | None) -> None:
        """Use these prices (none below 0) and this theme bound."""
        self.theme = theme
        self.full = theme.added_to(self.plain) if theme else self.plain
        self.prices = Prices(repeat=np.maximum(prices.repeat, 0.0), switch=prices.switch)
        self.solution = self.full.solve(self.prices)

    def tighten(self, best: _Best, iterations: int) -> None:
        """Take subgradient steps in prices and theme bound; keep those of the smallest bound.

        Args:
            best: every relaxed plan is offered to it.
            iterations: number of steps.
        """
        limit = abs(self.tables.weights.switch)
        kept, trust = (self.solution.bound, self.prices, self.theme), 1.0
        for i in range(iterations):
            segments = np.zeros(len(self.plain.tracks))
            starts = np.zeros(len(self.plain.tracks))
            for first, end, track in self.solution.runs:
                segments[track] += end - first
                starts[track] += 1
            best.offer(_actions(self.solution, self.plain, self.tables))
            over, over_switch = self._excess(starts)
            norm = float(over @ over) + over_switch**2
            if norm == 0 and self.theme is None:
                break  # the relaxed plan pays what it owes: the prices are optimal
            floor = best.return_ if self.theme else best.without_theme
            step = trust * max(self.solution.bound - floor, 0.01) / max(norm, 1.0)
            prices = Prices(
                repeat=self.prices.repeat + step * over,
                switch=float(np.clip(self.prices.switch + step * over_switch, -limit, limit)),
            )
            theme = self.theme.adapted(segments, 2 / (i + 5)) if self.theme else None
            self.set(prices, theme)
            if self.solution.bound < kept[0] - 1e-6:
                kept = (self.solution.bound, self.prices, self.theme)
            else:
                trust *= 0.75
        self.set(*kept[1:])

    def _excess(self, starts: Floats) -> tuple[Floats, float]:
        """Return the direction in which the prices should go: per track, and for switches."""
        over = starts - self.full.starts_paid(self.prices)
        # No price falls below 0, and at 0 nothing is owed for an unused track.
        over[(over < 0) & (self.prices.repeat <= 0)] = 0.0
        priced = self.full.end + self.prices.switch * np.arange(self.full.n_segments)
        likely = np.flatnonzero(priced >= priced.max() - _LEAST)
        switches = len(self.solution.runs) - 1
        return over, float(switches - likely[np.abs(likely - switches).argmin()])

    def bounds(self) -> list[Floats]:
        """Return a bound on the plans through every run, theme included if it is."""
        return self.full.run_bounds(self.prices, self.solution)

    def pruned(self, bounds: list[Floats], least: float) -> _State:
        """Return the state without the runs whose bound is below `least`."""
        state = object.__new__(_State)
        state.tables = self.tables
        state.plain = self.plain.without([rows < least for rows in bounds])
        kept = np.searchsorted(self.plain.tracks, state.plain.tracks)
        theme = self.theme.restricted(state.plain, kept) if self.theme else None
        state.set(Prices(repeat=self.prices.repeat[kept], switch=self.prices.switch), theme)
        return state

    def search(self, best: _Best, width: int) -> float:
        """Search the runs in play; return a bound on the plans over them."""
        search = Search(self.tables, self.plain, self.theme, self.full, self.prices, self.solution)
        found = search.run(best.return_, width)
        if found.actions is not None:
            best.offer(found.actions)
        return max(min(found.bound, self.solution.bound), best.return_)


def _prove(tables: Tables, best: _Best, width: int) -> float:
    """Improve `best` and return an upper bound."""
    weight = tables.weights.theme
    most_theme = abs(weight)
    # A long film has more segments to search: fewer labels for each keep the time linear.
    share = min(1.0, _USUAL_SEGMENTS / tables.n_segments)

    # Prices without theme, on all runs.
    state = _State(tables)
    state.tighten(best, _ITERATIONS)
    upper = state.solution.bound + most_theme
    if upper <= best.return_ + _LEAST:
        return upper
    bounds = state.bounds()

    # Rehearsal: a good plan over the most promising runs; proves nothing, makes pruning strong.
    every = np.concatenate([rows[np.isfinite(rows)] for rows in bounds])
    if int((every >= best.return_ - most_theme).sum()) > _REHEARSAL_RUNS:
        least = float(np.partition(every, len(every) - _REHEARSAL_RUNS)[-_REHEARSAL_RUNS])
        rehearsal = state.pruned(bounds, least)
        if weight > 0:
            rehearsal.set(rehearsal.prices, _theme(rehearsal, best))
        rehearsal.search(best, max(1, int(_NARROW * share)))

    # Without loss from here on: only runs that a better plan may contain, with the theme.
    state = state.pruned(bounds, best.return_ - most_theme - _LEAST)
    if weight > 0:
        state.set(state.prices, _theme(state, best))
    elif weight < 0:
        state.plain = state.plain.raised(most_theme)
        state.set(state.prices, None)
    for labels in (max(1, int(_NARROW * share)), max(1, int(width * share))):
        state.tighten(best, _THEME_ITERATIONS)
        upper = min(upper, max(state.solution.bound, best.return_))
        if upper <= best.return_ + _LEAST:
            break
        state = state.pruned(state.bounds(), best.return_ - _LEAST)
        upper = min(upper, state.search(best, labels))
        if upper <= best.return_ + _LEAST:
            break
    return upper


def _theme(state: _State, best: _Best) -> ThemeBound:
    units = unit_embeddings(state.tables)
    heard = units[score(state.tables, best.actions).tracks].sum(axis=0)
    # A little longer than the best plan's: the bound is attained by plans of more unity.
    return ThemeBound.of(
        state.tables.weights.theme,
        units[state.plain.tracks],
        state.plain,
        1.2 * float(np.linalg.norm(heard)),
    )


def _actions(solution: Solution, plain: Relaxation, tables: Tables) -> Indices:
    actions = np.full(plain.n_segments, tables.n_tracks, dtype=np.int64)
    for first, _, track in solution.runs:
        actions[first] = plain.tracks[track]
    return actions
