"""The inputs and labels of the Melody RNN family, against plain loops written from their tables."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from segue.music.events import events_from_classes
from segue.tasks.melody.encodings import (
    N_LABELS,
    AttentionEncoding,
    Encoding,
    LookbackEncoding,
    repeats_of,
)

HOLD, OFF = -2, -1
MAJOR = {0, 2, 4, 5, 7, 9, 11}


def pieces(steps: int = 90, batch: int = 7, seed: int = 0) -> np.ndarray:
    """Melodies with holds, rests and literal repetition, [T, B]."""
    rng = np.random.default_rng(seed)
    drawn = rng.choice([0, 1, 1, 1, 2, 9, 14, 16, 20, 21, 37], size=(steps, batch))
    for b in range(2, batch):  # a bar, or two, said again
        distance = 16 if b % 2 else 32
        drawn[distance : 2 * distance, b] = drawn[:distance, b]
    drawn[:3, 0] = 0  # begins with rests
    drawn[:40, 1] = 1  # no note for two bars and a half
    return drawn


def lookback_input(events: list[int], t: int) -> list[float]:
    def one_hot(event: int) -> list[float]:
        index = {OFF: 0, HOLD: 1}.get(event, event - 46)
        return [float(i == index) for i in range(38)]

    row = one_hot(events[t])
    for distance in (16, 32):
        row += one_hot(events[t + 1 - distance] if t + 1 >= distance else HOLD)
    row += [1.0 if bit == "1" else -1.0 for bit in format(t + 1, "05b")[-5:][::-1]]
    row += [float(t >= d and events[t] == events[t - d]) for d in (16, 32)]
    return row


def best_keys(pitches: list[int]) -> list[float]:
    fits = [sum((p - key) % 12 in MAJOR for p in pitches) for key in range(12)]
    return [float(fit == max(fits)) for fit in fits]


def attention_input(events: list[int], t: int) -> list[float]:
    heard = events[: t + 1]
    onsets = [e for e in heard if e >= 0]
    last_change = next((e for e in reversed(heard) if e != HOLD), OFF)
    last_not_off = next((e for e in reversed(heard) if e != OFF), HOLD)
    steps = [b - a for a, b in itertools.pairwise(onsets) if a != b]
    distinct = list(dict.fromkeys(reversed(onsets)))[:3]
    row = [float(last_change == pitch) for pitch in range(48, 84)]
    row += [float(last_change >= 0), float(last_change < 0), float(last_not_off >= 0)]
    row += [0.0 if not steps else 1.0 if steps[-1] > 0 else -1.0]
    row += [float(t >= d and events[t] == events[t - d]) for d in (16, 32)]
    row += [1.0 if (t + 1) // 2**i % 2 else -1.0 for i in range(7)]
    row += [float((t + 1) % 16 == 0)]
    return row + best_keys(onsets) + best_keys(distinct)


def label(events: list[int], t: int, plain: dict[int, int]) -> int:
    if t < 32 and events[t] == HOLD:
        return 39
    if t >= 32 and events[t] == events[t - 32]:
        return 39
    if t >= 16 and events[t] == events[t - 16]:
        return 38
    return plain[events[t]]


LOOKBACK = {OFF: 0, HOLD: 1} | {48 + i: i + 2 for i in range(36)}
KEYED = {OFF: 37, HOLD: 36} | {48 + i: i for i in range(36)}
KINDS = [
    (LookbackEncoding(), lookback_input, 121, LOOKBACK),
    (AttentionEncoding(), attention_input, 74, KEYED),
]


@pytest.mark.parametrize(
    ("encoding", "by_hand", "size", "plain"), KINDS, ids=["lookback", "attention"]
)
def test_inputs_and_labels_are_those_of_the_tables(encoding, by_hand, size, plain) -> None:
    classes = pieces()
    inputs, labels = encoding.encode(classes), encoding.labels(classes)
    assert inputs.shape == (90, 7, size) == (90, 7, encoding.n_inputs)
    assert inputs.dtype == np.float32
    for b in range(classes.shape[1]):
        events = events_from_classes(classes[:, b]).tolist()
        wanted = [by_hand(events, t) for t in range(len(events))]
        np.testing.assert_array_equal(inputs[:, b], np.array(wanted, dtype=np.float32))
        assert labels[:, b].tolist() == [label(events, t, plain) for t in range(len(events))]
    assert set(np.unique(labels)) >= {38, 39}


@pytest.mark.parametrize("encoding", [LookbackEncoding(), AttentionEncoding()])
def test_hearing_step_by_step_is_hearing_the_whole(encoding: Encoding) -> None:
    classes = pieces(steps=150, seed=1)
    inputs, repeats = encoding.encode(classes), repeats_of(classes)
    memory = encoding.begin(classes.shape[1])
    for t, row in enumerate(classes):
        before = memory
        found, again, memory = encoding.step(memory, row)
        np.testing.assert_array_equal(found, inputs[t])
        np.testing.assert_array_equal(again, repeats[t])
        repeated, _, _ = encoding.step(before, row)  # the memory passed in is left as it was
        np.testing.assert_array_equal(repeated, found)


@pytest.mark.parametrize("encoding", [LookbackEncoding(), AttentionEncoding()])
def test_labels_decode_to_the_classes_they_were_made_of(encoding: Encoding) -> None:
    classes = pieces(seed=2)
    labels = encoding.labels(classes)
    decoded = encoding.classes(labels[1:], repeats_of(classes)[:-1])
    np.testing.assert_array_equal(decoded, classes[1:])
    assert sorted(encoding.label_of_class) == list(range(38))
    assert labels.max() == N_LABELS - 1


def test_the_key_estimate_of_a_c_major_scale() -> None:
    """C D E fit C, F and G major; with F and B only C major is left."""
    scale = np.array([[14, 16, 18, 19, 21, 23, 25]]).T
    keys = AttentionEncoding().encode(scale)[:, 0, 50:62]
    assert np.flatnonzero(keys[2]).tolist() == [0, 5, 7]
    assert np.flatnonzero(keys[-1]).tolist() == [0]
    nothing = AttentionEncoding().encode(np.ones((1, 1), dtype=np.int64))
    assert nothing[0, 0, 50:].tolist() == [1.0] * 24
