"""The chords are the cheapest there are, and what a musician would call right."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from segue.core.errors import UsageError
from segue.music.harmony import (
    QUALITIES,
    Chord,
    Costs,
    cheapest_path,
    chord_costs,
    chords_of_key,
    harmonise,
)
from segue.music.notes import Note
from segue.music.theory import C_MAJOR, METERS, MODES, Key, Meter

FOUR_FOUR = Meter(4, 4)


def tune(text: str, unit: int = 480) -> list[Note]:
    """Notes one after another, as in "60:1 62:0.5"."""
    notes, at = [], 0
    for word in text.split():
        pitch, length = word.split(":")
        notes.append(Note(at, int(pitch), at + round(float(length) * unit)))
        at = notes[-1].end
    return notes


ODE = tune(
    "64:1 64:1 65:1 67:1 67:1 65:1 64:1 62:1 60:1 60:1 62:1 64:1 64:1.5 62:.5 62:2 "
    "64:1 64:1 65:1 67:1 67:1 65:1 64:1 62:1 60:1 60:1 62:1 64:1 62:1.5 60:.5 60:2"
)


def random_tune(seed: int, n_bars: int, meter: Meter = FOUR_FOUR) -> list[Note]:
    rng, notes, at = np.random.default_rng(seed), [], 0
    end = round(n_bars * meter.quarters * 480)
    while at < end:
        length = int(rng.choice([120, 240, 480, 960]))
        notes.append(Note(at, int(rng.integers(55, 80)), min(at + length, end)))
        at += length
    return notes


def numerals(chords: tuple[Chord, ...]) -> list[str]:
    return [chord.numeral for chord in chords]


def cost_of(costs: Costs, path: tuple[int, ...]) -> float:
    steps = sum(costs.changes[s, a, b] for s, (a, b) in enumerate(itertools.pairwise(path)))
    return float(sum(costs.slots[s, k] for s, k in enumerate(path)) + steps)


@pytest.mark.parametrize("ending", ["full", "half", "open"])
@pytest.mark.parametrize("seed", range(4))
def test_no_sequence_is_cheaper(seed: int, ending: str) -> None:
    """Against all of the 7 ** 5 or 8 ** 4 sequences of a short tune."""
    key = Key(seed * 5 % 12, list(MODES)[seed * 2 % 7])
    known = chords_of_key(key)
    n_bars = 5 if len(known) == 7 else 4
    edges = [1920 * i for i in range(n_bars + 1)]
    costs = chord_costs(random_tune(seed, n_bars), key, FOUR_FOUR, edges, 1, ending)  # type: ignore[arg-type]
    path = tuple(cheapest_path(costs).tolist())
    everything = itertools.product(range(len(known)), repeat=n_bars)
    best = min(cost_of(costs, other) for other in everything)
    assert np.isfinite(best)
    assert cost_of(costs, path) == pytest.approx(best, abs=1e-12)


def test_the_dynamic_programme_on_costs_without_meaning() -> None:
    rng = np.random.default_rng(1)
    for n_slots in (1, 2, 6):
        costs = Costs(rng.normal(size=(n_slots, 4)), rng.normal(size=(n_slots - 1, 4, 4)))
        best = min(itertools.product(range(4), repeat=n_slots), key=lambda p: cost_of(costs, p))
        assert tuple(cheapest_path(costs).tolist()) == best


def test_known_tunes() -> None:
    assert numerals(harmonise(ODE, C_MAJOR, FOUR_FOUR)) == [
        "I", "V7", "I", "V", "I", "V7", "V7", "I",
    ]  # fmt: skip
    scale_of_chords = tune("60:4 65:2 69:2 67:2 71:2 60:4")
    assert numerals(harmonise(scale_of_chords, C_MAJOR, FOUR_FOUR)) in (
        ["I", "IV", "V", "I"], ["I", "IV", "V7", "I"],
    )  # fmt: skip
    in_minor = tune("69:4 74:2 77:2 68:2 71:2 69:4")
    assert numerals(harmonise(in_minor, Key(9, "minor"), FOUR_FOUR)) == ["i", "iv", "V7", "i"]


@pytest.mark.parametrize("mode", MODES)
def test_a_transposed_tune_gets_transposed_chords(mode: str) -> None:
    notes = random_tune(7, 6)
    base = harmonise(notes, Key(0, mode), FOUR_FOUR, chords_per_bar=2)
    for up in range(1, 12):
        moved = [Note(n.start, n.pitch + up, n.end) for n in notes]
        found = harmonise(moved, Key(up, mode), FOUR_FOUR, chords_per_bar=2)
        assert numerals(found) == numerals(base)
        assert [c.root for c in found] == [(c.root + up) % 12 for c in base]


@pytest.mark.parametrize("mode", MODES)
def test_chords_belong_to_the_key(mode: str) -> None:
    key = Key(2, mode)
    known = chords_of_key(key)
    for chord in known:
        foreign = [pitch for pitch in chord.pitch_classes if pitch not in key]
        raised = [(key.tonic - 1) % 12] if mode == "minor" and chord.numeral == "V7" else []
        assert foreign == raised
        assert chord.quality in QUALITIES
        lower = chord.quality in ("minor", "diminished")
        assert chord.numeral.rstrip("°7") == (
            chord.numeral.rstrip("°7").lower() if lower else chord.numeral.rstrip("°7").upper()
        )
    assert len(known) == (8 if mode in ("major", "minor") else 7)
    assert [c.root for c in known[:7]] == list(key.pitch_classes)


@pytest.mark.parametrize("meter", METERS)
@pytest.mark.parametrize("per_bar", [1, 2])
@pytest.mark.parametrize("mode", MODES)
def test_form(meter: str, per_bar: int, mode: str) -> None:
    """Slots tile the bars; the tonic begins and ends; a cadence leads to it."""
    key, bar = Key(4, mode), round(METERS[meter].quarters * 480)
    for seed in range(3):
        notes = random_tune(seed, 6, METERS[meter])
        chords = harmonise(notes, key, METERS[meter], chords_per_bar=per_bar)
        assert len(chords) == 6 * per_bar
        assert (chords[0].start, chords[-1].end) == (0, 6 * bar)
        assert all(a.end == b.start for a, b in itertools.pairwise(chords))
        assert [c.start for c in chords[::per_bar]] == [bar * i for i in range(6)]
        assert chords[0].root == key.tonic
        assert all(c.root == key.tonic for c in chords[-per_bar:])
        before = chords[-per_bar - 1]
        assert before.root != key.tonic
        half = harmonise(notes, key, METERS[meter], chords_per_bar=per_bar, ending="half")
        assert half[-1].root != key.tonic


def test_the_second_chord_of_a_bar_begins_on_a_pulse() -> None:
    for meter, second in (("4/4", 960), ("3/4", 960), ("6/8", 720), ("2/4", 480)):
        chords = harmonise([], C_MAJOR, METERS[meter], n_bars=1, chords_per_bar=2)
        assert chords[1].start == second


def test_an_upbeat_and_empty_bars() -> None:
    upbeat = [Note(0, 67, 480), *(Note(n.start + 480, n.pitch, n.end + 480) for n in ODE)]
    chords = harmonise(upbeat, C_MAJOR, FOUR_FOUR, start=480)
    assert numerals(chords) == numerals(harmonise(ODE, C_MAJOR, FOUR_FOUR))
    assert (chords[0].start, len(chords)) == (480, 8)
    assert numerals(harmonise([], C_MAJOR, FOUR_FOUR, n_bars=1)) == ["I"]
    assert numerals(harmonise([], C_MAJOR, FOUR_FOUR, n_bars=1, ending="half")) == ["V"]
    assert numerals(harmonise([], C_MAJOR, FOUR_FOUR, n_bars=2)) == ["I", "I"]
    assert numerals(harmonise([], C_MAJOR, FOUR_FOUR, n_bars=4)) == ["I", "ii", "V7", "I"]


def test_long_and_accented_notes_decide() -> None:
    """F on the beat and long, against E off the beat and short: a chord with F, and reversed."""
    for lengths, wanted in (("65:3 64:1", 5), ("65:1 64:3", 4)):
        chords = harmonise(tune(f"60:4 {lengths} 67:2 71:2 60:4"), C_MAJOR, FOUR_FOUR)
        assert wanted in chords[1].pitch_classes


@pytest.mark.parametrize("seed", range(5))
def test_chords_fit_better_than_always_the_tonic(seed: int) -> None:
    rng = np.random.default_rng(seed)
    notes = [Note(240 * i, int(rng.choice([60, 62, 64, 65, 67, 69, 71])), 240 * (i + 1))
             for i in range(64)]  # fmt: skip
    chords = harmonise(notes, C_MAJOR, FOUR_FOUR, chords_per_bar=2)
    share = np.mean([n.pitch % 12 in chords[n.start // 960].pitch_classes for n in notes])
    tonic = np.mean([n.pitch % 12 in (0, 4, 7) for n in notes])
    assert share > tonic + 0.05


def test_impossible_requests() -> None:
    for options in ({"chords_per_bar": 3}, {"n_bars": 0}, {}):
        with pytest.raises(UsageError):
            harmonise([], C_MAJOR, FOUR_FOUR, **options)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="2 chords in a bar of 1/4"):
        harmonise([], C_MAJOR, Meter(1, 4), n_bars=4, chords_per_bar=2)


def test_a_thousand_bars() -> None:
    notes = [Note(n.start + 15360 * i, n.pitch, n.end + 15360 * i) for i in range(125) for n in ODE]
    chords = harmonise(notes, C_MAJOR, FOUR_FOUR, chords_per_bar=2)
    assert len(chords) == 2000
    assert numerals(chords)[-2:] == ["I", "I"]
