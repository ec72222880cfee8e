"""Module and optimiser state survives numpy and JSON to the bit."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from segue.core.errors import RunError
from segue.rl.torch_state import from_arrays, to_arrays


def round_trip(tree: object) -> object:
    arrays, layout = to_arrays(tree)
    return from_arrays(arrays, json.loads(json.dumps(layout, allow_nan=False)))


@pytest.mark.parametrize(
    "optimiser",
    [
        lambda p: torch.optim.Adam(p, lr=0.01, amsgrad=True),
        lambda p: torch.optim.AdamW(p, lr=0.01),
        lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9),
        lambda p: torch.optim.RMSprop(p, lr=0.01, centered=True),
    ],
)
def test_training_continues_to_the_same_bits(optimiser: object) -> None:
    def build() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        net = torch.nn.Sequential(
            torch.nn.Linear(3, 8), torch.nn.BatchNorm1d(8), torch.nn.Tanh(), torch.nn.Linear(8, 1)
        )
        return net, optimiser(net.parameters())  # type: ignore[operator]

    def steps(net: torch.nn.Module, update: torch.optim.Optimizer, seed: int) -> None:
        inputs = torch.randn(5, 16, 3, generator=torch.Generator().manual_seed(seed))
        for batch in inputs:
            update.zero_grad()
            (net(batch).square().mean()).backward()
            update.step()

    net, update = build()
    steps(net, update, 1)
    tree = round_trip({"net": net.state_dict(), "update": update.state_dict()})
    steps(net, update, 2)
    other, other_update = build()
    other.load_state_dict(tree["net"])  # type: ignore[index]
    other_update.load_state_dict(tree["update"])  # type: ignore[index]
    steps(other, other_update, 2)
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


@pytest.mark.parametrize(
    "name",
    ["float16", "bfloat16", "float32", "float64", "int64", "uint8", "bool"],
)
def test_types_shapes_and_bits_survive(name: str) -> None:
    dtype = getattr(torch, name)
    tensor = (torch.arange(12).reshape(3, 4) / 7).to(dtype)
    for case in (tensor, tensor.T, tensor[0, 0], tensor[:0]):
        back = round_trip(case)
        assert isinstance(back, torch.Tensor)
        assert (back.dtype, back.shape) == (dtype, case.shape)
        assert torch.equal(back, case)


def test_floats_with_odd_values_survive() -> None:
    tensor = torch.tensor([math.nan, math.inf, -math.inf, -0.0, 1e-45])
    back = round_trip(tensor)
    assert isinstance(back, torch.Tensor)
    assert torch.equal(back.view(torch.int32), tensor.view(torch.int32))


def test_plain_values_survive() -> None:
    tree = {"a": [1, 2.5, None, True, "x"], 3: (1, (2,)), "inf": -math.inf, "e": {}, "l": []}
    assert round_trip(tree) == tree
    back = round_trip({"nan": math.nan, "array": np.arange(3, dtype=np.uint16)})
    assert math.isnan(back["nan"])  # type: ignore[index]
    np.testing.assert_array_equal(back["array"], [0, 1, 2])  # type: ignore[index]


def test_result_owns_its_memory() -> None:
    tensor = torch.zeros(3)
    arrays, layout = to_arrays(tensor)
    tensor += 1
    back = from_arrays(arrays, layout)
    back += 2
    assert arrays[""].tolist() == [0, 0, 0]


def test_what_is_not_data_is_refused() -> None:
    with pytest.raises(TypeError, match="object"):
        to_arrays({"a": object()})


@pytest.mark.parametrize("layout", [{"tensor": "b", "dtype": "float32"}, {"x": 1}, {"dict": 3}])
def test_wrong_layout_is_refused(layout: object) -> None:
    with pytest.raises(RunError, match="belong together"):
        from_arrays({"a": np.zeros(1)}, layout)
