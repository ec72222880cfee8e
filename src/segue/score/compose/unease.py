"""Unease: what tension adds to a passage.

The chords stay on the tonic, the bass is its pedal point, and a note of the scale is held a
semitone from the chord.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from segue.music.harmony import Chord, chords_of_key
from segue.music.notes import Note
from segue.music.theory import Key

__all__ = ["pedal", "shadow", "staying"]

_LOWEST_SHADOW = 54


def staying(chords: Sequence[Chord], key: Key) -> tuple[Chord, ...]:
    """Stay on the tonic but for every fourth bar: what does not move on is not resolved."""
    tonic = chords_of_key(key)[0]
    return tuple(
        chord if i % 4 == 3 else replace(tonic, start=chord.start, end=chord.end)
        for i, chord in enumerate(chords)
    )


def pedal(bass: Iterable[Note], key: Key) -> Iterator[Note]:
    """Move every note of a bass to the tonic next to it."""
    for note in bass:
        down = (note.pitch - key.tonic) % 12
        yield replace(note, pitch=note.pitch - down if down <= 6 else note.pitch + 12 - down)


def shadow(chords: Iterable[Chord], key: Key, velocity: int) -> Iterator[Note]:
    """Hold under each chord a note of the scale that lies a semitone from one of its own.

    From its third if there is one, else from its root, and only then from its fifth: the sixth of
    minor makes a major chord of the tonic. A note that stays the same is held on.
    """
    held: Note | None = None
    for chord in chords:
        root, third, fifth = chord.pitch_classes[:3]
        free = [c for c in key.pitch_classes if c not in chord.pitch_classes]
        near = [c for own in (third, root, fifth) for c in free if (c - own) % 12 in (1, 11)]
        if not near:
            continue
        pitch = next(p for p in range(_LOWEST_SHADOW, _LOWEST_SHADOW + 12) if p % 12 == near[0])
        if held is not None and (held.pitch, held.end) == (pitch, chord.start):
            held = replace(held, end=chord.end)
            continue
        if held is not None:
            yield held
        held = Note(chord.start, pitch, chord.end, velocity)
    if held is not None:
        yield held
