"""Chords under a melody: the cheapest sequence of a key's triads, found exactly by Viterbi.

Time is cut into slots, one or two to a bar. A chord costs what the melody in its slot clashes with
it, and each change costs what the harmony of functions (tonic, subdominant, dominant) makes of it.
Over all sequences that begin on the tonic and end with a cadence, the cheapest is returned; of
equals, the one whose chords come first in `chords_of_key`.

Letters in shapes: S slots, K chords of the key.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import UsageError
from segue.music.notes import TICKS_PER_QUARTER, Note
from segue.music.theory import Key, Meter

__all__ = ["QUALITIES", "Chord", "Costs", "cheapest_path", "chord_costs", "chords_of_key",
           "harmonise"]  # fmt: skip

Floats = NDArray[np.float64]
Ending = Literal["full", "half", "open"]

QUALITIES: dict[str, tuple[int, ...]] = {
    "major": (0, 4, 7),
    "minor": (0, 3, 7),
    "diminished": (0, 3, 6),
    "seventh": (0, 4, 7, 10),
}
"""Quality -> semitones above the root."""

_NUMERALS = ("I", "II", "III", "IV", "V", "VI", "VII")
_FUNCTIONS = "TSTSDTD"
"""Of the seven degrees: tonic, subdominant, dominant."""
_CADENCES: dict[str, dict[str, float]] = {
    "major": {"V7": 0.0, "V": 0.1, "vii°": 0.8, "IV": 0.9},
    "minor": {"V7": 0.0, "iv": 0.4, "VII": 0.5, "v": 0.8},
    "dorian": {"IV": 0.0, "VII": 0.1, "v": 0.3},
    "phrygian": {"II": 0.0, "vii": 0.2, "iv": 0.6},
    "lydian": {"II": 0.0, "V": 0.0, "vii": 0.6},
    "mixolydian": {"VII": 0.0, "v": 0.2, "IV": 0.4},
    "locrian": {"II": 0.0, "iii": 0.4, "vii": 0.4, "iv": 0.6},
}
"""Mode -> chords that may lead to the closing tonic, with their cost."""
_HALF: dict[str, dict[str, float]] = {
    "major": {"V": 0.0, "V7": 0.4},
    "minor": {"V7": 0.0, "v": 0.3, "VII": 0.3},
    "dorian": {"v": 0.2, "IV": 0.0, "VII": 0.2},
    "phrygian": {"II": 0.0, "vii": 0.2},
    "lydian": {"V": 0.0, "II": 0.1},
    "mixolydian": {"v": 0.1, "VII": 0.0},
    "locrian": {"V": 0.0, "iii": 0.2},
}
"""Mode -> chords of a last bar that asks for more, with their cost."""

_CLASH = 3.0
"""Cost of a slot that a foreign note fills, in units of the changes below."""
_CHORD_TONE = (0.0, 0.0, 0.05, 0.15)
"""A melody's root, third, fifth, seventh."""
_FOREIGN, _SEMITONE_ABOVE = 1.0, 1.4
_ACCENT_BAR, _ACCENT_PULSE, _ACCENT_HELD, _ACCENT_OFF = 1.5, 1.2, 1.0, 0.8
"""Weight of a note that begins with the bar, on a pulse, before the slot, or elsewhere."""
_CHANGE_OF_FUNCTION = {
    "TT": 0.3, "TS": 0.0, "TD": 0.1,
    "ST": 0.25, "SS": 0.3, "SD": 0.0,
    "DT": 0.0, "DS": 1.0, "DD": 0.3,
}  # fmt: skip
_ROOT_MOTION = (0.0, 0.3, 0.1, 0.4, 0.4, 0.0, 0.6, 0.25, 0.15, 0.15, 0.4, 0.3)
"""By semitones up, 0..11: falling fifths are free, rising thirds and tritones dear."""
_SAME_CHORD = {True: 0.5, False: 0.1}
"""By whether the slot begins a bar: harmony is expected to move there, and to rest elsewhere."""
_CHANGE_INSIDE_BAR = 0.3
_UNRESOLVED_SEVENTH = 0.6
_RARE = {"diminished": 0.7, "third": 0.35}


