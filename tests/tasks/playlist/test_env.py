"""One playlist and many: the checkers of Gymnasium and SB3, figures of a list, and a kept state."""

from __future__ import annotations

import json
from typing import Any

import gymnasium.utils.env_checker
import numpy as np
import pytest
import stable_baselines3.common.env_checker
from gymnasium.error import ResetNeeded

from segue.core.errors import DataError, RunError, UnknownName, UsageError
from segue.tasks.playlist.batched import BatchedPlaylist
from segue.tasks.playlist.env import ILLEGAL, PlaylistEnv
from segue.tasks.playlist.episodes import play_all
from segue.tasks.playlist.pool import CANDIDATE_NUMBERS, Pool
from segue.tasks.playlist.rewards import REWARDS, playlist_reward

from .small_pool import logged_pool

EVERYTHING = playlist_reward(dict.fromkeys(REWARDS, 1.0))


@pytest.fixture(scope="module")
def pool() -> Pool:
    return logged_pool()


def test_the_checkers_accept_it(pool: Pool) -> None:
    env = PlaylistEnv(pool, EVERYTHING, render_mode="ansi")
    gymnasium.utils.env_checker.check_env(env, skip_render_check=True)
    stable_baselines3.common.env_checker.check_env(env)


def test_one_playlist_is_the_same_as_one_of_many_to_the_last_bit(pool: Pool) -> None:
    many, rng = BatchedPlaylist(pool, 7, 0, EVERYTHING, length=6), np.random.default_rng(0)
    alone = [PlaylistEnv(pool, EVERYTHING, length=6) for _ in range(7)]
    rows = many.reset()

    def begin(lane: int) -> Any:
        options = {
            "query": int(many.episodes.queries[lane]),
            "noise": int(many.episodes.noise[lane]),
        }
        return alone[lane].reset(options=options)[0]

    for lane in range(7):
        np.testing.assert_array_equal(begin(lane), rows[lane])
    ended = 0
    for _ in range(30):
        masks = many.masks().copy()
        actions = np.where(masks, rng.random(masks.shape), -1).argmax(axis=1)
        rows, rewards, ends, infos = many.step(actions)
        for lane, env in enumerate(alone):
            np.testing.assert_array_equal(env.action_masks(), masks[lane])
            row, reward, end, truncated, info = env.step(actions[lane])
            assert env.observation_space.contains(row)
            assert np.float32(reward) == rewards[lane]
            assert (end, truncated) == (ends[lane], False)
            assert reward == pytest.approx(sum(info[name] for name in REWARDS))
            if end:
                ended += 1
                np.testing.assert_array_equal(row, infos[lane]["terminal_observation"])
                assert info["list"] == infos[lane]["list"]
                row = begin(lane)
            np.testing.assert_array_equal(row, rows[lane])
    assert ended > 20


def test_the_return_of_a_list_is_made_of_its_figures(pool: Pool) -> None:
    env = PlaylistEnv(pool, playlist_reward({"hit": 1.0, "diversity": 0.1, "near_3": -0.1}))
    env.reset(options={"query": 3, "noise": 0})
    total, info = 0.0, {}
    for choice in range(5):
        _, reward, end, _, info = env.step(choice)
        total += reward
    assert end
    tracks = info["list"]
    assert tracks == pool.candidates.tracks[3, :5].tolist()
    hidden = pool.listener.hidden[3].tolist()  # type: ignore[attr-defined]
    units = pool.vectors[tracks].astype(np.float64)
    apart = (1 - units @ units.T)[np.triu_indices(5, 1)].mean()
    heard = [int(t) for t in pool.recent[3][::-1] if t >= 0]
    near = [track in (heard + tracks[:i])[-3:] for i, track in enumerate(tracks)]
    hits = sum(track in hidden for track in tracks)
    assert hits > 0
    assert total == pytest.approx(hits / 5 + 0.1 * apart - 0.1 * np.mean(near), abs=1e-6)


def test_a_policy_does_not_see_what_a_log_hides(pool: Pool) -> None:
    first, other = logged_pool(), logged_pool()
    other.listener.hidden[:] = 29  # type: ignore[attr-defined]
    for a, b in zip(_rows(first), _rows(other), strict=True):
        np.testing.assert_array_equal(a, b)


def _rows(pool: Pool) -> list[Any]:
    env = PlaylistEnv(pool)
    rows = [env.reset(options={"query": 5, "noise": 0})[0]]
    return rows + [env.step(choice)[0] for choice in (3, 0, 6, 1)]


