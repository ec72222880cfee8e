"""The film's theme: a tune of three phrases whose first is the motif that returns.

The note RNN composes in C major or A minor. What is kept of its tune is where each note lies in the
scale, so that the same motif can be played in another key, mode and register and is still heard as
the same: a third stays a third, major or minor.

A phrase has about two bars. `plan_phrases` fills the bars of a segment with them; the motif comes
first, on the cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from segue.core.seeding import generator
from segue.music.events import TICKS_PER_STEP
from segue.music.notes import Note
from segue.music.theory import MODES, Key, Meter
from segue.tasks.melody.play import Composer
from segue.tasks.melody.tunes import compose_tunes, home_key, phrase_steps

__all__ = ["MOTIF", "ScaleNote", "Theme", "compose_theme", "plan_phrases", "realise", "thinned"]

MOTIF = "A"
_LETTERS = "ABC"
_ORDER = "ABAC"
"""Phrases of a long segment, repeated: the motif in every other place."""
_CANDIDATES = 8
_FEWEST_NOTES = 3
"""A motif of fewer notes is not remembered."""


@dataclass(frozen=True, slots=True, order=True)
class ScaleNote:
    """A note of a melody without a key."""

    start: int
    """Step (sixteenth) of its phrase."""
    degree: int
    """Scale steps above the tonic: 0 is the tonic, 7 the one above."""
    end: int


@dataclass(frozen=True, slots=True)
class Theme:
    """Three phrases of equal length."""

    phrases: dict[str, tuple[ScaleNote, ...]]
    """By letter: A is the motif."""
    phrase_bars: int
    meter: Meter


def compose_theme(composer: Composer, key: Key, meter: Meter, seed: int) -> Theme:
    """Compose the theme of a film.

    Args:
        composer: plays in `home_key(key)`.
        key: its mode decides whether the theme is thought in major or in minor.
        meter: of the bars.
        seed: of everything random.
    """
    home = home_key(key)
    step_count = meter.steps_per_bar()
    phrase_bars = phrase_steps(meter, 4)[0] // step_count
    tunes = compose_tunes(
        composer, _CANDIDATES, n_bars=len(_LETTERS) * phrase_bars, key=home, meter=meter,
        tempo_qpm=120.0, seed=int(generator(seed, "theme").integers(2**31)), form=_LETTERS,
    )  # fmt: skip
    length = phrase_bars * step_count
    found = []
    for tune in tunes:
        notes = _without_key(tune.notes(), home)
        phrases = {
            letter: _cut(notes, i * length, (i + 1) * length) for i, letter in enumerate(_LETTERS)
        }
        motif = phrases[MOTIF]
        # A motif that says something, from its first beat on, and else the better tune.
        good = len({n.degree for n in motif}) >= _FEWEST_NOTES, bool(motif) and motif[0].start == 0
        found.append(((*good, tune.rule_sum), Theme(phrases, phrase_bars, meter)))
    return max(found, key=lambda item: item[0])[1]


def plan_phrases(n_bars: int, phrase_bars: int) -> list[tuple[str, int]]:
    """Return (letter, bars) that fill a segment; what no whole phrase fits into is head of A.

    In three bars and phrases of two: A and one bar of its head.
    """
    whole, rest = divmod(n_bars, phrase_bars)
    plan = [(_ORDER[i % len(_ORDER)], phrase_bars) for i in range(whole)]
    return plan + ([(MOTIF, rest)] if rest else [])


def realise(
    notes: Sequence[ScaleNote], key: Key, centre: int, velocity: int, start_tick: int = 0
) -> list[Note]:
    """Return scale notes as they sound: in a key, around a pitch.

    Args:
        notes: of a phrase.
        key: key and mode.
        centre: the octave is chosen so that the mean lies nearest to this pitch.
        velocity: of all notes.
        start_tick: of the phrase.
    """
    if not notes:
        return []
    scale = MODES[key.mode]
    pitches = [key.tonic + 12 * (n.degree // 7) + scale[n.degree % 7] for n in notes]
    lengths = [n.end - n.start for n in notes]
    mean = sum(p * length for p, length in zip(pitches, lengths, strict=True)) / sum(lengths)
    octaves = round((centre - mean) / 12)
    return [
        Note(
            start_tick + n.start * TICKS_PER_STEP, pitch + 12 * octaves,
            start_tick + n.end * TICKS_PER_STEP, velocity,
        )
        for n, pitch in zip(notes, pitches, strict=True)
    ]  # fmt: skip


def thinned(notes: Sequence[ScaleNote], grid: int) -> tuple[ScaleNote, ...]:
    """Keep the notes on every `grid`-th step and let them sound through what is left out.

    A note that begins in between is taken over by the one before it, if that one reaches so far.
    """
    kept: list[ScaleNote] = []
    for note in sorted(notes):
        if note.start % grid == 0 or not kept:
            kept.append(note)
        elif note.start - kept[-1].end < grid:
            kept[-1] = replace(kept[-1], end=max(kept[-1].end, note.end))
    return tuple(kept)


def _without_key(notes: Sequence[Note], home: Key) -> list[ScaleNote]:
    """Return where notes lie in the scale; those outside it count as the degree below."""
    scale = MODES[home.mode]
    found = []
    for note in notes:
        octave, above = divmod(note.pitch - home.tonic, 12)
        degree = max(i for i, semitones in enumerate(scale) if semitones <= above)
        found.append(
            ScaleNote(note.start // TICKS_PER_STEP, 7 * octave + degree, note.end // TICKS_PER_STEP)
        )
    return found


def _cut(notes: Sequence[ScaleNote], start: int, end: int) -> tuple[ScaleNote, ...]:
    """Return the part of notes between two steps, counted from the first."""
    return tuple(
        ScaleNote(max(n.start, start) - start, n.degree, min(n.end, end) - start)
        for n in notes
        if n.start < end and n.end > start
    )
