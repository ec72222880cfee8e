"""What the nano model and its listeners hear: a log spectrum of 64 bands every 16 ms.

Sound is mono at 16 kHz. A frame is a Hann window of 1024 samples (64 ms) every 256; frame i is
centred on sample 256 i + 128, so a sound of n samples has ceil(n / 256) frames, and the last one is
filled with zeros. The power spectrum is gathered into 64 triangular bands from 50 Hz to 8 kHz and
its logarithm taken above a floor, about 60 dB below a loud tone.

The bands are spaced like mel bands, evenly in log(1 + f / corner), but with the corner at 300 Hz
instead of 700: pitch is what matters in music, and the usual bands are wider than two semitones
below 500 Hz. On rendered clips, sound rebuilt from 64 such bands keeps 95 % of the chroma of the
original (cosine of the clip's mean chroma), from 64 mel bands 88 %.

Letters: `B` sounds, `T` samples, `F` frames.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch

from segue.core.errors import UsageError

__all__ = [
    "BANDS",
    "CLIP_SECONDS",
    "FRAME_SECONDS",
    "HOP",
    "N_FFT",
    "SAMPLING_RATE",
    "SHORTEST_SECONDS",
    "band_filters",
    "band_power",
    "frames",
    "from_band_power",
    "log_mel",
    "samples",
    "spectrum",
    "window",
]

SAMPLING_RATE = 16_000
"""Hz."""
N_FFT = 1024
HOP = 256
FRAME_SECONDS = HOP / SAMPLING_RATE
BANDS = 64
CLIP_SECONDS = 5.12
"""Length of a training clip: 81,920 samples, 320 frames."""
SHORTEST_SECONDS = 0.5
"""Shorter sounds are refused."""

_MARGIN = (N_FFT - HOP) // 2
"""Zeros before the first and after the last frame's own samples."""
_LOW_HZ, _HIGH_HZ, _CORNER_HZ = 50.0, 8000.0, 300.0
_FLOOR = 1e-3
"""Power that is added before the logarithm; a tone of amplitude .1 has 655."""
_MEAN, _DEVIATION = -1.0, 3.8
"""Of log power over rendered clips: what makes the values about standard."""


def samples(seconds: float) -> int:
    """Return the number of samples, round(seconds x 16,000).

    Raises:
        UsageError: `seconds` is not a number, or less than half a second.
    """
    if not (math.isfinite(seconds) and seconds >= SHORTEST_SECONDS):
        raise UsageError(
            f"{seconds:g} seconds of sound", advice=f"Give {SHORTEST_SECONDS:g} seconds or more"
        )
    return round(seconds * SAMPLING_RATE)


def frames(seconds: float) -> int:
    """Return the number of frames of so much sound; raises like `samples`."""
    return -(-samples(seconds) // HOP)


def log_mel(audio: torch.Tensor) -> torch.Tensor:
    """Return the normalised log spectrum of sounds.

    Args:
        audio: [B, T] float32 in -1..1 at 16 kHz.

    Returns:
        [B, F, 64] with F = ceil(T / 256), of about zero mean and unit variance over music.

    Raises:
        ValueError: `audio` has another number of axes, or no sample.
    """
    if audio.ndim != 2 or not audio.shape[1]:
        raise ValueError(f"sound of shape {tuple(audio.shape)}, not [B, T]")
    power = spectrum(audio).abs().square()  # [B, bins, F]
    bands = torch.einsum("mk,bkf->bfm", band_filters().to(power), power)
    return (torch.log(bands + _FLOOR) - _MEAN) / _DEVIATION


def band_power(mel: torch.Tensor) -> torch.Tensor:
    """Undo the logarithm of `log_mel`: the power in each band, [B, F, 64], at least 0."""
    return (torch.exp(mel * _DEVIATION + _MEAN) - _FLOOR).clamp_min(0.0)


def from_band_power(power: torch.Tensor) -> torch.Tensor:
    """Return what `log_mel` gives for this power in the bands, of any shape."""
    return (torch.log(power + _FLOOR) - _MEAN) / _DEVIATION


def spectrum(audio: torch.Tensor) -> torch.Tensor:
    """Return the complex spectra [B, 513, F] of sounds [B, T]; the end is filled with zeros."""
    missing = -audio.shape[1] % HOP
    padded = torch.nn.functional.pad(audio, (_MARGIN, _MARGIN + missing))
    return torch.stft(
        padded, N_FFT, HOP, window=window().to(audio), center=False, return_complex=True
    )


@cache
def window() -> torch.Tensor:
    """The periodic Hann window, [1024]."""
    return torch.hann_window(N_FFT)


@cache
def band_filters() -> torch.Tensor:
    """The triangular bands, [64, 513]: weights of the bins, each triangle of height 1."""
    low, high = (math.log1p(hz / _CORNER_HZ) for hz in (_LOW_HZ, _HIGH_HZ))
    edges = _CORNER_HZ * np.expm1(np.linspace(low, high, BANDS + 2))
    bins = np.linspace(0.0, SAMPLING_RATE / 2, N_FFT // 2 + 1)
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    return torch.from_numpy(np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32))
