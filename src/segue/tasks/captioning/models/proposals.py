"""The proposal network: where in a film do events lie?

An encoder reads the features of a whole film. Over each of its streams lie heads, stacks of
convolutions that see a stretch of their own length around a row, and at every row each head says
for every *anchor*, a typical length of an event, how sure it is of an event there, where its middle
is within the row, and by what factor its length differs from the anchor's:

    middle = (row + sigmoid(c)) stride      length = anchor exp(l)      confidence = sigmoid(o)

(Iashin and Rahtu, "A better use of audio-visual cues", 2020, after YOLO, Redmon and Farhadi, 2018.)
The *stride* is the time between rows: the film's length over its rows, so that features of any
density can be read.

Letters: `B` films, `S` rows of a stream, `H` heads, `A` anchors, `D` width.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from segue.core.config import Config
from segue.tasks.captioning.models.config import NetworkConfig
from segue.tasks.captioning.models.encoder import Encoder, Streams

__all__ = ["Predicted", "ProposalConfig", "ProposalNetwork", "events"]

Modality = Literal["visual", "audio"]


class ProposalConfig(Config):
    """Sizes of the proposal network; the defaults train on two cores."""

    visual_anchors: int = Field(16, ge=1)
    """Typical lengths for the visual stream (original: 128)."""
    audio_anchors: int = Field(16, ge=1)
    """Typical lengths for the audio stream (original: 48)."""
    visual_kernels: tuple[int, ...] = (1, 5, 13, 25)
    """Rows that each visual head sees, odd (original: 1, 5, 9, 13, 19, 25, 35, 45, 61, 79)."""
    audio_kernels: tuple[int, ...] = (5, 13, 35, 69)
    """Rows that each audio head sees (original: 5, 13, 23, 35, 51, 69, 91, 121, 161, 211)."""
    channels: int = Field(64, ge=1)
    """Width inside a head (original: 512)."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Inside a head and the encoder (original: 0.1)."""
    encoder: NetworkConfig = NetworkConfig(
        visual_width=64,
        audio_width=64,
        attention=64,
        layers=1,
        visual_ff=128,
        audio_ff=128,
    )
    """Of the encoder, as a captioner has it (original: the trained captioner's own)."""


class Predicted:
    """What the heads of one stream say of a batch.

    Args:
        raw: [B, S, H, A, 3], before any sigmoid: middle, length, confidence.
        lengths: [B] rows of each film.
        anchors_s: [A].
    """

    def __init__(self, raw: Tensor, lengths: Tensor, anchors_s: Tensor) -> None:
        self.raw, self.lengths, self.anchors_s = raw, lengths, anchors_s

    def real(self) -> Tensor:
        """Return which rows are real, [B, S]."""
        place = torch.arange(self.raw.shape[1], device=self.raw.device)
        return place[None] < self.lengths[:, None]


class ProposalNetwork(nn.Module):
    """See the module.

    Args:
        config: sizes; those of the encoder's features are taken as they are.
    """

    def __init__(self, config: ProposalConfig) -> None:
        super().__init__()
        self.config = config
        network = config.encoder
        self.encoder = Encoder(network)
        sizes = {"visual": network.visual_size, "audio": network.audio_size}
        raw = {"visual": network.visual, "audio": network.audio}
        kernels = {"visual": config.visual_kernels, "audio": config.audio_kernels}
        anchors = {"visual": config.visual_anchors, "audio": config.audio_anchors}
        self.names = self.encoder.names
        self.heads = nn.ModuleDict(
            {
                name: nn.ModuleList(
                    _head(sizes[name], kernel, config.channels, 3 * anchors[name], config.dropout)
                    for kernel in kernels[name]
                )
                for name in self.names
            }
        )
        for name in self.names:
            self.register_buffer(f"{name}_anchors_s", torch.ones(anchors[name]))
            self.register_buffer(f"{name}_mean", torch.zeros(raw[name]))
            self.register_buffer(f"{name}_scale", torch.ones(raw[name]))

    def fit(self, name: str, anchors_s: Tensor, mean: Tensor, scale: Tensor) -> None:
        """Tell a stream its anchors, and what is taken off its features and divides them."""
        own: Any = self
        with torch.no_grad():
            getattr(own, f"{name}_anchors_s").copy_(anchors_s)
            getattr(own, f"{name}_mean").copy_(mean)
            getattr(own, f"{name}_scale").copy_(scale)

    def forward(self, streams: Streams) -> dict[str, Predicted]:
        """Return what each stream's heads say of whole films; a missing stream says nothing."""
        own: Any = self
        values: dict[str, Tensor] = {}
        for name in ("visual", "audio"):
            rows = getattr(streams, name)
            if name in self.names:
                rows = (rows - getattr(own, f"{name}_mean")) / getattr(own, f"{name}_scale")
            values[name] = rows
        memory = self.encoder(
            Streams(
                visual=values["visual"],
                visual_lengths=streams.visual_lengths,
                audio=values["audio"],
                audio_lengths=streams.audio_lengths,
            )
        )
        found: dict[str, Predicted] = {}
        for name in self.names:
            lengths: Tensor = getattr(streams, f"{name}_lengths")
            if not bool((lengths > 0).any()):
                continue
            x = getattr(memory, name).transpose(1, 2)
            heads: Any = self.heads[name]
            raw = torch.stack([head(x).transpose(1, 2) for head in heads], dim=2)
            shape = (*raw.shape[:3], -1, 3)
            found[name] = Predicted(raw.reshape(shape), lengths, getattr(own, f"{name}_anchors_s"))
        return found


def events(predicted: Predicted, durations_s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return middles, lengths (seconds) and confidences, [B, S, H, A] each.

    Confidence is 0 at rows that are not real.

    Args:
        predicted: of one stream.
        durations_s: [B].
    """
    stride = (durations_s / predicted.lengths.clamp(min=1)).view(-1, 1, 1, 1)
    raw = predicted.raw
    row = torch.arange(raw.shape[1], device=raw.device).view(1, -1, 1, 1)
    middle = (row + torch.sigmoid(raw[..., 0])) * stride
    # A factor of e^4 either way is more than any event needs, and exp stays finite.
    length = predicted.anchors_s * torch.exp(raw[..., 1].clamp(-4, 4))
    confidence = torch.sigmoid(raw[..., 2]) * predicted.real()[:, :, None, None]
    return middle, length, confidence


def _head(width: int, kernel: int, channels: int, out: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(width, channels, kernel, padding=kernel // 2),
        nn.Dropout(dropout),
        nn.ReLU(),
        nn.Conv1d(channels, channels, 1),
        nn.Dropout(dropout),
        nn.ReLU(),
        nn.Conv1d(channels, out, 1),
    )
