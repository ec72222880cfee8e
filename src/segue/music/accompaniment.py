"""Chords turned into parts: a bass, and chords in one of four textures.

Everything follows from the arguments; nothing is drawn by chance. The voices of the chords move as
little as they can from one chord to the next.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from segue.core.errors import UsageError
from segue.core.names import unknown
from segue.music.harmony import Chord
from segue.music.instruments import INSTRUMENTS
from segue.music.notes import TICKS_PER_QUARTER, Note, Part, sorted_notes
from segue.music.theory import Meter

__all__ = ["TEXTURES", "accompany", "bass_line", "voicings"]

Voicing = tuple[int, ...]

_REACH = 9
"""A chord's voices stay within this many semitones of the register's middle."""
_CENTRING = 0.15
"""What a semitone away from the middle costs, in semitones of movement."""
_BASS_REACH = 10
_STACCATO = 0.7
_STRESS = (8, 0, -8)
"""Added to the velocity at a bar's beginning, on a pulse, elsewhere."""


def accompany(
    chords: Sequence[Chord],
    meter: Meter,
    *,
    texture: str = "pad",
    density: float = 0.5,
    register: int = 57,
    bass_register: int = 40,
    velocity: int = 64,
    program: int = INSTRUMENTS["string ensemble"],
    bass_program: int = INSTRUMENTS["contrabass"],
    ticks_per_quarter: int = TICKS_PER_QUARTER,
) -> tuple[Part, Part]:
    """Return the chords and the bass of an accompaniment.

    Args:
        chords: one after another; bars are counted from the start of the first.
        meter: gives the bars and the pulse.
        texture: a name of `TEXTURES`: "pad" holds chords, "arpeggio" breaks them, "pulse" repeats
            them, "sparse" touches them and leaves silence.
        density: 0 to 1, from few notes to many.
        register: MIDI pitch in the middle of the chords, 36 to 96. A melody above is left alone
            if it lies more than nine semitones higher.
        bass_register: MIDI pitch in the middle of the bass, 24 to 60.
        velocity: 1 to 127, before the stress of the beat.
        program: General MIDI programme of the chords.
        bass_program: of the bass.
        ticks_per_quarter: resolution of the chords' times.

    Raises:
        UnknownName: no such texture.
        UsageError: a density, register or velocity out of range.
    """
    if texture not in TEXTURES:
        raise unknown("texture", texture, TEXTURES)
    for name, value, low, high in (
        ("density", density, 0, 1), ("register", register, 36, 96),
        ("bass register", bass_register, 24, 60), ("velocity", velocity, 1, 127),
    ):  # fmt: skip
        if not low <= value <= high:
            raise UsageError(f"a {name} of {value:g}", advice=f"Give {low} to {high}")
    grid = _Grid(meter, ticks_per_quarter, chords[0].start if chords else 0, velocity)
    upper = [*TEXTURES[texture](list(chords), voicings(chords, register), grid, density)]
    lower = [*bass_line(chords, meter, density, bass_register, velocity, ticks_per_quarter)]
    if texture == "sparse":
        lower = _where_touched(lower, upper)
    return (
        Part(sorted_notes(upper), program, name="chords"),
        Part(sorted_notes(lower), bass_program, name="bass"),
    )


def voicings(chords: Sequence[Chord], register: int) -> list[Voicing]:
    """Return three voices for each chord, low to high, within an octave.

    A seventh chord leaves its fifth out. Each chord takes the position whose voices move least from
    the chord before, with a slight pull to the middle of the register.
    """
    found: list[Voicing] = []
    for chord in chords:
        tones = chord.pitch_classes
        tones = tones if len(tones) == 3 else (tones[0], tones[1], tones[3])
        places = [
            [p for p in range(register - _REACH, register + _REACH + 1) if p % 12 == tone]
            for tone in tones
        ]
        closed = [
            voicing
            for pitches in itertools.product(*places)
            if (voicing := tuple(sorted(pitches)))[-1] - voicing[0] < 12
        ]
        before = found[-1] if found else None
        found.append(min(closed, key=lambda v: (_movement(before, v, register), v)))
    return found


