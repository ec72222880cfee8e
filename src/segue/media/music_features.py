"""What is measured in every frame of a piece of music, in one pass over its samples.

The stream is transformed once; each feature is taken from the spectra while they are in the
processor's cache, so a piece of any length needs little more memory than its 128 mel bands.

Letters: `T` frames of 23 ms, `M` = 128 mel bands. Formulas are librosa's unless stated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from functools import cache

import numpy as np
from numpy.typing import NDArray

from segue.media import spectrum
from segue.media.median import WIDTH, running_median
from segue.media.spectrum import HOP, N_FFT, RATE_HZ

__all__ = ["PEAK_HOP", "Frames", "measure", "onset_strength", "percussive_energy"]

Floats = NDArray[np.float32]

PEAK_HOP = 128
"""Samples under one value of `Frames.peaks`."""

_TUNINGS = tuple(np.round(np.arange(-0.5, 0.5, 0.1), 1))
"""Chroma is taken for ten tunings at once; which one is right is known only at the end."""
_PITCH_BINS = slice(14, 372)  # 150 to 4000 Hz
_GROUPS = 25  # of 41 bins: 1025 has no better divisors
_MEDIAN_FRAMES = 64
"""Frames whose medians are taken together: more would not fit into the processor's cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """Features of every frame."""

    rms: Floats
    """[T] root mean square of the 2048 samples."""
    crossings: Floats
    """[T] share of samples at which the sign changes."""
    centroid_hz: Floats
    """[T] mean frequency, weighted by magnitude."""
    bandwidth_hz: Floats
    """[T] standard deviation of frequency, weighted by magnitude."""
    rolloff_hz: Floats
    """[T] frequency below which 85 % of the magnitude lies."""
    flux: Floats
    """[T] mean over bins of the rise of ln(1 + 100 S) since the frame before."""
    mel: Floats
    """[T, M] mel power."""
    chroma: Floats
    """[T, 12] power in each pitch class, C first, at the tuning of the piece."""
    peaks: Floats
    """[n / 128] largest absolute sample in each run of 128."""
    tuning: float
    """Deviation from A = 440 Hz in semitones."""
    n_samples: int
    """Length of the piece at 22 050 Hz."""

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.n_samples / RATE_HZ


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    rms: Floats
    crossings: Floats
    centroid_hz: Floats
    bandwidth_hz: Floats
    rolloff_hz: Floats
    flux: Floats
    mel: Floats
    chromas: Floats  # [b, tuning, 12]
    pitches: Floats  # [2, any] deviation from equal temperament and power of spectral peaks


