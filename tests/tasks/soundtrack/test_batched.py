"""Many episodes at once equal single ones."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from segue.core.errors import DataError, UsageError
from segue.tasks.soundtrack.batched import BatchedSoundtrack
from segue.tasks.soundtrack.config import SoundtrackConfig
from segue.tasks.soundtrack.data import Dataset
from segue.tasks.soundtrack.env import SoundtrackEnv
from segue.tasks.soundtrack.plans import score_plans
from segue.tasks.soundtrack.prior import fit_prior
from segue.tasks.soundtrack.scoring import TERMS, score
from segue.tasks.soundtrack.tables import Tables, Weights, build_tables
from tests.synthetic_soundtrack import make_dataset

EXACT = 1e-12
"""Sums over an episode may be rounded in another order; nothing else may differ."""


def _tables(
    dataset: Dataset, mode: str = "train", target: int | None = None, silence: float = 1.0
) -> list[Tables]:
    prior = fit_prior(dataset)
    weights = Weights(silence=silence)
    return [
        build_tables(dataset, prior, index, weights, mode, target)  # type: ignore[arg-type]
        for index in range(len(dataset.videos))
    ]


def _unequal_norms(dataset: Dataset) -> Dataset:
    scales = [1.0, 0.0, 3.0, 0.5, 7.0, 1.0]
    tracks = [
        replace(track, embedding=track.embedding * scale)
        for track, scale in zip(dataset.tracks, scales, strict=True)
    ]
    return Dataset(tracks=tuple(tracks), videos=dataset.videos)


@pytest.mark.parametrize("mode", ["train", "test"])
@pytest.mark.parametrize("unequal", [False, True])
def test_a_batch_equals_single_environments(mode: str, unequal: bool) -> None:
    dataset = make_dataset(shortest_s=8.0)
    if unequal:
        dataset = _unequal_norms(dataset)
    tables = _tables(dataset, mode)
    rng = np.random.default_rng(0)
    videos, targets = rng.integers(4, size=32), rng.integers(0, 5, size=32)
    batch = BatchedSoundtrack(tables, 32)
    seen = batch.reset(videos=videos, targets=targets)
    singles = []
    for video, target in zip(videos, targets, strict=True):
        env = SoundtrackEnv(
            dataset, SoundtrackConfig.parse({"mode": mode}), prior=fit_prior(dataset), random=False
        )
        env.reset(options={"video_idx": int(video), "switch_target": int(target)})
        singles.append(env)
    playing = np.ones(32, dtype=np.bool_)
    for _ in range(9):
        actions = rng.integers(0, 7, size=32)  # illegal continues among them
        masks = batch.action_masks()
        for lane in np.flatnonzero(playing):
            assert masks[lane].tolist() == singles[lane].action_masks().tolist()
            assert seen.can_continue[lane] == masks[lane, -1]
        result = batch.step(actions)
        seen = result.observation
        assert result.reward == pytest.approx(sum(result.terms.values()), abs=EXACT)
        for lane in np.flatnonzero(playing):
            env = singles[lane]
            _, reward, terminated, _, info = env.step(int(actions[lane]))
            assert result.reward[lane] == pytest.approx(reward, abs=EXACT)
            assert result.terminated[lane] == terminated
            assert result.terms["same"][lane] == info["same_track_penalty"]
            assert result.terms["alignment"][lane] == pytest.approx(
                info["alignment_reward"], abs=EXACT
            )
            assert result.terms["theme"][lane] == pytest.approx(info["theme_reward"], abs=EXACT)
            if not terminated:
                assert seen.segment[lane] == env.now.segment
                assert seen.track[lane] == env.now.track
                assert seen.elapsed_s[lane] == env.now.elapsed_s
                assert seen.switches[lane] == env.now.switches
            playing[lane] = not terminated
    assert not playing.any()


def test_observations_handed_out_do_not_change() -> None:
    batch = BatchedSoundtrack(_tables(make_dataset()), 16)
    seen = batch.reset()
    names = ("video", "segment", "track", "elapsed_s", "can_continue", "switches", "target")
    history = []
    rng = np.random.default_rng(1)
    for _ in range(20):
        history.append((seen, {name: getattr(seen, name).copy() for name in names}))
        seen = batch.step(rng.integers(0, 7, size=16)).observation
    for observation, copies in history:
        for name in names:
            assert np.array_equal(getattr(observation, name), copies[name])


def test_the_same_seed_gives_the_same_episodes_and_targets_follow_their_distribution() -> None:
    tables = _tables(make_dataset(n_videos=2))
    first, again = BatchedSoundtrack(tables, 4000, seed=3), BatchedSoundtrack(tables, 4000, seed=3)
    assert np.array_equal(first.reset().target, again.reset().target)
    seen = first.reset(seed=1)
    for index, table in enumerate(tables):
        drawn = seen.target[seen.video == index]
        for value, probability in zip(table.target_values, table.target_probabilities, strict=True):
            assert (drawn == value).mean() == pytest.approx(probability, abs=0.05)


@pytest.mark.parametrize("target", [2, None])
def test_plans_score_as_one_by_one(target: int | None) -> None:
    dataset = make_dataset(n_tracks=3, n_videos=1, n_segments=5, shortest_s=8.0)
    table = _tables(dataset, "train", target)[0]
    plans = np.array(list(itertools.product(range(4), repeat=5)))
    returns, parts = score_plans(table, plans)
    assert returns == pytest.approx(sum(parts.values()), abs=EXACT)
    for plan, value, index in zip(plans[::7], returns[::7], range(0, len(plans), 7), strict=True):
        outcome = score(table, plan)
        assert value == pytest.approx(outcome.return_, abs=EXACT)
        for name in TERMS:
            assert parts[name][index] == pytest.approx(outcome.terms[name], abs=EXACT), name


def test_forbidden_tracks_end_a_plan() -> None:
    table = _tables(make_dataset(n_videos=1))[0]
    alignment = table.alignment.copy()
    alignment[1, 2:] = -np.inf
    locked = replace(table, alignment=alignment)
    plans = np.array([[0, 1, 2, 3, 4], [0, 3, 1, 1, 1], [0, 6, 6, 6, 6]])
    returns, parts = score_plans(locked, plans)
    assert np.isfinite(returns).all()
    assert parts["illegal"].tolist()[:2] == [0.0, -5.0]
    batch = BatchedSoundtrack([locked], 2)
    batch.step(np.array([4, 0]))
    assert batch.action_masks().tolist() == [
        [True, True] + [False] * 5,
        [True, True] + [False] * 4 + [bool(batch.episodes.can_continue()[1])],
    ]
    alignment[2] = -np.inf
    with pytest.raises(DataError, match="no track is allowed in segment 2"):
        BatchedSoundtrack([replace(table, alignment=alignment)], 2)


def test_misuse_is_refused() -> None:
    tables = _tables(make_dataset())
    with pytest.raises(UsageError, match="shape"):
        score_plans(tables[0], [[0, 1]])
    with pytest.raises(UsageError, match=r"outside 0\.\.6"):
        score_plans(tables[0], [[0, 1, 2, 3, 7]])
    with pytest.raises(UsageError, match="different"):
        BatchedSoundtrack([tables[0], replace(tables[1], fade_per_s=0.5)], 2)
    with pytest.raises(UsageError, match="batch of 0"):
        BatchedSoundtrack(tables, 0)
    returns, parts = score_plans(tables[0], np.zeros((0, 5), dtype=np.int64))
    assert len(returns) == len(parts["theme"]) == 0
