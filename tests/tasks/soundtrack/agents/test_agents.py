from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from segue.core.errors import ConfigError, DataError, SegueError, UnknownName, UsageError
from segue.tasks.soundtrack.agents import AGENTS, make_agent
from segue.tasks.soundtrack.agents.greedy import PlannedGreedy, best_action
from segue.tasks.soundtrack.agents.plan import with_locks
from segue.tasks.soundtrack.agents.position import Position, advance, legal, lookahead
from segue.tasks.soundtrack.scoring import TERMS, score
from segue.tasks.soundtrack.tables import Tables, Weights
from tests.tasks.soundtrack.agents.small_tables import best_by_trying_all, small_tables

CASES = {
    "usual": small_tables(0, 7, 5),
    "one track": small_tables(1, 5, 1, durations="mixed"),
    "one segment": small_tables(2, 1, 4),
    "all tracks too short": small_tables(3, 6, 3, durations="zero"),
    "forbidden cells": small_tables(4, 7, 4, forbidden=0.6),
    "fading and silence": small_tables(
        5, 7, 4, fade_per_s=0.05, weights=Weights(silence=1.0), norms="unequal"
    ),
}


@pytest.mark.parametrize("name", sorted(AGENTS))
@pytest.mark.parametrize("case", sorted(CASES))
def test_every_agent_returns_a_complete_plan_with_its_exact_reward(name: str, case: str) -> None:
    tables = CASES[case]
    plan = make_agent(name).plan(tables, np.random.default_rng(0))
    outcome = score(tables, plan.actions)
    assert outcome.complete
    assert np.isfinite(plan.return_)
    assert plan.return_ == outcome.return_
    assert plan.terms == outcome.terms
    assert plan.tracks.tolist() == outcome.tracks.tolist()
    assert plan.switches == outcome.switches
    assert len(plan.offsets_s) == tables.n_segments
    assert plan.seconds > 0


@pytest.mark.parametrize("name", sorted(AGENTS))
def test_every_agent_repeats_itself_from_the_same_seed(name: str) -> None:
    tables = small_tables(7, 9, 6)
    plans = [make_agent(name).plan(tables, np.random.default_rng(3)) for _ in range(2)]
    assert plans[0].actions.tolist() == plans[1].actions.tolist()
    assert plans[0].upper_bound == plans[1].upper_bound


@pytest.mark.parametrize("name", sorted(AGENTS))
def test_every_agent_refuses_a_segment_without_an_allowed_track(name: str) -> None:
    tables = small_tables(0, 4, 3)
    alignment = tables.alignment.copy()
    alignment[2] = -np.inf
    with pytest.raises(DataError, match="segment 2"):
        make_agent(name).plan(replace(tables, alignment=alignment), np.random.default_rng(0))


@pytest.mark.parametrize("field", ["alignment", "transition", "gate", "embeddings"])
def test_a_nan_in_the_tables_is_named(field: str) -> None:
    tables = small_tables(0, 4, 3)
    values = getattr(tables, field).copy()
    values.flat[0] = np.nan
    with pytest.raises(DataError, match=field):
        make_agent("greedy").plan(replace(tables, **{field: values}), np.random.default_rng(0))


def test_no_agent_beats_the_planner_and_random_is_the_floor() -> None:
    rng = np.random.default_rng(0)
    names = ["random", "greedy", "margin", "beam", "planner"]
    means = {
        name: np.mean(
            [make_agent(name).plan(small_tables(s, 8, 6), rng).return_ for s in range(20)]
        )
        for name in names
    }
    assert means["random"] < means["greedy"] < means["beam"] <= means["planner"]


def test_random_plays_every_legal_action_and_no_other() -> None:
    tables = small_tables(0, 2, 3, durations="long")
    rng = np.random.default_rng(0)
    seen = {tuple(make_agent("random").plan(tables, rng).actions.tolist()) for _ in range(400)}
    assert seen == {(a, b) for a in range(3) for b in range(4)}


def test_a_tie_goes_to_the_highest_action_so_that_continuing_wins() -> None:
    assert best_action(np.array([1.0, 2.0, 2.0])) == 2
    assert best_action(np.array([2.0, 2.0 + 1e-12, 2.0])) == 2  # equal in 32 bits
    tables = small_tables(0, 3, 2, durations="long")
    indifferent = replace(
        tables,
        alignment=np.ones((3, 2)),
        transition=np.ones((2, 2)),
        embeddings=np.ones((2, 3)),
        weights=Weights(switch=0.0),
    )
    plan = make_agent("greedy").plan(indifferent, np.random.default_rng(0))
    assert plan.actions.tolist() == [1, 2, 2]


