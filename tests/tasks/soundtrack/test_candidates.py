from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from segue.core.errors import UsageError
from segue.tasks.soundtrack.agents import make_agent
from segue.tasks.soundtrack.agents.plan import with_locks
from segue.tasks.soundtrack.agents.position import Position, advance, legal, lookahead
from segue.tasks.soundtrack.candidates import (
    LOSS,
    CandidateStack,
    choose_candidates,
    outlook,
)
from segue.tasks.soundtrack.features import CANDIDATE_NUMBERS, STATE_NUMBERS, CandidateEpisodes
from segue.tasks.soundtrack.generator import GeneratorConfig, draw_tables, preset
from segue.tasks.soundtrack.scoring import score
from segue.tasks.soundtrack.tables import Tables, Weights
from tests.tasks.soundtrack.agents.small_tables import small_tables

CASES = {
    "benchmark": draw_tables(preset("benchmark"), 0, "candidates", 2, 2),
    "product": draw_tables(preset("product"), 0, "candidates", 4, 2),
    "odd": [
        small_tables(1, 5, 1, durations="mixed"),
        small_tables(2, 1, 4),
        small_tables(3, 6, 3, durations="zero"),
        small_tables(4, 7, 4, forbidden=0.6),
        small_tables(
            5, 9, 4, fade_per_s=0.05, weights=Weights(silence=1.0, theme=2.0), norms="unequal"
        ),
        with_locks(small_tables(6, 6, 5), {2: 3, 4: 0}),
    ],
}


def play_at_random(
    stack: CandidateStack, videos: np.ndarray[Any, Any], seed: int
) -> tuple[np.ndarray[Any, Any], list[list[int]]]:
    rng = np.random.default_rng(seed)
    episodes, lanes = CandidateEpisodes(stack, videos), np.arange(len(videos))
    earned, actions = np.zeros(len(videos)), [[] for _ in videos]  # type: ignore[var-annotated]
    while len(lanes):
        mask = episodes.numbers().mask
        choice = (rng.random(mask.shape) * mask).argmax(axis=1)
        for lane, action in zip(lanes, episodes.library_actions(choice), strict=True):
            actions[lane].append(int(action))
        reward, final = episodes.step(choice)
        earned[lanes] += reward
        lanes, episodes = lanes[~final], episodes.take(np.flatnonzero(~final))
    return earned, actions


@pytest.mark.parametrize("case", sorted(CASES))
def test_episodes_earn_what_the_exact_score_says(case: str) -> None:
    stack = CandidateStack(CASES[case], 6)
    videos = np.tile(np.arange(stack.n_videos), 5)
    earned, actions = play_at_random(stack, videos, seed=0)
    for video, reward, plan in zip(videos, earned, actions, strict=True):
        outcome = score(stack.tables[video], plan)
        assert outcome.complete
        assert reward == pytest.approx(outcome.return_, abs=1e-9)


@pytest.mark.parametrize("case", sorted(CASES))
def test_batched_numbers_equal_those_of_one_episode(case: str) -> None:
    # Videos of different lengths and libraries share a padded batch without touching each other.
    tables = CASES[case]
    stack = CandidateStack(tables, 6)
    episodes = CandidateEpisodes(stack, np.arange(len(tables)))
    alone = [CandidateEpisodes(CandidateStack([t], 6), np.zeros(1, dtype=int)) for t in tables]
    rng, lanes = np.random.default_rng(0), list(range(len(tables)))
    while lanes:
        seen = episodes.numbers()
        actions = (rng.random(seen.mask.shape) * seen.mask).argmax(axis=1)
        for row, lane in enumerate(lanes):
            one = alone[lane].numbers()
            np.testing.assert_array_equal(one.mask[0], seen.mask[row])
            np.testing.assert_allclose(one.candidates[0], seen.candidates[row], atol=2e-5)
            np.testing.assert_allclose(one.state[0], seen.state[row], atol=2e-6)
            np.testing.assert_allclose(one.prior[0], seen.prior[row], atol=1e-4)
            alone[lane].step(actions[row : row + 1])
        _, final = episodes.step(actions)
        lanes = [lane for lane, over in zip(lanes, final, strict=True) if not over]
        episodes = episodes.take(np.flatnonzero(~final))


