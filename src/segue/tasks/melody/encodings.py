"""What lookback and attention networks hear and say: richer inputs and labels than one class.

Both belong to Melody RNN. They hear whether a melody repeats itself a bar or two ago and where in
the bar it is, and two of their 40 labels are "what came one bar ago" and "what came two bars ago".

    lookback, 121 inputs                      attention, 74 inputs
      0.. 37  this event                        0..35  the pitch that sounds
     38.. 75  what followed a bar ago          36, 37  a note sounds; nothing sounds
     76..113  what followed two bars ago           38  it was struck just now
    114..118  counters of the next step            39  direction: 1 up, -1 down, 0 not yet known
    119, 120  this event repeats                40, 41  this event repeats
              one, two bars ago                 42..48  counters of the next step
                                                   49  the next step begins a bar
                                                50..61  keys that fit best so far
                                                62..73  keys that fit the last 3 pitches best

Counter `i` of step `n` is 1 where bit `i` of `n` is set, else -1. A bar is 16 steps. Labels 38 and
39 repeat one and two bars ago. Labels 0..37 are the classes for lookback; for attention they are 36
pitches, no-event, note-off. What lies before the beginning counts as no-event.

Letters: `T` steps, `B` pieces, `D` inputs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segue.music.events import FIRST_ONSET, N_CLASSES, NO_EVENT, NOTE_OFF
from segue.music.theory import Key

__all__ = [
    "DISTANCES",
    "N_LABELS",
    "AttentionEncoding",
    "Encoding",
    "Heard",
    "KeyHeard",
    "LookbackEncoding",
    "repeats_of",
]

Narrow = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

DISTANCES = (16, 32)
"""Steps of one bar and of two."""
N_LABELS = N_CLASSES + len(DISTANCES)
_BAR, _LONGEST = DISTANCES
_N_PITCHES = N_CLASSES - FIRST_ONSET

_ONE_HOT: Narrow = np.eye(N_CLASSES, dtype=np.float32)
_KEYS_OF_PITCH = np.array(
    [[pitch % 12 in Key(tonic).pitch_classes for tonic in range(12)] for pitch in range(_N_PITCHES)]
).astype(np.int64)
"""[36, 12] whether a pitch belongs to each major key; the lowest pitch is a C."""


class Heard(NamedTuple):
    """What a lookback encoding remembers."""

    recent: Ints
    """[B, 32] the last classes, the newest last; no-event before the beginning."""
    steps: Ints
    """[B] steps so far."""


class KeyHeard(NamedTuple):
    """What an attention encoding remembers, [B] unless said; pitches count from the lowest."""

    heard: Heard
    sounding: Ints
    """The pitch, -1 for silence."""
    struck: Bools
    direction: Ints
    onset: Ints
    """The last pitch that began, -1 for none."""
    times: Ints
    """[B, 36] the step at which each pitch last began, -1 for never."""
    fitting: Ints
    """[B, 12] onsets that belong to each major key."""


class Encoding(ABC):
    """A way to hear melodies and to name what comes next."""

    n_inputs: int
    label_of_class: Ints
    """[38] the plain label of each class."""

    @abstractmethod
    def encode(self, classes: Ints) -> Narrow:
        """Turn whole pieces, [T, B], into inputs, [T, B, D]."""

    @abstractmethod
    def begin(self, batch: int) -> Any:
        """Return the memory of `batch` pieces before anything was heard."""

    @abstractmethod
    def step(self, memory: Any, observation: Ints) -> tuple[Narrow, Ints, Any]:
        """Hear one class per piece, [B].

        Returns:
            (inputs [B, D], the classes that labels 38 and 39 stand for now [B, 2], the memory).
        """

    def labels(self, classes: Ints) -> Ints:
        """Return the label that each event of whole pieces is taught as, [T, B].

        The more distant repeat wins, and a no-event of the first two bars always repeats.
        """
        same = _same(classes)
        labels = self.label_of_class[classes]
        for i in range(len(DISTANCES)):
            labels = np.where(same[..., i], N_CLASSES + i, labels)
        early = (np.arange(len(classes)) < _LONGEST)[:, None] & (classes == NO_EVENT)
        return np.where(early, N_LABELS - 1, labels)

    def classes(self, labels: Ints, repeats: Ints) -> Ints:
        """Return the classes that labels [...] stand for, given the repeats [..., 2]."""
        plain = np.argsort(self.label_of_class)[np.minimum(labels, N_CLASSES - 1)]
        which = np.maximum(labels - N_CLASSES, 0)[..., None]
        repeated = np.take_along_axis(repeats, which, axis=-1)[..., 0]
        return np.where(labels < N_CLASSES, plain, repeated)


def repeats_of(classes: Ints) -> Ints:
    """Return the classes that labels 38 and 39 stand for after each step, [T, B, 2]."""
    n_steps, batch = classes.shape
    before = np.full((_LONGEST - 1, batch), NO_EVENT, dtype=np.int64)
    known = np.concatenate([before, classes])
    return np.stack([known[_LONGEST - d : _LONGEST - d + n_steps] for d in DISTANCES], axis=-1)


class LookbackEncoding(Encoding):
    """That of lookback_rnn."""

    n_inputs = 3 * N_CLASSES + 5 + len(DISTANCES)
    label_of_class = np.arange(N_CLASSES)

    def encode(self, classes: Ints) -> Narrow:
        """Turn whole pieces, [T, B], into inputs, [T, B, 121]."""
        count = np.broadcast_to(np.arange(1, len(classes) + 1)[:, None], classes.shape)
        return self._inputs(classes, repeats_of(classes), count, _same(classes))

    def begin(self, batch: int) -> Heard:
        """Return the memory of `batch` pieces before anything was heard."""
        return _nothing_heard(batch)

    def step(self, memory: Heard, observation: Ints) -> tuple[Narrow, Ints, Heard]:
        """Hear one class per piece, [B]; return inputs, repeats and the memory."""
        same, after = _hear(memory, observation)
        repeats = _repeats(after)
        return self._inputs(observation, repeats, after.steps, same), repeats, after

    @staticmethod
    def _inputs(classes: Ints, repeats: Ints, count: Ints, same: Bools) -> Narrow:
        events = [_ONE_HOT[classes], *(_ONE_HOT[repeats[..., i]] for i in range(len(DISTANCES)))]
        return np.concatenate([*events, _counters(count, 5), same.astype(np.float32)], axis=-1)


class AttentionEncoding(Encoding):
    """That of attention_rnn, whose original name is "key" encoding."""

    n_inputs = _N_PITCHES + 2 + 1 + 1 + len(DISTANCES) + 7 + 1 + 12 + 12
    label_of_class = np.array([_N_PITCHES + 1, _N_PITCHES, *range(_N_PITCHES)])

    def encode(self, classes: Ints) -> Narrow:
        """Turn whole pieces, [T, B], into inputs, [T, B, 74]."""
        steps = np.broadcast_to(np.arange(len(classes))[:, None], classes.shape)
        pitch = classes - FIRST_ONSET
        onset = pitch >= 0
        sounding = _latest(pitch, classes != NO_EVENT)
        struck = _latest(pitch, classes != NOTE_OFF) >= 0
        last = _latest(pitch, onset)
        before = np.concatenate([np.full_like(last[:1], -1), last])[: len(last)]
        turned = onset & (before >= 0) & (pitch != before)
        direction = _latest(np.sign(pitch - before), turned, nothing=0)
        began = pitch[..., None] == np.arange(_N_PITCHES)
        times = np.maximum.accumulate(np.where(began, steps[..., None], -1), axis=0)
        fitting = np.cumsum(began.astype(np.int64) @ _KEYS_OF_PITCH, axis=0)
        parts = (np.maximum(sounding, -1), struck, direction, _same(classes), steps + 1)
        return self._inputs(*parts, times, fitting)

    def begin(self, batch: int) -> KeyHeard:
        """Return the memory of `batch` pieces before anything was heard."""
        none = np.full(batch, -1, dtype=np.int64)
        times = np.full((batch, _N_PITCHES), -1, dtype=np.int64)
        no_count = np.zeros((batch, 12), dtype=np.int64)
        struck = np.zeros(batch, dtype=bool)
        return KeyHeard(
            _nothing_heard(batch), none, struck, np.zeros_like(none), none, times, no_count
        )

    def step(self, memory: KeyHeard, observation: Ints) -> tuple[Narrow, Ints, KeyHeard]:
        """Hear one class per piece, [B]; return inputs, repeats and the memory."""
        same, heard = _hear(memory.heard, observation)
        pitch = observation - FIRST_ONSET
        onset = pitch >= 0
        sounding = np.where(observation == NO_EVENT, memory.sounding, np.maximum(pitch, -1))
        # as in the original, a note-off leaves this flag as it was
        struck = np.where(observation == NOTE_OFF, memory.struck, onset)
        turned = onset & (memory.onset >= 0) & (pitch != memory.onset)
        direction = np.where(turned, np.sign(pitch - memory.onset), memory.direction)
        began = pitch[:, None] == np.arange(_N_PITCHES)
        times = np.where(began, memory.heard.steps[:, None], memory.times)
        fitting = memory.fitting + began.astype(np.int64) @ _KEYS_OF_PITCH
        after = KeyHeard(
            heard, sounding, struck, direction, np.where(onset, pitch, memory.onset), times, fitting
        )
        inputs = self._inputs(sounding, struck, direction, same, heard.steps, times, fitting)
        return inputs, _repeats(heard), after

    @staticmethod
    def _inputs(
        sounding: Ints,
        struck: Bools,
        direction: Ints,
        same: Bools,
        count: Ints,
        times: Ints,
        fitting: Ints,
    ) -> Narrow:
        third_latest = np.partition(times, -3, axis=-1)[..., -3:-2]
        last_three = (times >= np.maximum(third_latest, 0)).astype(np.int64) @ _KEYS_OF_PITCH
        parts = [
            sounding[..., None] == np.arange(_N_PITCHES),
            sounding[..., None] >= 0,
            sounding[..., None] < 0,
            struck[..., None],
            direction[..., None],
            same,
            _counters(count, 7),
            count[..., None] % _BAR == 0,
            fitting == fitting.max(axis=-1, keepdims=True),
            last_three == last_three.max(axis=-1, keepdims=True),
        ]
        return np.concatenate([part.astype(np.float32) for part in parts], axis=-1)


def _nothing_heard(batch: int) -> Heard:
    recent = np.full((batch, _LONGEST), NO_EVENT, dtype=np.int64)
    return Heard(recent, np.zeros(batch, dtype=np.int64))


def _hear(memory: Heard, observation: Ints) -> tuple[Bools, Heard]:
    """Return whether the event repeats each distance, [B, 2], and the memory with it."""
    then = _repeats(memory)  # before the event is added, these are the ones it may repeat
    old_enough = memory.steps[:, None] >= np.array(DISTANCES)
    recent = np.concatenate([memory.recent[:, 1:], observation[:, None]], axis=1)
    return old_enough & (then == observation[:, None]), Heard(recent, memory.steps + 1)


def _repeats(memory: Heard) -> Ints:
    """Return what came one bar and two bars before the next step, [B, 2]."""
    return memory.recent[:, [-distance for distance in DISTANCES]]


def _same(classes: Ints) -> Bools:
    """Return whether each event of [T, B] repeats each distance, [T, B, 2]."""
    same = np.zeros((*classes.shape, len(DISTANCES)), dtype=bool)
    for i, distance in enumerate(DISTANCES):
        same[distance:, :, i] = classes[distance:] == classes[:-distance]
    return same


def _counters(count: Ints, bits: int) -> Narrow:
    return (((count[..., None] >> np.arange(bits)) & 1) * 2 - 1).astype(np.float32)


def _latest(values: Ints, valid: Bools, nothing: int = -1) -> Ints:
    """Return at each step of [T, B] the latest valid value, or `nothing` before the first."""
    steps = np.arange(len(values))[:, None]
    last = np.maximum.accumulate(np.where(valid, steps, -1), axis=0)
    return np.where(last >= 0, np.take_along_axis(values, np.maximum(last, 0), axis=0), nothing)
