"""Simulated listeners do what their docstring says, by chances that nothing else moves."""

from __future__ import annotations

import numpy as np
import pytest

from segue.core.errors import ConfigError
from segue.tasks.playlist.batched import BatchedPlaylist
from segue.tasks.playlist.env import PlaylistEnv
from segue.tasks.playlist.episodes import Episodes, play_all
from segue.tasks.playlist.pool import Pool
from segue.tasks.playlist.rewards import playlist_reward
from segue.tasks.playlist.simulator import (
    SimulatedListener,
    WorldConfig,
    draw_world,
    greedy,
    simulated_pool,
    true_chances,
)

CONFIG = WorldConfig(n_tracks=80, n_genres=6)
HIT = playlist_reward({"hit": 1.0, "skip": -0.1})


@pytest.fixture(scope="module")
def pool() -> Pool:
    return simulated_pool(draw_world(CONFIG, 0), 300, 15, 1)


def listener_of(pool: Pool) -> SimulatedListener:
    assert isinstance(pool.listener, SimulatedListener)
    return pool.listener


def test_chances_are_the_formula(pool: Pool) -> None:
    listener, world = listener_of(pool), listener_of(pool).world
    episodes = Episodes(pool, np.array([7]), np.array([5]), HIT, length=6)
    track = int(pool.candidates.tracks[7, 3])
    bored = np.zeros(CONFIG.dimensions)
    for heard in pool.recent[7][4::-1]:
        bored = CONFIG.recovery * bored + world.vectors[heard]
    mood = 0.0
    for choice in (0, 1, 2):
        alike = max(0.0, float(world.vectors[track] @ bored))
        logit = (
            CONFIG.bias
            + CONFIG.sharpness * listener.tastes[7] @ world.vectors[track]
            + world.appeal[track]
            - CONFIG.depth_cost * world.depth[track]
            - CONFIG.boredom * alike
            + mood
        )
        found = true_chances(episodes.situation())[0, 3]
        assert found == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-12)
        decisions, _, _, _ = episodes.step(np.array([choice]))
        heard = int(decisions.tracks[0])
        bored = CONFIG.recovery * bored + world.vectors[heard]
        part = CONFIG.mood_pace * (1.0 if decisions.hits[0] else 0.5)
        mood += part * (CONFIG.mood_gain * world.depth[heard] - mood)


def test_tracks_are_heard_as_often_as_their_chances_say(pool: Pool) -> None:
    queries = np.repeat(np.arange(300), 20)
    noise = np.random.default_rng(0).integers(2**62, size=6000)
    episodes = Episodes(pool, queries, noise, HIT, length=3)
    for choice in (0, 5):
        chances = true_chances(episodes.situation())[:, choice]
        decisions, _, _, _ = episodes.step(np.full(6000, choice))
        for low, high in ((0.0, 0.5), (0.5, 1.0)):
            some = (chances >= low) & (chances < high)
            assert some.sum() > 500
            error = 4 * np.sqrt(0.25 / some.sum())
            assert decisions.hits[some].mean() == pytest.approx(chances[some].mean(), abs=error)
    assert (decisions.skipped == ~decisions.hits).all()


def test_frustrated_listeners_leave() -> None:
    steady = CONFIG.model_copy(update={"mood_gain": 0.0})
    pool = simulated_pool(draw_world(steady, 0), 300, 60, 1)

    def worst(now: object) -> object:
        chances = true_chances(now)  # type: ignore[arg-type]
        return np.where(now.mask, -chances, -2.0).argmax(axis=1)  # type: ignore[attr-defined]

    bad, _ = play_all(pool, worst, HIT, length=15)  # type: ignore[arg-type]
    good, _ = play_all(pool, greedy, HIT, length=15)
    assert bad["length"].mean() < good["length"].mean() - 2
    assert bad["hits"].sum() + bad["skipped"].sum() == bad["length"].sum()
    expected = good["hits"] / 15 - 0.1 * good["skipped"] / 15
    np.testing.assert_allclose(good["return"], expected)


