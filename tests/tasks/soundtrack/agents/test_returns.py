from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.tasks.soundtrack.agents import make_agent
from segue.tasks.soundtrack.agents.returns import Changes, returns
from segue.tasks.soundtrack.scoring import score
from segue.tasks.soundtrack.tables import Weights
from tests.tasks.soundtrack.agents.small_tables import small_tables


@given(st.integers(0, 10**6), st.sampled_from(["equal", "unequal", "zero"]))
@settings(max_examples=60, deadline=None)
def test_many_plans_at_once_earn_what_each_earns_alone(seed: int, norms: str) -> None:
    tables = small_tables(
        seed, 4, 2, norms=norms, fade_per_s=0.01, weights=Weights(silence=0.7), forbidden=0.2
    )
    every = np.array(list(itertools.product(range(3), repeat=4)))
    for actions, reward in zip(every, returns(tables, every), strict=True):
        outcome = score(tables, actions)
        expected = outcome.return_ if outcome.complete else -np.inf
        assert reward == pytest.approx(expected, abs=1e-9)


@given(st.integers(0, 10**6), st.sampled_from(["equal", "unequal", "zero"]), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_change_earns_what_the_changed_plan_earns(seed: int, norms: str, wide: bool) -> None:
    rng = np.random.default_rng(seed)
    tables = small_tables(
        seed, 7, 3, norms=norms, fade_per_s=0.01, weights=Weights(silence=0.7, theme=2.0)
    )
    if wide:  # more dimensions than tracks
        more = np.pad(tables.embeddings, ((0, 0), (0, 20)))
        object.__setattr__(tables, "embeddings", more)
    actions = make_agent("random").plan(tables, rng).actions
    starts = [*np.flatnonzero(actions < 3).tolist(), 7]
    first, stop = sorted(rng.choice(len(starts), size=2, replace=False).tolist())
    first, stop = starts[first], starts[stop]
    rows = np.array(list(itertools.product(range(4), repeat=stop - first)))
    rows = rows[rows[:, 0] < 3][:256]
    whole = np.tile(actions, (len(rows), 1))
    whole[:, first:stop] = rows
    np.testing.assert_allclose(
        Changes(tables, actions).returns(rows, first), returns(tables, whole), atol=1e-9
    )


def test_no_plan_earns_nothing() -> None:
    assert returns(small_tables(0), np.zeros((0, 4), dtype=np.int64)).shape == (0,)
