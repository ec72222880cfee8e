"""Compositions that grow side by side, with all that the rules ask about their past.

`Compositions` holds `B` pieces of the same number of notes. `decide` looks at one more note for
each without changing anything; `append` makes it part of the pieces. Each question that a rule asks
costs a few array operations, whatever the length of the piece: counts, sums and windows are carried
along instead of being read again.

Letters: `B` compositions, `t` notes so far. Symbols: see `segue.music.events`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segue.music.events import FIRST_ONSET, N_CLASSES, NO_EVENT, NOTE_OFF

__all__ = ["MOTIF_STEPS", "Compositions", "Decision", "Extremes", "Leap", "walk"]

MOTIF_STEPS = 8
"""Length of a motif."""
_BITS = 6
"""Bits of a class number, so that a motif fits into one word."""
_LEAP = 7
"""Semitones of a leap: a fifth."""
_LONG_LEAP_STEPS = 6
"""A leap back pays only when more steps than this lie between."""

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Leap:
    """The state of the leap rule after a note, [B] each, and what the note did."""

    direction: Ints
    """+1 or -1 after an unanswered leap, else 0."""
    left: Ints
    """Class that the unanswered leap came from, else 0."""
    steps: Ints
    """Notes since the last leap."""
    outcome: Ints
    """+1 where the note resolved a leap, -1 where it doubled one, else 0."""


@dataclass(frozen=True, slots=True)
class Extremes:
    """The outermost notes of pieces, [B] each."""

    highest: Ints
    """The largest class, holds and rests included; -1 in an empty piece."""
    n_highest: Ints
    """How often it occurs."""
    lowest: Ints
    """The lowest onset; 38 without one."""
    n_lowest: Ints
    """How often it occurs."""

    @property
    def unique(self) -> tuple[Bools, Bools]:
        """[B] whether the highest class, and the lowest pitch, occur once."""
        return self.n_highest == 1, self.n_lowest == 1


class Compositions:
    """`B` pieces of the same length so far.

    Args:
        batch: number of pieces, B.
        length: number of notes that they are meant to have, N.
        capacity: most notes that will be appended; default N.
    """

    def __init__(self, batch: int, length: int, capacity: int | None = None) -> None:
        self.batch, self.length = batch, length
        self.capacity = capacity or length
        self.notes = np.zeros((self.capacity, batch), dtype=np.int64)
        """[capacity, B] classes; the first `beat` rows are the pieces."""
        self._pitch_bits = np.zeros((self.capacity, batch), dtype=np.uint64)
        self._windows = np.zeros((self.capacity, batch), dtype=np.uint64)
        self.clear()

    def clear(self) -> None:
        """Begin all pieces anew."""
        zeros = np.zeros(self.batch, dtype=np.int64)
        self.beat = 0
        self.total, self.squares = zeros, zeros
        self.products = (zeros, zeros, zeros)
        self.last_onset = zeros
        """[B] class of the last onset, 0 before the first one."""
        self.run = zeros
        """[B] onsets of that class since the last different onset."""
        self.run_apart = zeros.astype(bool)
        """[B] whether holds or rests lie among or just before them."""
        self.rests, self.holds = zeros, zeros
        """[B] note-offs and no-events since the last onset."""
        self.leap = Leap(zeros, zeros, zeros, zeros)
        self.extremes = Extremes(zeros - 1, zeros, zeros + N_CLASSES, zeros)

    def decide(self, action: ArrayLike) -> Decision:
        """Return one more note for each piece, [B], without appending it."""
        return Decision(self, np.asarray(action, dtype=np.int64))

    def append(self, decision: Decision) -> None:
        """Make a decision's notes part of the pieces."""
        a, t = decision.action, self.beat
        # what a decision computes by need looks at the pieces without it: first of all
        window, leap, extremes = decision.window, decision.leap, decision.extremes
        self.total = self.total + a
        self.squares = self.squares + a * a
        self.products = tuple(  # type: ignore[assignment]
            p + a * self.notes[t - lag] if t >= lag else p
            for lag, p in zip((1, 2, 3), self.products, strict=True)
        )
        onset = a >= FIRST_ONSET
        same = a == self.last_onset
        special = self.rests + self.holds > 0
        self.run = np.where(onset, np.where(same, self.run + 1, 1), self.run)
        self.run_apart = np.where(onset & ~same, special, self.run_apart | ~onset)
        self.rests = np.where(onset, 0, self.rests + (a == NOTE_OFF))
        self.holds = np.where(onset, 0, self.holds + (a == NO_EVENT))
        self.last_onset = np.where(onset, a, self.last_onset)
        self.leap, self.extremes = leap, extremes
        self.notes[t] = a
        self._pitch_bits[t] = decision.pitch_bit
        self._windows[t] = window
        self.beat = t + 1


