from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.tasks.soundtrack.agents.relaxation import Prices, Relaxation
from segue.tasks.soundtrack.agents.runs import run_values
from segue.tasks.soundtrack.agents.theme import ThemeBound
from segue.tasks.soundtrack.scoring import score, theme_of, unit_embeddings
from segue.tasks.soundtrack.tables import Tables, Weights
from tests.tasks.soundtrack.agents.small_tables import best_by_trying_all, small_tables


def prices_at_random(relaxation: Relaxation, rng: np.random.Generator) -> Prices:
    cut = rng.uniform(0, 3, len(relaxation.tracks)) * rng.integers(0, 2, len(relaxation.tracks))
    return Prices(repeat=relaxation.pair_cost * cut, switch=float(rng.uniform(-0.4, 0.4)))


@given(st.integers(0, 10**6), st.sampled_from(["short", "mixed", "long"]), st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_prices_give_a_bound_on_every_plan_and_on_its_runs(
    seed: int, durations: str, with_theme: bool
) -> None:
    rng = np.random.default_rng(seed)
    tables = small_tables(
        seed,
        5,
        3,
        durations=durations,
        weights=Weights(theme=float(rng.choice([0.3, 2.0, 6.0])) if with_theme else 0.0),
        norms=str(rng.choice(["equal", "unequal"])),
        duplicates=bool(rng.integers(2)),
        forbidden=0.2,
    )
    optimum, actions = best_by_trying_all(tables)
    relaxation = Relaxation.of(tables, run_values(tables))
    if with_theme:
        theme = ThemeBound.of(
            tables.weights.theme, unit_embeddings(tables), relaxation, float(rng.uniform(0.5, 6))
        )
        for _ in range(int(rng.integers(3))):
            theme = theme.adapted(rng.integers(0, 3, 3).astype(float) + np.eye(3)[0], 0.6)
        relaxation = theme.added_to(relaxation)
    prices = prices_at_random(relaxation, rng)
    solution = relaxation.solve(prices)
    assert solution.bound >= optimum - 1e-9

    bounds = relaxation.run_bounds(prices, solution)
    starts = [t for t, action in enumerate(actions) if action < tables.n_tracks]
    for first, end in itertools.pairwise([*starts, tables.n_segments]):
        assert bounds[first][end - first - 1, actions[first]] >= optimum - 1e-9
    assert max(rows.max() for rows in bounds) == pytest.approx(solution.bound)


@given(st.integers(0, 10**6))
@settings(max_examples=150, deadline=None)
def test_no_plan_is_worth_less_than_it_earns_however_often_it_repeats(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tables = small_tables(
        seed,
        8,
        2,
        durations="long",
        weights=Weights(theme=float(rng.choice([0.3, 3.0, 10.0])), switch=0.0),
    )
    actions = rng.choice([0, 1, 2, 2], 8)
    actions[0] = rng.integers(2)
    plain = Relaxation.of(tables, run_values(tables))
    units = unit_embeddings(tables)
    heard = float(np.linalg.norm(units[score(tables, actions).tracks].sum(axis=0)))
    theme = ThemeBound.of(tables.weights.theme, units, plain, heard)
    starts = np.flatnonzero(actions < 2).tolist()
    only = [np.ones(rows.shape, dtype=bool) for rows in plain.values]
    for first, end in itertools.pairwise([*starts, 8]):
        only[first][end - first - 1, actions[first]] = False
    alone = theme.added_to(plain).without(only)
    for price in (0.0, 0.5, 1.0, 1.3, 2.0, 3.7):
        bound = alone.solve(Prices(repeat=price * alone.pair_cost)).bound
        assert bound >= score(tables, actions).return_ - 1e-9


@given(st.integers(0, 10**6))
@settings(max_examples=100, deadline=None)
def test_the_theme_of_tracks_heard_once_is_bounded_run_by_run(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tables = small_tables(
        seed,
        8,
        4,
        durations="long",
        norms=str(rng.choice(["equal", "unequal", "zero"])),
        duplicates=bool(rng.integers(2)),
    )
    plain = Relaxation.of(tables, run_values(tables))
    theme = ThemeBound.of(0.3, unit_embeddings(tables), plain, float(rng.uniform(1, 8)))
    theme = theme.adapted(rng.integers(0, 4, 4).astype(float) + np.eye(4)[1], 0.5)
    lengths = rng.multinomial(8, rng.dirichlet(np.ones(4)))
    bound = theme.scale * theme.squared(lengths.astype(float)).sum() + theme.constant
    assert theme_of(tables, np.repeat(np.arange(4), lengths)) <= bound + 1e-12


def test_run_values_are_the_step_rewards_inside_a_run() -> None:
    tables = small_tables(3, 5, 3, durations="long", fade_per_s=0.01, weights=Weights(silence=1.0))
    values = run_values(tables)
    outcome = score(tables, [1, 3, 3, 0, 3])
    inside = sum(outcome.step_terms[name] for name in ("alignment", "silence", "smoothness"))
    assert values[0][2, 1] == pytest.approx(inside[:3].sum())
    hand_over = outcome.step_terms["smoothness"][3]
    assert values[3][1, 0] == pytest.approx(inside[3:].sum() - hand_over)


def test_a_run_ends_with_its_track() -> None:
    tables: Tables = small_tables(0, 4, 1, durations="zero")
    assert [len(rows) for rows in run_values(tables)] == [1, 1, 1, 1]
