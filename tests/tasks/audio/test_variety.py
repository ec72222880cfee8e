"""What holds the clips of a prompt apart: nothing at first, more the closer they come."""

import numpy as np
import pytest

from segue.tasks.audio.advantages import by_group
from segue.tasks.audio.variety import Variety, from_siblings


def test_distances_from_siblings():
    rows = np.array([[0.0, 0.0], [9.0, 9.0], [3.0, 4.0], [0.0, 8.0], [9.0, 7.0]])
    found = from_siblings(list("abaab"), rows)
    expected = [(5 + 8) / 2, 2, (5 + 5) / 2, (8 + 5) / 2, 2]
    assert found == pytest.approx(np.array(expected))
    assert from_siblings(["a", "b"], rows[:2]).tolist() == [0.0, 0.0]


def test_the_weight_is_what_has_been_lost():
    rng = np.random.default_rng(0)
    prompts, rows = list("aaaabbbb"), rng.normal(size=(8, 5))
    variety = Variety(4.0)
    gains, told = variety(prompts, rows)
    assert gains.tolist() == [0.0] * 8
    assert told["variety"] == pytest.approx(from_siblings(prompts, rows).mean())
    gains, told = variety(prompts, 0.5 * rows)  # a tenth is lost, of the mean over epochs
    assert told["variety_weight"] == pytest.approx(0.4)
    assert gains == pytest.approx(0.4 * by_group(prompts, from_siblings(prompts, rows)))
    assert np.argmax(gains[:4]) == np.argmax(from_siblings(prompts, rows)[:4])
    # what goes on from its state goes on alike
    again = Variety(4.0)
    again.load(variety.state())
    told = variety(prompts, 0.4 * rows)[1]
    assert again(prompts, 0.4 * rows)[1] == told
    assert told["variety_weight"] == pytest.approx(4 * (1 - 0.8 * 0.9 - 0.2 * 0.4))
    # it never counts for more than the reward, and clips that lie further apart cost nothing
    assert variety(prompts, 0.0 * rows)[1]["variety_weight"] == 1.0
    assert variety(prompts, 3.0 * rows)[0].tolist() == [0.0] * 8


def test_clips_that_were_always_alike_and_single_ones_change_nothing():
    variety = Variety(8.0)
    for _ in range(2):
        gains, told = variety(["a", "a", "b"], np.ones((3, 4)))
        assert gains.tolist() == [0.0] * 3
        assert told == {"variety": 0.0, "variety_weight": 0.0}
