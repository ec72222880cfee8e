"""Segments tile the film, keep their lengths, and prefer cuts where the mood changes."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.core.errors import ConfigError
from segue.media.segments import SegmentSettings, group_shots


def curves(duration_s: float, moods: list[float], rng: np.random.Generator) -> tuple:
    times = np.arange(0, duration_s, 0.25)
    level = np.array(moods)[(times / duration_s * len(moods)).astype(int)]
    return times, level[:, None] + 0.1 * rng.normal(size=(len(times), 5))


def test_boundaries_fall_on_the_cuts_where_the_mood_changes() -> None:
    times, axes = curves(60.0, [-1.5, 1.5, -1.0], np.random.default_rng(0))
    cuts = [Fraction(c) for c in (7, 13, 20, 27, 33, 40, 51)]
    spans = group_shots(Fraction(60), cuts, times, axes, SegmentSettings())
    assert [float(s.start_s) for s in spans] == [0.0, 20.0, 40.0]


def test_a_short_film_is_one_segment() -> None:
    times, axes = curves(5.0, [0.0, 2.0], np.random.default_rng(0))
    spans = group_shots(Fraction(5), [Fraction(2)], times, axes, SegmentSettings())
    assert [(s.start_s, s.end_s) for s in spans] == [(0, 5)]


def test_a_long_shot_without_cuts_is_divided() -> None:
    times, axes = curves(100.0, [0.0], np.random.default_rng(0))
    spans = group_shots(Fraction(100), [], times, axes, SegmentSettings())
    assert len(spans) == 4
    assert max(s.length_s for s in spans) <= 30


@settings(max_examples=60, deadline=None)
@given(
    duration=st.integers(400, 40_000),
    cuts=st.lists(st.integers(1, 39_999), max_size=40),
    seed=st.integers(0, 99),
)
def test_segments_tile_the_film_and_keep_their_lengths(
    duration: int, cuts: list[int], seed: int
) -> None:
    length = Fraction(duration, 100)
    times, axes = curves(float(length), [0.0, 1.0, -1.0], np.random.default_rng(seed))
    marks = sorted({Fraction(c, 100) for c in cuts if c < duration})
    spans = group_shots(length, marks, times, axes, SegmentSettings())
    assert spans[0].start_s == 0
    assert spans[-1].end_s == length
    assert all(a.end_s == b.start_s for a, b in pairwise(spans))
    if length >= 12:
        assert all(6 - 1e-9 <= s.length_s <= 30 + 1e-9 for s in spans)


def test_lengths_that_exclude_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least twice"):
        SegmentSettings.load(assignments=["min_s=20"])
