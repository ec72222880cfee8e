"""Cues cover the film without a gap, hand over on beats, and never leave their tracks."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from segue.media.layout import LayoutSettings, Part, Playable, lay_out
from segue.media.segments import Span


def track(duration_s: float, beat_s: float = 0.5, start_s: float = 0.1) -> Playable:
    beats = np.arange(start_s, duration_s, beat_s) if beat_s else np.zeros(0)
    return Playable(duration_s, start_s, duration_s - 0.1, beats, beats[::4])


def spans(*marks: float) -> list[Span]:
    exact = [Fraction(m).limit_denominator(1000) for m in marks]
    return [Span(a, b) for a, b in pairwise(exact)]


def check_cover(parts: list[Part], end: Fraction, library: list[Playable]) -> None:
    assert parts[0].start_s == 0
    assert abs(parts[-1].end_s - end) <= Fraction(1, 48_000)
    for before, after in pairwise(parts):
        assert before.start_s < after.start_s
        overlap = before.end_s - after.start_s
        assert overlap > 0, "a gap in the music"
        assert abs(overlap - before.fade_out_s) <= Fraction(2, 48_000)
        assert abs(overlap - after.fade_in_s) <= Fraction(2, 48_000)
    for part in parts:
        source_end = part.source_start_s + part.end_s - part.start_s
        assert part.source_start_s >= 0
        assert float(source_end) <= library[part.track].duration_s + 0.01
        assert part.fade_in_s + part.fade_out_s <= part.end_s - part.start_s + Fraction(1, 100)


def test_a_hand_over_lies_on_a_beat_of_both_tracks() -> None:
    library = [track(60, 0.52), track(60, 0.47)]
    parts = lay_out(spans(0, 15.2, 30), [0, 1], library, LayoutSettings())
    check_cover(parts, Fraction(30), library)
    hand = float(parts[0].end_s) - 0.5  # the middle of a crossfade of one second
    outgoing = float(parts[0].source_start_s) + hand
    incoming = float(parts[1].source_start_s) + 0.5
    assert abs(hand - 15.2) <= 0.5
    assert np.abs(library[0].beats_s - outgoing).min() < 1e-3
    assert np.abs(library[1].downbeats_s - incoming).min() < 1e-3
    assert parts[1].on_beat


def test_a_track_that_ends_a_little_early_gives_way_early() -> None:
    library = [track(13), track(60)]
    parts = lay_out(spans(0, 15, 30), [0, 1], library, LayoutSettings())
    check_cover(parts, Fraction(30), library)
    assert [p.joined for p in parts] == ["start", "early handover"]
    assert float(parts[1].start_s) < 13


def test_a_track_that_ends_long_before_loops_on_downbeats() -> None:
    library = [track(10)]
    parts = lay_out(spans(0, 20, 45), [0, 0], library, LayoutSettings())
    check_cover(parts, Fraction(45), library)
    assert {p.joined for p in parts[1:]} == {"loop"}
    for before, after in pairwise(parts):
        middle = after.start_s + after.fade_in_s / 2
        leave = float(before.source_start_s + middle - before.start_s)
        enter = float(after.source_start_s + middle - after.start_s)
        assert np.abs(library[0].downbeats_s - leave).min() < 1e-3
        assert np.abs(library[0].downbeats_s - enter).min() < 1e-3


def test_without_beats_the_cut_is_kept() -> None:
    library = [track(60, 0), track(60, 0)]
    parts = lay_out(spans(0, 15.2, 30), [0, 1], library, LayoutSettings())
    check_cover(parts, Fraction(30), library)
    assert abs(float(parts[0].end_s) - 0.5 - 15.2) < 1e-3
    assert not parts[1].on_beat


@settings(max_examples=150, deadline=None)
@given(
    lengths=st.lists(st.floats(0.5, 40), min_size=1, max_size=8),
    durations=st.lists(st.floats(3.4, 90), min_size=1, max_size=4),
    beat=st.sampled_from([0.0, 0.31, 0.5, 1.3]),
    crossfade=st.sampled_from([0.0, 0.3, 1.0, 4.0]),
    choice=st.lists(st.integers(0, 3), min_size=8, max_size=8),
)
def test_any_plan_covers_the_film(
    lengths: list[float],
    durations: list[float],
    beat: float,
    crossfade: float,
    choice: list[int],
) -> None:
    marks = np.concatenate([[0], np.cumsum(np.round(lengths, 2))]).round(2)
    library = [track(d, beat) for d in durations]
    parts_spans = spans(*map(float, marks))
    tracks = [c % len(library) for c in choice[: len(lengths)]]
    parts = lay_out(parts_spans, tracks, library, LayoutSettings(crossfade_s=crossfade))
    check_cover(parts, parts_spans[-1].end_s, library)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(3.0, 25.0), min_size=3, max_size=6),
    st.floats(0.0, 6.0),
    st.sampled_from([4.0, 9.0, 60.0]),
)
@example([8.0, 3.0, 3.0], 2.0, 9.0)  # the first track ends a moment before the cut
def test_an_anchor_lies_on_its_cut(lengths: list[float], crossfade: float, other: float) -> None:
    marks = np.concatenate([[0.0], np.cumsum(lengths)])
    film = spans(*marks.tolist())
    lead, made = 3.2, film[1].length_s
    beats = np.arange(lead, lead + made, 0.6)
    composed = Playable(lead + made + 4.0, 0.0, lead + made + 4.0, beats, beats[::4], lead)
    library = [track(other, 0.53), composed]
    tracks = [0, 1, *[0] * (len(film) - 2)]
    parts = lay_out(film, tracks, library, LayoutSettings(crossfade_s=crossfade))
    check_cover(parts, film[-1].end_s, library)
    part = next(p for p in parts if p.track == 1)
    at = part.start_s + Fraction(lead) - part.source_start_s
    # Start and source are rounded to samples apart; 3.2 has no exact form.
    assert abs(at - film[1].start_s) <= Fraction(1, 48_000) + Fraction(1, 10**12)
    leaves = part.end_s - part.fade_out_s / 2
    assert abs(leaves - film[1].end_s) <= Fraction(1, 24_000)
    assert part.on_beat
