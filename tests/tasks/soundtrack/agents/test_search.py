from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from segue.tasks.soundtrack.agents import search
from segue.tasks.soundtrack.agents.planner import Planner
from segue.tasks.soundtrack.agents.relaxation import Prices, Relaxation
from segue.tasks.soundtrack.agents.runs import run_values
from segue.tasks.soundtrack.agents.search import Found, Search
from segue.tasks.soundtrack.agents.theme import ThemeBound
from segue.tasks.soundtrack.scoring import unit_embeddings
from segue.tasks.soundtrack.tables import Tables, Weights
from tests.tasks.soundtrack.agents.small_tables import best_by_trying_all, small_tables


def tables_with_theme(seed: int) -> Tables:
    """Draw tables where the theme decides between plans that are otherwise nearly equal."""
    return small_tables(
        seed, 6, 4, spread=0.05, weights=Weights(theme=2.0, smoothness=0.05), durations="mixed"
    )


def tables_of_two_tracks(seed: int) -> Tables:
    """Draw tables with many plans that differ only in where the same tracks change."""
    return small_tables(seed, 9, 2, spread=0.3, weights=Weights(theme=0.0), durations="mixed")


def searched(tables: Tables, width: int) -> Found:
    plain = Relaxation.of(tables, run_values(tables))
    weight = tables.weights.theme
    theme = ThemeBound.of(weight, unit_embeddings(tables), plain, 4.0) if weight else None
    full = theme.added_to(plain) if theme else plain
    prices = Prices(repeat=0.3 * full.pair_cost)
    return Search(tables, plain, theme, full, prices, full.solve(prices)).run(-np.inf, width)


@pytest.mark.parametrize("seed", range(20))
def test_a_wide_search_from_nothing_finds_the_optimum_and_drops_nothing(seed: int) -> None:
    tables = tables_with_theme(seed)
    found = searched(tables, 10**6)
    assert found.return_ == pytest.approx(best_by_trying_all(tables)[0], abs=1e-9)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("width", [1, 2, 5])
@pytest.mark.parametrize("kind", [tables_with_theme, tables_of_two_tracks])
@pytest.mark.parametrize("crowd", [1, 4])
def test_what_a_narrow_search_drops_stays_in_its_bound(
    kind: Callable[[int], Tables],
    seed: int,
    width: int,
    crowd: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(search, "_CROWD", crowd)  # 1: what dominance leaves is not topped up
    tables = kind(seed)
    optimum, _ = best_by_trying_all(tables)
    found = searched(tables, width)
    assert found.return_ <= optimum + 1e-9
    assert max(found.return_, found.bound) >= optimum - 1e-9


def test_a_narrow_search_sometimes_misses_so_the_bound_is_needed() -> None:
    missed = sum(
        searched(tables, 1).return_ < best_by_trying_all(tables)[0] - 1e-6
        for tables in map(tables_with_theme, range(20))
    )
    assert missed >= 3


def test_a_plan_known_to_be_best_is_confirmed() -> None:
    tables = tables_with_theme(0)
    plan = Planner().plan(tables, np.random.default_rng(0))
    assert plan.upper_bound == pytest.approx(plan.return_, abs=1e-9)
