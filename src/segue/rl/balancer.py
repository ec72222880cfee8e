"""Weight reward terms by how much they vary, so that no term drowns the others.

Each term keeps a running mean and variance (Welford). A value is divided by its term's standard
deviation; the weights follow the inverse deviations, never fall below a floor, and add up to 1:

    softmax   w proportional to exp(-log(std) / temperature)
    invvar    w proportional to 1 / std
    uniform   all the same

The soundtrack system that this utility was rebuilt from had it and did not use it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import UsageError

__all__ = ["Balanced", "RewardBalancer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Balanced:
    """One weighted set of values."""

    total: float
    weights: dict[str, float]
    normalised: dict[str, float]


class RewardBalancer:
    """Running statistics of named values and the weights that follow from them.

    Args:
        keys: names of the terms.
        mode: how weights follow from deviations, see the module.
        epsilon: keeps a term without variance finite.
        temperature: of the softmax; above 1 evens the weights out.
        min_weight: floor of every weight before they are scaled to add up to 1.
    """

    def __init__(
        self,
        keys: Sequence[str],
        mode: Literal["softmax", "invvar", "uniform"] = "softmax",
        *,
        epsilon: float = 1e-8,
        temperature: float = 1.0,
        min_weight: float = 0.01,
    ) -> None:
        if mode not in ("softmax", "invvar", "uniform"):
            raise UsageError(f"unknown mode '{mode}'", advice="Use softmax, invvar or uniform")
        self.keys = tuple(keys)
        self.mode = mode
        self.epsilon = epsilon
        self.temperature = temperature
        self.min_weight = min_weight
        self._count = 0
        self._mean = np.zeros(len(self.keys))
        self._squares = np.zeros(len(self.keys))

    def update(self, values: Mapping[str, float]) -> Balanced:
        """Take in one value of each term and return them weighted."""
        row = np.array([values[key] for key in self.keys], dtype=np.float64)
        self._count += 1
        delta = row - self._mean
        self._mean += delta / self._count
        self._squares += delta * (row - self._mean)
        # One value has no variance; epsilon twice is then its deviation, as in the original.
        variance = self._squares / max(self._count - 1, 1)
        std = np.maximum(np.sqrt(variance), self.epsilon) + self.epsilon
        normalised = row / std
        weights = self._weights(std)
        return Balanced(
            total=float(weights @ normalised),
            weights=dict(zip(self.keys, weights.tolist(), strict=True)),
            normalised=dict(zip(self.keys, normalised.tolist(), strict=True)),
        )

    def _weights(self, std: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.mode == "uniform":
            raw = np.ones(len(self.keys))
        elif self.mode == "invvar":
            raw = 1.0 / std
        else:
            logits = -np.log(std + self.epsilon) / self.temperature
            raw = np.exp(logits - logits.max())
        floored = np.maximum(raw / raw.sum(), self.min_weight)
        return np.asarray(floored / floored.sum())
