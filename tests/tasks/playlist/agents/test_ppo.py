"""The actor-critic on playlists: the prior at first, the same bits after a stop, A2C besides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segue.core.errors import DataError
from segue.core.run import Run
from segue.tasks.playlist.agents.ppo import PlaylistPolicy, PPOConfig, train_ppo
from segue.tasks.playlist.batched import BatchedPlaylist
from segue.tasks.playlist.episodes import Episodes, play_all
from segue.tasks.playlist.pool import Pool
from segue.tasks.playlist.rewards import playlist_reward
from tests.tasks.playlist.small_pool import logged_pool

SMALL = PPOConfig(
    timesteps=640, episodes=16, steps=8, minibatch=64, epochs=2, width=8, validate_every=2
)
HIT = playlist_reward({"hit": 1.0})


@pytest.fixture(scope="module")
def pool() -> Pool:
    return logged_pool(40, 12)


def train(folder: Path, config: PPOConfig, pool: Pool, stop_at: int = 0) -> PlaylistPolicy:
    with Run.create(folder, config) as run:
        if stop_at:
            _stop(run, stop_at)
        return train_ppo(run, config, pool, pool)


def _stop(run: Any, step: int) -> None:
    """Fail in the update after `step`, as a killed process would."""
    log = run.log

    def failing(at: int, /, **metrics: Any) -> None:
        if at > step:
            raise KeyboardInterrupt
        log(at, **metrics)

    run.log = failing


def test_an_untrained_agent_is_the_prior(pool: Pool) -> None:
    from stable_baselines3.common.utils import ConstantSchedule

    from segue.rl.candidate_policy import CandidatePolicy
    from segue.rl.pointer import pointer_arrays

    env = BatchedPlaylist(pool, 4, 0, HIT)
    network = CandidatePolicy(
        env.observation_space, env.action_space, ConstantSchedule(1e-3), layout=pool.layout, width=8
    ).network
    policy = PlaylistPolicy(pointer_arrays(network))
    reward = playlist_reward()
    _, lists = play_all(pool, policy, reward, length=4)
    _, prior = play_all(
        pool, lambda now: np.where(now.mask, now.prior, -np.inf).argmax(axis=1), reward, length=4
    )
    np.testing.assert_array_equal(lists, prior)
    now = Episodes(pool, np.arange(5), np.arange(5), HIT, length=3).situation()
    odds = policy.probabilities(now)
    np.testing.assert_allclose(odds.sum(axis=1), 1.0)
    assert (odds[~now.mask] == 0).all()
    expected = np.exp(now.prior.astype(np.float64)) * now.mask
    np.testing.assert_allclose(odds, expected / expected.sum(axis=1, keepdims=True), atol=1e-6)


def test_a_training_that_was_killed_ends_on_the_same_bits(pool: Pool, tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", SMALL, pool)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "killed", SMALL, pool, stop_at=3)
    with Run.open(tmp_path / "killed", PPOConfig) as run:
        assert run.step == 2
        again = train_ppo(run, SMALL, pool, pool)
    assert whole.facts == again.facts
    assert whole.facts["validation_return"] >= whole.facts["at_start"] > 0
    other = train(tmp_path / "other", SMALL.model_copy(update={"seed": 1}), pool)
    for name, value in whole.arrays.items():
        np.testing.assert_array_equal(value, again.arrays[name])
    assert any((whole.arrays[n] != other.arrays[n]).any() for n in whole.arrays)


@pytest.mark.parametrize("method", ["ppo", "a2c"])
def test_it_learns_which_number_tells_the_truth(method: Any, tmp_path: Path) -> None:
    """40 queries of 12 candidates whose prior is noise; one number says which were played.

    The prior hits .300 of a list, the best lists .655, and so do both once trained.
    """
    pool = logged_pool(40, 12, n_tracks=20)
    hidden = pool.listener.hidden  # type: ignore[attr-defined]
    played = (pool.candidates.tracks[:, :, None] == hidden[:, None, :]).any(axis=2)
    pool.candidates.numbers[:, :, 0] = played
    config = SMALL.model_copy(
        update={"method": method, "timesteps": 6_400 if method == "ppo" else 12_800,
                "learning_rate": 1e-2, "validate_every": 25}
    )  # fmt: skip
    policy = train(tmp_path / "run", config, pool)
    best = np.minimum(played.sum(axis=1), 5) / 5
    prior = play_all(
        pool, lambda now: np.where(now.mask, now.prior, -np.inf).argmax(axis=1), HIT, length=5
    )[0]["return"]
    found = play_all(pool, policy, HIT, length=5)[0]["return"]
    print(method, prior.mean(), found.mean(), best.mean())  # noqa: T201
    assert found.mean() > prior.mean() + 0.7 * (best.mean() - prior.mean())


def test_pools_that_describe_candidates_differently_are_refused(tmp_path: Path) -> None:
    with (
        Run.create(tmp_path / "run", SMALL) as run,
        pytest.raises(DataError, match="different numbers"),
    ):
        train_ppo(run, SMALL, logged_pool(5, 9), logged_pool(5, 8))
