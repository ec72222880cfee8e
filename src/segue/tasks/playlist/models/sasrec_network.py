"""The attention network of SASRec, without the vectors of the tracks.

It turns vectors of the tracks heard so far into one state for every place, which is compared with
the vectors of all tracks:

    x = vectors (+ positions)
    x = x + O(attention(norm x))        in every block; each place sees itself and what is before
    x = x + W2 gelu(W1 norm x)
    state = x, or norm x when logits are scalar products

Kang and McAuley, "Self-Attentive Sequential Recommendation" (ICDM 2018), with the norm before each
half block instead of in its branches. gelu is the tanh form, so that `sasrec_forward` can do the
same without torch.

`B` sessions, `T` places, `D` numbers, `H` heads.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from segue.tasks.playlist.models.sasrec_config import SASRecConfig

__all__ = ["SASRecNetwork"]


_FORGETTING = 0.35
"""How much of a cosine of 1 the tracks of the session lack at first: own choice, so that the newest
track does not lead the untrained list."""


class SASRecNetwork(nn.Module):
    """The blocks; weights are drawn from `generator`, and so is what dropout drops.

    Args:
        config: sizes and kinds.
        generator: torch's, on the CPU.
    """

    def __init__(self, config: SASRecConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.generator = generator
        with torch.random.fork_rng(devices=[]):  # torch fills new layers from the world's generator
            self.blocks = nn.ModuleList(_Block(config) for _ in range(config.blocks))
        self.log_scale = nn.Parameter(torch.full((1,), math.log(config.scale)))
        if config.output == "dot":
            self.norm = nn.LayerNorm(config.dimension)
            self.log_scale.requires_grad_(False)
        if config.again:
            first = -_FORGETTING * config.scale if config.output == "cosine" else 0.0
            self.again = nn.Parameter(torch.full((config.length,), first))
            self.gate = nn.Parameter(torch.zeros(config.dimension))
        if config.positions in ("learned", "sinusoidal"):
            places = _sines(config.length, config.dimension)
            if config.positions == "learned":
                places = torch.empty_like(places).normal_(std=0.02, generator=generator)
            self.places = nn.Parameter(places, requires_grad=config.positions == "learned")
        for name, weight in self.named_parameters():
            if name.endswith(("out.weight", "narrow.weight")) and config.zero_blocks:
                nn.init.zeros_(weight)
            elif name.endswith("weight") and weight.ndim == 2:
                nn.init.xavier_uniform_(weight, generator=generator)
            elif name.endswith("bias") and "norm" not in name:
                nn.init.zeros_(weight)

    def forward(self, vectors: Tensor) -> Tensor:
        """Return the state of every place, [B, T, D] -> [B, T, D]."""
        config, length = self.config, vectors.shape[1]
        x = vectors
        if config.positions in ("learned", "sinusoidal"):
            x = x + self.places[:length]
        x = self.drop(x, config.dropout)
        for block in self.blocks:
            x = block(x, self)
        return self.norm(x) if config.output == "dot" else x

    def bonus(self, states: Tensor) -> Tensor:
        """Return what is added at a place to the logit of each track before it, [B, T, T].

        Args:
            states: as `logits_of` returns them, [B, T, D].
        """
        steps = torch.arange(states.shape[1])
        distance = (steps[:, None] - steps).clamp(min=0)
        return self.again[distance] + (states @ self.gate)[..., None]

    def drop(self, x: Tensor, share: float) -> Tensor:
        """Set a share of the numbers to zero while training."""
        if not (self.training and share):
            return x
        kept = torch.empty_like(x).bernoulli_(1 - share, generator=self.generator)
        return x * kept.mul_(1 / (1 - share))

    def logits_of(self, states: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Return states and vectors, [..., D] each, whose scalar product is the logit."""
        if self.config.output == "dot":
            return states, vectors
        scaled = functional.normalize(states, dim=-1) * self.log_scale.exp()
        return scaled, functional.normalize(vectors, dim=-1)

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return the weights as float32 arrays."""
        return {name: value.detach().numpy().copy() for name, value in self.state_dict().items()}


class _Block(nn.Module):
    """Attention over the past, then a feed-forward layer."""

    def __init__(self, config: SASRecConfig) -> None:
        super().__init__()
        width = config.dimension
        self.heads = config.heads
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.wide_norm = nn.LayerNorm(width)
        self.wide = nn.Linear(width, config.widening * width)
        self.narrow = nn.Linear(config.widening * width, width)
        self.nearness: nn.Parameter | None = None
        if config.positions == "relative":
            # The first head looks at the newest tracks, the last one far back.
            slopes = 2.0 ** -torch.arange(config.heads)
            self.nearness = nn.Parameter(-slopes[:, None] * torch.arange(config.length))

    def forward(self, x: Tensor, network: SASRecNetwork) -> Tensor:
        config = network.config
        x = x + network.drop(
            self.out(self._attend(self.attention_norm(x), network)), config.dropout
        )
        inner = functional.gelu(self.wide(self.wide_norm(x)), approximate="tanh")
        return x + network.drop(self.narrow(inner), config.dropout)

    def _attend(self, x: Tensor, network: SASRecNetwork) -> Tensor:
        n, length, width = x.shape
        size = width // self.heads
        parts = self.qkv(x).view(n, length, 3, self.heads, size).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)  # [B, H, T, D / H] each
        scores = (query * size**-0.5) @ key.transpose(-1, -2) + self._bias(length)
        weights = network.drop(torch.softmax(scores, dim=-1), network.config.attention_dropout)
        mixed: Tensor = weights @ value
        return mixed.transpose(1, 2).reshape(n, length, width)

    def _bias(self, length: int) -> Tensor:
        """Return what is added to the scores, [H or 1, T, T]: minus infinity for the future."""
        steps = torch.arange(length)
        distance = steps[:, None] - steps
        future: Tensor = torch.zeros(length, length).masked_fill_(distance < 0, -math.inf)
        if self.nearness is not None:
            bias: Tensor = self.nearness[:, distance.clamp(min=0)] + future
            return bias
        return future


def _sines(length: int, dimension: int) -> Tensor:
    """Return the positions of Vaswani et al. (2017), section 3.5, [length, D]."""
    angles = torch.arange(length)[:, None] / 10000 ** (
        torch.arange(0, dimension - dimension % 2, 2) / dimension
    )
    places = torch.zeros(length, dimension)
    places[:, 0 : 2 * angles.shape[1] : 2] = torch.sin(angles)
    places[:, 1 : 2 * angles.shape[1] : 2] = torch.cos(angles)
    return places