def test_depth_costs_now_and_pays_later() -> None:
    world = draw_world(CONFIG.model_copy(update={"leave": 0.0, "leave_frustrated": 0.0}), 0)
    pool = simulated_pool(world, 400, 60, 1)
    deep = world.depth[pool.candidates.tracks]

    def by_depth(sign: float, first: int) -> tuple[float, float]:
        episodes = Episodes(pool, np.arange(400), np.arange(400), HIT, length=first + 6)
        heard = []
        for step in range(first + 6):
            now = episodes.situation()
            if step < first:
                score = sign * deep[episodes.queries]
            else:  # the same tracks of middling depth for both
                score = -np.abs(deep[episodes.queries])
            actions = np.where(now.mask, score, -9.0).argmax(axis=1)
            heard.append(true_chances(now)[np.arange(400), actions].mean())
            episodes.step(actions)
        return float(np.mean(heard[:2])), float(np.mean(heard[first:]))

    shallow_now, shallow_later = by_depth(-1.0, 5)
    deep_now, deep_later = by_depth(1.0, 5)
    assert shallow_now > deep_now + 0.2
    assert deep_later > shallow_later + 0.2


def test_one_listener_is_the_same_as_one_of_many_to_the_last_bit(pool: Pool) -> None:
    many = BatchedPlaylist(pool, 6, 0, HIT, length=8)
    alone = [PlaylistEnv(pool, HIT, length=8) for _ in range(6)]
    rng, ended = np.random.default_rng(0), 0

    def begin(lane: int) -> object:
        numbers = {"query": many.episodes.queries, "noise": many.episodes.noise}
        options = {name: int(value[lane]) for name, value in numbers.items()}
        return alone[lane].reset(options=options)[0]

    rows = many.reset()
    for lane in range(6):
        np.testing.assert_array_equal(begin(lane), rows[lane])
    for _ in range(40):
        actions = np.where(many.masks(), rng.random((6, 15)), -1).argmax(axis=1)
        rows, rewards, ends, _ = many.step(actions)
        for lane, env in enumerate(alone):
            row, reward, end, _, _ = env.step(actions[lane])
            assert env.observation_space.contains(row)
            assert (np.float32(reward), end) == (rewards[lane], ends[lane])
            np.testing.assert_array_equal(begin(lane) if end else row, rows[lane])
            ended += end
    assert ended > 25


def test_a_policy_sees_what_was_skipped(pool: Pool) -> None:
    episodes = Episodes(pool, np.arange(50), np.arange(50), HIT, length=4)
    decisions, _, _, _ = episodes.step(np.zeros(50, dtype=int))
    shown = episodes.situation().state[:, -3:]
    np.testing.assert_array_equal(shown[:, 0], decisions.hits)
    np.testing.assert_array_equal(shown[:, 1], decisions.skipped)
    alike = episodes.situation().candidates[:, :, -2:]
    np.testing.assert_allclose(alike[:, 0, 0], decisions.hits, atol=1e-6)
    np.testing.assert_allclose(alike[:, 0, 1], decisions.skipped, atol=1e-6)


def test_a_seed_is_a_world(pool: Pool) -> None:
    again, other = draw_world(CONFIG, 0), draw_world(CONFIG, 1)
    world = listener_of(pool).world
    np.testing.assert_array_equal(world.vectors, again.vectors)
    assert (world.vectors != other.vectors).any()
    same = simulated_pool(again, 300, 15, 1)
    np.testing.assert_array_equal(same.candidates.tracks, pool.candidates.tracks)
    # What a recommender takes for the truth is near it, and wrong.
    for true, seen in ((world.appeal, world.seen_appeal), (world.depth, world.seen_depth)):
        assert 0.15 < np.abs(true - seen).mean() < 0.35
    with pytest.raises(ConfigError, match="81 candidates of 80 tracks"):
        simulated_pool(world, 2, 81, 0)
