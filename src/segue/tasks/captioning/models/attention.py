"""Attention between streams of different widths, positions, and residual blocks.

As BMT and BMHRL have them (Iashin and Rahtu, "A better use of audio-visual cues", 2020;
Rothenpieler and Amiriparian, "METEOR guided divergence for video captioning", 2022), after Vaswani
et al. (2017), with two habits of their own: dropout falls on what was attended to, not on the
weights, and the cosine of a position uses its own component's frequency.

Letters: `B` batch, `Q` queries, `K` keys, `H` heads, `D` width.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

__all__ = ["Cache", "CrossAttention", "Residual", "add_positions", "feed_forward"]

Cache = tuple[Tensor, Tensor]
"""Keys and values, [B, H, K, D / H] each."""


class CrossAttention(nn.Module):
    """Multi-head attention of a stream to another of another width.

    Args:
        query: width of the queries.
        key: width of keys and values.
        width: of the attention space.
        heads: that share it.
        dropout: of what was attended to.
        out: width of the result; default that of the queries.
    """

    def __init__(
        self, query: int, key: int, width: int, heads: int, dropout: float, out: int | None = None
    ) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(query, width)
        self.key = nn.Linear(key, width)
        self.value = nn.Linear(key, width)
        self.out = nn.Linear(width, out or query)
        self.dropout = nn.Dropout(dropout)

    def remember(self, keys: Tensor) -> Cache:
        """Return keys and values of [B, K, key], to be attended to many times."""
        return self._split(self.key(keys)), self._split(self.value(keys))

    def forward(self, queries: Tensor, memory: Cache, mask: Tensor | None) -> Tensor:
        """Return [B, Q, out].

        Args:
            queries: [B, Q, query].
            memory: of `remember`.
            mask: [B, 1 or Q, K], True where a key may be seen; None sees all. Every query must see
                at least one key.
        """
        heads = self._split(self.query(queries))
        keys, values = memory
        found = nn.functional.scaled_dot_product_attention(
            heads, keys, values, attn_mask=None if mask is None else mask[:, None]
        )
        merged = found.transpose(1, 2).reshape(queries.shape[0], queries.shape[1], -1)
        return cast(Tensor, self.out(self.dropout(merged)))

    def _split(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)


class Residual(nn.Module):
    """The norm before a block and the dropout after it: x + dropout(block(norm(x)))."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def add(self, x: Tensor, change: Tensor) -> Tensor:
        """Return x plus what a block made of `norm(x)`."""
        return x + cast(Tensor, self.dropout(change))


def feed_forward(width: int, inner: int, dropout: float) -> nn.Sequential:
    """Return linear, ReLU, dropout, linear."""
    return nn.Sequential(
        nn.Linear(width, inner), nn.ReLU(), nn.Dropout(dropout), nn.Linear(inner, width)
    )


def add_positions(x: Tensor, start: int = 0) -> Tensor:
    """Return [B, L, D] plus the position of each row, the first of which is `start`.

    Component i of position p is sin(p / 10000^(i/D)) for even and cos(p / 10000^(i/D)) for odd i.
    """
    length, width = x.shape[1], x.shape[2]
    component = torch.arange(width, device=x.device, dtype=torch.float32)
    place = torch.arange(start, start + length, device=x.device, dtype=torch.float32)
    angle = place[:, None] * torch.exp(component * (-math.log(10000.0) / width))
    waves = torch.where(component.long() % 2 == 0, torch.sin(angle), torch.cos(angle))
    return x + waves.to(x.dtype)
