"""Advantages against a tracker written by hand, and what each mode takes off."""

from collections import deque

import numpy as np
import pytest

from segue.tasks.audio.advantages import PerPrompt, by_batch, by_group


def test_the_tracker_equals_one_written_by_hand():
    rng = np.random.default_rng(0)
    ours, seen = PerPrompt(5, 3), {}
    for _ in range(6):
        prompts = [f"p{i}" for i in rng.integers(0, 4, 9)]
        rewards = rng.normal(size=9)
        found = ours(prompts, rewards)
        expected = np.empty(9)
        for prompt in set(prompts):
            own = [i for i, p in enumerate(prompts) if p == prompt]
            buffer = seen.setdefault(prompt, deque(maxlen=5))
            buffer.extend(rewards[own])
            base = rewards if len(buffer) < 3 else np.array(buffer)
            expected[own] = (rewards[own] - base.mean()) / (base.std() + 1e-8)
        assert found == pytest.approx(expected, abs=1e-12)


def test_the_tracker_goes_on_from_its_state():
    rng = np.random.default_rng(1)
    whole, first = PerPrompt(4, 2), PerPrompt(4, 2)
    for tracker in (whole, first):
        tracker(["a", "b", "a"], np.array([1.0, 2.0, 4.0]))
    second = PerPrompt(4, 2)
    second.load(first.state())
    later = rng.normal(size=4)
    assert whole(list("abca"), later).tolist() == second(list("abca"), later).tolist()


def test_groups_are_compared_with_themselves():
    prompts, rewards = list("aabb"), np.array([1.0, 3.0, 10.0, 30.0])
    assert by_group(prompts, rewards) == pytest.approx([-1, 1, -1, 1])
    shared = by_group(prompts, rewards, spread="batch")
    assert shared == pytest.approx(np.array([-1, 1, -10, 10]) / np.sqrt((1 + 100) / 2))
    assert by_group(list("aab"), np.array([2.0, 2.0, 7.0])).tolist() == [0.0, 0.0, 0.0]
    # the order of the clips does not matter
    assert by_group(list("baba"), rewards[[2, 0, 3, 1]]) == pytest.approx([-1, -1, 1, 1])


def test_batches_are_standardised():
    found = by_batch(np.array([1.0, 2.0, 6.0]))
    assert found.mean() == pytest.approx(0.0)
    assert found.std() == pytest.approx(1.0)
    assert by_batch(np.full(3, 2.0)).tolist() == [0.0] * 3
