"""Two measures of pitch that share nothing with what makes the sound."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["cents", "hz_of", "partial_near", "period_hz"]

_FRAME_S = 0.08


def hz_of(pitch: int) -> float:
    return float(440.0 * 2.0 ** ((pitch - 69) / 12))


def cents(found_hz: float, true_hz: float) -> float:
    return float(1200 * np.log2(found_hz / true_hz))


def period_hz(x: NDArray[np.float32], rate_hz: int, threshold: float = 0.15) -> float:
    """The frequency at which a sound repeats: YIN (de Cheveigne and Kawahara 2002), the median of
    its frames. It knows nothing of the expected pitch; NaN where nothing repeats."""
    n, longest, shortest = int(rate_hz * _FRAME_S), rate_hz // 25, rate_hz // 5000
    found = []
    for start in range(0, len(x) - n - longest, n // 2):
        frame = x[start : start + n + longest].astype(np.float64)
        size = 1 << int(np.ceil(np.log2(len(frame) + n)))
        product = np.fft.rfft(frame, size) * np.conj(np.fft.rfft(frame[:n], size))
        energy = np.append(0.0, np.cumsum(frame**2))
        energy = energy[n : n + longest] - energy[:longest]
        difference = energy[0] + energy - 2 * np.fft.irfft(product)[:longest]
        difference[0] = 0.0
        mean = np.maximum(np.cumsum(difference), 1e-20) / np.maximum(np.arange(longest), 1)
        relative = difference / mean
        relative[0] = 1.0
        below = np.flatnonzero(relative[shortest:] < threshold)
        if not len(below):
            continue
        k = int(below[0]) + shortest
        while k + 2 < longest and relative[k + 1] < relative[k]:
            k += 1
        a, b, c = relative[k - 1 : k + 2]
        bend = a - 2 * b + c
        found.append(rate_hz / (k + (0.5 * (a - c) / bend if bend else 0.0)))
    return float(np.median(found)) if found else float("nan")


def partial_near(x: NDArray[np.float32], rate_hz: int, hz: float) -> tuple[float, float]:
    """The frequency of the strongest partial within a quarter tone of `hz`, and its level in dB
    under the strongest of all."""
    size = 8 * len(x)
    spectrum = np.abs(np.fft.rfft(x * np.hanning(len(x)), size))
    low, high = (int(hz * 2 ** (d / 24) * size / rate_hz) for d in (-1, 1))
    k = low + int(np.argmax(spectrum[low:high]))
    return k * rate_hz / size, float(20 * np.log10(spectrum[k] / spectrum.max()))
