"""The soundtrack environments against the original's own numbers, profile `reference`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from segue.rl.balancer import RewardBalancer
from segue.tasks.soundtrack.batched import BatchedSoundtrack
from segue.tasks.soundtrack.budget import fit_budget
from segue.tasks.soundtrack.config import SoundtrackConfig
from segue.tasks.soundtrack.data import Dataset, Segment, Track, Video
from segue.tasks.soundtrack.env import SoundtrackEnv
from segue.tasks.soundtrack.formats import reference_clock_seconds
from segue.tasks.soundtrack.labels import label_captions
from segue.tasks.soundtrack.matching import closest, safe_name
from segue.tasks.soundtrack.multi_env import ReferenceMultiEnv
from segue.tasks.soundtrack.plans import score_plans
from segue.tasks.soundtrack.prior import Prior, fit_prior, sigma_of, split_videos
from segue.tasks.soundtrack.tables import Tables, Weights, build_tables

FILE = "soundtrack_rewards.json"
TERM, RETURN = 5e-6, 5e-5
"""Absolute tolerances stated with the vectors; the original computes cosines in 32 bits."""
MOST_SEQUENCES = 3_000_000

Compared = Callable[[str, int], None]
Library = dict[str, tuple[Dataset, Prior]]


@pytest.fixture(scope="module")
def vectors(golden: Callable[[str], Any]) -> dict[str, Any]:
    return golden(FILE)


@pytest.fixture(scope="module")
def library(vectors: dict[str, Any]) -> Library:
    """Every dataset of the file and its prior."""
    result = {}
    for name, stored in vectors["datasets"].items():
        dataset = Dataset(
            tracks=tuple(_track(entry) for entry in stored["tracks"]),
            videos=tuple(_video(entry) for entry in stored["videos"]),
            name=name,
        )
        result[name] = (dataset, fit_prior(dataset, None, SoundtrackConfig.preset("reference")))
    return result


def _track(entry: dict[str, Any]) -> Track:
    return Track(
        name=entry["filename"],
        embedding=np.array(entry["emb"]),
        text_embedding=np.array(entry["text_emb"]),
        mfcc=np.array(entry["mfcc"]),
        tempo_bpm=entry["bpm"],
        energy=entry["energy"],
        centroid_hz=entry["spectral_centroid"],
        duration_s=entry["duration"],
    )


def _video(entry: dict[str, Any]) -> Video:
    return Video(
        name=entry["filename"],
        segments=tuple(
            Segment(
                start_s=reference_clock_seconds(segment.get("start", "00:00")),
                end_s=reference_clock_seconds(segment.get("end", "00:00")),
                embedding=np.array(segment["emb"]),
                text_embedding=np.array(segment["text_emb"]),
                music_change=segment["music_change"],
            )
            for segment in entry["segments"]
        ),
    )


def _config(episode: dict[str, Any]) -> SoundtrackConfig:
    weights = {key.removeprefix("w_"): value for key, value in episode["weights"].items()}
    return SoundtrackConfig.parse(
        {
            "profile": "reference",
            "mode": episode.get("mode", "train"),
            "weights": {"silence": 0.0, **weights},
        }
    )


def _tables(library: Library, case: dict[str, Any]) -> Tables:
    dataset, prior = library[case["dataset"]]
    weights = Weights(**{key.removeprefix("w_"): v for key, v in case["weights"].items()})
    return build_tables(
        dataset, prior, case["video"], weights, case["mode"], target=case["switch_target"]
    )


def _check_terms(expected: dict[str, float], info: dict[str, Any], where: str) -> int:
    assert set(info) == {*expected, "video_filename"}, where
    for key, value in expected.items():
        assert info[key] == pytest.approx(value, abs=TERM), f"{where}: {key}"
    return len(expected)


def test_datasets(vectors: dict[str, Any], library: Library, compared: Compared) -> None:
    count = 0
    for name, stored in vectors["datasets"].items():
        expected, (dataset, prior) = stored["expected"], library[name]
        assert prior.picture_reference == pytest.approx(expected["video_ref"], abs=TERM)
        assert prior.caption_reference == pytest.approx(expected["caption_ref"], abs=TERM)
        sigmas = [sigma_of(video) for video in dataset.videos]
        assert sigmas == pytest.approx(expected["sigma"], abs=TERM)
        for found, wanted in zip(prior.budget.bins, expected["switch_budget_bins"], strict=True):
            got = (found.mean, found.std, found.lower, found.upper)
            want = tuple(
                math.nan if wanted[key] is None else wanted[key]
                for key in ("mu", "std", "lower", "upper")
            )
            assert got == pytest.approx(want, abs=TERM, nan_ok=True), name
        seconds = [[s.end_s - s.start_s for s in video.segments] for video in dataset.videos]
        assert seconds == expected["segment_seconds"]
        count += 2 + len(sigmas) + 4 * len(expected["switch_budget_bins"])
        count += sum(map(len, seconds))
    compared("dataset statistics", count)


def test_discrete_episodes(vectors: dict[str, Any], library: Library, compared: Compared) -> None:
    episodes = [e for e in vectors["episodes"] if e["env"] == "Discrete"]
    for number, episode in enumerate(episodes):
        where = f"Discrete {number} ({episode['kind']}, {episode['dataset']})"
        dataset, prior = library[episode["dataset"]]
        env = SoundtrackEnv(dataset, _config(episode), prior=prior, random=False)
        observation, info = env.reset(
            seed=episode["reset_seed"],
            options={"video_idx": episode["video"], "switch_target": episode["switch_target"]},
        )
        assert info == {}
        total, terms, looks = 0.0, 0, 0
        for index, step in enumerate(episode["steps"]):
            here = f"{where} step {index}"
            mask = env.action_masks()
            assert mask[:-1].all(), here
            assert bool(mask[-1]) == step["continue_allowed"], here
            assert observation["switch_ratio"][0] == pytest.approx(step["switch_ratio"], abs=TERM)
            for name, values in step.get("action_rewards", {}).items():
                _check_look_ahead(env, name, values, here)
                looks += len(values)
            observation, reward, terminated, truncated, info = env.step(step["action"])
            assert env.heard[-1] == step["track"], here
            assert not truncated
            assert terminated == step["terminated"], here
            assert env.now.elapsed_s == pytest.approx(step["next_offset"], abs=TERM), here
            assert env.now.ended == step["music_ended"], here
            assert env.now.switches == step["switch_count"], here
            started_at = (
                step["next_offset"] - env.video.lengths[index]
                if step["action"] == len(dataset.tracks) and not step["terms"]["illegal_penalty"]
                else 0.0
            )
            assert started_at == pytest.approx(step["offset"], abs=TERM), here
            terms += _check_terms(step["terms"], info, here)
            assert reward == info["reward"]
            seen, wanted = observation, step["next_obs"]
            assert seen["video_embedding"][:3] == pytest.approx(wanted["video_head"], abs=TERM)
            assert seen["last_audio_embedding"][:3] == pytest.approx(
                wanted["audio_head"], abs=TERM
            ), here
            assert seen["switch_ratio"][0] == pytest.approx(wanted["switch_ratio"], abs=TERM), here
            total += reward
        assert terminated, where
        assert total == pytest.approx(episode["return"], abs=RETURN), where
        compared("terms of Discrete steps", terms)
        if looks:
            compared("look-ahead values", looks)
    compared("Discrete episodes", len(episodes))


def _check_look_ahead(
    env: SoundtrackEnv, name: str, values: list[float | None], where: str
) -> None:
    kind, _, keys = name.partition(":")
    arguments = {"total": None, "key": keys, "keys": keys.split(",")}
    found = env.get_action_rewards(arguments[kind])
    assert found.dtype == np.float32
    for action, (got, want) in enumerate(zip(found, values, strict=True)):
        if want is None:
            assert got == -np.inf, f"{where}: {name} of action {action}"
        else:
            assert got == pytest.approx(want, abs=TERM), f"{where}: {name} of action {action}"


def test_discrete_episodes_as_plans_and_in_batches(
    vectors: dict[str, Any], library: Library, compared: Compared
) -> None:
    episodes = [e for e in vectors["episodes"] if e["env"] == "Discrete"]
    for episode in episodes:
        tables = _tables(library, episode)
        actions = [step["action"] for step in episode["steps"]]
        padded = actions + [0] * (tables.n_segments - len(actions))
        returns, _ = score_plans(tables, [padded])
        assert returns[0] == pytest.approx(episode["return"], abs=RETURN), episode["kind"]
        env = BatchedSoundtrack([tables], batch=3)
        for step in episode["steps"]:
            result = env.step(np.full(3, step["action"]))
            assert result.reward == pytest.approx(np.full(3, step["terms"]["reward"]), abs=TERM), (
                episode["kind"]
            )
            assert result.terminated.tolist() == [step["terminated"]] * 3
    compared("episodes replayed as plans and in a batch", len(episodes))


def test_multi_discrete_episodes(
    vectors: dict[str, Any], library: Library, compared: Compared
) -> None:
    episodes = [e for e in vectors["episodes"] if e["env"] == "MultiDiscrete"]
    for number, episode in enumerate(episodes):
        where = f"MultiDiscrete {number} ({episode['kind']}, {episode['dataset']})"
        dataset, _ = library[episode["dataset"]]
        env = ReferenceMultiEnv(dataset, _config(episode), videos=[episode["video"]])
        env.reset(seed=0)
        total, terms = 0.0, 0
        for index, step in enumerate(episode["steps"]):
            here = f"{where} step {index}"
            _, reward, terminated, truncated, info = env.step(step["action"])
            assert not truncated
            assert (env.track, terminated) == (step["track"], step["terminated"]), here
            assert env.offset_s == pytest.approx(step["offset"], abs=TERM), here
            assert env.now.elapsed_s == pytest.approx(step["next_offset"], abs=TERM), here
            terms += _check_terms(step["terms"], info, here)
            total += reward
        assert terminated, where
        assert total == pytest.approx(episode["return"], abs=RETURN), where
        compared("terms of MultiDiscrete steps", terms)
    compared("MultiDiscrete episodes", len(episodes))


def test_exhaustive_optima(vectors: dict[str, Any], library: Library, compared: Compared) -> None:
    enumerated = 0
    for number, case in enumerate(vectors["exhaustive_optimum"]):
        tables = _tables(library, case)
        n_actions = tables.n_tracks + 1
        best, _ = score_plans(tables, [case["best_actions"]])
        assert best[0] == pytest.approx(case["best_return"], abs=1e-4), number
        if n_actions**tables.n_segments > MOST_SEQUENCES:
            continue
        plans = np.array(list(itertools.product(range(n_actions), repeat=tables.n_segments)))
        returns, parts = score_plans(tables, plans)
        legal = np.sort(returns[parts["illegal"] == 0.0])
        assert len(legal) == case["legal_sequences"], number
        assert legal[-1] == pytest.approx(case["best_return"], abs=1e-4), number
        assert legal[-2] == pytest.approx(case["second_best_return"], abs=1e-4), number
        enumerated += 1
    compared("optima found by enumeration", enumerated)


def test_switch_budget(vectors: dict[str, Any], compared: Compared) -> None:
    stored = vectors["switch_budget"]
    videos = [video for video in stored["videos"] if video["segments"] >= 2]
    sigmas, counts = zip(*[(video["sigma"], video["changes"]) for video in videos], strict=True)
    budget = fit_budget(sigmas, counts, reference=True)
    for found, wanted in zip(budget.bins, stored["bins"], strict=True):
        got = (found.mean, found.std, found.lower, found.upper)
        want = (wanted["mu"], wanted["std"], wanted["lower"], wanted["upper"])
        assert got == pytest.approx(want, abs=1e-12)
    count = 0
    for row in stored["draws"]:
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(777)))
        drawn = [budget.draw(row["sigma"], 10, rng, row["kappa"]) for _ in row["draws"]]
        assert drawn == row["draws"], (row["sigma"], row["kappa"])
        count += len(drawn)
    compared("switch budget bins and draws", 4 * len(budget.bins) + count)


def test_splits(vectors: dict[str, Any], compared: Compared) -> None:
    for case in vectors["splits"]:
        train, test = split_videos(case["n_videos"], case["ratio"], case["seed"])
        assert (train, test) == (case["train"], case["test"])
    compared("splits", len(vectors["splits"]))


def test_switch_labels(vectors: dict[str, Any], compared: Compared) -> None:
    case = vectors["switch_labels"]
    cases = case if isinstance(case, list) else [case]
    for each in cases:
        labelled = label_captions(
            each["captions"], each["change_points"], max_distance_s=each["max_distance_s"]
        )
        assert labelled == each["labelled"]
    compared("labelled videos", sum(len(each["captions"]) for each in cases))


def test_names_and_times(vectors: dict[str, Any], compared: Compared) -> None:
    for case in vectors["parse_time"]:
        assert reference_clock_seconds(case["text"]) == case["seconds"], case
    for case in vectors["slugs"]:
        assert safe_name(case["title"]) == case["slug"], case
    for case in vectors["fuzzy"]:
        assert closest(case["target"], case["files"]) == case["match"], case
    compared("names and times", sum(len(vectors[k]) for k in ("parse_time", "slugs", "fuzzy")))


def test_reward_balancer(vectors: dict[str, Any], compared: Compared) -> None:
    count = 0
    for case in vectors["reward_balancer"]:
        balancer = RewardBalancer(
            case["keys"],
            case["mode"],
            epsilon=case["eps"],
            temperature=case["temp"],
            min_weight=case["min_weight"],
        )
        for update in case["updates"]:
            found = balancer.update(update["values"])
            assert found.total == pytest.approx(update["total"], abs=TERM)
            assert found.weights == pytest.approx(update["weights"], abs=1e-8)
            assert found.normalised == pytest.approx(update["normalised"], abs=TERM)
            count += 1
    compared("balancer updates", count)


def test_zero_norm_threshold(vectors: dict[str, Any], compared: Compared) -> None:
    from segue.tasks.soundtrack.similarity import ZERO_NORM

    assert vectors["cosine_zero_norm_threshold"] == ZERO_NORM
    assert vectors["format"] == 1
    compared("constants", 2)
