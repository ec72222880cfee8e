"""Short solo pieces of a mood: a melody of one motif, varied, over an accompaniment.

1. chords: a progression of the mood's, each chord with one of its colours;
2. melody: a motif of rhythm and contour, led to the tones of each chord, repeated and varied;
3. accompaniment: one of the mood's textures, in the instrument's own range.

Everything is played by one instrument: by one player where it can play chords, otherwise by up to
three. The piece runs beyond the clip's end, so that clips are excerpts and none breaks off early.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from segue.music.notes import TICKS_PER_QUARTER, Note, Part, Piece, sorted_notes
from segue.music.theory import MODES, Key
from segue.tasks.audio.data.styles import COLOURS, STYLES, Style
from segue.tasks.audio.data.textures import N_SECOND_PLAYERS, TEXTURES
from segue.tasks.audio.vocabulary import INSTRUMENTS, Instrument

__all__ = ["compose", "draw_key", "draw_tempo"]

T = TypeVar("T")

_LEAD_IN_S = 0.12
"""The first note comes up to so many seconds after the clip's beginning."""
_TIMING_S = 0.008
"""Standard deviation of what players are early or late."""
_VELOCITY_SPREAD = 3.0
_CHORD_TONE_SHARE = 0.75
"""Of the notes on a beat."""
_TEMPO_STEP_BPM = 4
"""Tempi are multiples of it, so that prompts can name them in few different words."""
_MOTIF_BEATS = 4.0
_BELOW_MELODY = 4
"""Semitones that the accompaniment's voices stay below the melody's middle, at least."""


@dataclass(frozen=True, slots=True)
class _Chord:
    start: float
    """In beats."""
    beats: float
    tones: tuple[int, ...]
    """Pitch classes, root first."""


def draw_key(mood: int, rng: np.random.Generator) -> Key:
    """Return a key of a mood: any tonic, one of the mood's modes."""
    return Key(int(rng.integers(12)), _draw(STYLES[mood].modes, rng))


