"""PPO as an agent of `tune`: trained, kept, asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segue.core.errors import DataError
from segue.tasks.playlist.agents.config import TuneConfig
from segue.tasks.playlist.agents.ppo_agent import PPOAgent
from segue.tasks.playlist.tune import tune
from tests.tasks.playlist.agents.small import circles, small_data, small_run

NAME = "ppo"
SMALL: dict[str, Any] = {
    "n_candidates": 20,
    "length": 3,
    "least": 5,
    "timesteps": 9_600,
    "episodes": 32,
    "steps": 6,
    "minibatch": 192,
    "epochs": 3,
    "width": 8,
    "learning_rate": 1e-2,
    "validate_every": 10,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_run(tmp_path_factory.mktemp("run"))


def test_it_is_trained_kept_and_asked(run: Path) -> None:
    """On the 36 sessions that choose the best network the prior earns .452, the agent .720."""
    result = tune(small_data(), run, TuneConfig(agent=NAME, settings=SMALL))
    print(result)  # noqa: T201
    assert result["return"] > result["prior_return"] + 0.02
    folder = next((run / "agents").iterdir())
    agent = PPOAgent.load(folder)
    queries = circles(15, 7)
    lists, scores = agent.recommend(queries, 3)
    assert all(len(set(row)) == 3 for row in lists.tolist())
    assert (np.diff(scores, axis=1) < 0).all()
    hidden = np.full((15, 1), -1, dtype=np.int32)
    same = agent.playlists(queries, hidden)
    shown = np.take_along_axis(same["questions"].candidates.tracks, same["ppo"], axis=1)
    np.testing.assert_array_equal(shown, lists)
    first = np.asarray(agent.score(queries).todense())
    stored = agent.score(queries)
    for i in range(15):
        some = stored.indices[stored.indptr[i] : stored.indptr[i + 1]]
        assert some[first[i, some].argmax()] == lists[i, 0]
    masked, _ = agent.recommend(queries, 3, repeats="masked")
    assert not any(set(masked[i]) & set(queries[i].tolist()) for i in range(15))


def test_sessions_that_are_too_short_are_refused(run: Path) -> None:
    config = TuneConfig(agent=NAME, seed=5, settings=SMALL | {"least": 50})
    with pytest.raises(DataError, match="no session has the 50 tracks"):
        tune(small_data(), run, config)
