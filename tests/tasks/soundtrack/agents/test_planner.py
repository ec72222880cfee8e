from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.tasks.soundtrack.agents import make_agent
from segue.tasks.soundtrack.agents.planner import Planner
from segue.tasks.soundtrack.scoring import score
from segue.tasks.soundtrack.tables import Tables, Weights
from tests.tasks.soundtrack.agents.small_tables import best_by_trying_all, small_tables

RNG = np.random.default_rng(0)

WEIGHTS = st.builds(
    Weights,
    alignment=st.sampled_from([1.0, 0.7, 0.0, -0.5]),
    smoothness=st.sampled_from([0.5, 1.25, 0.0]),
    switch=st.sampled_from([0.3, 0.1, 1.5, 0.0]),
    theme=st.sampled_from([0.3, 2.0, 0.0, 8.0, -0.4]),
    silence=st.sampled_from([0.0, 1.0]),
)


@st.composite
def tables_at_random(draw: st.DrawFn) -> Tables:
    n_tracks = draw(st.integers(1, 4))
    return small_tables(
        draw(st.integers(0, 10**6)),
        draw(st.integers(1, {1: 8, 2: 7, 3: 6, 4: 5}[n_tracks])),
        n_tracks,
        durations=draw(st.sampled_from(["mixed", "short", "long", "zero"])),
        forbidden=draw(st.sampled_from([0.0, 0.3, 0.9])),
        fade_per_s=draw(st.sampled_from([0.0, 0.01, 0.2])),
        weights=draw(WEIGHTS),
        norms=draw(st.sampled_from(["equal", "unequal", "zero"])),
        target=draw(st.sampled_from([None, 0, 2, 9])),
        duplicates=draw(st.booleans()),
        spread=draw(st.sampled_from([1.0, 0.1, 3.0])),
    )


@given(tables_at_random())
@settings(max_examples=300, deadline=None)
def test_the_plan_is_the_optimum_and_the_bound_is_not_below_it(tables: Tables) -> None:
    optimum, _ = best_by_trying_all(tables)
    plan = Planner().plan(tables, RNG)
    assert plan.return_ == pytest.approx(optimum, abs=1e-8)
    assert plan.upper_bound is not None
    assert plan.upper_bound >= optimum - 1e-9
    assert plan.return_ == pytest.approx(score(tables, plan.actions).return_)


@given(tables_at_random())
@settings(max_examples=100, deadline=None)
def test_the_bound_holds_when_the_search_drops_almost_everything(tables: Tables) -> None:
    optimum, _ = best_by_trying_all(tables)
    plan = Planner("1").plan(tables, RNG)
    assert plan.upper_bound is not None
    assert plan.return_ <= optimum + 1e-9 <= plan.upper_bound + 2e-9


@pytest.mark.parametrize("fade_per_s", [0.0, 0.01])
@pytest.mark.parametrize("seed", range(3))
def test_a_usual_film_is_planned_as_well_as_by_a_wide_beam_with_a_tight_bound(
    seed: int, fade_per_s: float
) -> None:
    tables = small_tables(seed, 25, 60, fade_per_s=fade_per_s, spread=0.3, durations="mixed")
    plan = make_agent("planner").plan(tables, RNG)
    assert plan.return_ >= make_agent("beam/64").plan(tables, RNG).return_ - 1e-9
    assert plan.upper_bound is not None
    assert plan.upper_bound - plan.return_ <= 0.005 * plan.upper_bound


def test_a_long_film_with_few_tracks_must_repeat_them_and_still_has_a_tight_bound() -> None:
    tables = small_tables(0, 150, 8, spread=0.5, durations="mixed")
    plan = make_agent("planner").plan(tables, RNG)
    assert np.bincount(plan.actions[plan.actions < 8]).max() >= 3
    assert plan.return_ > make_agent("beam/64").plan(tables, RNG).return_
    assert plan.upper_bound is not None
    assert plan.upper_bound - plan.return_ <= 0.01 * abs(plan.upper_bound)
