"""Named generators, and the state of the global ones."""

from __future__ import annotations

import json
import random

import numpy as np
import torch

from segue.core.seeding import generator, global_state, restore_global_state, seed_everything


def test_a_path_of_labels_names_one_stream() -> None:
    same = generator(1, "noise", 3).random(5), generator(1, "noise", 3).random(5)
    assert (same[0] == same[1]).all()


def test_different_seeds_and_labels_give_different_streams() -> None:
    paths = [(1,), (2,), (1, "a"), (1, "b"), (1, "a", 1), (1, "a", 2), (1, "a", "b"), (1, "ab")]
    draws = {tuple(generator(*path).integers(0, 2**60, 4)) for path in paths}  # type: ignore[arg-type]
    assert len(draws) == len(paths)


def test_streams_are_the_same_everywhere_and_for_ever() -> None:
    """A stored run is repeatable only while these numbers stay."""
    assert generator(0).integers(0, 1000, 5).tolist() == [806, 407, 436, 31, 806]
    assert generator(7, "sampler", 2).integers(0, 1000, 5).tolist() == [670, 496, 714, 537, 529]


def test_labels_with_slashes_do_not_collide() -> None:
    assert generator(0, "a/b").random() != generator(0, "a", "b").random()


def test_seed_everything_repeats() -> None:
    def draws() -> tuple[float, float, float]:
        return random.random(), float(np.random.random()), float(torch.rand(1))

    seed_everything(5)
    first = draws()
    seed_everything(5)
    assert draws() == first
    seed_everything(6)
    assert draws() != first


def test_global_state_survives_json() -> None:
    seed_everything(5)
    random.gauss(0, 1)  # leaves a cached second value
    np.random.normal()
    state = json.loads(json.dumps(global_state()))
    expected = (random.gauss(0, 1), np.random.normal(), torch.rand(3).tolist())
    seed_everything(6)
    restore_global_state(state)
    assert (random.gauss(0, 1), np.random.normal(), torch.rand(3).tolist()) == expected
