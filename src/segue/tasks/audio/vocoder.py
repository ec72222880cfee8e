"""From log spectra to sound: band power back to bins, then phases by Griffin-Lim.

Bands are undone by non-negative least squares: multiplicative updates (Lee and Seung, 2000) from
the clipped pseudo-inverse. Phases are found by the fast Griffin-Lim algorithm (Perraudin, Balazs
and Søndergaard, 2013) from fixed random ones, the same for every sound, so a spectrum always
becomes the same sound whatever is beside it. Nothing is learned.

Letters: `B` sounds, `F` frames, `T` samples.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import nn

from segue.tasks.audio import frontend
from segue.tasks.audio.frontend import HOP, N_FFT

__all__ = ["ITERATIONS", "bin_power", "griffin_lim", "inverse_spectrum", "limited", "vocode"]

ITERATIONS = 32
"""Of Griffin-Lim."""
_MOMENTUM = 0.99
_UPDATES = 40
"""Of the least squares; more changes less than 1 % of the chroma."""
_FADE_SECONDS = 0.004
_PEAK = 0.98
_LIMIT_SECONDS = 0.005
_FRAMES_AT_ONCE = 4096
"""Frames whose spectra are worked on together, 17 MB each time they are copied."""
_BINS = N_FFT // 2 + 1
_PHASE_SEED = 1984


def vocode(mel: torch.Tensor, n_samples: int, iterations: int = ITERATIONS) -> torch.Tensor:
    """Return the sound of log spectra.

    Args:
        mel: [B, F, 64] as `frontend.log_mel` gives them.
        n_samples: `T`, at most 256 F.
        iterations: of Griffin-Lim.

    Returns:
        [B, T] float32 within -1..1, without a step at either end; see `limited` for peaks.
    """
    if not len(mel):
        return mel.new_zeros(0, n_samples)
    rows = max(1, _FRAMES_AT_ONCE // mel.shape[1])
    with torch.no_grad():
        parts = [_vocode(part.float(), n_samples, iterations) for part in torch.split(mel, rows)]
    return torch.cat(parts)


def bin_power(bands: torch.Tensor, updates: int = _UPDATES) -> torch.Tensor:
    """Return power in bins, [B, 513, F], that gives this power in bands, [B, F, 64]."""
    filters = frontend.band_filters().to(bands)  # [64, 513]
    wanted = bands.transpose(1, 2)  # [B, 64, F]
    backed = filters.T @ wanted
    power = (_pseudo_inverse().to(bands) @ wanted).clamp_min(0.0) + 1e-3 * backed
    for _ in range(updates):
        power = power * backed / (filters.T @ (filters @ power) + 1e-10)
    return power


def griffin_lim(magnitude: torch.Tensor, iterations: int = ITERATIONS) -> torch.Tensor:
    """Return sound [B, 256 F] whose spectrum has this magnitude, [B, 513, F], nearly."""
    phases = _first_phases(magnitude.shape[2]).to(magnitude.device)
    estimate = magnitude * phases
    before = torch.zeros_like(estimate)
    for _ in range(iterations):
        rebuilt = frontend.spectrum(inverse_spectrum(estimate))
        moved = rebuilt + _MOMENTUM * (rebuilt - before)
        before = rebuilt
        estimate = magnitude * moved / moved.abs().clamp_min(1e-9)
    return inverse_spectrum(estimate)


def limited(audio: torch.Tensor) -> torch.Tensor:
    """Return sound [B, T] whose peaks are turned down to .98, for 5 ms around each of them.

    The whole would become quieter by its highest peak, which found phases put anywhere: loud music
    lost up to 10 dB, and its mood with them.
    """
    half = round(_LIMIT_SECONDS * frontend.SAMPLING_RATE)
    width = 2 * half + 1
    peaks = nn.functional.pad(audio.abs()[:, None], (width - 1, width - 1))
    gains = _PEAK / nn.functional.max_pool1d(peaks, width, 1).clamp_min(_PEAK)
    # each gain in the mean has seen the sample, so the mean is small enough for it as well
    found = audio * nn.functional.avg_pool1d(gains, width, 1)[:, 0]
    return found.clamp(-_PEAK, _PEAK)  # but for rounding


def inverse_spectrum(spectra: torch.Tensor) -> torch.Tensor:
    """Return the sound [B, 256 F] nearest to spectra [B, 513, F], in the sense of least squares."""
    window = frontend.window().to(spectra.device)
    pieces = torch.fft.irfft(spectra.transpose(1, 2), n=N_FFT) * window  # [B, F, 1024]
    return _added(pieces) / _coverage(spectra.shape[2]).to(spectra.device)


def _vocode(mel: torch.Tensor, n_samples: int, iterations: int) -> torch.Tensor:
    power = bin_power(frontend.band_power(mel))
    audio = griffin_lim(power.sqrt(), iterations)[:, :n_samples].clone()
    n_fade = round(_FADE_SECONDS * frontend.SAMPLING_RATE)
    ramp = torch.sin(torch.linspace(0, math.pi / 2, n_fade, device=mel.device)).square()
    audio[:, :n_fade] *= ramp
    audio[:, -n_fade:] *= ramp.flip(0)
    return limited(audio)


def _added(pieces: torch.Tensor) -> torch.Tensor:
    """Add pieces [B, F, 1024] that begin every 256 samples; the margins of the ends are cut."""
    n, n_frames, quarters = len(pieces), pieces.shape[1], N_FFT // HOP
    parts = pieces.reshape(n, n_frames, quarters, HOP)
    total = pieces.new_zeros(n, n_frames + quarters - 1, HOP)
    for i in range(quarters):
        total[:, i : i + n_frames] += parts[:, :, i]
    margin = (N_FFT - HOP) // 2
    return total.flatten(1)[:, margin : margin + n_frames * HOP]


@cache
def _pseudo_inverse() -> torch.Tensor:
    return torch.as_tensor(torch.linalg.pinv(frontend.band_filters()))


def _first_phases(n_frames: int) -> torch.Tensor:
    """Random phases on the unit circle, [513, F]; those of a frame do not depend on F."""
    source = torch.Generator().manual_seed(_PHASE_SEED)
    turns = torch.rand(n_frames, _BINS, generator=source).T
    return torch.polar(torch.ones_like(turns), 2 * math.pi * turns)


def _coverage(n_frames: int) -> torch.Tensor:
    """What the squared windows over each sample add up to, [256 F]."""
    squares = frontend.window().square().expand(1, n_frames, N_FFT)
    return _added(squares)[0].clamp_min(1e-3)