def test_what_is_shown_of_a_candidate_is_what_it_says(pool: Pool) -> None:
    many = BatchedPlaylist(pool, 1, 0)
    many.episodes.restart(np.array([0]), np.array([4]), np.array([0]))
    for choice in (2, 5):
        many.episodes.step(np.array([choice]))
    shown = dict(zip(CANDIDATE_NUMBERS, many.episodes.situation().candidates[0, :, 2:].T))  # noqa: B905
    units = pool.vectors[pool.candidates.tracks[4]].astype(np.float64)
    cosines = units @ units.T
    close = {"atol": 1e-6}
    np.testing.assert_allclose(
        shown["cosine to the closest of the list"], cosines[[2, 5]].max(axis=0), **close
    )
    np.testing.assert_allclose(
        shown["mean cosine to the list"], cosines[[2, 5]].mean(axis=0), **close
    )
    np.testing.assert_allclose(shown["cosine to the newest track"], cosines[5], **close)
    assert shown["1 / tracks ago"][[2, 5]].tolist() == [0.5, 1.0]
    heard = [t for t in pool.recent[4] if t >= 0]
    fading = sum(0.8 ** (i + 2) * units @ pool.vectors[t] for i, t in enumerate(heard))
    fading = 0.2 * (fading + 0.8 * cosines[2] + cosines[5])
    np.testing.assert_allclose(shown["cosines to what was heard, fading"], fading, **close)
    assert not shown["mean cosine to what was liked"].any()


def test_what_may_not_be_chosen_ends_a_list_or_is_refused(pool: Pool) -> None:
    env = PlaylistEnv(pool)
    with pytest.raises(ResetNeeded):
        env.step(0)
    env.reset(options={"query": 0})
    env.step(2)
    assert not env.action_masks()[2]
    _, reward, end, _, info = env.step(2)
    assert (reward, end, info["illegal"]) == (ILLEGAL, True, True)
    env.reset()
    with pytest.raises(UsageError, match=r"outside 0\.\.8"):
        env.step(9)
    with pytest.raises(UsageError, match="no query 12"):
        env.reset(options={"query": 12})
    with pytest.raises(UnknownName, match="Did you mean 'query'"):
        env.reset(options={"qeury": 1})
    again = PlaylistEnv(pool, repeats=True)
    again.reset()
    again.step(2)
    assert again.action_masks()[2]
    many = BatchedPlaylist(pool, 3, 0)
    many.step(np.zeros(3))
    with pytest.raises(UsageError, match="action 0 of episode 0 is not allowed"):
        many.step(np.zeros(3))
    assert (many.episodes.step_ == 1).all()
    with pytest.raises(UsageError, match="0 tracks"):
        PlaylistEnv(pool, length=0)


def test_a_query_without_candidates_is_refused() -> None:
    pool = logged_pool()
    pool.candidates.tracks[6] = -1
    with pytest.raises(DataError, match="query 6 has no candidate"):
        Pool(
            pool.candidates,
            logged_histories(len(pool)),
            pool.listener,
            vectors=pool.vectors[:-1],
            surprisal=pool.surprisal,
        )


def logged_histories(n: int) -> Any:
    from segue.tasks.playlist.sessions import Sessions

    return Sessions.from_lists([[1, 2]] * n)


def test_a_state_that_went_through_json_continues_to_the_same_bits(pool: Pool) -> None:
    env, rng = BatchedPlaylist(pool, 5, 0, EVERYTHING), np.random.default_rng(1)

    def draw() -> Any:
        return np.where(env.masks(), rng.random(env.masks().shape), -1.0).argmax(axis=1)

    for _ in range(8):
        env.step(draw())
    arrays, plain = env.get_state()
    other = BatchedPlaylist(pool, 5, 99, EVERYTHING)
    seen = other.set_state(arrays, json.loads(json.dumps(plain)))
    np.testing.assert_array_equal(seen, env.episodes.observe())
    for _ in range(20):
        actions = draw()
        for a, b in zip(env.step(actions)[:3], other.step(actions)[:3], strict=True):
            np.testing.assert_array_equal(a, b)
    with pytest.raises(RunError, match="does not fit"):
        BatchedPlaylist(pool, 6, 0).set_state(arrays, plain)


def test_all_lists_are_played_once_and_counted(pool: Pool) -> None:
    sums, lists = play_all(pool, lambda now: now.prior.argmax(axis=1), EVERYTHING,
                           length=5, repeats=True, batch=5)  # fmt: skip
    np.testing.assert_array_equal(lists, np.repeat(pool.candidates.tracks[:, :1], 5, axis=1))
    assert (sums["length"] == 5).all()
    best = pool.candidates.tracks[:, 0]
    plays = (pool.listener.hidden == best[:, None]).sum(axis=1)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(sums["hits"], plays)  # each hidden play is hit once
    np.testing.assert_allclose(sums["hit"], plays / 5)
    assert (sums["skipped"] <= sums["hits"]).all()

    def in_order(now: Any) -> Any:
        return np.where(now.mask, now.prior, -np.inf).argmax(axis=1)

    sums, lists = play_all(pool, in_order, EVERYTHING, length=9)
    there = pool.candidates.mask.sum(axis=1)
    np.testing.assert_array_equal(sums["length"], there)  # ends where nothing is left
    assert (lists >= 0).sum(axis=1).tolist() == there.tolist()
