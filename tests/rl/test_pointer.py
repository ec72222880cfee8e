from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from segue.core.errors import ConfigError, RunError
from segue.rl.pointer import (
    NumpyPointer,
    PointerConfig,
    log_softmax,
    make_pointer,
    pointer_arrays,
)

CONFIG = PointerConfig(candidate_numbers=7, state_numbers=5, width=16)


def inputs(n_decisions: int = 9, n_candidates: int = 6, seed: int = 0) -> list[Any]:
    rng = np.random.default_rng(seed)
    mask = rng.random((n_decisions, n_candidates)) < 0.6
    mask[:, 0] = True
    mask[0] = [True, *[False] * (n_candidates - 1)]  # a single allowed candidate
    return [
        rng.normal(size=(n_decisions, n_candidates, 7)).astype(np.float32),
        rng.normal(size=(n_decisions, 5)).astype(np.float32),
        mask,
        rng.normal(size=(n_decisions, n_candidates)).astype(np.float32) * 8,
    ]


def network(random_ends: bool = True) -> torch.nn.Module:
    torch.manual_seed(0)
    module = make_pointer(CONFIG)
    if random_ends:  # the last layers begin at zero
        with torch.no_grad():
            for value in module.parameters():
                value.normal_(0, 0.4)
    return module


def test_numpy_computes_the_same_as_torch() -> None:
    module = network()
    numbers = inputs(200)
    with torch.no_grad():
        logits, values = module(*(torch.from_numpy(x) for x in numbers))
    ours, our_values = NumpyPointer(pointer_arrays(module))(*numbers)
    np.testing.assert_allclose(ours, logits.numpy(), atol=1e-5, rtol=1e-6)
    np.testing.assert_allclose(our_values, values.numpy(), atol=1e-5)
    assert np.abs(values.numpy()).max() > 0.1  # not trivially zero


def test_an_untrained_policy_is_its_prior() -> None:
    numbers = inputs()
    logits, values = NumpyPointer(pointer_arrays(network(random_ends=False)))(*numbers)
    np.testing.assert_array_equal(logits[numbers[2]], numbers[3][numbers[2]])
    np.testing.assert_array_equal(values, 0.0)


def test_forbidden_candidates_have_no_chance_and_no_influence() -> None:
    module = NumpyPointer(pointer_arrays(network()))
    numbers = inputs()
    logits, values = module(*numbers)
    chance = np.exp(log_softmax(logits))
    assert (chance[~numbers[2]] == 0).all()
    np.testing.assert_allclose(chance.sum(axis=1), 1.0, rtol=1e-5)
    other = [x.copy() for x in numbers]
    other[0][~numbers[2]] = 1e3
    other[3][~numbers[2]] = 1e3
    changed, changed_values = module(*other)
    np.testing.assert_array_equal(changed, logits)
    np.testing.assert_array_equal(changed_values, values)


def test_order_and_number_of_candidates_do_not_matter() -> None:
    module = NumpyPointer(pointer_arrays(network()))
    numbers = inputs()
    logits, _ = module(*numbers)
    order = np.random.default_rng(1).permutation(6)
    shuffled = [numbers[0][:, order], numbers[1], numbers[2][:, order], numbers[3][:, order]]
    np.testing.assert_allclose(module(*shuffled)[0], logits[:, order], atol=1e-5)
    wider = [np.concatenate([numbers[i], numbers[i]], axis=1) for i in (0, 2, 3)]
    wide, _ = module(wider[0], numbers[1], wider[1], wider[2])
    np.testing.assert_allclose(wide[:, :6], logits, atol=1e-5)


def test_gradients_are_finite_with_forbidden_candidates() -> None:
    module = network()
    logits, values = module(*(torch.from_numpy(x) for x in inputs()))
    (torch.log_softmax(logits, dim=1)[:, 0].sum() + values.sum()).backward()
    assert all(torch.isfinite(value.grad).all() for value in module.parameters())


def test_weights_of_another_network_are_refused() -> None:
    arrays = pointer_arrays(network())
    with pytest.raises(RunError, match=r"score\.weight"):
        NumpyPointer({k: v for k, v in arrays.items() if k != "score.weight"})
    with pytest.raises(RunError, match="shape"):
        NumpyPointer(arrays | {"second.weight": np.zeros((3, 3), np.float32)})
    with pytest.raises(RunError, match="NaN"):
        NumpyPointer(arrays | {"value.bias": np.array([np.nan], np.float32)})
    with pytest.raises(ConfigError, match="width"):
        PointerConfig.parse({"candidate_numbers": 3, "state_numbers": 3, "width": 0})


def test_importing_the_policy_does_not_import_torch() -> None:
    code = (
        "import sys; import segue.rl.pointer; import segue.tasks.soundtrack.agents.policy;"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
