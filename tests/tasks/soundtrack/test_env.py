"""The single environment: Gymnasium's rules, rewards worked out by hand, masks, seeds."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

from segue.core.errors import DataError, UnknownName, UsageError
from segue.tasks.soundtrack.config import SoundtrackConfig
from segue.tasks.soundtrack.data import Dataset, Segment, Track, Video
from segue.tasks.soundtrack.env import SoundtrackEnv
from segue.tasks.soundtrack.lookahead import TERMS
from segue.tasks.soundtrack.multi_env import MultiSoundtrackEnv, ReferenceMultiEnv
from segue.tasks.soundtrack.observation import STATE
from segue.tasks.soundtrack.scoring import score
from segue.tasks.soundtrack.tables import build_tables
from tests.synthetic_soundtrack import make_dataset

PROFILES = ("reference", "default")
ENOUGH = 8
"""Videos; the switch budget of the reference profile is undefined for fewer than six."""


def test_the_checker_accepts_both_environments_in_both_profiles() -> None:
    dataset = make_dataset(n_videos=ENOUGH)
    reference = SoundtrackConfig.preset("reference")
    for env in (
        SoundtrackEnv(dataset),
        SoundtrackEnv(make_dataset(text_dimension=None)),
        SoundtrackEnv(dataset, reference),
        MultiSoundtrackEnv(dataset),
        ReferenceMultiEnv(dataset, reference),
    ):
        check_env(env, skip_render_check=True)  # only environments with an id have one
    check_env(gymnasium.make("Discrete", dataset=dataset, render_mode="ansi").unwrapped)


@pytest.mark.parametrize("profile", PROFILES)
def test_environments_are_made_by_the_ids_of_the_original(profile: str) -> None:
    config = SoundtrackConfig.preset(profile)
    for name, kind in (
        ("Discrete", SoundtrackEnv),
        ("MultiDiscrete", ReferenceMultiEnv if profile == "reference" else MultiSoundtrackEnv),
    ):
        env = gymnasium.make(name, dataset=make_dataset(n_videos=ENOUGH), config=config)
        assert type(env.unwrapped) is kind
        env.reset(seed=1)
        for _ in range(3):
            env.step([1, 0] if name == "MultiDiscrete" else 1)


def _tiny() -> Dataset:
    """Two tracks and three segments whose cosines are 0, 0.6, 0.8 or 1."""

    def track(name: str, vector: list[float], bpm: float, duration_s: float) -> Track:
        return Track(
            name=name,
            embedding=np.array(vector),
            text_embedding=np.array([1.0, 0.0]),
            mfcc=np.eye(13)[0],
            tempo_bpm=bpm,
            energy=0.1,
            centroid_hz=1000.0,
            duration_s=duration_s,
        )

    def segment(start_s: float, end_s: float, vector: list[float]) -> Segment:
        return Segment(
            start_s=start_s,
            end_s=end_s,
            embedding=np.array(vector),
            text_embedding=np.array([0.0, 1.0]),
            music_change=False,
        )

    return Dataset(
        tracks=(track("a", [1.0, 0.0], 100.0, 15.0), track("b", [0.6, 0.8], 130.0, 25.0)),
        videos=(
            Video(
                name="v",
                segments=(
                    segment(0, 10, [1.0, 0.0]),
                    segment(10, 20, [1.0, 0.0]),
                    segment(20, 30, [0.6, 0.8]),
                ),
            ),
        ),
    )


def test_rewards_worked_out_by_hand() -> None:
    config = SoundtrackConfig.parse({"weights": {"silence": 0.5}, "mode": "train"})
    env = SoundtrackEnv(_tiny(), config)
    env.reset(seed=0, options={"video_idx": 0, "switch_target": 3})
    # The mean picture is (2.6, 0.8) / 3; its cosine with a is 2.6 / sqrt(7.4).
    root = np.sqrt(2.6**2 + 0.8**2)
    to_a, to_b = 2.6 / root, (2.6 * 0.6 + 0.8 * 0.8) / root
    captions = 2.5 * (0 - 0 + 0.3) / 2  # the caption reference is orthogonal to both tracks

    *_, info = env.step(0)
    alignment = 3 * (1 - to_a + 0.2) / 2 + captions
    assert info["alignment_reward"] == pytest.approx(alignment)
    assert info["reward"] == pytest.approx(alignment)  # no hand-over yet, nothing silent

    # Continuing: faded by exp(-0.01 * 10); the picture stands still; 5 of 10 s are silent.
    *_, info = env.step(2)
    alignment *= np.exp(-0.1)
    assert info["alignment_reward"] == pytest.approx(alignment)
    assert info["smoothness_reward"] == pytest.approx(1.0)
    assert info["silence_reward"] == pytest.approx(-0.5)
    assert info["reward"] == pytest.approx(alignment + 0.5 * 1.0 - 0.5 * 0.5)

    # To b: cosine 0.6, 30 beats faster, the picture turns by a cosine of 0.6; the end.
    *_, terminated, _, info = env.step(1)
    assert terminated
    alignment = 3 * (1 - to_b + 0.2) / 2 + captions
    semantic, acoustic = (0.6 + 1) / 2, (-0.3 + 0 + 0) / 3 + 1
    smoothness = np.exp(-5 * 0.4) * (semantic + acoustic) / 2
    mean = np.array([2.6, 0.8]) / 3
    unit = mean / np.linalg.norm(mean)
    theme = (2 * unit[0] + 0.6 * unit[0] + 0.8 * unit[1]) / 3
    assert info["alignment_reward"] == pytest.approx(alignment)
    assert info["smoothness_reward"] == pytest.approx(smoothness)
    assert info["switch_reward"] == pytest.approx(-0.3 * 2)  # one switch, three wanted
    assert info["theme_reward"] == pytest.approx(0.3 * theme)
    assert info["reward"] == pytest.approx(
        alignment + 0.5 * smoothness - 0.6 + 0.3 * theme + info["same_track_penalty"]
    )


def test_repeats_cost_one_for_each_earlier_start_and_one_for_interrupting_oneself() -> None:
    env = SoundtrackEnv(make_dataset(n_segments=6), random=False)
    env.reset(options={"video_idx": 0})
    penalties = [env.step(action)[4]["same_track_penalty"] for action in (2, 2, 3, 2, 3, 3)]
    assert penalties == [0, -2, 0, -2, -1, -3]


@pytest.mark.parametrize("profile", PROFILES)
def test_an_illegal_continue_ends_the_episode(profile: str) -> None:
    env = SoundtrackEnv(make_dataset(n_videos=ENOUGH), SoundtrackConfig.preset(profile))
    env.reset(seed=3)
    assert not env.action_masks()[-1]
    _, reward, terminated, truncated, info = env.step(env.n_tracks)
    assert terminated
    assert not truncated
    assert info["illegal_penalty"] == -5.0
    assert reward == info["reward"] < -3
    with pytest.raises(ResetNeeded):
        env.step(0)
    with pytest.raises(ResetNeeded):
        env.get_action_rewards()


@pytest.mark.parametrize("profile", PROFILES)
def test_ten_thousand_random_steps(profile: str) -> None:
    """Rewards are finite, observations lie in their space, the mask is never empty."""
    dataset = make_dataset(n_videos=ENOUGH, shortest_s=8.0)
    env = SoundtrackEnv(dataset, SoundtrackConfig.preset(profile))
    rng = np.random.default_rng(0)
    observation, _ = env.reset(seed=0)
    for step in range(10_000):
        mask = env.action_masks()
        assert mask.any()
        action = int(rng.choice(np.flatnonzero(mask)))
        observation, reward, terminated, _, info = env.step(action)
        assert np.isfinite(reward)
        if step % 10 == 0 or terminated:
            assert env.observation_space.contains(observation)
            assert all(np.isfinite(value) for key, value in info.items() if key != "video_filename")
        if terminated:
            assert info["illegal_penalty"] == 0
            observation, _ = env.reset()


def _trajectory(env: Any, seed: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    seen: list[Any] = []
    env.reset(seed=seed)
    for _ in range(60):
        action = int(rng.choice(np.flatnonzero(env.action_masks())))
        observation, reward, terminated, _, info = env.step(action)
        seen.append((reward, terminated, sorted(info.items()), env.now.target))
        seen.append({key: value.tobytes() for key, value in observation.items()})
        if terminated:
            env.reset()
    return seen


@pytest.mark.parametrize("profile", PROFILES)
def test_the_same_seed_gives_the_same_trajectory(profile: str) -> None:
    config = SoundtrackConfig.preset(profile)
    dataset = make_dataset(n_videos=ENOUGH)
    first, again = (_trajectory(SoundtrackEnv(dataset, config), 5) for _ in range(2))
    other = _trajectory(SoundtrackEnv(dataset, config), 6)
    assert first == again
    assert first != other


@pytest.mark.parametrize("profile", PROFILES)
def test_observations_handed_out_belong_to_the_caller(profile: str) -> None:
    env = SoundtrackEnv(make_dataset(n_videos=ENOUGH), SoundtrackConfig.preset(profile))
    first = env.reset(seed=0)[0]
    kept = {key: value.copy() for key, value in first.items()}
    later = [env.step(action)[0] for action in (0, 1, 1)]
    assert all(np.array_equal(first[key], kept[key]) for key in kept)
    for observation in (first, *later):
        for value in observation.values():
            value.fill(0.5)
    again = env.reset(seed=0)[0]
    assert all(np.array_equal(again[key], kept[key]) for key in kept)


def test_the_full_observation_shows_what_the_reward_depends_on() -> None:
    env = SoundtrackEnv(make_dataset())
    env.reset(seed=0, options={"video_idx": 1, "switch_target": 2})
    observation, *_ = env.step(4)
    state = dict(zip(STATE, observation["state"].tolist(), strict=True))
    n, lengths = env.video.n_segments, env.video.lengths
    assert state["progress"] == pytest.approx(1 / n)
    assert state["time_left"] == pytest.approx(1 - lengths[0] / sum(lengths))
    assert state["target"] == pytest.approx(2 / n)
    assert state["elapsed"] == pytest.approx(lengths[0] / (lengths[0] + 60))
    left = env.video.tracks[4][0] - lengths[0]
    assert state["track_left"] == pytest.approx(left / (left + 60))
    assert observation["use"].sum() == 2
    assert observation["use"][:, 4].tolist() == [1, 1]
    for name, track_or_segment in (
        ("music", env.dataset.tracks[4]),
        ("segment", env.dataset.videos[1].segments[1]),
    ):
        for part, vector in (
            (observation[name][:8], track_or_segment.embedding),
            (observation[name][8:], track_or_segment.text_embedding),
        ):
            assert vector is not None
            assert part == pytest.approx(vector / np.linalg.norm(vector), abs=1e-6)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("mode", ["train", "test"])
def test_look_ahead_equals_stepping(profile: str, mode: str) -> None:
    """Every value for every action equals what a copy of the episode earns by that action."""
    config = SoundtrackConfig.preset(profile).model_copy(update={"mode": mode})
    dataset = make_dataset(n_tracks=4, n_videos=2, n_segments=4, shortest_s=9.0)
    rng = np.random.default_rng(2)
    for video in (0, 1):
        history: list[int] = []
        while len(history) < dataset.videos[video].n_segments:
            probe = SoundtrackEnv(dataset, config, random=False, videos=[video])
            probe.reset(seed=0, options={"video_idx": 0, "switch_target": 1})
            for action in history:
                probe.step(action)
            mask = probe.action_masks()
            look = {name: probe.get_action_rewards(name) for name in TERMS}
            assert np.array_equal(probe.get_action_rewards(), look["reward"])
            for action in np.flatnonzero(mask):
                env = SoundtrackEnv(dataset, config, random=False, videos=[video])
                env.reset(seed=0, options={"video_idx": 0, "switch_target": 1})
                for earlier in history:
                    env.step(earlier)
                info = env.step(action)[4]
                for name, values in look.items():
                    if name in info:
                        assert values[action] == pytest.approx(info[name], abs=1e-6), name
            assert np.isneginf(look["reward"][~mask]).all()
            history.append(int(rng.choice(np.flatnonzero(mask))))


def test_a_list_of_terms_is_their_sum_and_in_the_reference_added_to_the_reward() -> None:
    for profile in PROFILES:
        env = SoundtrackEnv(make_dataset(n_videos=ENOUGH), SoundtrackConfig.preset(profile))
        env.reset(seed=0)
        env.step(1)
        names = ["alignment_reward", "same"]
        parts = sum(env.get_action_rewards(name) for name in names)
        whole = env.get_action_rewards() if profile == "reference" else 0.0
        assert env.get_action_rewards(names) == pytest.approx(parts + whole, abs=1e-5)
    with pytest.raises(UnknownName, match="alignment"):
        env.get_action_rewards("alignmnt")


def test_the_environment_pays_what_the_plan_scorer_says() -> None:
    dataset = make_dataset(shortest_s=8.0)
    rng = np.random.default_rng(4)
    for mode in ("train", "test"):
        config = SoundtrackConfig.parse({"mode": mode})
        env = SoundtrackEnv(dataset, config, random=False)
        for video in range(4):
            env.reset(options={"video_idx": video, "switch_target": 2})
            actions, total, terminated = [], 0.0, False
            while not terminated:
                actions.append(int(rng.choice(np.flatnonzero(env.action_masks()))))
                _, reward, terminated, _, _ = env.step(actions[-1])
                total += reward
            tables = build_tables(dataset, env.prior, video, env.weights, mode, target=2)
            assert score(tables, actions).return_ == pytest.approx(total, abs=1e-12)


def test_forbidden_tracks_are_masked_and_illegal() -> None:
    env = SoundtrackEnv(make_dataset(), random=False)
    forbidden = np.zeros((5, 6), dtype=np.bool_)
    forbidden[1, 1:] = True
    env.forbid(0, forbidden)
    env.reset(options={"video_idx": 0})
    env.step(2)
    assert env.action_masks().tolist() == [True] + [False] * 6  # and 2 may not go on either
    assert np.isneginf(env.get_action_rewards()[1:]).all()
    _, _, terminated, _, info = env.step(3)
    assert terminated
    assert info["illegal_penalty"] == -5.0
    with pytest.raises(DataError, match="no allowed track"):
        env.forbid(0, np.ones((5, 6), dtype=np.bool_))


def doubled_energy(steps: Any) -> Any:
    """An extra term: 2 for every start of track 0."""
    return 2.0 * (steps.started & (steps.track == 0))


def test_an_extra_term_by_its_path_is_paid_and_reported() -> None:
    path = f"{__name__}:doubled_energy"
    plain = SoundtrackEnv(make_dataset(), random=False)
    extra = SoundtrackEnv(
        make_dataset(), SoundtrackConfig.parse({"extra_terms": {path: 0.25}}), random=False
    )
    for env in (plain, extra):
        env.reset(options={"video_idx": 0, "switch_target": 0})
    for action, more in ((0, 0.5), (1, 0.0)):
        *_, info = plain.step(action)
        *_, other = extra.step(action)
        assert other["reward"] == pytest.approx(info["reward"] + more)
        assert other[f"extra/{path}"] == pytest.approx(more)


def test_misuse_is_refused_in_one_sentence() -> None:
    dataset = make_dataset()
    env = SoundtrackEnv(dataset)
    with pytest.raises(ResetNeeded):
        env.step(0)
    env.reset(seed=0)
    with pytest.raises(UsageError, match=r"action 9 is outside 0\.\.6"):
        env.step(9)
    with pytest.raises(UnknownName, match="video_idx"):
        env.reset(options={"video_id": 3})
    with pytest.raises(UsageError, match="whole number"):
        env.reset(options={"switch_target": 1.5})
    with pytest.raises(UsageError, match="no video 9"):
        SoundtrackEnv(dataset, videos=[9])
    with pytest.raises(UsageError, match="captions"):
        ReferenceMultiEnv(make_dataset(text_dimension=None))


def test_videos_in_turn_and_by_index() -> None:
    dataset = make_dataset()
    env = SoundtrackEnv(dataset, random=False)
    assert [env.reset()[1]["video_filename"] for _ in range(5)] == [
        f"video {index}.mp4" for index in (0, 1, 2, 3, 0)
    ]
    assert env.reset(options={"video_idx": 6})[1]["video_filename"] == "video 2.mp4"
    many, config = make_dataset(n_videos=ENOUGH), SoundtrackConfig.preset("reference")
    reference = SoundtrackEnv(many, config, random=False)
    reference.reset()
    assert reference.video.name == "video 1.mp4"  # the original begins with the second one


def test_a_video_of_one_segment_has_no_nan() -> None:
    dataset = make_dataset(n_segments=1, n_videos=1, labelled=False)
    env = SoundtrackEnv(dataset)
    observation, _ = env.reset(seed=0)
    assert env.now.target == 0
    assert all(np.isfinite(value).all() for value in observation.values())
    *_, terminated, _, info = env.step(0)
    assert terminated
    assert np.isfinite(info["reward"])


def test_multi_discrete_continues_where_it_may_and_starts_where_it_may_not() -> None:
    dataset = make_dataset(shortest_s=8.0)
    multi, single = MultiSoundtrackEnv(dataset, random=False), SoundtrackEnv(dataset, random=False)
    for env in (multi, single):
        env.reset(options={"video_idx": 0, "switch_target": 1})
    assert multi.action_masks().tolist() == [True] * 7 + [False]
    for track in (3, 1, 4, 0, 2):
        may = single.action_masks()[-1]
        expected = single.step(6 if may else track)
        found = multi.step([track, 1])
        assert found[1:] == expected[1:]
