"""The encoder: picture and sound, each attending to itself and to the other.

Each layer: self-attention of each stream, then each attends to what the other was after its
self-attention, then a feed-forward of each. With one modality only that stream is there and there
is nothing to cross.

A segment without picture (or sound) has one row, a learned "absent" token, in its place, so that a
missing stream is something the network knows and not a row of zeros.

Letters: `B` batch, `V` and `A` rows of picture and sound, `D` width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from segue.tasks.captioning.models.attention import (
    CrossAttention,
    Packing,
    Residual,
    add_positions,
    feed_forward,
)
from segue.tasks.captioning.models.config import NetworkConfig

__all__ = ["Encoder", "Memory", "Streams"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """Features of a batch of segments."""

    visual: Tensor
    """[B, V, visual]; what is beyond a segment's length does not matter."""
    visual_lengths: Tensor
    """[B]; 0 where there is no picture."""
    audio: Tensor
    """[B, A, audio]."""
    audio_lengths: Tensor
    """[B]; 0 where there is no sound."""

    def __len__(self) -> int:
        return len(self.visual_lengths)

    def to(self, device: str) -> Streams:
        """Return the features on a device."""
        return Streams(
            visual=self.visual.to(device),
            visual_lengths=self.visual_lengths.to(device),
            audio=self.audio.to(device),
            audio_lengths=self.audio_lengths.to(device),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What the encoder knows of a batch; None for a modality that the network has not."""

    visual: Tensor | None
    """[B, V, visual_size]."""
    visual_mask: Tensor | None
    """[B, 1, V], True where there is a row."""
    audio: Tensor | None
    """[B, A, audio_size]."""
    audio_mask: Tensor | None
    """[B, 1, A]."""
    times: int = 1
    """How many captions each segment is to get, K; see `decoding.repeat_memory`."""

    def __len__(self) -> int:
        """Captions that are to grow, B K."""
        return len(self.streams()[0][0]) * self.times

    def streams(self) -> list[tuple[Tensor, Tensor]]:
        """Return (rows, mask) of each modality that is there, sound first, as the decoders ask."""
        pairs = ((self.audio, self.audio_mask), (self.visual, self.visual_mask))
        return [(rows, mask) for rows, mask in pairs if rows is not None and mask is not None]


class Encoder(nn.Module):
    """See the module."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        sizes = {"visual": config.visual_size, "audio": config.audio_size}
        raw = {"visual": config.visual, "audio": config.audio}
        inner = {"visual": config.visual_ff, "audio": config.audio_ff}
        names: tuple[str, ...] = (config.modalities,)
        if config.modalities == "both":
            names = ("visual", "audio")
        self.names = names
        self.enter = nn.ModuleDict(
            {
                name: nn.Identity()
                if raw[name] == sizes[name]
                else nn.Sequential(nn.Linear(raw[name], sizes[name]), nn.GELU())
                for name in names
            }
        )
        self.absent = nn.ParameterDict(
            {name: nn.Parameter(torch.zeros(sizes[name])) for name in names}
        )
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(
            _Layer(config, sizes, inner, names) for _ in range(config.layers)
        )

    def forward(self, streams: Streams) -> Memory:
        """Return what is known of each row of each stream."""
        rows: dict[str, Tensor] = {}
        places: dict[str, Packing] = {}
        masks: dict[str, Tensor] = {}
        for name in self.names:
            features, lengths = getattr(streams, name), getattr(streams, f"{name}_lengths")
            if features.shape[1] == 0:  # nobody in the batch has any
                features = features.new_zeros(len(lengths), 1, features.shape[2])
            place = torch.arange(features.shape[1], device=features.device)
            there = place[None] < lengths[:, None].clamp(min=1)
            packing = places[name] = Packing(there)
            masks[name] = there[:, None]
            x = self.enter[name](packing.pack(features))
            gone = packing.pack((lengths == 0)[:, None].expand_as(there)[..., None])
            x = torch.where(gone, self.absent[name].to(x.dtype), x)
            rows[name] = self.dropout(add_positions(x, packing.positions))
        for layer in self.layers:
            rows = layer(rows, places, masks)
        whole = {name: places[name].unpack(x) for name, x in rows.items()}
        return Memory(
            visual=whole.get("visual"),
            visual_mask=masks.get("visual"),
            audio=whole.get("audio"),
            audio_mask=masks.get("audio"),
        )


class _Layer(nn.Module):
    def __init__(
        self,
        config: NetworkConfig,
        sizes: dict[str, int],
        inner: dict[str, int],
        names: tuple[str, ...],
    ) -> None:
        super().__init__()
        space = (config.attention, config.heads, config.dropout)
        self.own = nn.ModuleDict({n: CrossAttention(sizes[n], sizes[n], *space) for n in names})
        self.own_add = nn.ModuleDict({n: Residual(sizes[n], config.dropout) for n in names})
        self.other = nn.ModuleDict()
        self.other_add = nn.ModuleDict()
        if len(names) == 2:
            for name, other in (names, names[::-1]):
                self.other[name] = CrossAttention(sizes[name], sizes[other], *space)
                self.other_add[name] = Residual(sizes[name], config.dropout)
        self.ff = nn.ModuleDict(
            {n: feed_forward(sizes[n], inner[n], config.dropout) for n in names}
        )
        self.ff_add = nn.ModuleDict({n: Residual(sizes[n], config.dropout) for n in names})

    def forward(
        self, rows: dict[str, Tensor], places: dict[str, Packing], masks: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        found = {}
        for name, x in rows.items():
            add: Any = self.own_add[name]
            attend: Any = self.own[name]
            normed = add.norm(x)
            memory = attend.remember(normed, places[name])
            found[name] = add.add(x, attend(normed, places[name], memory, masks[name]))
        if len(found) == 2:
            crossed = {}
            for name, other in (tuple(found), tuple(found)[::-1]):
                add, attend = self.other_add[name], self.other[name]
                # The other stream as it is, not normed.
                memory = attend.remember(found[other], places[other])
                change = attend(add.norm(found[name]), places[name], memory, masks[other])
                crossed[name] = add.add(found[name], change)
            found = crossed
        done = {}
        for name, x in found.items():
            add = self.ff_add[name]
            done[name] = add.add(x, self.ff[name](add.norm(x)))
        return done