def test_greedy_takes_the_best_action_of_the_lookahead() -> None:
    tables = small_tables(11, 6, 4)
    plan = make_agent("greedy").plan(tables, np.random.default_rng(0))
    position = Position()
    for action in plan.actions.tolist():
        total = sum(lookahead(tables, position)[name] for name in TERMS)
        assert total[action] == total.max()
        position = advance(tables, position, action)


@pytest.mark.parametrize("seed", range(5))
def test_the_lookahead_is_what_the_step_then_earns(seed: int) -> None:
    tables = small_tables(seed, 4, 3, fade_per_s=0.02, weights=Weights(silence=0.5))
    rng = np.random.default_rng(seed)
    position, actions = Position(), []
    while position.segment < tables.n_segments:
        choices = np.flatnonzero(legal(tables, position))
        seen = lookahead(tables, position)
        assert np.isneginf(seen["alignment"][~legal(tables, position)]).all()
        actions.append(int(rng.choice(choices)))
        for name in TERMS:
            full = [*actions, *[0] * (tables.n_segments - len(actions))]
            if name in ("switch", "theme") and len(actions) < tables.n_segments:
                assert seen[name][actions[-1]] == 0.0
            else:
                earned = score(tables, full).step_terms[name][len(actions) - 1]
                assert seen[name][actions[-1]] == pytest.approx(earned, abs=1e-9)
        position = advance(tables, position, actions[-1])


def test_greedy_on_named_terms_maximises_their_sum() -> None:
    tables = small_tables(2, 6, 4, durations="long")
    rng = np.random.default_rng(0)
    alone = make_agent("greedy/alignment").plan(tables, rng)
    fits = tables.alignment
    assert alone.tracks.tolist() == fits.argmax(axis=1).tolist()
    original = make_agent("greedy/alignment_reward,same_track_penalty").plan(tables, rng)
    ours = make_agent("greedy/alignment,same").plan(tables, rng)
    assert original.actions.tolist() == ours.actions.tolist() != alone.actions.tolist()


def test_a_large_margin_never_switches_and_none_is_greedy() -> None:
    tables = small_tables(2, 6, 4, durations="long")
    rng = np.random.default_rng(0)
    assert make_agent("margin/100").plan(tables, rng).switches == 0
    none, greedy = make_agent("margin/0").plan(tables, rng), make_agent("greedy").plan(tables, rng)
    assert none.actions.tolist() == greedy.actions.tolist()


def test_planned_greedy_switches_at_its_steps_and_where_it_must() -> None:
    tables = small_tables(2, 8, 5, durations="long")
    agent = PlannedGreedy("3")
    plan = agent.plan(tables, np.random.default_rng(0))
    steps = agent.switch_steps(tables)
    assert 0 in steps
    assert len(steps) <= 3
    assert set(np.flatnonzero(plan.actions < tables.n_tracks).tolist()) <= steps


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("greedi", "greedy"),
        ("greedy/alignmen", "alignment"),
        ("margin/much", "much"),
        ("margin/nan", "nan"),
        ("oracle_constrained_greedy/-1", "-1"),
        ("beam/0", "0"),
        ("planner/fast", "fast"),
        ("no.such.module:Agent", "no.such.module"),
    ],
)
def test_a_wrong_agent_name_is_explained(name: str, message: str) -> None:
    with pytest.raises((UnknownName, ConfigError), match=message):
        make_agent(name)


def test_an_agent_of_the_users_own_needs_no_registration() -> None:
    agent = make_agent("segue.tasks.soundtrack.agents.greedy:MarginGreedy/100")
    assert agent.plan(CASES["usual"], np.random.default_rng(0)).return_ > -np.inf


def test_locks_force_their_tracks_and_leave_the_rest_free() -> None:
    tables = small_tables(0, 5, 3, durations="long")
    locked = with_locks(tables, {0: 2, 3: 0})
    plan = make_agent("planner").plan(locked, np.random.default_rng(0))
    assert (plan.tracks[0], plan.tracks[3]) == (2, 0)
    assert plan.return_ == pytest.approx(best_by_trying_all(locked)[0])
    assert np.isfinite(tables.alignment).all()  # the tables given are left as they were
    assert np.isfinite(locked.alignment[[1, 2, 4]]).all()


@pytest.mark.parametrize("locks", [{5: 0}, {0: 3}, {-1: 0}])
def test_a_lock_on_nothing_is_refused(locks: dict[int, int]) -> None:
    with pytest.raises(UsageError, match="0 to"):
        with_locks(small_tables(0, 5, 3), locks)


def test_a_lock_on_an_excluded_track_is_refused() -> None:
    tables: Tables = small_tables(0, 2, 2)
    alignment = tables.alignment.copy()
    alignment[1, 0] = -np.inf
    with pytest.raises(SegueError, match="excluded"):
        with_locks(replace(tables, alignment=alignment), {1: 0})