def draw_tempo(mood: int, rng: np.random.Generator) -> float:
    """Return a tempo of a mood in quarter notes per minute, a multiple of 4."""
    slowest, fastest = STYLES[mood].tempo_bpm
    return float(_TEMPO_STEP_BPM * rng.integers(slowest // 4, fastest // 4 + 1))


def compose(
    mood: int, instrument: int, key: Key, tempo: float, seconds: float, rng: np.random.Generator
) -> Piece:
    """Return a piece for one instrument, at least `seconds` long.

    Args:
        mood: index into `MOODS`.
        instrument: index into `INSTRUMENTS`.
        key: its scale and tonic; `draw_key` gives one that suits the mood.
        tempo: quarter notes per minute; `draw_tempo` gives one that suits the mood.
        seconds: length of the clip that is to be filled.
        rng: everything that is left open is drawn from it.
    """
    style, player = STYLES[mood], INSTRUMENTS[instrument]
    n_beats = seconds * tempo / 60.0
    scale = _scale(key, mood, rng)
    chords = _chords(style, key.tonic, scale, n_beats, rng)
    centre = _centre(style, player, rng)
    velocity = int(rng.integers(style.velocity[0], style.velocity[1] + 1))
    program = player.programs[int(rng.integers(len(player.programs)))]
    hand = _Hand(style, tempo, seconds, rng.uniform(0.0, _LEAD_IN_S), rng)
    parts = [Part(_melody(chords, key.tonic, scale, centre, velocity, player, hand), program)]
    lower = _accompaniment(chords, centre, velocity + style.lift, player, hand)
    if lower:
        parts.append(Part(lower, program))
    return Piece(tuple(parts), tempos=((0, float(tempo)),))


@dataclass(frozen=True, slots=True)
class _Hand:
    """Turns beats and pitches into notes as a player would."""

    style: Style
    tempo: float
    seconds: float
    lead_in_s: float
    rng: np.random.Generator

    def note(self, start: float, length: float, pitch: int, velocity: float) -> Note | None:
        """Return a note; None when it would begin after the clip's end."""
        ticks_per_s = TICKS_PER_QUARTER * self.tempo / 60.0
        late_s = self.lead_in_s + self.rng.normal(0.0, _TIMING_S)
        begin = max(round(start * TICKS_PER_QUARTER + late_s * ticks_per_s), 0)
        if begin >= self.seconds * ticks_per_s:
            return None
        end = begin + max(round(length * TICKS_PER_QUARTER), 20)
        loud = round(velocity + self.rng.normal(0.0, _VELOCITY_SPREAD))
        return Note(begin, pitch, end, min(max(loud, 12), 127))


def _scale(key: Key, mood: int, rng: np.random.Generator) -> tuple[int, ...]:
    """Return the steps of the scale above the tonic; angry minor has its leading tone at times."""
    steps = MODES[key.mode]
    if key.mode == "minor" and mood == 1 and rng.random() < 0.5:
        return (*steps[:6], 11)
    return steps


def _chords(
    style: Style, tonic: int, scale: tuple[int, ...], n_beats: float, rng: np.random.Generator
) -> list[_Chord]:
    degrees = style.progressions[int(rng.integers(len(style.progressions)))]
    beats = float(style.chord_beats[int(rng.integers(len(style.chord_beats)))])
    colour = _draw(style.colours, rng)
    found = []
    for i in range(int(n_beats // beats) + 2):
        if rng.random() < 0.4:  # most chords of a clip share one colour
            colour = _draw(style.colours, rng)
        degree = degrees[i % len(degrees)]
        tones = tuple((tonic + _step(scale, degree + up)) % 12 for up in COLOURS[colour])
        found.append(_Chord(i * beats, beats, tuple(dict.fromkeys(tones))))
    return found


def _centre(style: Style, player: Instrument, rng: np.random.Generator) -> int:
    low, high = style.register
    return round(player.low + rng.uniform(low, high) * (player.high - player.low))


def _melody(
    chords: list[_Chord],
    tonic: int,
    scale: tuple[int, ...],
    centre: int,
    velocity: int,
    player: Instrument,
    hand: _Hand,
) -> tuple[Note, ...]:
    style, rng = hand.style, hand.rng
    low, high = max(centre - style.reach, player.low), min(centre + style.reach, player.high)
    ladder = [p for p in range(low, high + 1) if (p - tonic) % 12 in scale]
    sound = rng.uniform(*style.articulation)
    motif = _motif(style, rng)
    end = chords[-1].start + chords[-1].beats
    place, start, notes = len(ladder) // 2, 0.0, []
    while start < end:
        if rng.random() < 0.3:
            motif = _varied(motif, style, rng)
        for length, move in motif:
            if length > 0:
                chord = chords[min(int(start / chords[0].beats), len(chords) - 1)]
                before, place = place, _bounced(place + move, len(ladder))
                on_beat = abs(start - round(start)) < 1e-6
                if on_beat and rng.random() < _CHORD_TONE_SHARE:
                    place = _to_chord(ladder, place, chord.tones, move, before)
                pitch = ladder[place] - (rng.random() < style.chromatic)
                stress = style.accent if abs(start - chord.start) < 1e-6 else 0
                stress += 0 if on_beat else -4
                notes.append(
                    hand.note(start, length * sound, max(pitch, player.low), velocity + stress)
                )
            start += abs(length)
    return _one_voice([note for note in notes if note is not None])


def _motif(style: Style, rng: np.random.Generator) -> list[tuple[float, int]]:
    """Return (length in beats, move in places of the ladder); negative lengths are rests."""
    found: list[tuple[float, int]] = []
    total = 0.0
    while total < _MOTIF_BEATS:
        cell = _draw(style.cells, rng)
        found += [(length, _move(style, rng)) for length in cell]
        total += sum(map(abs, cell))
    if all(length < 0 for length, _ in found):
        found.append((1.0, 0))
    return found


def _varied(
    motif: list[tuple[float, int]], style: Style, rng: np.random.Generator
) -> list[tuple[float, int]]:
    """Return a motif of the same rhythm and other moves, or a new one."""
    if rng.random() < 0.4:
        return _motif(style, rng)
    return [(length, _move(style, rng) if rng.random() < 0.5 else move) for length, move in motif]


def _move(style: Style, rng: np.random.Generator) -> int:
    if rng.random() < style.repeat:
        return 0
    size = int(rng.integers(2, 5)) if rng.random() < style.leap else 1
    return -size if rng.random() < style.fall else size


def _bounced(place: int, n: int) -> int:
    """Return a place inside 0..n - 1, reflected at the edges."""
    period = max(2 * (n - 1), 1)
    place %= period
    return min(place, period - place)


def _to_chord(ladder: list[int], place: int, tones: tuple[int, ...], move: int, before: int) -> int:
    """Return the nearest place whose pitch is of the chord; where the melody moves, another one."""
    wanted = [p for p in range(len(ladder)) if ladder[p] % 12 in tones]

    def cost(p: int) -> float:
        back = (p - place) * move < 0
        return abs(p - place) + 0.5 * back + 2.0 * (move != 0 and p == before)

    return min(wanted, key=cost, default=place)


def _one_voice(notes: list[Note]) -> tuple[Note, ...]:
    """Let a note end a moment after the next begins at the latest: one voice, played legato."""
    ordered = sorted_notes(notes)
    overlap = TICKS_PER_QUARTER // 24
    cut = [
        Note(n.start, n.pitch, min(n.end, max(later.start + overlap, n.start + 1)), n.velocity)
        for n, later in itertools.pairwise(ordered)
    ]
    return sorted_notes([*cut, *ordered[-1:]])


def _accompaniment(
    chords: list[_Chord], centre: int, velocity: int, player: Instrument, hand: _Hand
) -> tuple[Note, ...]:
    rng = hand.rng
    texture = TEXTURES[_draw(hand.style.textures, rng)]
    top = max(centre - _BELOW_MELODY, player.low + 12)
    notes = []
    before: tuple[int, ...] = ()
    for chord in chords:
        tones = chord.tones if player.polyphonic else chord.tones[:N_SECOND_PLAYERS]
        before = voices = _voicing(tones, before, player.low, top)
        bass = None
        if player.polyphonic:
            bass = player.low + (chord.tones[0] - player.low) % 12
            bass += 12 if bass + 24 < voices[0] else 0
        for stroke in texture(voices, bass, chord.beats, rng):
            pitch = min(max(stroke.pitch, player.low), player.high)
            notes.append(
                hand.note(
                    chord.start + stroke.start, stroke.length, pitch, velocity + stroke.stress
                )
            )
    return sorted_notes({n.start // 12 * 128 + n.pitch: n for n in notes if n}.values())


def _voicing(
    tones: tuple[int, ...], before: tuple[int, ...], low: int, top: int
) -> tuple[int, ...]:
    """Return a pitch for each tone, low to high, near those of the chord before."""
    aim = sum(before) / len(before) if before else (0.35 * low + 0.65 * top)
    found = []
    for tone in tones:
        octaves = range(low + (tone - low) % 12, max(top, low + 12) + 1, 12)
        found.append(min(octaves, key=lambda pitch: abs(pitch - aim)))
    return tuple(sorted(found))


def _step(scale: tuple[int, ...], degree: int) -> int:
    octave, place = divmod(degree, len(scale))
    return 12 * octave + scale[place]


def _draw(weights: Mapping[T, float], rng: np.random.Generator) -> T:
    """Return a key, drawn by its weight."""
    names = list(weights)
    share = np.cumsum([weights[name] for name in names])
    return names[int(np.searchsorted(share, rng.uniform(0.0, share[-1]), side="right"))]