class Decision:
    """One more note for each of `B` pieces, and what the rules ask about it.

    Attributes:
        compositions: the pieces without this note.
        action: [B] classes.
    """

    def __init__(self, compositions: Compositions, action: Ints) -> None:
        self.compositions, self.action = compositions, action
        self.extras: dict[str, Any] = {}
        """What others know of this note, such as `log_p`, its log probability under the prior."""

    @property
    def beat(self) -> int:
        """Number of notes before this one."""
        return self.compositions.beat

    @property
    def length(self) -> int:
        """Number of notes that the pieces are meant to have."""
        return self.compositions.length

    @property
    def notes(self) -> Ints:
        """[beat, B] the notes before this one."""
        return self.compositions.notes[: self.beat]

    @property
    def final(self) -> bool:
        """Whether this is the last note."""
        return self.beat + 1 == self.length

    @cached_property
    def pitch_bit(self) -> NDArray[np.uint64]:
        """[B] a word with the bit of the pitch set; 0 for holds and rests."""
        return _PITCH_BITS[self.action]

    @cached_property
    def window(self) -> NDArray[np.uint64]:
        """[B] the last eight notes, this one included, as one word."""
        c, t = self.compositions, self.beat
        before = c._windows[t - 1] if t else np.zeros(c.batch, dtype=np.uint64)
        return (before << np.uint64(_BITS) | self.action.astype(np.uint64)) & _WINDOW_MASK

    @cached_property
    def motif_pitches(self) -> Ints:
        """[B] number of different pitches in the last eight notes; 0 while there are fewer."""
        c, t = self.compositions, self.beat
        if t + 1 < MOTIF_STEPS:
            return np.zeros(c.batch, dtype=np.int64)
        bits = np.bitwise_or.reduce(c._pitch_bits[t + 1 - MOTIF_STEPS : t], axis=0)
        return np.asarray(np.bitwise_count(bits | self.pitch_bit), dtype=np.int64)

    @cached_property
    def in_motif(self) -> Bools:
        """[B] whether the last eight notes are a motif: three pitches or more."""
        return self.motif_pitches >= 3

    @cached_property
    def motif_repeated(self) -> Bools:
        """[B] whether they are a motif that stands in the piece before, without overlap."""
        t = self.beat
        earlier = self.compositions._windows[MOTIF_STEPS - 1 : max(0, t + 1 - MOTIF_STEPS)]
        if not len(earlier):
            return np.zeros(self.compositions.batch, dtype=bool)
        return np.asarray((earlier == self.window).any(axis=0) & self.in_motif)

    @cached_property
    def leap(self) -> Leap:
        """The leap rule's state after this note."""
        before, a, p = self.compositions.leap, self.action, self.compositions.last_onset
        if self.beat == 0:
            return before
        onset = a >= FIRST_ONSET
        leaps = onset & (p > 0) & (np.abs(a - p) >= _LEAP)
        way = np.where(a > p, 1, -1)
        free = before.direction == 0
        doubled = leaps & (before.direction == way)
        back = leaps & (before.direction == -way)
        walks = onset & ~leaps
        returned = walks & (
            ((before.direction > 0) & (a <= before.left))
            | ((before.direction < 0) & (a >= before.left))
        )
        resolved = returned | (back & (before.steps > _LONG_LEAP_STEPS))
        ends = back | returned
        begins = leaps & free
        zero = np.zeros_like(a)
        return Leap(
            direction=np.where(ends, zero, np.where(begins, way, before.direction)),
            left=np.where(ends, zero, np.where(begins, p, before.left)),
            steps=np.where(leaps, zero, before.steps + 1),
            outcome=resolved.astype(np.int64) - doubled,
        )

    @cached_property
    def extremes(self) -> Extremes:
        """The highest class and the lowest pitch of the pieces with this note."""
        before, a = self.compositions.extremes, self.action
        pitch = np.where(a >= FIRST_ONSET, a, N_CLASSES)
        highest, lowest = np.maximum(before.highest, a), np.minimum(before.lowest, pitch)
        return Extremes(
            highest=highest,
            n_highest=np.where(a > before.highest, 1, before.n_highest + (a == before.highest)),
            lowest=lowest,
            n_lowest=np.where(pitch < before.lowest, 1, before.n_lowest + (a == before.lowest)),
        )


def walk(classes: ArrayLike, length: int | None = None) -> Iterator[Decision]:
    """Yield the decisions of whole pieces, note by note; each is appended when the next is asked.

    Args:
        classes: [B, T] pieces.
        length: number of notes that they are meant to have; default T.
    """
    notes = np.atleast_2d(np.asarray(classes, dtype=np.int64))
    batch, steps = notes.shape
    compositions = Compositions(batch, length or steps, steps)
    for action in notes.T:
        decision = compositions.decide(action)
        yield decision
        compositions.append(decision)


_WINDOW_MASK = np.uint64((1 << (_BITS * MOTIF_STEPS)) - 1)
_PITCH_BITS = np.array(
    [0 if c < FIRST_ONSET else 1 << c for c in range(N_CLASSES)], dtype=np.uint64
)