@dataclass(frozen=True, slots=True)
class Chord:
    """A chord and when it sounds."""

    start: int
    """First tick."""
    end: int
    """Tick after the last one."""
    root: int
    """Pitch class, 0..11."""
    quality: str
    """A key of `QUALITIES`."""
    numeral: str
    """Its degree in the key: upper case is major, lower case minor."""

    @property
    def pitch_classes(self) -> tuple[int, ...]:
        """Its pitch classes from the root up."""
        return tuple((self.root + step) % 12 for step in QUALITIES[self.quality])


@dataclass(frozen=True, slots=True)
class Costs:
    """What `cheapest_path` minimises: one entry for each slot and one for each change, summed."""

    slots: Floats
    """[S, K]; infinite where a chord may not stand."""
    changes: Floats
    """[S - 1, K, K]: from a chord of slot s to one of slot s + 1."""


def harmonise(
    melody: Iterable[Note],
    key: Key,
    meter: Meter,
    *,
    n_bars: int | None = None,
    start: int = 0,
    chords_per_bar: int = 1,
    ending: Ending = "full",
    ticks_per_quarter: int = TICKS_PER_QUARTER,
) -> tuple[Chord, ...]:
    """Return the best chords for a melody, one for each slot.

    Args:
        melody: its notes; they may also sound together.
        key: gives the chords: its seven triads and, in major and minor, V7.
        meter: gives the bars and their accents.
        n_bars: how many bars; None for as many as the melody needs.
        start: tick at which the first whole bar begins; notes before it are an upbeat.
        chords_per_bar: 1 or 2; the second begins with the second half of the bar's pulses.
        ending: "full" closes with a cadence on a bar of tonic, "half" with a bar of dominant,
            "open" anywhere. A piece of one bar is a bar of tonic, or of dominant.
        ticks_per_quarter: resolution.

    Raises:
        UsageError: no bars, or bars that cannot be divided like this.
    """
    notes = sorted(melody)
    edges = _edges(notes, meter, n_bars, start, chords_per_bar, ticks_per_quarter)
    known = chords_of_key(key)
    costs = chord_costs(notes, key, meter, edges, chords_per_bar, ending, ticks_per_quarter)
    path = cheapest_path(costs)
    return tuple(
        replace(known[k], start=edges[s], end=edges[s + 1]) for s, k in enumerate(path.tolist())
    )


def chords_of_key(key: Key) -> tuple[Chord, ...]:
    """Return the seven triads of a key by degree, and V7 in major and minor; without times."""
    scale = key.pitch_classes
    found = []
    for degree, root in enumerate(scale):
        steps = tuple((scale[(degree + step) % 7] - root) % 12 for step in (0, 2, 4))
        quality = next(name for name, known in QUALITIES.items() if known == steps)
        numeral = _NUMERALS[degree]
        numeral = numeral if quality == "major" else numeral.lower()
        found.append(Chord(0, 0, root, quality, numeral + "°" * (quality == "diminished")))
    if key.mode in ("major", "minor"):  # in minor with the raised leading tone
        found.append(Chord(0, 0, scale[4], "seventh", "V7"))
    return tuple(found)


def chord_costs(
    notes: list[Note],
    key: Key,
    meter: Meter,
    edges: list[int],
    chords_per_bar: int,
    ending: Ending,
    ticks_per_quarter: int = TICKS_PER_QUARTER,
) -> Costs:
    """Return the costs of all sequences of chords of `chords_of_key` in slots between `edges`."""
    known = chords_of_key(key)
    numerals = [chord.numeral for chord in known]
    n_slots, n_chords = len(edges) - 1, len(known)
    slots = _clashes(notes, known, meter, edges, ticks_per_quarter)
    slots += [_rarity(chord, k) for k, chord in enumerate(known)]
    changes = np.stack(
        [_changes(known, strong=s % chords_per_bar == 0) for s in range(1, n_slots)]
        or [np.zeros((0, n_chords, n_chords))]
    ).reshape(-1, n_chords, n_chords)

    last = n_slots - chords_per_bar  # the first slot of the last bar
    closing = {numerals[0]: 0.0} if ending == "full" else _HALF[key.mode]
    if ending != "open":
        slots[last:] += _only(numerals, closing)
    if last > 0:
        slots[0] += _only(numerals, {numerals[0]: 0.0})
    if ending == "full" and last > 1:  # nearer than that, the first tonic is also the last but one
        changes[last - 1] += _only(numerals, _CADENCES[key.mode])[:, None]
    return Costs(slots, changes)


