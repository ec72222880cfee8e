"""Linear layers that are quick for few rows at a time, as captions need that grow word by word.

A caption's next word takes every weight of the decoders once for a handful of rows, so the time is
that of reading the weights. oneDNN reads them nearly twice as fast when they were put in its own
order before; inside `quick` the layers of a network keep such a copy. Numbers agree with those of
the plain layers to the rounding of float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Linear", "ordered_product", "quick", "reordered"]

_FEW = 64  # rows beyond which plain layers are as quick
_ops: Any = torch.ops.mkldnn
_can = hasattr(_ops, "_reorder_linear_weight") and hasattr(_ops, "_linear_pointwise")


class Linear(nn.Linear):
    """`torch.nn.Linear`, with the same weights by the same names."""

    ordered: Tensor | None = None
    """The weights in oneDNN's order, inside `quick`."""

    def forward(self, input: Tensor) -> Tensor:
        """Return [..., out] of [..., in]."""
        if self.ordered is not None and input.shape[:-1].numel() <= _FEW:
            return ordered_product(input, self.ordered, self.bias)
        return super().forward(input)

    def order(self, wanted: bool) -> None:
        """Make the copy, or drop it."""
        self.ordered = reordered(self.weight) if wanted else None


def ordered_product(x: Tensor, ordered: Tensor, bias: Tensor | None) -> Tensor:
    """Return x w' + bias, where `ordered` is w in oneDNN's order."""
    found: Tensor = _ops._linear_pointwise(x, ordered, bias, "none", [], "")
    return found


def reordered(weight: Tensor) -> Tensor | None:
    """Return a weight in oneDNN's order; None where this machine or torch cannot."""
    if not _can or weight.device.type != "cpu" or weight.dtype != torch.float32:
        return None
    found: Tensor = _ops._reorder_linear_weight(weight.detach(), 8)
    return found


@contextmanager
def quick(network: nn.Module, without: nn.Module | None = None) -> Iterator[None]:
    """Let a network be quick for few rows; no gradient flows meanwhile.

    All modules with a method `order` make their copies. Inside another `quick` of the same network
    nothing is done, so that many short batches need one copy.

    Args:
        network: whose weights do not change meanwhile.
        without: the part of it that never sees few rows, or is not asked, and needs no copy.
    """
    spared = set() if without is None else set(without.modules())
    layers: list[Any] = [
        layer for layer in network.modules() if hasattr(layer, "order") and layer not in spared
    ]
    with torch.no_grad():
        if any(layer.ordered is not None for layer in layers):
            yield
            return
        for layer in layers:
            layer.order(True)
        try:
            yield
        finally:
            for layer in layers:
                layer.order(False)
