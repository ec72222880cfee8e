"""Speech made by rule: a glottal pulse train with intonation, through moving formants.

Not words, but what tells a voice from an instrument: a pitch that never stands still, four to six
syllables a second, vowels between fricatives, pauses between phrases.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

VOWELS_HZ = (  # first three formants of i, e, a, o, u (Peterson & Barney 1952, men)
    (270, 2290, 3010),
    (530, 1840, 2480),
    (730, 1090, 2440),
    (570, 840, 2410),
    (300, 870, 2240),
)


def speech(
    duration_s: float, seed: int, rate_hz: int = 16_000, pitch_hz: float = 120.0
) -> NDArray[np.float32]:
    """Return [n] samples of one long phrase at a level of about -20 dB."""
    generator = np.random.default_rng(seed)
    parts: list[NDArray[np.float64]] = []
    length, phase = 0, 0.0
    while length < duration_s * rate_hz:
        syllable_s = generator.uniform(0.14, 0.26)
        consonant = _fricative(generator.uniform(0.04, 0.08), rate_hz, generator)
        vowel, phase = _vowel(syllable_s, pitch_hz, phase, rate_hz, generator)
        parts += [consonant, vowel]
        length += len(consonant) + len(vowel)
    sound = np.concatenate(parts)[: round(duration_s * rate_hz)]
    return (0.1 * sound / np.sqrt(np.mean(sound**2))).astype(np.float32)


def _vowel(
    duration_s: float, pitch_hz: float, phase: float, rate_hz: int, generator: np.random.Generator
) -> tuple[NDArray[np.float64], float]:
    n = round(duration_s * rate_hz)
    along = np.linspace(0, 1, n)
    start, end = generator.uniform(0.8, 1.35, 2)
    pitch = pitch_hz * (start + (end - start) * along) * (1 + 0.05 * np.sin(np.pi * along))
    phases = phase + np.cumsum(pitch) / rate_hz
    pulses = (np.diff(np.floor(phases), prepend=np.floor(phase)) > 0).astype(float)
    pulses += 0.01 * generator.standard_normal(n)
    first, second = (VOWELS_HZ[i] for i in generator.integers(0, len(VOWELS_HZ), 2))
    sound = np.zeros(n)
    state = np.zeros((3, 2))
    for begin in range(0, n, 80):  # formants move in steps of 5 ms
        share = begin / n
        block = lfilter([1.0], [1.0, -0.95], pulses[begin : begin + 80])
        for index in range(3):
            centre = first[index] + (second[index] - first[index]) * share
            radius = np.exp(-np.pi * (60 + 40 * index) / rate_hz)
            poles = [1.0, -2 * radius * np.cos(2 * np.pi * centre / rate_hz), radius**2]
            block, state[index] = lfilter([1 - radius], poles, block, zi=state[index])
        sound[begin : begin + 80] = block
    envelope = np.sin(np.pi * np.clip(along, 0.02, 0.98)) ** 0.5
    sound *= envelope / (np.abs(sound).max() + 1e-9)
    return sound, float(phases[-1])


def _fricative(
    duration_s: float, rate_hz: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    hiss = np.diff(generator.standard_normal(round(duration_s * rate_hz) + 1))
    return 0.05 * hiss * np.hanning(len(hiss))