def measure(blocks: Iterable[Floats]) -> Frames:
    """Measure every frame of a piece.

    Args:
        blocks: mono sound at 22 050 Hz, in arrays [n] of any length; at least one sample.
    """
    peaks: list[Floats] = []
    counted = _Counted(blocks, peaks)
    parts: list[_Block] = []
    work = np.empty((3, spectrum.BLOCK, N_FFT // 2 + 1), np.float32)
    before: Floats | None = None
    for samples in spectrum.frames_of(counted):
        part, before = _measure(samples, before, work)
        parts.append(part)
    names = {f.name for f in fields(_Block)} - {"chromas", "pitches"}
    whole = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    tuning = _tuning(np.concatenate([p.pitches for p in parts], axis=1))
    nearest = int(np.argmin(np.abs(np.remainder(np.array(_TUNINGS) - tuning + 0.5, 1) - 0.5)))
    return Frames(
        **whole,
        chroma=np.concatenate([p.chromas[:, nearest] for p in parts]),
        peaks=np.concatenate(peaks),
        tuning=tuning,
        n_samples=counted.n,
    )


def onset_strength(mel: Floats) -> Floats:
    """Return [T] the mean rise of the mel bands in dB, moved so that it peaks at the onset.

    Boeck & Widmer 2013 without their vibrato suppression, as librosa's `onset_strength`.
    """
    bands = spectrum.decibels(mel)
    rise = np.maximum(np.diff(bands, axis=0), 0).mean(axis=1, dtype=np.float32)
    shift = 1 + N_FFT // (2 * HOP)
    return np.concatenate([np.zeros(min(shift, len(mel)), np.float32), rise])[: len(mel)]


def percussive_energy(mel: Floats) -> tuple[Floats, Floats]:
    """Return [T] the percussive and [T] the whole energy of every frame.

    Median filtering of the root mel power (Fitzgerald 2010): what is smooth along time is
    harmonic (H), what is smooth along frequency is percussive (P); mask P^2 / (P^2 + H^2).
    """
    half = WIDTH // 2
    n_bands = mel.shape[1]
    padded = np.pad(np.sqrt(mel), ((half, half), (half, half)), mode="symmetric")
    energy = np.empty(len(mel), np.float32)
    for start in range(0, len(mel), _MEDIAN_FRAMES):
        stop = min(start + _MEDIAN_FRAMES, len(mel))
        around = padded[start : stop + 2 * half, half:-half]
        harmonic = running_median(around.ravel(), n_bands).reshape(-1, n_bands)
        # The rows stand one behind the other; between two of them the medians are not used.
        rows = np.append(padded[start + half : stop + half], np.zeros(2 * half, np.float32))
        percussive = running_median(rows).reshape(stop - start, -1)[:, :n_bands]
        percussive = np.square(percussive)
        total = np.square(harmonic, out=harmonic)
        total += percussive
        total[total == 0] = 1
        percussive /= total
        percussive *= mel[start:stop]
        energy[start:stop] = percussive.sum(axis=1)
    return energy, mel.sum(axis=1)


class _Counted:
    """Passes blocks on; counts samples and keeps their peaks."""

    def __init__(self, blocks: Iterable[Floats], peaks: list[Floats]) -> None:
        self.blocks, self.peaks, self.n = blocks, peaks, 0

    def __iter__(self) -> Iterator[Floats]:
        rest = np.zeros(0, np.float32)
        for block in self.blocks:
            self.n += len(block)
            rest = np.concatenate([rest, np.abs(block)])
            whole = len(rest) - len(rest) % PEAK_HOP
            self.peaks.append(rest[:whole].reshape(-1, PEAK_HOP).max(axis=1))
            rest = rest[whole:]
            yield block
        if len(rest):
            self.peaks.append(rest.max(keepdims=True))


def _measure(samples: Floats, before: Floats | None, work: Floats) -> tuple[_Block, Floats]:
    """Measure the frames of one block; also returns ln(1 + 100 S) of its last frame.

    `work` is memory [3, b or more, F] that is used again for every block: new memory would cost as
    much as what is computed in it.
    """
    # 1. the samples themselves
    energy = np.square(samples).reshape(-1, HOP).sum(axis=1)
    rms = np.sqrt((energy[:-3] + energy[1:-2] + energy[2:-1] + energy[3:]) / N_FFT)
    negative = samples < -1e-10
    changes = np.empty(len(samples), bool)
    changes[0] = False
    np.not_equal(negative[1:], negative[:-1], out=changes[1:])
    bits = np.packbits(changes).view(np.uint64).reshape(-1, HOP // 64)
    count = np.bitwise_count(bits).sum(axis=1, dtype=np.int64)
    n = len(rms)
    inside = count[:-3] + count[1:-2] + count[2:-1] + count[3:] - changes[: n * HOP : HOP]
    # 2. magnitudes and their distribution over frequency
    power = spectrum.power(samples, work[0, :n])
    magnitude = np.sqrt(power, out=work[1, :n])
    total, first, second = (magnitude @ _moments()).T
    safe = np.where(total > 0, total, 1)
    centroid = first / safe
    bandwidth = np.sqrt(np.maximum(second / safe - centroid**2, 0))
    below = _rolloff(magnitude)
    # 3. change
    magnitude *= 100
    log = np.log1p(magnitude, out=magnitude)
    rise = work[2, :n]
    np.subtract(log[0], log[0] if before is None else before, out=rise[0])
    np.subtract(log[1:], log[:-1], out=rise[1:])
    np.maximum(rise, 0, out=rise)
    # 4. bands and pitch classes
    block = _Block(
        rms=rms,
        crossings=(inside / N_FFT).astype(np.float32),
        centroid_hz=centroid * np.float32(RATE_HZ / N_FFT),
        bandwidth_hz=bandwidth * np.float32(RATE_HZ / N_FFT),
        rolloff_hz=(below * (RATE_HZ / N_FFT)).astype(np.float32),
        flux=rise @ np.full(rise.shape[1], 1 / rise.shape[1], np.float32),
        mel=spectrum.mel_power(power),
        chromas=(power @ _chroma_banks()).reshape(n, len(_TUNINGS), 12),
        pitches=_pitches(power),
    )
    return block, log[-1].copy()


def _rolloff(magnitude: Floats) -> NDArray[np.int64]:
    """Return [b] the bins below the one where 85 % of the sum is reached.

    First the group of 41 bins in which that happens, then the place inside it.
    """
    groups = magnitude.reshape(len(magnitude), _GROUPS, -1)
    cumulated = np.cumsum(groups @ np.ones(groups.shape[2], np.float32), axis=1)
    wanted = np.float32(0.85) * cumulated[:, -1]
    group = np.minimum((cumulated < wanted[:, None]).sum(axis=1), _GROUPS - 1)
    rows = np.arange(len(magnitude))
    inside = np.cumsum(groups[rows, group], axis=1)
    inside += np.where(group > 0, cumulated[rows, group - 1], 0)[:, None]
    n_inside = (inside < wanted[:, None]).sum(axis=1)
    return np.asarray(group * groups.shape[2] + n_inside)


@cache
def _moments() -> Floats:
    bins = np.arange(N_FFT // 2 + 1)
    return np.stack([np.ones_like(bins), bins, bins**2], axis=1).astype(np.float32)


@cache
def _chroma_banks() -> Floats:
    return np.concatenate([spectrum.chroma_bank(float(t)) for t in _TUNINGS], axis=1)


def _pitches(power: Floats) -> Floats:
    """Return [2, any]: of each spectral peak its deviation from the tempered scale, and power.

    Peaks above a tenth of the frame's largest power, 150 to 4000 Hz, interpolated by a parabola.
    """
    n_bins = power.shape[1]
    limit = 0.1 * power.max(axis=1, keepdims=True)
    strong = np.flatnonzero(power[:, _PITCH_BINS] > limit)
    row, column = np.divmod(strong, _PITCH_BINS.stop - _PITCH_BINS.start)
    column += _PITCH_BINS.start
    at = row * n_bins + column
    flat = power.reshape(-1)
    left, middle, right = flat[at - 1], flat[at], flat[at + 1]
    peak = (middle > left) & (middle >= right)
    left, middle, right, column = left[peak], middle[peak], right[peak], column[peak]
    slope, curve = (right - left) / 2, left + right - 2 * middle
    shift = np.where(np.abs(slope) < np.abs(curve), -slope / np.where(curve == 0, 1, curve), 0)
    octaves = np.log2((column + shift) * (16 * RATE_HZ / N_FFT / 440))
    return np.stack([np.remainder(12 * octaves + 0.5, 1) - 0.5, middle + slope * shift / 2])


def _tuning(pitches: Floats) -> float:
    """Return the commonest deviation of the stronger half of the peaks, in 1/100 semitone."""
    deviation, strength = pitches
    if not len(deviation):
        return 0.0
    strong = deviation[strength >= np.median(strength)]
    edges = np.linspace(-0.5, 0.5, 101)
    return float(edges[np.argmax(np.histogram(strong, edges)[0])])
