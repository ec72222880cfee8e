"""Attention between streams of different widths, positions, and residual blocks.

As BMT and BMHRL have them (Iashin and Rahtu, "A better use of audio-visual cues", 2020;
Rothenpieler and Amiriparian, "METEOR guided divergence for video captioning", 2022), after Vaswani
et al. (2017), with two habits of their own: dropout falls on what was attended to, not on the
weights, and the cosine of a position uses its own component's frequency.

Segments differ in length by a factor of a hundred, so three quarters of a padded batch are padding.
All that works on single rows (linear layers, norms) therefore sees the real rows alone, one after
another, [N, D]; `Packing` says where they stand in the batch, and attention alone is padded.

Letters: `B` batch, `Q` queries, `K` keys, `H` heads, `D` width, `N` real rows of all items.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import cast

import torch
from torch import Tensor, nn

from segue.tasks.captioning.models.linear import Linear

__all__ = ["Cache", "CrossAttention", "Packing", "Residual", "add_positions", "feed_forward"]

Cache = tuple[Tensor, Tensor]
"""Keys and values, [B, H, K, D / H] each."""


class Packing:
    """Where the real rows of a padded batch stand.

    Args:
        mask: [B, L], True where a row is real.
    """

    def __init__(self, mask: Tensor) -> None:
        self.batch, self.length = mask.shape
        flat = mask.reshape(-1)
        self.whole = bool(flat.all())
        """Whether there is no padding."""
        self.places = torch.arange(len(flat), device=mask.device) if self.whole else _true(flat)
        """[N] place of each real row among B L."""

    @property
    def positions(self) -> Tensor:
        """[N] position of each real row in its item."""
        return self.places % self.length

    def pack(self, x: Tensor) -> Tensor:
        """Return the real rows [N, D] of [B, L, D]."""
        flat = x.reshape(-1, x.shape[-1])
        return flat if self.whole else flat.index_select(0, self.places)

    def unpack(self, rows: Tensor) -> Tensor:
        """Return [B, L, D] of real rows [N, D], zeros elsewhere."""
        if not self.whole:
            padded = rows.new_zeros(self.batch * self.length, rows.shape[-1])
            rows = padded.index_copy(0, self.places, rows)
        return rows.view(self.batch, self.length, -1)


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
        self.query = Linear(query, width)
        self.key = Linear(key, width)
        self.value = Linear(key, width)
        self.out = Linear(width, out or query)
        self.dropout = nn.Dropout(dropout)

    def remember(self, keys: Tensor, packing: Packing) -> Cache:
        """Return keys and values of rows [N, key], to be attended to many times."""
        both = (packing.unpack(self.key(keys)), packing.unpack(self.value(keys)))
        return self._split(both[0]), self._split(both[1])

    def forward(
        self, queries: Tensor, packing: Packing, memory: Cache, mask: Tensor | None
    ) -> Tensor:
        """Return rows [N, out].

        Args:
            queries: rows [N, query].
            packing: of the queries.
            memory: of `remember`.
            mask: [B, 1 or Q, K], True where a key may be seen; None sees all. Every query must see
                at least one key.
        """
        heads = self._split(packing.unpack(self.query(queries)))
        keys, values = memory
        found = nn.functional.scaled_dot_product_attention(
            heads, keys, values, attn_mask=None if mask is None else mask[:, None]
        )
        merged = packing.pack(found.transpose(1, 2).flatten(2))
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
    return nn.Sequential(Linear(width, inner), nn.ReLU(), nn.Dropout(dropout), Linear(inner, width))


def add_positions(x: Tensor, positions: Tensor | int) -> Tensor:
    """Return rows [N, D] plus their positions, [N] numbers or one for all.

    Component i of position p is sin(p / 10000^(i/D)) for even and cos(p / 10000^(i/D)) for odd i.
    """
    last = positions if isinstance(positions, int) else int(positions.max()) if len(x) else 0
    size = 64
    while size <= last:
        size *= 2
    waves = _waves(size, x.shape[1], x.device)
    return x + waves[positions].to(x.dtype)


@lru_cache(maxsize=32)
@torch.no_grad()
def _waves(length: int, width: int, device: torch.device) -> Tensor:
    component = torch.arange(width, device=device, dtype=torch.float32)
    place = torch.arange(length, device=device, dtype=torch.float32)
    angle = place[:, None] * torch.exp(component * (-math.log(10000.0) / width))
    return torch.where(component.long() % 2 == 0, torch.sin(angle), torch.cos(angle))


def _true(flat: Tensor) -> Tensor:
    return flat.nonzero()[:, 0]