def cheapest_path(costs: Costs) -> NDArray[np.int64]:
    """Return the chords [S] of the sequence with the smallest sum, by dynamic programming."""
    total = costs.slots[0]
    arrows = []
    for slot, change in zip(costs.slots[1:], costs.changes, strict=True):
        reached = total[:, None] + change
        arrows.append(reached.argmin(axis=0))
        total = reached.min(axis=0) + slot
    path = [int(total.argmin())]
    for arrow in reversed(arrows):
        path.append(int(arrow[path[-1]]))
    return np.array(path[::-1], dtype=np.int64)


def _edges(
    notes: list[Note], meter: Meter, n_bars: int | None, start: int, per_bar: int, per_quarter: int
) -> list[int]:
    """Return the ticks between which the slots lie, S + 1 of them."""
    bar, pulse = meter.quarters * per_quarter, meter.pulse_quarters * per_quarter
    n_pulses = round(bar / pulse)
    if bar != int(bar) or pulse != int(pulse) or per_bar not in (1, 2) or n_pulses < per_bar:
        raise UsageError(f"{per_bar} chords in a bar of {meter}", advice="Give 1 or 2")
    if n_bars is None:
        last = max((note.end for note in notes), default=start)
        n_bars = -(-(last - start) // int(bar))
    if n_bars < 1:
        raise UsageError(f"chords for {n_bars} bars", advice="Give a melody, or at least one bar")
    inside = [0] if per_bar == 1 else [0, -(-n_pulses // 2) * int(pulse)]
    return [start + b * int(bar) + i for b in range(n_bars) for i in inside] + [
        start + n_bars * int(bar)
    ]


def _clashes(
    notes: list[Note],
    known: tuple[Chord, ...],
    meter: Meter,
    edges: list[int],
    per_quarter: int,
) -> Floats:
    """Return what the melody of each slot costs under each chord, [S, K]."""
    table = np.array([[_clash(pitch, chord) for chord in known] for pitch in range(12)])  # [12, K]
    bar, pulse = meter.quarters * per_quarter, meter.pulse_quarters * per_quarter
    lengths = np.diff(edges)
    found = np.zeros((len(lengths), len(known)))
    for note in notes:
        first = max(int(np.searchsorted(edges, note.start, side="right")) - 1, 0)
        for s in range(first, len(lengths)):
            sounding = min(note.end, edges[s + 1]) - max(note.start, edges[s])
            if sounding <= 0:
                break
            place = note.start - edges[0]
            if note.start < edges[s]:
                accent = _ACCENT_HELD
            elif place % bar == 0:
                accent = _ACCENT_BAR
            else:
                accent = _ACCENT_PULSE if place % pulse == 0 else _ACCENT_OFF
            found[s] += _CLASH * accent * sounding / lengths[s] * table[note.pitch % 12]
    return found


def _clash(pitch: int, chord: Chord) -> float:
    tones = chord.pitch_classes
    if pitch in tones:
        return _CHORD_TONE[tones.index(pitch)]
    return _SEMITONE_ABOVE if (pitch - 1) % 12 in tones else _FOREIGN


def _rarity(chord: Chord, degree: int) -> float:
    """Return what a chord costs anywhere; the tonic is never rare."""
    if degree == 0:
        return 0.0
    return _RARE["third"] * (degree == 2) + _RARE["diminished"] * (chord.quality == "diminished")


def _changes(known: tuple[Chord, ...], strong: bool) -> Floats:
    """Return the cost of each change into a slot, [K, K]; `strong` if the slot begins a bar."""
    found = np.zeros((len(known), len(known)))
    for i, a in enumerate(known):
        for j, b in enumerate(known):
            if i == j:
                found[i, j] = _SAME_CHORD[strong]
                continue
            functions = _FUNCTIONS[i if i < 7 else 4] + _FUNCTIONS[j if j < 7 else 4]
            found[i, j] = _CHANGE_OF_FUNCTION[functions] + _ROOT_MOTION[(b.root - a.root) % 12]
            found[i, j] += 0.0 if strong else _CHANGE_INSIDE_BAR
            if a.quality == "seventh" and j not in (0, 5):
                found[i, j] += _UNRESOLVED_SEVENTH
    return found


def _only(numerals: list[str], costs: dict[str, float]) -> Floats:
    """Return [K]: the given costs, and infinity for every chord that has none."""
    return np.array([costs.get(numeral, np.inf) for numeral in numerals])
