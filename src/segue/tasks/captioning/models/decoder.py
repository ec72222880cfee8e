"""The decoder of words, which looks at picture and sound and weighs the two by a gate.

Each layer: causal self-attention over the words; then one residual attention to the sound and one
to the picture, both from the same words; each through its own norm; then

    g visual + (1 - g) audio,   g = sigmoid(clamp(s, -2, 2))

with one learned number s a layer. With one modality there is no gate. Everything that does not
depend on new words is kept: the keys of the streams, and keys and values of earlier words.

Letters: `B` batch, `L` words, `D` width of words.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from segue.tasks.captioning.models.attention import (
    CrossAttention,
    Packing,
    Residual,
    Seen,
    feed_forward,
    grown,
    picked,
)
from segue.tasks.captioning.models.config import NetworkConfig
from segue.tasks.captioning.models.encoder import Memory

__all__ = ["Decoder", "DecoderState"]


@dataclass(slots=True)
class DecoderState:
    """What a decoder remembers of a batch while captions grow."""

    streams: list[list[tuple[Seen, Tensor]]]
    """For each layer and modality: keys and values of the rows, or the rows, and their mask."""
    words: list[Seen | None] = field(default_factory=list)
    """For each layer: keys and values of the words so far, or their rows."""
    merged: bool = False
    """Whether attentions may read rows as they are; see `CrossAttention.merges`."""

    def reorder(self, rows: Tensor) -> DecoderState:
        """Return the state of the captions `rows` [B'], which may repeat or leave out some."""
        return DecoderState(
            [
                [(picked(memory, rows), mask[rows]) for memory, mask in layer]
                for layer in self.streams
            ],
            [None if words is None else picked(words, rows) for words in self.words],
            self.merged,
        )


class Decoder(nn.Module):
    """See the module."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        sizes = {"audio": config.audio_size, "visual": config.visual_size}
        names = [n for n in sizes if config.modalities in ("both", n)]
        self.layers = nn.ModuleList(
            _Layer(config, [sizes[n] for n in names]) for _ in range(config.layers)
        )

    def start(self, memory: Memory, *, merged: bool = False) -> DecoderState:
        """Return the state before the first word.

        Args:
            memory: of the encoder.
            merged: single words will follow, without dropout, and may be rounded otherwise.
        """
        places = [(Packing(mask[:, 0]), mask) for _, mask in memory.streams()]
        packed = [p.pack(rows) for (rows, _), (p, _) in zip(memory.streams(), places, strict=True)]
        again = memory.times

        def several(x: Tensor) -> Tensor:
            return x if again == 1 else x.repeat_interleave(again, dim=0)

        masks = [several(mask) for _, mask in places]
        whole = [several(rows) for rows, _ in memory.streams()]
        streams: list[list[tuple[Seen, Tensor]]] = []
        for layer in self.layers:
            found: list[tuple[Seen, Tensor]] = []
            attends: Any = layer.attends
            for n, attention in enumerate(attends):
                if merged and attention.merges(known=True):
                    found.append((whole[n], masks[n]))
                    continue
                keys, values = attention.remember(packed[n], places[n][0])
                found.append(((several(keys), several(values)), masks[n]))
            streams.append(found)
        return DecoderState(streams, [None] * len(self.layers), merged)

    def forward(
        self, words: Tensor, packing: Packing, state: DecoderState, mask: Tensor | None
    ) -> Tensor:
        """Return the features of words, rows [N, D], and remember the words in `state`.

        Args:
            words: rows [N, D] of embedded words, which follow those that `state` remembers.
            packing: of the words.
            state: of `start`; changed.
            mask: [B, L, all words so far], True where a word may be seen; None sees all, which is
                right for one word at a time.
        """
        x = words
        for i, layer in enumerate(self.layers):
            x, state.words[i] = layer(x, packing, state, i, mask)
        return x


class _Layer(nn.Module):
    def __init__(self, config: NetworkConfig, streams: list[int]) -> None:
        super().__init__()
        words, space = config.words, (config.attention, config.heads, config.dropout)
        self.own = CrossAttention(words, words, *space)
        self.own_add = Residual(words, config.dropout)
        self.attends = nn.ModuleList(CrossAttention(words, size, *space) for size in streams)
        self.attend_adds = nn.ModuleList(Residual(words, config.dropout) for _ in streams)
        self.norms = nn.ModuleList(nn.LayerNorm(words) for _ in streams)
        self.gate = nn.Parameter(torch.zeros(())) if len(streams) == 2 else None
        self.ff = feed_forward(words, config.word_ff, config.dropout) if config.word_ff else None
        self.ff_add = Residual(words, config.dropout) if config.word_ff else None

    def forward(
        self,
        x: Tensor,
        packing: Packing,
        state: DecoderState,
        number: int,
        mask: Tensor | None,
    ) -> tuple[Tensor, Seen]:
        normed = self.own_add.norm(x)
        if state.merged and self.own.merges(known=False):
            new: Seen = packing.unpack(normed)
        else:
            new = self.own.remember(normed, packing)
        words = grown(state.words[number], new)
        x = self.own_add.add(x, self.own(normed, packing, words, mask))
        seen = [
            norm(add.add(x, attend(add.norm(x), packing, memory, stream_mask)))  # type: ignore[operator]
            for attend, add, norm, (memory, stream_mask) in zip(
                self.attends, self.attend_adds, self.norms, state.streams[number], strict=True
            )
        ]
        if self.gate is None:
            x = seen[0]
        else:
            share = torch.sigmoid(self.gate.clamp(-2, 2))
            x = share * seen[1] + (1 - share) * seen[0]
        if self.ff is not None and self.ff_add is not None:
            x = self.ff_add.add(x, self.ff(self.ff_add.norm(x)))
        return x, words
