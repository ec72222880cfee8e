"""Make a small music library: eight short synthesised pieces of different mood, with tags.

Chords, bass, a melody and noise drums from a table of moods; nothing is sampled.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

__all__ = ["PIECES", "make_library"]

RATE = 44_100
MAJOR, MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)

PIECES = (
    # title, tonic (MIDI), scale, beats per minute, drums 0..1, brightness 1..8, progression
    ("Slow Morning", 60, MAJOR, 66, 0.0, 2, (0, 3, 4, 0)),
    ("Market Day", 67, MAJOR, 126, 0.6, 5, (0, 4, 5, 3)),
    ("Under the Bridge", 50, MINOR, 72, 0.15, 2, (0, 5, 0, 4)),
    ("Run", 52, MINOR, 152, 1.0, 8, (0, 5, 6, 4)),
    ("Grey Window", 57, MINOR, 58, 0.0, 3, (0, 3, 5, 4)),
    ("Kitchen Light", 62, MAJOR, 88, 0.2, 4, (0, 5, 3, 4)),
    ("Clockwork", 55, MINOR, 112, 0.5, 6, (0, 0, 5, 6)),
    ("Open Field", 64, MAJOR, 100, 0.35, 4, (0, 3, 0, 4)),
)


def make_library(folder: Path, seconds: float = 40.0, count: int = len(PIECES)) -> list[Path]:
    """Write the pieces as FLAC files into `folder` and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, piece in enumerate(PIECES[:count]):
        path = folder / f"{piece[0].lower().replace(' ', '-')}.flac"
        samples = _render(piece, seconds, np.random.default_rng(number))
        with soundfile.SoundFile(path, "w", RATE, 2, "PCM_16", format="FLAC") as file:
            file.title, file.artist = piece[0], "Segue sample library"
            file.license = "CC0-1.0"
            file.comment = "synthesised"
            file.write(samples)
        paths.append(path)
    return paths


def _render(piece: tuple, seconds: float, rng: np.random.Generator) -> NDArray[np.float32]:
    _, tonic, scale, tempo, drums, brightness, progression = piece
    beat = 60.0 / tempo
    bars = max(2, round(seconds / (4 * beat)))
    n = round(bars * 4 * beat * RATE) + RATE
    left, right = np.zeros(n), np.zeros(n)

    def pitch(degree: int, octave: int = 0) -> float:
        midi = tonic + 12 * (octave + degree // 7) + scale[degree % 7]
        return 440.0 * 2 ** ((midi - 69) / 12)

    def add(at_s: float, sound: NDArray[np.float64], pan: float) -> None:
        start = round(at_s * RATE)
        part = sound[: max(0, n - start)]
        left[start : start + len(part)] += part * np.cos(pan)
        right[start : start + len(part)] += part * np.sin(pan)

    degree = 7
    for bar in range(bars):
        root = progression[bar % len(progression)]
        at = bar * 4 * beat
        for k in (0, 2, 4):
            add(at, 0.10 * _tone(pitch(root + k), 4 * beat, brightness, 0.15 * beat + 0.02), 0.7)
        for half in range(2):
            add(at + half * 2 * beat, 0.20 * _tone(pitch(root, -2), 2 * beat, 3, 0.01), 0.785)
        step = 0.5 if tempo > 95 else 1.0
        for i in range(int(4 / step)):
            if rng.random() < 0.75:
                degree = int(np.clip(degree + rng.integers(-2, 3), 4, 12))
                note = degree if i % 4 else root + 7
                length = beat * step * 0.95
                add(at + i * step * beat, 0.13 * _tone(pitch(note), length, brightness, 0.008), 0.9)
        for i in range(8 if drums > 0.4 else 4):
            if drums:
                gap = 4 * beat / (8 if drums > 0.4 else 4)
                add(at + i * gap, drums * _drum(i, rng), 0.785)
    mixed = np.stack([left, right], axis=1)
    tail = np.linspace(1, 0, RATE)[:, None]
    mixed[-RATE:] *= tail
    return (mixed * (0.5 / np.abs(mixed).max())).astype(np.float32)


def _tone(f0: float, seconds: float, brightness: int, attack_s: float) -> NDArray[np.float64]:
    t = np.arange(round(seconds * RATE)) / RATE
    sound = sum(
        np.sin(2 * np.pi * k * f0 * t) / k**1.4 for k in range(1, brightness + 1) if k * f0 < 15_000
    )
    rise = np.clip(t / attack_s, 0, 1)
    return np.asarray(
        sound * rise * np.exp(-1.2 * t / seconds) * np.clip((seconds - t) / 0.02, 0, 1)
    )


def _drum(i: int, rng: np.random.Generator) -> NDArray[np.float64]:
    t = np.arange(round(0.16 * RATE)) / RATE
    if i % 4 == 0:
        return 0.5 * np.sin(2 * np.pi * (60 * t + 3 * np.exp(-30 * t))) * np.exp(-18 * t)
    noise = rng.normal(size=len(t))
    return (0.22 if i % 4 == 2 else 0.08) * noise * np.exp(-(25 if i % 4 == 2 else 60) * t)
