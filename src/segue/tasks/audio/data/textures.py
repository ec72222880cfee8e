"""Accompaniments: what sounds under a melody while one chord lasts.

A texture is a function of the chord's voices and the number of beats it lasts; it yields strokes,
with times in beats from the chord's beginning. Voices are MIDI pitches, low to high; `bass` lies
below them and is None where the instrument plays one note at a time.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

__all__ = ["N_SECOND_PLAYERS", "TEXTURES", "Stroke"]


class Stroke(NamedTuple):
    """One note of an accompaniment."""

    start: float
    """In beats from the chord's beginning."""
    length: float
    pitch: int
    stress: int = 0
    """Added to the velocity."""


Voices = tuple[int, ...]
Texture = Callable[[Voices, int | None, float, np.random.Generator], Iterator[Stroke]]


def _oompah(
    voices: Voices, bass: int | None, beats: float, rng: np.random.Generator
) -> Iterator[Stroke]:
    """Bass on the beat, chord off it."""
    for i in range(int(beats)):
        low = voices[0] if bass is None else bass
        yield Stroke(i, 0.4, low + (7 if bass is not None and i % 2 else 0), 4)
        for pitch in voices[1:] if bass is None else voices:
            yield Stroke(i + 0.5, 0.3, pitch, -4)


def _offbeat(
    voices: Voices, bass: int | None, beats: float, rng: np.random.Generator
) -> Iterator[Stroke]:
    """Short chords on every second eighth, a held bass."""
    if bass is not None:
        yield Stroke(0.0, beats, bass)
    for i in range(int(beats)):
        for pitch in voices:
            yield Stroke(i + 0.5, 0.25, pitch)


def _stabs(
    voices: Voices, bass: int | None, beats: float, rng: np.random.Generator
) -> Iterator[Stroke]:
    """Syncopated short chords."""
    places = (0.0, 0.75, 1.5, 2.0, 2.75, 3.5)
    for start in places:
        if start < beats and (start == 0.0 or rng.random() < 0.7):
            for pitch in (*(() if bass is None else (bass,)), *voices):
                yield Stroke(start, 0.35, pitch, 6 if start == 0.0 else 0)


def _alberti(
    voices: Voices, bass: int | None, beats: float, rng: np.random.Generator
) -> Iterator[Stroke]:
    """Low, high, middle, high in eighths."""
    low, high = voices[0], voices[-1]
    middle = voices[len(voices) // 2]
    for i, pitch in zip(range(int(2 * beats)), itertools.cycle((low, high, middle, high))):
        yield Stroke(i / 2, 0.5, pitch)
    if bass is not None:
        yield Stroke(0.0, beats, bass)


def _arpeggio(
    voices: Voices, bass: int | None, beats: float, rng: np.random.Generator
) -> Iterator[Stroke]:
    """Up the chord from the bass, each tone held."""
    wave = (*(() if bass is None else (bass,)), *voices, voices[0] + 12, *voices[:0:-1])
    step = 0.5
    for i, pitch in zip(range(int(beats / step)), itertools.cycle(wave)):
        yield Stroke(i * step, min(1.5, beats - i * step), pitch)


def _rolled(
    voices: Voices, bass: int | None, beats: float, rng: np.random.Generator
) -> Iterator[Stroke]:
    """The chord from the bass up, one tone after another, all held; and again after two beats."""
    tones = (*(() if bass is None else (bass,)), *voices)
    for begin in range(0, int(beats), 2):
        for i, pitch in enumerate(tones):
            start = begin + 0.25 * i
            yield Stroke(start, min(begin + 2.0, beats) - start, pitch)


def _pad(
    voices: Voices, bass: int | None, beats: float, rng: np.random.Generator
) -> Iterator[Stroke]:
    """The chord, held."""
    for pitch in (*(() if bass is None else (bass,)), *voices):
        yield Stroke(0.0, beats, pitch)


def _touched(
    voices: Voices, bass: int | None, beats: float, rng: np.random.Generator
) -> Iterator[Stroke]:
    """The bass, and after it the chord once."""
    low = voices[0] if bass is None else bass
    yield Stroke(0.0, beats, low)
    for pitch in voices[1:]:
        yield Stroke(1.0, beats - 1.0, pitch, -4)


def _drone(
    voices: Voices, bass: int | None, beats: float, rng: np.random.Generator
) -> Iterator[Stroke]:
    """One low tone and its fifth, or another tone of the chord."""
    low = voices[0] if bass is None else bass
    yield Stroke(0.0, beats, low)
    yield Stroke(0.0, beats, voices[-1], -4)


def _hammer(
    voices: Voices, bass: int | None, beats: float, rng: np.random.Generator
) -> Iterator[Stroke]:
    """The whole chord in eighths, every beat stressed."""
    for i in range(int(2 * beats)):
        for pitch in (*(() if bass is None else (bass,)), *voices):
            yield Stroke(i / 2, 0.4, pitch, 8 if i % 2 == 0 else -4)


def _tremolo(
    voices: Voices, bass: int | None, beats: float, rng: np.random.Generator
) -> Iterator[Stroke]:
    """Two low tones in turn, in sixteenths."""
    low = voices[0] if bass is None else bass
    pair = (low, voices[1 % len(voices)]) if rng.random() < 0.5 else (low, low)
    for i in range(int(4 * beats)):
        yield Stroke(i / 4, 0.25, pair[i % 2], 6 if i % 4 == 0 else 0)


def _octaves(
    voices: Voices, bass: int | None, beats: float, rng: np.random.Generator
) -> Iterator[Stroke]:
    """Low octaves in eighths and a chord at the beginning."""
    low = voices[0] if bass is None else bass
    for i in range(int(2 * beats)):
        yield Stroke(i / 2, 0.45, low, 4 if i % 2 == 0 else 0)
        yield Stroke(i / 2, 0.45, low + 12, 0)
    for pitch in voices[1:]:
        yield Stroke(0.0, 0.5, pitch, 8)


def _none(
    voices: Voices, bass: int | None, beats: float, rng: np.random.Generator
) -> Iterator[Stroke]:
    """Nothing: the melody alone."""
    return iter(())


TEXTURES: dict[str, Texture] = {
    "alberti": _alberti,
    "arpeggio": _arpeggio,
    "drone": _drone,
    "hammer": _hammer,
    "none": _none,
    "octaves": _octaves,
    "offbeat": _offbeat,
    "oompah": _oompah,
    "pad": _pad,
    "rolled": _rolled,
    "stabs": _stabs,
    "touched": _touched,
    "tremolo": _tremolo,
}
"""Name -> texture."""

N_SECOND_PLAYERS = 2
"""Players under the melody where each of them plays one note at a time."""