@pytest.mark.parametrize("case", sorted(CASES))
def test_immediate_rewards_and_masks_equal_the_lookahead(case: str) -> None:
    rng = np.random.default_rng(1)
    for tables in CASES[case]:
        stack = CandidateStack([tables], max(4, min(tables.n_tracks, 50)))
        episodes, position = CandidateEpisodes(stack, np.zeros(1, dtype=int)), Position()
        while not episodes.done[0]:
            seen = episodes.numbers()
            assert seen.candidates.shape == (1, stack.n_candidates + 1, len(CANDIDATE_NUMBERS))
            assert seen.state.shape == (1, len(STATE_NUMBERS))
            assert np.isfinite(seen.candidates).all()
            assert np.isfinite(seen.state).all()
            allowed = legal(tables, position)
            assert seen.mask[0, -1] == allowed[-1]
            tracks = stack.universe[0][stack.candidates[0, position.segment]]
            terms = lookahead(tables, position)
            names = ("alignment", "smoothness", "same", "silence")
            now = sum(terms[name] for name in names)
            step = tables.switch_cost(np.arange(40))
            if position.track >= 0:
                now[:-1] += step[position.switches + 1] - step[position.switches]
            at = np.append(tracks, tables.n_tracks)[seen.mask[0]]
            expected = 8.0 * (now[at] - now[at].max())
            np.testing.assert_allclose(seen.prior[0, seen.mask[0]], expected, atol=1e-4)
            choice = (rng.random(seen.mask.shape) * seen.mask).argmax(axis=1)
            position = advance(tables, position, int(episodes.library_actions(choice)[0]))
            episodes.step(choice)


def test_outlook_by_hand() -> None:
    tables = replace(
        small_tables(0, 4, 2),
        lengths_s=np.array([10.0, 10.0, 10.0, 10.0]),
        durations_s=np.array([25.0, 100.0]),
        alignment=np.array([[1.0, 0.5], [1.0, 0.5], [1.0, 0.5], [0.0, 2.0]]),
        weights=Weights(alignment=1.0, silence=1.0),
    )
    view = outlook(tables)
    np.testing.assert_allclose(view.best, [1.0, 1.0, 1.0, 2.0])
    np.testing.assert_array_equal(view.lasts, [[3, 4], [3, 3], [2, 2], [1, 1]])
    # Track 0 plays 5 s of its third segment: half of it is silent. Then it has ended.
    np.testing.assert_allclose(view.gains[0, :4, 0], [0.0, 0.0, -0.5, np.nan])
    np.testing.assert_allclose(view.gains[0, :4, 1], [-0.5, -0.5, -0.5, 0.0])
    assert (view.gains[0, 4:] == 0).all()  # past the end of the video


def test_candidates_are_the_best_over_each_horizon_and_never_twice() -> None:
    tables = CASES["benchmark"][0]
    view = outlook(tables)
    chosen = choose_candidates(view, 20)
    values = np.where(np.isnan(view.gains), -LOSS, view.gains)
    for t in range(tables.n_segments):
        assert len(set(chosen[t].tolist())) == 20
        assert set(chosen[t, :5]) == set(np.argsort(-values[t, 0])[:5])
        over_nine = values[t].sum(axis=0)
        left_out = np.setdiff1d(np.arange(tables.n_tracks), chosen[t])
        assert over_nine[chosen[t, 15:]].min() >= over_nine[left_out].max()


def test_forbidden_tracks_are_no_candidates() -> None:
    tables = with_locks(small_tables(6, 6, 5), {2: 3})
    chosen = choose_candidates(outlook(tables), 8)
    assert chosen[2].tolist() == [3, *[-1] * 7]
    assert sorted(chosen[1][chosen[1] >= 0].tolist()) == list(range(5))


def test_twenty_candidates_lose_next_to_nothing() -> None:
    # The planner on all tracks against the planner's starts: at most one in 50 is no candidate.
    missed = starts = 0
    for tables in CASES["benchmark"]:
        plan = make_agent("planner").plan(tables, np.random.default_rng(0))
        chosen = choose_candidates(outlook(tables), 20)
        for t, action in enumerate(plan.actions):
            if action < tables.n_tracks:
                starts += 1
                missed += action not in chosen[t]
    assert starts >= 10
    assert missed <= starts / 50


def test_restarted_lanes_begin_anew() -> None:
    stack = CandidateStack(CASES["product"], 6)
    episodes = CandidateEpisodes(stack, np.arange(stack.n_videos))
    fresh = CandidateEpisodes(stack, np.arange(stack.n_videos)[::-1].copy()).numbers()
    mask = episodes.numbers().mask
    episodes.step(mask.argmax(axis=1))
    episodes.restart(np.arange(stack.n_videos), np.arange(stack.n_videos)[::-1])
    again = episodes.numbers()
    np.testing.assert_array_equal(again.candidates, fresh.candidates)
    np.testing.assert_array_equal(again.state, fresh.state)


def test_wide_embeddings_are_projected_and_still_scored_exactly() -> None:
    config = GeneratorConfig(dimension=80, segments=(5, 5), tracks=(60, 60))
    tables: list[Tables] = draw_tables(config, 0, "wide", 1, 2)
    stack = CandidateStack(tables, 20)
    assert stack.directions.shape[1] == 32
    earned, actions = play_at_random(stack, np.array([0, 1]), seed=0)
    for video, reward in enumerate(earned):
        expected = score(tables[video], actions[video]).return_
        assert reward == pytest.approx(expected, abs=1e-9)


def test_no_video_is_refused() -> None:
    with pytest.raises(UsageError, match="no video"):
        CandidateStack([])
