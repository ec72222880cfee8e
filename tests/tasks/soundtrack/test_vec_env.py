"""The batched VecEnv pays what the scorer pays, begins again by itself, and can be put back."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.vec_env import VecEnv

from segue.core.errors import RunError, UsageError
from segue.rl.rewards import FunctionTerm, WeightedSum
from segue.tasks.soundtrack.candidates import CandidateStack
from segue.tasks.soundtrack.features import CandidateEpisodes
from segue.tasks.soundtrack.generator import GeneratorConfig, draw_tables, preset
from segue.tasks.soundtrack.rewards import Steps
from segue.tasks.soundtrack.scoring import score
from segue.tasks.soundtrack.vec_env import CandidateVecEnv, decided_steps

SMALL = GeneratorConfig(segments=(3, 8), tracks=(8, 30))


@pytest.fixture(scope="module")
def stack() -> CandidateStack:
    """Videos of four libraries and two kinds of problems."""
    product = preset("product").model_copy(update={"segments": (1, 6), "tracks": (1, 9)})
    return CandidateStack(draw_tables(SMALL, 0, "train", 2, 3) + draw_tables(product, 0, "a", 2, 2))


def draw(env: CandidateVecEnv, rng: np.random.Generator) -> Any:
    masks = env.masks()
    return np.where(masks, rng.random(masks.shape), -1.0).argmax(axis=1)


def test_episodes_earn_what_the_scorer_says_and_begin_again(stack: CandidateStack) -> None:
    env, rng = CandidateVecEnv(stack, 12, 0), np.random.default_rng(1)
    assert isinstance(env, VecEnv)
    played: list[list[int]] = [[] for _ in range(12)]
    videos, paid, n_ended = env.episodes.video.copy(), np.zeros(12), 0
    for _ in range(40):
        actions = draw(env, rng)
        for lane, action in enumerate(env.episodes.library_actions(actions)):
            played[lane].append(int(action))
        seen, rewards, ends, infos = env.step(actions)
        assert seen.shape == (12, env.layout.size)
        assert seen.dtype == rewards.dtype == np.float32
        assert np.isfinite(seen).all()
        assert env.masks().any(axis=1).all()
        paid += rewards
        for lane in np.flatnonzero(ends):
            outcome = score(stack.tables[videos[lane]], played[lane])
            episode = infos[lane]["episode"]
            assert episode["r"] == pytest.approx(outcome.return_, abs=1e-9)
            assert paid[lane] == pytest.approx(outcome.return_, abs=1e-4)  # float32
            assert episode["l"] == len(played[lane])
            assert env.episodes.segment[lane] == 0
            assert infos[lane]["terminal_observation"].shape == seen[lane].shape
            played[lane], paid[lane], n_ended = [], 0.0, n_ended + 1
        videos = env.episodes.video.copy()
    assert n_ended > 50


def test_the_first_observation_is_that_of_the_features(stack: CandidateStack) -> None:
    env = CandidateVecEnv(stack, 5, 0)
    seen = env.reset()
    numbers = CandidateEpisodes(stack, env.episodes.video).numbers()
    split = env.layout.n_actions * env.layout.candidate_numbers
    np.testing.assert_array_equal(seen[:, :split].reshape(numbers.candidates.shape),
                                  numbers.candidates)  # fmt: skip
    np.testing.assert_array_equal(seen[:, split:], numbers.state)
    prior = env.layout.sharpness * numbers.candidates[:, :, env.layout.prior_number]
    np.testing.assert_allclose(prior, numbers.prior, atol=1e-6)
    np.testing.assert_array_equal(env.env_method("action_masks"), numbers.mask)


def test_a_forbidden_action_is_refused_before_anything_moves(stack: CandidateStack) -> None:
    env = CandidateVecEnv(stack, 3, 0)
    with pytest.raises(UsageError, match="action 20 of episode 0 is not allowed"):
        env.step(np.full(3, 20))
    assert (env.episodes.segment == 0).all()


def test_all_videos_are_played_and_the_seed_decides_in_which_order(stack: CandidateStack) -> None:
    first, same, other = (CandidateVecEnv(stack, 400, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.episodes.video, same.episodes.video)
    assert (first.episodes.video != other.episodes.video).any()
    assert set(first.episodes.video) == set(range(stack.n_videos))


def test_a_state_that_went_through_json_continues_to_the_same_bits(stack: CandidateStack) -> None:
    env, rng = CandidateVecEnv(stack, 7, 0), np.random.default_rng(1)
    for _ in range(9):
        env.step(draw(env, rng))
    arrays, plain = env.get_state()
    other = CandidateVecEnv(stack, 7, 99)
    seen = other.set_state(arrays, json.loads(json.dumps(plain)))
    np.testing.assert_array_equal(seen, env.observe())
    for _ in range(25):
        actions = draw(env, rng)
        for a, b in zip(env.step(actions)[:3], other.step(actions)[:3], strict=True):
            np.testing.assert_array_equal(a, b)
    with pytest.raises(RunError, match="does not fit"):
        CandidateVecEnv(stack, 8, 0).set_state(arrays, plain)


def test_extra_terms_see_the_library_s_tracks_and_are_paid(stack: CandidateStack) -> None:
    seen: list[Steps] = []

    def short(steps: Steps) -> Any:
        seen.append(steps)
        return np.where(steps.started & (steps.length_s < 6.0), -1.0, 0.0)

    extra = WeightedSum({"short": (FunctionTerm("short", short), 0.5)})
    env, plain = CandidateVecEnv(stack, 6, 0, extra), CandidateVecEnv(stack, 6, 0)
    rng = np.random.default_rng(1)
    for _ in range(20):
        actions = draw(env, rng)
        chosen, previous = env.episodes.library_actions(actions), env.episodes.track.copy()
        v, t = env.episodes.video.copy(), env.episodes.segment.copy()
        _, rewards, ends, infos = env.step(actions)
        _, without, _, _ = plain.step(actions)
        steps = seen[-1]
        lengths = np.array([stack.tables[a].lengths_s[b] for a, b in zip(v, t, strict=True)])
        n_tracks = np.array([stack.tables[a].n_tracks for a in v])
        np.testing.assert_array_equal(steps.started, chosen < n_tracks)
        np.testing.assert_array_equal(steps.track[steps.started], chosen[steps.started])
        np.testing.assert_array_equal(steps.previous[~steps.started], steps.track[~steps.started])
        np.testing.assert_array_equal(steps.previous == n_tracks, previous < 0)
        np.testing.assert_array_equal(steps.length_s, lengths)
        expected = np.where((chosen < n_tracks) & (lengths < 6.0), -0.5, 0.0)
        np.testing.assert_allclose(rewards - without, expected, atol=1e-5)
        for lane in np.flatnonzero(ends):
            assert infos[lane]["extra_return"] <= 0.0


def test_end_terms_of_decided_steps_are_those_of_the_scorer(stack: CandidateStack) -> None:
    episodes = CandidateEpisodes(stack, np.arange(stack.n_videos))
    rng, plans = np.random.default_rng(0), [[] for _ in range(stack.n_videos)]  # type: ignore[var-annotated]
    lanes = np.arange(stack.n_videos)
    while len(lanes):
        mask = episodes.numbers().mask
        actions = np.where(mask, rng.random(mask.shape), -1.0).argmax(axis=1)
        for lane, action in zip(lanes, episodes.library_actions(actions), strict=True):
            plans[lane].append(int(action))
        steps, _, final = decided_steps(episodes, actions)
        for i in np.flatnonzero(final):
            tables = stack.tables[lanes[i]]
            terms = score(tables, plans[lanes[i]]).terms
            weights = tables.weights
            assert weights.theme * steps.theme[i] == pytest.approx(terms["theme"], abs=1e-9)
            assert -weights.switch * steps.switch_gap[i] == pytest.approx(terms["switch"])
        going = np.flatnonzero(~final)
        lanes, episodes = lanes[going], episodes.take(going)
