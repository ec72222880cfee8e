"""One short-time Fourier transform, and the filter banks that all music features share.

Definitions and defaults are librosa's (mono, 22 050 Hz, frames of 2048 samples every 512, periodic
Hann window, frames centred on their time, zeros beyond the ends), so that published constants that
were fitted on librosa's features apply. They are written in numpy because importing and compiling
librosa costs seconds in every worker; the tests hold the two against each other.

Letters: `T` frames, `F` = 1025 frequency bins, `S` magnitude, `P` = S^2 power.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BLOCK",
    "HOP",
    "HOP_S",
    "N_FFT",
    "RATE_HZ",
    "bin_hz",
    "chroma_bank",
    "decibels",
    "frames_of",
    "hann",
    "mel_bank",
    "mel_power",
    "power",
]

Floats = NDArray[np.float32]

RATE_HZ = 22050
N_FFT = 2048
HOP = 512
HOP_S = HOP / RATE_HZ
N_MELS = 128

BLOCK = 128
"""Frames that are measured together: their spectra (.5 MB) stay in the processor's cache."""
_FFT_FRAMES = 32
"""Frames that are transformed together; larger work arrays would be mapped anew for each call."""


def frames_of(blocks: Iterable[NDArray[np.float32]]) -> Iterator[Floats]:
    """Cut a stream of samples into overlapping centred frames, a block of frames at a time.

    Args:
        blocks: mono sound at 22 050 Hz, in arrays [n] of any length.

    Yields:
        [(b + 3) * 512]: the samples under `b` neighbouring frames; frame i begins at 512 i. All
        together 1 + n // 512 frames for n samples, as librosa counts them.
    """
    need = (BLOCK + 3) * HOP
    waiting = [np.zeros(N_FFT // 2, np.float32)]
    n_waiting = N_FFT // 2
    for block in blocks:
        waiting.append(block)
        n_waiting += len(block)
        if n_waiting >= need:
            samples = np.concatenate(waiting)
            start = 0
            while n_waiting - start >= need:
                yield samples[start : start + need]
                start += BLOCK * HOP
            waiting, n_waiting = [samples[start:]], n_waiting - start
    rest = np.concatenate([*waiting, np.zeros(N_FFT // 2, np.float32)])
    while (n := (len(rest) - N_FFT) // HOP + 1) > 0:
        n = min(n, BLOCK)
        yield rest[: (n + 3) * HOP]
        rest = rest[n * HOP :]


def power(samples: Floats, out: Floats | None = None) -> Floats:
    """Return the power spectra [b, F] of a block of `frames_of`, in `out` if it is given."""
    import scipy.fft

    frames = np.lib.stride_tricks.sliding_window_view(samples, N_FFT)[::HOP]
    if out is None:
        out = np.empty((len(frames), N_FFT // 2 + 1), np.float32)
    for start in range(0, len(frames), _FFT_FRAMES):
        part = slice(start, start + _FFT_FRAMES)
        spectra = scipy.fft.rfft(frames[part] * hann(N_FFT), axis=1, workers=1)
        np.square(spectra.real, out=out[part])
        out[part] += np.square(spectra.imag)
    return out


def mel_power(power: Floats) -> Floats:
    """Return the mel power [b, 128] of power spectra [b, F]."""
    out = np.empty((len(power), N_MELS), np.float32)
    bank = mel_bank()
    for bins, bands in _mel_parts():
        out[:, bands] = power[:, bins] @ bank[bins, bands]
    return out


def decibels(values: Floats, top_db: float = 80.0) -> Floats:
    """Return 10 log10 of power, floored at 1e-10 and at `top_db` below the largest value."""
    out: Floats = np.maximum(values, np.float32(1e-10))
    np.log10(out, out=out)
    out *= 10
    np.maximum(out, out.max(initial=-100.0) - np.float32(top_db), out=out)
    return out


@cache
def hann(n: int) -> Floats:
    """Periodic Hann window."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)).astype(np.float32)


@cache
def bin_hz() -> NDArray[np.float64]:
    """[F] centre frequencies."""
    return np.arange(N_FFT // 2 + 1, dtype=np.float64) * (RATE_HZ / N_FFT)


@cache
def mel_bank() -> Floats:
    """[F, 128] triangles of equal area on Slaney's mel scale from 0 to 11 025 Hz.

    The scale is linear below 1 kHz (3 mel per 200 Hz) and logarithmic above (27 steps per factor of
    6.4); Slaney, Auditory Toolbox, 1998.
    """
    top_mel = 15 + 27 * np.log(RATE_HZ / 2 / 1000) / np.log(6.4)
    mels = np.linspace(0, top_mel, N_MELS + 2)
    edges_hz = np.where(mels < 15, mels * 200 / 3, 1000 * np.exp((mels - 15) * np.log(6.4) / 27))
    rise = (bin_hz()[:, None] - edges_hz[:-2]) / np.diff(edges_hz)[:-1]
    fall = (edges_hz[2:] - bin_hz()[:, None]) / np.diff(edges_hz)[1:]
    bank: Any = np.maximum(0, np.minimum(rise, fall)) * (2 / (edges_hz[2:] - edges_hz[:-2]))
    return np.asarray(bank, np.float32)


@cache
def _mel_parts() -> list[tuple[slice, slice]]:
    """The bank is zero off its diagonal: (bins, bands) of five pieces that hold the rest."""
    edges = (0, 48, 80, 96, 112, N_MELS)
    parts = []
    for low, high in pairwise(edges):
        used = np.flatnonzero(mel_bank()[:, low:high].any(axis=1))
        parts.append((slice(int(used[0]), int(used[-1]) + 1), slice(low, high)))
    return parts


@cache
def chroma_bank(tuning: float) -> Floats:
    """[F, 12] share of each bin in each pitch class, C first (Ellis 2007, as in librosa).

    A Gaussian of half a semitone around each class, columns of unit length, bins weighted by a
    Gaussian of two octaves around 440 Hz x 2 / sqrt 2 so that neither hiss nor rumble decides.

    Args:
        tuning: deviation from A = 440 Hz in semitones, -0.5 to 0.5.
    """
    n_bins = N_FFT // 2 + 1
    lowest_a_hz = 440 * 2 ** (tuning / 12) / 16
    pitch = np.empty(N_FFT)
    pitch[1:] = 12 * np.log2(np.arange(1, N_FFT) * (RATE_HZ / N_FFT) / lowest_a_hz)
    pitch[0] = pitch[1] - 18  # the zeroth bin, an octave and a half below the first
    width = np.append(np.maximum(np.diff(pitch), 1), 1)
    distance = np.remainder(pitch[:, None] - np.arange(12) + 126, 12) - 6
    weight = np.exp(-0.5 * (2 * distance / width[:, None]) ** 2)
    weight /= np.linalg.norm(weight, axis=1, keepdims=True)
    weight *= np.exp(-0.5 * ((pitch[:, None] / 12 - 5) / 2) ** 2)
    return np.asarray(np.roll(weight, -3, axis=1)[:n_bins], np.float32)
