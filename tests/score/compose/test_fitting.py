"""Cuts fall on downbeats, ends are exact, and tempi stay near what was asked for."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import accumulate, pairwise

import numpy as np
import pytest

from segue.core.errors import UsageError
from segue.music.midi import midi_bytes, read_midi
from segue.music.notes import TICKS_PER_QUARTER, Note, Part, Piece
from segue.music.theory import METERS, Meter
from segue.score.compose.fitting import Fit, TempoWish, fit_bars, fit_film

PRICES = {"4/4": 0.0, "3/4": 0.6, "6/8": 0.7, "2/4": 0.8}
SAMPLE = Fraction(1, 48_000)


def wish(bpm: float) -> TempoWish:
    return TempoWish(bpm, PRICES)


def end_of(fit: Fit) -> Fraction:
    return fit.seconds(fit.starts[-1] * fit.quarters_per_bar)


@pytest.fixture(scope="module")
def random_films() -> list[tuple[list[Fraction], list[TempoWish], Fit]]:
    """200 films of 1 to 12 segments of 6 to 30 s at 24 or 29.97 frames/s, wishes of 56 to 150."""
    rng = np.random.default_rng(0)
    films = []
    for _ in range(200):
        count = int(rng.integers(1, 13))
        rate = [Fraction(24), Fraction(30_000, 1001)][int(rng.integers(2))]
        lengths = [Fraction(int(rng.integers(6 * 24, 30 * 24))) / rate for _ in range(count)]
        wishes = [wish(float(math.exp(rng.uniform(4.03, 5.01)))) for _ in range(count)]
        films.append((lengths, wishes, *fit_film([(lengths, wishes)])))
    return films


def test_cuts_fall_on_downbeats_and_the_end_is_exact(
    random_films: list[tuple[list[Fraction], list[TempoWish], Fit]],
) -> None:
    off_s, beats_s = [], []
    for lengths, _, fit in random_films:
        edges = list(accumulate(lengths))
        assert abs(end_of(fit) - edges[-1]) <= SAMPLE
        for t, edge in enumerate(edges[:-1], start=1):
            at = fit.seconds(fit.starts[t] * fit.quarters_per_bar)
            off_s.append(abs(float(at - edge)))
            beats_s.append(60 / fit.beats_per_minute(t))
    off, beats = np.array(off_s), np.array(beats_s)
    assert len(off) > 1000
    assert np.mean(off <= beats) >= 0.95  # the bar; by chance in 4/4: 0.5
    assert np.mean(off <= 0.041) >= 0.98  # nearly all within a frame
    assert off.max() <= beats.max()


def test_tempi_stay_near_the_wishes(
    random_films: list[tuple[list[Fraction], list[TempoWish], Fit]],
) -> None:
    off = [
        abs(math.log2(fit.beats_per_minute(t) / (w.beats_per_minute * slower(fit.meter))))
        for _, wishes, fit in random_films
        for t, w in enumerate(wishes)
    ]
    assert np.median(off) < 0.12  # 9 %; a grid of bars alone would allow 30 % for short segments
    assert np.quantile(off, 0.9) < 0.3


def slower(meter: Meter) -> float:
    return 0.7 if str(meter) == "6/8" else 1.0


def test_one_tempo_where_one_fits() -> None:
    lengths = [Fraction(8), Fraction(16), Fraction(12)]  # 4, 8 and 6 bars of 4/4 at 120
    fit = fit_bars(lengths, [wish(118), wish(122), wish(120)], METERS["4/4"])
    assert fit.bars == (4, 8, 6)
    assert fit.tempos == ((0, 500_000),)


def test_a_small_mismatch_changes_the_tempo_a_little() -> None:
    lengths = [Fraction(8), Fraction(17, 2)]
    fit = fit_bars(lengths, [wish(120)] * 2, METERS["4/4"])
    assert fit.bars == (4, 4)
    assert fit.beats_per_minute(0) == pytest.approx(120)
    assert fit.beats_per_minute(1) == pytest.approx(60 * 16 / 8.5)


def test_even_numbers_of_bars_are_preferred() -> None:
    # 10 s at 84: 3.5 bars; three would be as near as four
    fit = fit_bars([Fraction(10)], [wish(84)], METERS["4/4"])
    assert fit.bars == (4,)


def test_a_segment_too_short_for_a_bar_joins_its_neighbour() -> None:
    lengths = [Fraction(8), Fraction(1, 4), Fraction(8)]
    fit = fit_bars(lengths, [wish(90)] * 3, METERS["4/4"])
    assert 0 in fit.bars
    assert sum(fit.bars) == fit.starts[-1]
    assert abs(end_of(fit) - sum(lengths)) <= SAMPLE


@pytest.mark.parametrize("length", [Fraction(1, 5), Fraction(1), Fraction(600)])
@pytest.mark.parametrize("meter", METERS.values(), ids=str)
def test_any_length_has_a_fit(length: Fraction, meter: Meter) -> None:
    fit = fit_bars([length], [wish(90)], meter)
    assert fit.starts[-1] >= 1
    assert abs(end_of(fit) - length) <= SAMPLE


def test_the_meter_that_costs_least_serves_all_stretches() -> None:
    three = TempoWish(90, {"4/4": 9.0, "3/4": 0.0})
    fits = fit_film([([Fraction(8)], [three]), ([Fraction(12), Fraction(8)], [three, three])])
    assert [str(f.meter) for f in fits] == ["3/4", "3/4"]
    with pytest.raises(UsageError, match="no meter"):
        fit_film([([Fraction(8)], [TempoWish(90, {"7/8": 0.0})])])


def test_a_midi_file_keeps_the_tempi_to_the_microsecond(tmp_path) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(3)
    lengths = [Fraction(int(rng.integers(150, 700)), 24) * Fraction(1001, 1000) for _ in range(9)]
    fit = fit_bars(lengths, [wish(97)] * 9, METERS["4/4"])
    last = fit.starts[-1] * fit.quarters_per_bar * TICKS_PER_QUARTER
    part = Part((Note(0, 60, last),))
    path = tmp_path / "a.mid"
    path.write_bytes(midi_bytes(Piece(parts=(part,), tempos=fit.tempo_map())))
    piece = read_midi(path)
    for t, edge in enumerate(accumulate(lengths), start=1):
        tick = fit.starts[t] * fit.quarters_per_bar * TICKS_PER_QUARTER
        exact = float(fit.seconds(fit.starts[t] * fit.quarters_per_bar))
        assert piece.seconds(tick) == pytest.approx(exact, abs=1e-9)
        if fit.bars[t - 1] and abs(exact - float(edge)) < 0.04:
            assert piece.seconds(tick) == pytest.approx(float(edge), abs=0.04)
    assert abs(piece.duration_s - float(sum(lengths))) <= float(SAMPLE)


def test_a_lead_moves_the_map_and_keeps_its_first_tempo() -> None:
    fit = fit_bars([Fraction(8), Fraction(17, 2)], [wish(120)] * 2, METERS["4/4"])
    moved, still = fit.tempo_map(3), fit.tempo_map()
    assert moved[0] == still[0]
    assert [b - a for (a, _), (b, _) in zip(still[1:], moved[1:], strict=True)] == [
        3 * TICKS_PER_QUARTER
    ] * (len(still) - 1)
    assert all(a < b for (a, _), (b, _) in pairwise(moved))
