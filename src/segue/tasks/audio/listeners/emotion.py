"""The emotion listener: a short-chunk residual network that names one of four moods.

The network of Hung et al. 2021 ("EMOPIA: a multi-modal pop piano dataset for emotion recognition
and emotion-based music generation"), after Won et al. 2020: a mel spectrum, residual blocks of two
3 x 3 convolutions with stride 2, the maximum over what is left, two layers. Its widths are
settings.

Two things differ. The original passes the outputs through a sigmoid and then into a cross-entropy,
which squashes twice and keeps it unsure; here they are logits. And clips of any length are heard in
whole: chunks are spread evenly over a clip and overlap as needed, a clip shorter than a chunk is
repeated; the original dropped the rest of a clip, and failed on short ones.

Letters: `B` clips, `C` chunks of a clip, `F` frames, `M` bands, `T` samples.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from segue.tasks.audio.frontend import FRAME_SECONDS
from segue.tasks.audio.frontend import SAMPLING_RATE as SHARED_RATE
from segue.tasks.audio.listeners.config import EmotionConfig
from segue.tasks.audio.vocabulary import MOODS

__all__ = ["Decibels", "Emotion", "chunks", "mel_filters"]


class Emotion(nn.Module):
    """The network; it takes log-mel, or sound, as its configuration says."""

    def __init__(self, config: EmotionConfig | None = None) -> None:
        super().__init__()
        self.config = config or EmotionConfig()
        own = self.config.hears == "audio"
        self.spectrum = Decibels(self.config.sampling_rate, self.config.bands) if own else None
        self.norm = nn.BatchNorm2d(1)
        blocks: list[nn.Module] = []
        width = 1
        for channels in self.config.channels:
            blocks.append(_Residual(width, channels))
            width = channels
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(
            nn.Linear(width, self.config.hidden),
            nn.BatchNorm1d(self.config.hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(self.config.dropout),
            nn.Linear(self.config.hidden, len(MOODS)),
        )

    @property
    def hears(self) -> Literal["mel", "audio"]:
        """Whether it takes the shared log-mel [B, F, 64], or sound [B, T]."""
        return self.config.hears

    @property
    def sampling_rate(self) -> int:
        """Of the sound, in Hz."""
        return self.config.sampling_rate if self.hears == "audio" else SHARED_RATE

    @property
    def chunk(self) -> int:
        """Length of a chunk, in frames or samples of what it takes."""
        if self.hears == "audio":
            return round(self.config.chunk_seconds * self.sampling_rate)
        return round(self.config.chunk_seconds / FRAME_SECONDS)

    def forward(self, heard: Tensor) -> Tensor:
        """Return logits [B, 4] of chunks: log-mel [B, F, M] or sound [B, T]."""
        mel = heard if self.spectrum is None else self.spectrum(heard)
        found = self.blocks(self.norm(mel[:, None]))
        return torch.as_tensor(self.head(found.amax(dim=(2, 3))))

    def log_probabilities(self, heard: Tensor) -> Tensor:
        """Return the logarithm of the mean probability over a clip's chunks, [B, 4]."""
        with torch.inference_mode():
            parts = chunks(heard, self.chunk)  # [B, C, ...]
            logits = self(parts.flatten(0, 1)).unflatten(0, parts.shape[:2])
            logs = torch.log_softmax(logits, dim=2)
            return torch.logsumexp(logs, dim=1) - math.log(parts.shape[1])

    def probabilities(self, heard: Tensor) -> Tensor:
        """Return the probability of each mood, [B, 4]."""
        return self.log_probabilities(heard).exp()


class Decibels(nn.Module):
    """Mel power in decibels: windows of 1024 samples every 512, as the paper's."""

    def __init__(self, rate: int, bands: int) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(1024), persistent=False)
        self.register_buffer("filters", mel_filters(rate, bands), persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        """Return [B, T // 512 + 1, bands] of sound [B, T]."""
        assert isinstance(self.window, Tensor)
        assert isinstance(self.filters, Tensor)
        spectrum = torch.stft(audio, 1024, 512, window=self.window, return_complex=True)
        power = self.filters @ spectrum.abs().square()  # [B, M, F]
        return 10 * torch.log10(power.clamp_min(1e-10)).transpose(1, 2)


class _Residual(nn.Module):
    """Two convolutions beside one that projects the input to their shape."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inside, outside, 3, 2, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outside)
        self.second = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outside)
        self.skip = nn.Conv2d(inside, outside, 3, 2, 1, bias=False)
        self.skip_norm = nn.BatchNorm2d(outside)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.first_norm(self.first(x)))
        hidden = self.second_norm(self.second(hidden))
        return torch.relu(hidden + self.skip_norm(self.skip(x)))


def chunks(heard: Tensor, length: int) -> Tensor:
    """Return the chunks of clips, [B, C, length, ...]: as few as cover all, spread evenly.

    A clip that is shorter than a chunk is repeated until it fills one.

    Args:
        heard: [B, n, ...].
        length: of a chunk.
    """
    n = heard.shape[1]
    if n < length:
        repeats = [1] * heard.ndim
        repeats[1] = -(-length // n)
        heard, n = heard.repeat(repeats)[:, :length], length
    count = -(-n // length)
    starts = [round(i * (n - length) / max(count - 1, 1)) for i in range(count)]
    return torch.stack([heard[:, start : start + length] for start in starts], dim=1)


@cache
def mel_filters(rate: int, bands: int) -> Tensor:
    """Return the triangles of a mel bank, [bands, 513], of height 1, 0 Hz to half of `rate`.

    The mel scale is the one of 2595 log10(1 + f / 700), as in the paper's program.
    """
    top = 2595 * math.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1)
    bins = np.linspace(0, rate / 2, 513)
    rise = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    return torch.from_numpy(np.maximum(0, np.minimum(rise, fall)).astype(np.float32))
