from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from segue.core.errors import DataError
from segue.media.time import (
    can_drop,
    frame_at,
    frame_start_s,
    from_timecode,
    nearest_frame,
    nearest_rate,
    parse_rate,
    to_timecode,
)

NTSC = Fraction(30000, 1001)
RATES = [Fraction(r) for r in (10, 12, 24, 25, 30, 48, 50, 60, 100, 120)] + [
    Fraction(n * 1000, 1001) for n in (24, 30, 60, 120)
]
rates = st.sampled_from(RATES)
frames = st.integers(0, 24 * 3600 * 23)


@given(rates, frames)
def test_frame_to_seconds_and_back_is_exact(rate: Fraction, frame: int) -> None:
    start_s = frame_start_s(frame, rate)
    assert frame_at(start_s, rate) == frame
    assert nearest_frame(start_s, rate) == frame
    assert frame_at(start_s + 1 / rate - Fraction(1, 10**9), rate) == frame


@given(rates, frames, st.booleans())
@example(Fraction(10), 24 * 3600 * 10, False)
@example(Fraction(30_000, 1001), 2_589_407, True)
def test_timecode_round_trip(rate: Fraction, frame: int, drop: bool) -> None:
    drop = drop and can_drop(rate)
    text = to_timecode(frame, rate, drop=drop)
    nominal = round(rate)
    # 1296 minutes of a day lack labels in drop-frame: 2 each at 29.97, in proportion above
    day = 24 * 3600 * nominal - (1296 * nominal // 15 if drop else 0)
    assert from_timecode(text, rate) == frame % day  # timecode wraps after 24 hours


def test_drop_frame_labels_never_repeat_and_skip_the_right_ones() -> None:
    labels = [to_timecode(frame, NTSC) for frame in range(18_000)]
    assert len(set(labels)) == len(labels)
    assert labels == sorted(labels)
    assert labels[1799] == "00:00:59;29"
    assert labels[1800] == "00:01:00;02"
    assert labels[17982] == "00:10:00;00"


def test_drop_frame_keeps_pace_with_the_clock_for_a_day() -> None:
    day = 24 * 3600 * 30 - 2 * (24 * 60 - 24 * 6)
    assert from_timecode("23:59:59;29", NTSC) == day - 1
    assert abs(frame_start_s(day, NTSC) - 86_400) < Fraction(1, 10)
    assert to_timecode(day, NTSC) == "00:00:00;00"


def test_sixty_drops_four() -> None:
    assert to_timecode(3600, Fraction(60000, 1001)) == "00:01:00;04"
    assert to_timecode(3600, Fraction(60000, 1001), drop=False) == "00:01:00:00"


@pytest.mark.parametrize("text", ["00:01:00;00", "24:00:00:00", "00:60:00:00", "00:00:00:30", "x"])
def test_labels_that_do_not_exist_are_refused(text: str) -> None:
    with pytest.raises(DataError):
        from_timecode(text, NTSC)


def test_no_drop_frame_at_25() -> None:
    with pytest.raises(DataError, match="no drop-frame"):
        to_timecode(0, Fraction(25), drop=True)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("23.976", Fraction(24000, 1001)),
        ("29.97", NTSC),
        ("30000/1001", NTSC),
        ("25", Fraction(25)),
        ("59.94", Fraction(60000, 1001)),
        ("17.3", Fraction(173, 10)),
    ],
)
def test_rates_are_read_exactly(text: str, rate: Fraction) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["0", "-25", "fast", "1/0", ""])
def test_impossible_rates_are_refused(text: str) -> None:
    with pytest.raises(DataError, match="not a frame rate"):
        parse_rate(text)


def test_nearest_rate_does_not_confuse_24_and_23_976() -> None:
    assert nearest_rate(Fraction(24)) == 24
    assert nearest_rate(Fraction(2_397_602, 100_000)) == Fraction(24000, 1001)
