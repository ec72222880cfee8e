"""The motif is the same in every key, and phrases fill their bars."""

from __future__ import annotations

import pytest

from segue.music.events import TICKS_PER_STEP
from segue.music.notes import Note
from segue.music.theory import METERS, MODES, Key, Meter
from segue.score.compose.theme import (
    ScaleNote,
    compose_theme,
    plan_phrases,
    realise,
    thinned,
)
from tests.score.compose.conftest import random_composer

MOTIF = (ScaleNote(0, 0, 4), ScaleNote(4, 2, 6), ScaleNote(6, 4, 8), ScaleNote(8, 7, 16))


def pitches(notes: list[Note]) -> list[int]:
    return [note.pitch for note in notes]


def test_a_third_stays_a_third_in_every_mode() -> None:
    assert pitches(realise(MOTIF, Key(0, "major"), 64, 80)) == [60, 64, 67, 72]
    assert pitches(realise(MOTIF, Key(0, "minor"), 64, 80)) == [60, 63, 67, 72]
    assert pitches(realise(MOTIF, Key(2, "major"), 64, 80)) == [62, 66, 69, 74]
    for mode in MODES:
        notes = realise(MOTIF, Key(5, mode), 60, 80, start_tick=960)
        assert all(n.pitch in Key(5, mode) for n in notes)
        assert [(n.start - 960) // TICKS_PER_STEP for n in notes] == [0, 4, 6, 8]


def test_the_octave_follows_the_register() -> None:
    for centre in range(48, 90):
        notes = realise(MOTIF, Key(7, "dorian"), centre, 80)
        mean = sum(n.pitch * (n.end - n.start) for n in notes) / (16 * TICKS_PER_STEP)
        assert abs(mean - centre) <= 6
    assert realise((), Key(), 60, 80) == []


def test_thinning_keeps_the_beat_and_fills_the_gaps() -> None:
    running = tuple(ScaleNote(i, i % 7, i + 1) for i in range(16))
    assert thinned(running, 1) == running
    quarters = thinned(running, 4)
    assert [(n.start, n.end) for n in quarters] == [(0, 4), (4, 8), (8, 12), (12, 16)]
    assert [n.degree for n in quarters] == [0, 4, 1, 5]
    rest = (ScaleNote(0, 0, 2), ScaleNote(13, 3, 16))
    assert thinned(rest, 8) == (ScaleNote(0, 0, 2),)  # what is far from a kept note stays silent


@pytest.mark.parametrize("n_bars", range(13))
@pytest.mark.parametrize("phrase_bars", [2, 4])
def test_phrases_fill_every_bar_and_begin_with_the_motif(n_bars: int, phrase_bars: int) -> None:
    plan = plan_phrases(n_bars, phrase_bars)
    assert sum(bars for _, bars in plan) == n_bars
    assert all(letter == "A" for letter, _ in plan[:1])
    if n_bars >= 3 * phrase_bars:
        assert [letter for letter, _ in plan[:3]] == ["A", "B", "A"]


@pytest.mark.parametrize("meter", METERS.values(), ids=str)
@pytest.mark.parametrize("key", [Key(), Key(2, "dorian")], ids=str)
def test_a_theme_is_whole_and_the_seed_decides_it(meter: Meter, key: Key) -> None:
    theme = compose_theme(random_composer(key), key, meter, 5)
    length = theme.phrase_bars * meter.steps_per_bar()
    assert theme.phrase_bars == (4 if str(meter) == "2/4" else 2)
    assert set(theme.phrases) == {"A", "B", "C"}
    assert len({n.degree for n in theme.phrases["A"]}) >= 3
    for notes in theme.phrases.values():
        assert all(0 <= n.start < n.end <= length for n in notes)
    assert theme == compose_theme(random_composer(key), key, meter, 5)
    assert theme != compose_theme(random_composer(key), key, meter, 6)
