from __future__ import annotations

import numpy as np
import pytest

from segue.tasks.soundtrack.agents import make_agent
from segue.tasks.soundtrack.agents.alternatives import alternatives
from segue.tasks.soundtrack.agents.plan import with_locks
from tests.tasks.soundtrack.agents.small_tables import best_by_trying_all, small_tables


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("durations", ["short", "mixed", "long"])
def test_each_segment_gets_other_tracks_ordered_and_reachable(seed: int, durations: str) -> None:
    tables = small_tables(seed, 5, 4, durations=durations, fade_per_s=0.01)
    plan = make_agent("planner").plan(tables, np.random.default_rng(0))
    found = alternatives(tables, plan, n=3)
    assert len(found) == 5
    for segment, others in enumerate(found):
        assert len({a.track for a in others}) == 3
        assert plan.tracks[segment] not in {a.track for a in others}
        rewards = [a.reward for a in others]
        assert rewards == sorted(rewards, reverse=True)
        for other in others:
            # No plan with that track there can earn more; a reward is that of a real plan.
            limit, _ = best_by_trying_all(with_locks(tables, {segment: other.track}))
            assert other.reward <= min(limit, plan.return_) + 1e-9
            assert np.isfinite(other.reward)


def test_the_best_change_is_found_where_a_whole_run_should_change() -> None:
    tables = small_tables(1, 1, 4)
    plan = make_agent("planner").plan(tables, np.random.default_rng(0))
    others = alternatives(tables, plan, n=5)[0]
    assert len(others) == 3  # as many as there are
    expected = [best_by_trying_all(with_locks(tables, {0: a.track}))[0] for a in others]
    assert [a.reward for a in others] == pytest.approx(expected)


def test_a_locked_segment_has_none() -> None:
    tables = with_locks(small_tables(0, 4, 3), {2: 1})
    plan = make_agent("planner").plan(tables, np.random.default_rng(0))
    assert alternatives(tables, plan)[2] == []
