"""Adapters: nothing at first, to the bit; exact round trip; not for another network."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from segue.core.errors import RunError, UsageError
from segue.tasks.audio.models import lora


def network(width: int = 6) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        lora.Linear(5, width), nn.ReLU(), nn.Linear(width, width), lora.Linear(width, 4)
    )


def moved(net: nn.Module) -> nn.Module:
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in lora.adapter(net).values():
            parameter.normal_()
    return net


def test_a_new_adapter_changes_nothing_to_the_bit() -> None:
    net, x = network(), torch.randn(7, 5)
    before = net(x)
    lora.add_adapter(net, 2, 4.0, seed=3)
    assert torch.equal(net(x), before)
    assert not torch.equal(moved(net)(x), before)


def test_the_adapter_is_a_low_rank_change_of_the_weights() -> None:
    net, x = network(), torch.randn(7, 5)
    lora.add_adapter(net, 2, 4.0, seed=3)
    moved(net)
    plain = network()
    with torch.no_grad():
        for i in (0, 3):
            down, up = (lora.adapter(net)[f"{i}.{part}"] for part in ("down", "up"))
            plain[i].weight += 4.0 / 2 * up @ down
    torch.testing.assert_close(net(x), plain(x))


def test_only_the_adapter_learns() -> None:
    net = network()
    assert lora.adapter(net) == {}
    lora.add_adapter(net, 2, 2.0, seed=0)
    names = [name for name, each in net.named_parameters() if each.requires_grad]
    assert set(names) == set(lora.adapter(net)) == {"0.down", "0.up", "3.down", "3.up"}
    net(torch.randn(3, 5)).sum().backward()
    assert all(each.grad is not None for each in lora.adapter(net).values())


def test_one_seed_is_one_adapter() -> None:
    def made(seed: int) -> torch.Tensor:
        net = network()
        lora.add_adapter(net, 2, 2.0, seed)
        return lora.adapter(net)["0.down"]

    assert torch.equal(made(5), made(5))
    assert not torch.equal(made(5), made(6))


def test_within_the_block_it_is_the_base() -> None:
    net, x = network(), torch.randn(7, 5)
    before = net(x)
    lora.add_adapter(net, 2, 2.0, seed=0)
    after = moved(net)(x)
    with lora.disabled(net):
        assert torch.equal(net(x), before)
    assert torch.equal(net(x), after)
    with pytest.raises(RuntimeError, match="inside"), lora.disabled(net):
        raise RuntimeError("inside")
    assert torch.equal(net(x), after)


def test_a_round_trip_is_exact_and_keeps_the_parameters_of_an_optimiser() -> None:
    net, x = network(), torch.randn(7, 5)
    lora.add_adapter(net, 2, 3.0, seed=0)
    arrays = {name: each.detach().clone() for name, each in lora.adapter(moved(net)).items()}
    other = network()
    lora.load_adapter(other, arrays, 2, 3.0)
    assert torch.equal(other(x), net(x))
    held = lora.adapter(other)["0.up"]
    lora.load_adapter(other, {name: -each for name, each in arrays.items()}, 2, 3.0)
    assert lora.adapter(other)["0.up"] is held
    assert torch.equal(held, -arrays["0.up"])


def test_another_networks_adapter_is_refused() -> None:
    net, x = network(), torch.randn(7, 5)
    lora.add_adapter(net, 2, 2.0, seed=0)
    arrays = dict(lora.adapter(net))
    for changed, rank in (
        (arrays, 3),
        ({n: a for n, a in arrays.items() if n != "0.up"}, 2),
        (arrays | {"9.up": torch.zeros(1)}, 2),
    ):
        other = network()
        before = other(x)
        with pytest.raises(RunError, match="another model's"):
            lora.load_adapter(other, changed, rank, 2.0)
        assert lora.adapter(other) == {}
        assert torch.equal(other(x), before)
    with pytest.raises(RunError, match="do not fit"):
        lora.load_adapter(network(8), arrays, 2, 2.0)


@pytest.mark.parametrize("rank", [0, -1, 5])
def test_a_useless_rank_is_refused(rank: int) -> None:
    with pytest.raises(UsageError, match="Give 1 to 4"):
        lora.add_adapter(network(), rank, 1.0, seed=0)