def bass_line(
    chords: Sequence[Chord],
    meter: Meter,
    density: float,
    register: int,
    velocity: int,
    ticks_per_quarter: int = TICKS_PER_QUARTER,
) -> Iterator[Note]:
    """Give the notes of a bass.

    A density below one third holds the root of each chord; below two thirds the fifth answers it;
    from there on they take turns on every pulse.
    """
    grid = _Grid(meter, ticks_per_quarter, chords[0].start if chords else 0, velocity)
    before = register
    for chord in chords:
        root = _nearest(chord.root, before, register)
        fifth = _nearest(chord.pitch_classes[2], register, register)
        before = root
        pulses = grid.steps(chord, grid.pulse)
        if density >= 2 / 3:
            starts = pulses
        elif density >= 1 / 3 and len(pulses) > 1:
            starts = [pulses[0], pulses[-(-len(pulses) // 2)]]
        else:
            starts = [chord.start]
        for i, start in enumerate(starts):
            end = starts[i + 1] if i + 1 < len(starts) else chord.end
            yield Note(start, root if i % 2 == 0 else fifth, end, grid.velocity(start))


@dataclass(frozen=True, slots=True)
class _Grid:
    """Bars, pulses and stress, in ticks from the first chord on."""

    meter: Meter
    per_quarter: int
    origin: int
    loudness: int

    @property
    def bar(self) -> int:
        return round(self.meter.quarters * self.per_quarter)

    @property
    def pulse(self) -> int:
        return round(self.meter.pulse_quarters * self.per_quarter)

    def step(self, density: float) -> int:
        """Return a pulse, its half or its quarter; in compound time a pulse, a third or a sixth."""
        compound = self.meter.pulse_quarters != 4 / self.meter.unit
        divisors = (1, 3, 6) if compound else (1, 2, 4)
        return max(self.pulse // divisors[min(int(density * 3), 2)], 1)

    def steps(self, chord: Chord, step: int) -> list[int]:
        """Return the ticks of a chord, `step` apart from its start."""
        return list(range(chord.start, chord.end, step))

    def velocity(self, tick: int) -> int:
        place = tick - self.origin
        stress = _STRESS[0 if place % self.bar == 0 else 1 if place % self.pulse == 0 else 2]
        return min(max(self.loudness + stress, 1), 127)


def _pad(chords: list[Chord], voiced: list[Voicing], grid: _Grid, density: float) -> Iterator[Note]:
    """Hold each chord; dense ones are struck again on half bars, thin ones tie what stays."""
    if density < 1 / 3:
        yield from _tied(chords, voiced, grid)
        return
    half = -(-(grid.bar // grid.pulse) // 2) * grid.pulse
    for chord, voicing in zip(chords, voiced, strict=True):
        for start in grid.steps(chord, half) if density >= 2 / 3 else [chord.start]:
            end = min(start + half, chord.end) if density >= 2 / 3 else chord.end
            for pitch in voicing:
                yield Note(start, pitch, end, grid.velocity(start))


def _tied(chords: list[Chord], voiced: list[Voicing], grid: _Grid) -> Iterator[Note]:
    """Give each pitch once for as long as it stays from chord to chord."""
    held: dict[int, int] = {}
    for i, (chord, voicing) in enumerate(zip(chords, voiced, strict=True)):
        following = voiced[i + 1] if i + 1 < len(voiced) else ()
        for pitch in voicing:
            start = held.setdefault(pitch, chord.start)
            if pitch not in following:
                yield Note(start, pitch, chord.end, grid.velocity(start))
                del held[pitch]


def _arpeggio(
    chords: list[Chord], voiced: list[Voicing], grid: _Grid, density: float
) -> Iterator[Note]:
    """Go up the chord and its octave and down again, from its start each time."""
    step = grid.step(density)
    for chord, (low, middle, high) in zip(chords, voiced, strict=True):
        wave = itertools.cycle((low, middle, high, low + 12, high, middle))
        for start, pitch in zip(grid.steps(chord, step), wave, strict=False):
            yield Note(start, pitch, min(start + step, chord.end), grid.velocity(start))


def _pulse(
    chords: list[Chord], voiced: list[Voicing], grid: _Grid, density: float
) -> Iterator[Note]:
    """Repeat the chord in short notes."""
    step = grid.step(density)
    for chord, voicing in zip(chords, voiced, strict=True):
        for start in grid.steps(chord, step):
            end = min(start + max(round(step * _STACCATO), 1), chord.end)
            for pitch in voicing:
                yield Note(start, pitch, end, grid.velocity(start))


def _sparse(
    chords: list[Chord], voiced: list[Voicing], grid: _Grid, density: float
) -> Iterator[Note]:
    """Touch the chord at the beginning of every fourth, second or single bar, and of the last."""
    every = (4, 2, 1)[min(int(density * 3), 2)] * grid.bar
    last_bar = chords[-1].end - grid.bar if chords else 0
    for chord, voicing in zip(chords, voiced, strict=True):
        if (chord.start - grid.origin) % every and chord.start != last_bar:
            continue
        end = min(chord.start + 2 * grid.pulse, chord.end)
        for pitch in voicing:
            yield Note(chord.start, pitch, end, grid.velocity(chord.start))


TEXTURES: dict[str, Callable[[list[Chord], list[Voicing], _Grid, float], Iterator[Note]]] = {
    "pad": _pad,
    "arpeggio": _arpeggio,
    "pulse": _pulse,
    "sparse": _sparse,
}
"""Name -> texture of the chords."""


def _where_touched(bass: list[Note], chords: list[Note]) -> list[Note]:
    """Return the bass notes that begin with a chord, as long as it."""
    ends = {note.start: note.end for note in chords}
    return [
        Note(n.start, n.pitch, ends[n.start], n.velocity) for n in bass if n.start in ends
    ]  # fmt: skip


def _movement(before: Voicing | None, after: Voicing, register: int) -> float:
    centre = abs(sum(after) / len(after) - register)
    if before is None:
        return centre
    return sum(abs(a - b) for a, b in zip(before, after, strict=True)) + _CENTRING * centre


def _nearest(pitch_class: int, pitch: int, register: int) -> int:
    """Return the pitch of a class that is nearest to `pitch`, within the bass's reach."""
    reach = range(register - _BASS_REACH, register + _BASS_REACH + 1)
    inside = [p for p in reach if p % 12 == pitch_class]
    return min(inside, key=lambda p: (abs(p - pitch), p))
