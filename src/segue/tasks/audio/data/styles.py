"""What makes music of a mood: mode, chord colour, tempo, density, register, articulation, loudness.

Valence is carried by mode and the colour of chords; arousal by tempo, density, loudness and
articulation; register by both (A. Gabrielsson and E. Lindström, "The role of structure in the
musical expression of emotions", 2010). The numbers are ours: wide enough that clips of one mood
differ, and apart enough that moods do not meet.

Lengths are in beats (quarter notes); a negative one is a rest. Degrees and steps of chords count
scale steps from 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from segue.tasks.audio.vocabulary import MOODS

__all__ = ["COLOURS", "STYLES", "Style"]

COLOURS: dict[str, tuple[int, ...]] = {
    "triad": (0, 2, 4),
    "sixth": (0, 2, 4, 5),
    "seventh": (0, 2, 4, 6),
    "ninth": (0, 2, 4, 8),
    "suspended": (0, 3, 4),
    "cluster": (0, 1, 4),
    "power": (0, 4, 7),
}
"""Colour of a chord -> its tones, in scale steps above its root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How music of one mood is made; weights need not add up to 1."""

    modes: Mapping[str, float]
    """Mode -> weight."""
    tempo_bpm: tuple[int, int]
    progressions: tuple[tuple[int, ...], ...]
    """Degrees of the chords, one after another."""
    chord_beats: tuple[int, ...]
    """How long a chord lasts; one of these for a whole clip."""
    colours: Mapping[str, float]
    """Colour of chords -> weight."""
    cells: Mapping[tuple[float, ...], float]
    """Rhythms that melodies are put together from -> weight."""
    articulation: tuple[float, float]
    """Share of its written length that a note sounds, drawn once for a clip."""
    velocity: tuple[int, int]
    """MIDI velocity of the melody, drawn once for a clip."""
    accent: int
    """Added on the first beat of a chord."""
    register: tuple[float, float]
    """Middle of the melody in the instrument's range, 0 lowest to 1 highest."""
    reach: int
    """Semitones that the melody may go from its middle."""
    leap: float
    """Chance of a leap instead of a step."""
    repeat: float
    """Chance of the same note again."""
    chromatic: float
    """Chance of a note between the scale's, a semitone below the one that was meant."""
    fall: float
    """Share of moves that go down."""
    textures: Mapping[str, float]
    """Accompaniment -> weight; see `segue.tasks.audio.data.textures`."""
    lift: int
    """Velocity of the accompaniment above that of the melody."""


STYLES: tuple[Style, ...] = (
    Style(  # happy
        modes={"major": 6, "mixolydian": 1, "lydian": 1},
        tempo_bpm=(112, 156),
        progressions=(
            (0, 3, 4, 0), (0, 4, 5, 3), (0, 3, 0, 4), (0, 1, 4, 0), (0, 4, 3, 4), (0, 5, 1, 4),
        ),
        chord_beats=(2, 3, 4),
        colours={"triad": 6, "sixth": 3, "ninth": 1},
        cells={
            (0.5, 0.5): 5, (0.75, 0.25): 3, (0.5, 0.25, 0.25): 3, (0.25, 0.25, 0.5): 2,
            (1.0,): 2, (-0.5, 0.5): 2, (0.5, 1.0, 0.5): 2, (0.25, 0.5, 0.25): 1,
            (1 / 3, 1 / 3, 1 / 3): 1,
        },
        articulation=(0.35, 0.75),
        velocity=(84, 104),
        accent=10,
        register=(0.62, 0.82),
        reach=9,
        leap=0.35,
        repeat=0.12,
        chromatic=0.0,
        fall=0.45,
        textures={"oompah": 4, "offbeat": 3, "alberti": 3, "stabs": 2},
        lift=-16,
    ),
    Style(  # angry
        modes={"minor": 4, "phrygian": 4, "locrian": 2},
        tempo_bpm=(120, 160),
        progressions=(
            (0, 1, 0, 6), (0, 0, 1, 4), (0, 5, 1, 4), (0, 3, 1, 0), (0, 6, 5, 1), (0, 4, 1, 0),
        ),
        chord_beats=(2, 2, 4),
        colours={"cluster": 5, "triad": 2, "seventh": 2, "power": 2},
        cells={
            (0.25, 0.25, 0.25, 0.25): 6, (0.5, 0.25, 0.25): 4, (0.25, 0.25, 0.5): 3,
            (0.5, 0.5): 2, (-0.25, 0.25, 0.25, 0.25): 2, (1 / 3, 1 / 3, 1 / 3): 2,
            (0.75, 0.25): 1, (1.0,): 1,
        },
        articulation=(0.6, 0.95),
        velocity=(106, 122),
        accent=14,
        register=(0.12, 0.42),
        reach=11,
        leap=0.4,
        repeat=0.4,
        chromatic=0.22,
        fall=0.55,
        textures={"hammer": 5, "tremolo": 4, "stabs": 2, "octaves": 3},
        lift=-4,
    ),
    Style(  # sad
        modes={"minor": 8, "dorian": 1, "phrygian": 1},
        tempo_bpm=(60, 80),
        progressions=(
            (0, 3, 0, 4), (0, 5, 3, 4), (0, 4, 5, 3), (0, 6, 5, 4), (0, 3, 5, 0), (5, 3, 0, 4),
        ),
        chord_beats=(2, 3, 4),
        colours={"triad": 6, "seventh": 2, "suspended": 2},
        cells={
            (1.0,): 4,
            (1.5, 0.5): 4,
            (2.0,): 2,
            (1.0, 0.5, 0.5): 2,
            (0.5, 1.0, 0.5): 1,
            (-1.0, 1.0): 1,
            (-0.5, 1.5): 1,
            (1.0, 2.0): 1,
        },
        articulation=(0.95, 1.1),
        velocity=(38, 56),
        accent=2,
        register=(0.12, 0.36),
        reach=7,
        leap=0.12,
        repeat=0.15,
        chromatic=0.03,
        fall=0.72,
        textures={"pad": 5, "drone": 3, "touched": 3, "none": 1},
        lift=-10,
    ),
    Style(  # tender
        modes={"major": 6, "lydian": 2},
        tempo_bpm=(72, 100),
        progressions=(
            (0, 3, 0, 3), (0, 5, 3, 4), (0, 2, 3, 4), (0, 3, 1, 4), (3, 0, 3, 0), (0, 4, 3, 0),
        ),
        chord_beats=(2, 3, 4),
        colours={"ninth": 4, "seventh": 4, "triad": 2, "sixth": 2},
        cells={
            (1.0,): 4, (0.5, 0.5): 4, (1.0, 0.5, 0.5): 3, (1.5, 0.5): 3, (2.0,): 2,
            (-0.5, 0.5): 1, (2 / 3, 1 / 3): 2,
        },
        articulation=(0.88, 1.05),
        velocity=(52, 72),
        accent=4,
        register=(0.55, 0.8),
        reach=8,
        leap=0.25,
        repeat=0.08,
        chromatic=0.0,
        fall=0.5,
        textures={"arpeggio": 6, "alberti": 3, "rolled": 2},
        lift=-12,
    ),
)  # fmt: skip
"""By mood, in the order of `MOODS`."""

assert len(STYLES) == len(MOODS)
