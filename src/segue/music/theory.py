"""Keys, scales, meters and intervals: the facts of tonal music that rules and readers share.

A pitch class is a number 0..11 with 0 for C. A key is a tonic and a mode; its scale is the set of
pitch classes that belong to it. Pitches are MIDI numbers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from segue.core.errors import UsageError

__all__ = [
    "C_MAJOR",
    "INTERVALS",
    "METERS",
    "MODES",
    "PITCH_NAMES",
    "Key",
    "Meter",
    "major_key_of",
    "parse_key",
    "parse_meter",
    "pitch_name",
]

MODES: dict[str, tuple[int, ...]] = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "locrian": (0, 1, 3, 5, 6, 8, 10),
}
"""Mode -> its degrees in semitones above the tonic; "minor" is the natural one (aeolian)."""

_DEGREE_OF_MODE = {
    "major": 0, "dorian": 2, "phrygian": 4, "lydian": 5, "mixolydian": 7, "minor": 9, "locrian": 11,
}  # fmt: skip
"""Semitones from the tonic of the relative major key up to the mode's own tonic."""

INTERVALS = {
    "second": 2,
    "third": 4,
    "fourth": 5,
    "fifth": 7,
    "sixth": 9,
    "seventh": 11,
    "octave": 12,
}
"""Major and perfect intervals in semitones, the ones that RL Tuner's rules name."""

PITCH_NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
_LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_MODE_WORDS = {"": "major", "maj": "major", "ionian": "major", "m": "minor", "min": "minor",
               "aeolian": "minor", "moll": "minor", "dur": "major"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Key:
    """A tonic and a mode."""

    tonic: int = 0
    """Pitch class, 0..11."""
    mode: str = "major"

    @property
    def pitch_classes(self) -> tuple[int, ...]:
        """The scale from the tonic up, as pitch classes."""
        return tuple((self.tonic + degree) % 12 for degree in MODES[self.mode])

    @property
    def relative_major(self) -> int:
        """Tonic of the major key with the same notes."""
        return (self.tonic - _DEGREE_OF_MODE[self.mode]) % 12

    def __contains__(self, pitch: object) -> bool:
        return isinstance(pitch, int | np.integer) and int(pitch) % 12 in self.pitch_classes

    def __str__(self) -> str:
        return f"{PITCH_NAMES[self.tonic]} {self.mode}"


C_MAJOR = Key()


@dataclass(frozen=True, slots=True)
class Meter:
    """A time signature."""

    beats: int = 4
    unit: int = 4
    """What counts as one: 4 is a quarter note, 8 an eighth."""

    def steps_per_bar(self, steps_per_quarter: int = 4) -> int:
        """Return the length of a bar in steps.

        Raises:
            UsageError: a bar is not a whole number of steps.
        """
        steps, rest = divmod(self.beats * 4 * steps_per_quarter, self.unit)
        if rest or not steps:
            raise UsageError(f"a bar of {self} is not a whole number of sixteenths")
        return steps

    @property
    def quarters(self) -> float:
        """Length of a bar in quarter notes."""
        return self.beats * 4 / self.unit

    @property
    def pulse_quarters(self) -> float:
        """Length of what the foot taps: a dotted quarter in 6/8, else the unit."""
        compound = self.unit >= 8 and self.beats % 3 == 0 and self.beats > 3
        return 4 / self.unit * (3 if compound else 1)

    def __str__(self) -> str:
        return f"{self.beats}/{self.unit}"


METERS = {str(m): m for m in (Meter(4, 4), Meter(3, 4), Meter(6, 8), Meter(2, 4))}
"""The meters that Segue composes in."""


def parse_key(text: str) -> Key:
    """Read a key such as `C`, `Am`, `F# minor`, `Eb-dorian` or `d moll`.

    Raises:
        UsageError: it is not a key.
    """
    found = re.fullmatch(r"\s*([A-Ga-g])([#b♯♭]?)[\s_-]*([A-Za-z]*)\s*", text)
    word = found[3] if found else ""
    # "m" alone is minor; everything else is told apart by its first three letters, as in ABC
    mode = _MODE_WORDS.get(word.lower()) or next(
        (m for m in MODES if len(word) >= 3 and m.startswith(word.lower()[: len(m)])), None
    )
    if not found or mode is None:
        raise UsageError(
            f"'{text}' is not a key",
            advice="Write a tonic and a mode, as in C, Am or 'Eb dorian'; "
            f"modes: {', '.join(MODES)}",
        )
    shift = {"#": 1, "♯": 1, "b": -1, "♭": -1, "": 0}[found[2]]
    return Key((_LETTERS[found[1].upper()] + shift) % 12, mode)


def parse_meter(text: str) -> Meter:
    """Read a meter of `METERS`.

    Raises:
        UsageError: it is not one of them.
    """
    meter = METERS.get(text.replace(" ", ""))
    if meter is None:
        raise UsageError(
            f"'{text}' is not a meter Segue composes in", advice=f"Known: {', '.join(METERS)}"
        )
    return meter


def pitch_name(pitch: int) -> str:
    """Return the name of a MIDI pitch, such as C4 for 60."""
    return f"{PITCH_NAMES[pitch % 12]}{pitch // 12 - 1}"


def major_key_of(pitches: ArrayLike) -> int:
    """Return the tonic of the major key that holds most of the notes; the lowest on a tie."""
    counts = np.bincount(np.asarray(pitches, dtype=np.int64) % 12, minlength=12)
    held = [counts[list(Key(tonic).pitch_classes)].sum() for tonic in range(12)]
    return int(np.argmax(held))
