"""Keys: each segment in the mode of its mood, its tonic near the one before.

The tonic stays where it is unless another one has clearly more notes in common with the scale
before; where arousal rises by a standard deviation or more, the music lifts to a tonic a fourth or
a minor third higher, and sinks back by as much where it falls.
"""

from __future__ import annotations

from collections.abc import Sequence

from segue.core.seeding import generator
from segue.music.theory import Key

__all__ = ["choose_keys"]

_FIRST = (0, 2, 4, 5, 7, 9)
"""C, D, E, F, G, A: within half an octave of where the tunes are composed."""
_UP, _DOWN = (5, 3, 2), (7, 9, 10)
"""Semitones up to the next tonic, by lift and by fall."""
_RISE = 1.0
_NEW_NOTE = 1.0
_NEW_TONIC = 2.5


def choose_keys(modes: Sequence[str], arousal: Sequence[float], seed: int) -> list[Key]:
    """Return the key of each segment.

    Args:
        modes: [T] of `segue.music.theory.MODES`.
        arousal: [T] in standard deviations.
        seed: decides the first tonic.
    """
    keys: list[Key] = []
    for t, mode in enumerate(modes):
        if not keys:
            tonic = int(generator(seed, "tonic").choice(_FIRST))
            keys.append(Key(tonic, mode))
            continue
        before, change = keys[-1], arousal[t] - arousal[t - 1]
        moves = _UP if change >= _RISE else _DOWN if change <= -_RISE else (0, *_UP, *_DOWN)
        near = [(_distance(before, Key((before.tonic + m) % 12, mode), m), m) for m in moves]
        keys.append(Key((before.tonic + min(near)[1]) % 12, mode))
    return keys


def _distance(before: Key, after: Key, move: int) -> float:
    new = set(after.pitch_classes) - set(before.pitch_classes)
    return _NEW_NOTE * len(new) + (_NEW_TONIC if move else 0.0)
