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

__all__ = [
    "CrossAttention",
    "Packing",
    "Residual",
    "Seen",
    "add_positions",
    "feed_forward",
    "grown",
    "picked",
]

Seen = tuple[Tensor, Tensor] | Tensor
"""What is attended to: keys and values, [B, H, K, D / H] each, or rows [B, K, D] as they are."""


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
        self.ordered: bool | None = None
        """True inside `linear.quick`, where merged weights are kept."""
        self._merged: tuple[Linear, Linear] | None = None

    def merges(self, *, known: bool) -> bool:
        """Whether one query reads fewer weights, or less, where keys and values are never made.

        The keys are linear in the rows, so a query can be put into the space of the rows once
        instead, and the values can be made of what was attended to: q (K x) = (q K) x. Then query
        and key, and value and output, are one matrix each, of heads x query x key numbers.

        Args:
            known: all rows are known from the start, so that without merging keys and values are
                made once and each query takes only its own weights.
        """
        query, key = self.query.in_features, self.key.in_features
        without = self.key.out_features * (query if known else query + key)
        return self.heads * query * key <= without

    def order(self, wanted: bool) -> None:
        """Keep merged weights from when they are first asked for, or drop them."""
        self.ordered, self._merged = True if wanted else None, None

    def remember(self, keys: Tensor, packing: Packing) -> tuple[Tensor, Tensor]:
        """Return keys and values of rows [N, key], to be attended to many times."""
        both = (packing.unpack(self.key(keys)), packing.unpack(self.value(keys)))
        return self._split(both[0]), self._split(both[1])

    def forward(
        self, queries: Tensor, packing: Packing, memory: Seen, mask: Tensor | None
    ) -> Tensor:
        """Return rows [N, out].

        Args:
            queries: rows [N, query].
            packing: of the queries.
            memory: of `remember`; or, for one query of each item and without dropout, the rows
                themselves, which gives the same but for rounding.
            mask: [B, 1 or Q, K], True where a key may be seen; None sees all. Every query must see
                at least one key.
        """
        if isinstance(memory, Tensor):
            return self._read(queries, memory, mask)
        heads = self._split(packing.unpack(self.query(queries)))
        keys, values = memory
        found = nn.functional.scaled_dot_product_attention(
            heads, keys, values, attn_mask=None if mask is None else mask[:, None]
        )
        merged = packing.pack(found.transpose(1, 2).flatten(2))
        return cast(Tensor, self.out(self.dropout(merged)))

    def _read(self, queries: Tensor, rows: Tensor, mask: Tensor | None) -> Tensor:
        ask, tell = self._merged or self._merge()
        asked = ask(queries).view(len(queries), self.heads, -1)
        scores = asked.bmm(rows.transpose(1, 2))
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        return cast(Tensor, tell(scores.softmax(-1).bmm(rows).flatten(1)))

    def _merge(self) -> tuple[Linear, Linear]:
        """Return queries [N, query] -> [N, H key], and what was attended to [N, H key] -> [N, out].

        The bias of the keys adds the same to all scores of a query, so nothing to its weights.
        """
        heads, key = self.heads, self.key.in_features
        with torch.no_grad():
            q, k, v = (x.weight.view(heads, -1, x.in_features)
                       for x in (self.query, self.key, self.value))  # fmt: skip
            scale = q.shape[1] ** -0.5
            ask = Linear(self.query.in_features, heads * key)
            ask.weight.copy_(k.transpose(1, 2).bmm(q).flatten(0, 1) * scale)
            biases = self.query.bias.view(heads, 1, -1)
            ask.bias.copy_(biases.bmm(k).flatten() * scale)
            tell = Linear(heads * key, self.out.out_features)
            out = self.out.weight.view(len(self.out.weight), heads, -1).transpose(0, 1)
            tell.weight.copy_(out.bmm(v).transpose(0, 1).flatten(1))
            tell.bias.copy_(self.out(self.value.bias))
        if self.ordered:
            ask.order(True)
            tell.order(True)
            self._merged = ask, tell
        return ask, tell

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


def grown(before: Seen | None, more: Seen) -> Seen:
    """Return what is attended to with more behind it."""
    if before is None:
        return more
    if isinstance(before, Tensor) or isinstance(more, Tensor):
        assert isinstance(before, Tensor)
        assert isinstance(more, Tensor)
        return torch.cat([before, more], 1)
    return torch.cat([before[0], more[0]], 2), torch.cat([before[1], more[1]], 2)


def picked(memory: Seen, items: Tensor) -> Seen:
    """Return what is attended to by the items [B'], which may repeat or leave out some."""
    if isinstance(memory, Tensor):
        return memory[items]
    return memory[0][items], memory[1][items]


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
