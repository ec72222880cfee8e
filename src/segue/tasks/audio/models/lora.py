"""Low-rank adapters for our own networks (Hu et al., "LoRA", 2022).

A network that can be adapted is built of `Linear` from here. An adapted layer gives
`W x + b + alpha / rank U (D x)` with `U` zero at first, so a new adapter changes nothing, to the
bit. The frozen weights keep their names, and take no gradient while an adapter is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from segue.core.errors import RunError, UsageError
from segue.core.seeding import generator

__all__ = ["Linear", "adapter", "add_adapter", "disabled", "load_adapter"]


class Linear(nn.Linear):
    """A linear layer that can have an adapter."""

    def __init__(self, n_in: int, n_out: int, bias: bool = True) -> None:
        super().__init__(n_in, n_out, bias)
        self.register_parameter("down", None)
        self.register_parameter("up", None)
        self.down: nn.Parameter | None
        self.up: nn.Parameter | None
        self.share = 0.0
        """alpha / rank."""
        self.adapted = False
        """Whether the adapter has a say."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [..., n_out] of [..., n_in]."""
        out = super().forward(x)
        if self.adapted and self.down is not None and self.up is not None:
            inner = nn.functional.linear(x, self.down)
            out = out + self.share * nn.functional.linear(inner, self.up)
        return out


def add_adapter(network: nn.Module, rank: int, alpha: float, seed: int) -> None:
    """Put a new adapter on every `Linear` of a network, in place of any that was there.

    Args:
        network: whose own weights are frozen from now on.
        rank: of the matrices.
        alpha: the scale is alpha / rank.
        seed: of the matrices D; normal, with standard deviation 1 / rank.

    Raises:
        UsageError: `rank` is less than 1 or more than the layers are wide.
    """
    layers = dict(_layers(network))
    most = min(min(layer.in_features, layer.out_features) for layer in layers.values())
    if not 1 <= rank <= most:
        raise UsageError(f"an adapter of rank {rank}", advice=f"Give 1 to {most}")
    network.requires_grad_(False)
    for name, layer in layers.items():
        drawn = generator(seed, "adapter", name).normal(size=(rank, layer.in_features)) / rank
        down = torch.from_numpy(drawn).to(layer.weight)
        layer.down = nn.Parameter(down)
        layer.up = nn.Parameter(layer.weight.new_zeros(layer.out_features, rank))
        layer.share, layer.adapted = alpha / rank, True


def adapter(network: nn.Module) -> dict[str, nn.Parameter]:
    """Return the adapter's parameters by name, in the order of the layers; empty without one."""
    found: dict[str, nn.Parameter] = {}
    for name, layer in _layers(network):
        if layer.down is not None and layer.up is not None:
            found |= {f"{name}.down": layer.down, f"{name}.up": layer.up}
    return found


def load_adapter(
    network: nn.Module, arrays: Mapping[str, torch.Tensor], rank: int, alpha: float
) -> None:
    """Give a network an adapter with these weights; parameters of the same rank are kept.

    Raises:
        RunError: names or shapes are another network's; the network is left as it was.
        UsageError: see `add_adapter`.
    """
    shapes = {}
    for name, layer in _layers(network):
        shapes[f"{name}.down"] = (rank, layer.in_features)
        shapes[f"{name}.up"] = (layer.out_features, rank)
    given = {name: tuple(array.shape) for name, array in arrays.items()}
    if given != shapes:
        wrong = sorted(n for n in given.keys() | shapes.keys() if given.get(n) != shapes.get(n))
        raise RunError(
            f"this adapter is another model's: {len(wrong)} of its arrays do not fit, "
            f"the first is '{wrong[0]}'",
            advice="Give the adapter of this model",
        )
    present = {name: tuple(each.shape) for name, each in adapter(network).items()}
    if present != shapes:  # else an optimiser may hold the parameters that are there
        add_adapter(network, rank, alpha, 0)
    for _, layer in _layers(network):
        layer.share, layer.adapted = alpha / rank, True
    with torch.no_grad():
        for name, parameter in adapter(network).items():
            parameter.copy_(arrays[name])


@contextmanager
def disabled(network: nn.Module) -> Iterator[None]:
    """Within the block the network is what it was before, at its cost."""
    before = [(layer, layer.adapted) for _, layer in _layers(network)]
    try:
        for layer, _ in before:
            layer.adapted = False
        yield
    finally:
        for layer, adapted in before:
            layer.adapted = adapted


def _layers(network: nn.Module) -> Iterator[tuple[str, Linear]]:
    for name, module in network.named_modules():
        if isinstance(module, Linear):
            yield name, module
