"""Exact time: frame rates, seconds, frame numbers and timecode, without a float in between.

A rate is a Fraction of frames per second (24000/1001, never 23.976). Frame n is shown from n/rate
up to, but not including, (n + 1)/rate. Timecode counts frames of the nominal rate (the rate rounded
to a whole number); drop-frame timecode (SMPTE ST 12-1) leaves out labels so that it keeps pace with
the clock at 30000/1001 and its multiples: in every minute except each tenth one the first 2 labels
(4 at 59.94, 8 at 119.88) do not exist. It is written with a semicolon before the frames.
"""

from __future__ import annotations

import re
from fractions import Fraction

from segue.core.errors import DataError

__all__ = [
    "can_drop",
    "frame_at",
    "frame_start_s",
    "from_timecode",
    "nearest_frame",
    "nearest_rate",
    "parse_rate",
    "to_timecode",
]

_STANDARD = tuple(
    sorted(
        {Fraction(n) for n in (10, 12, 15, 24, 25, 30, 48, 50, 60, 72, 90, 96, 100, 120, 144, 240)}
        | {Fraction(n * 1000, 1001) for n in (12, 15, 24, 30, 48, 60, 120, 240)}
    )
)
_TIMECODE = re.compile(r"^(\d{1,2}):(\d{2}):(\d{2})([:;.,])(\d{2,3})$")


def nearest_rate(rate: Fraction | float, tolerance: float = 4e-4) -> Fraction:
    """Return the standard rate within the relative tolerance, else the rate itself.

    24 and 24000/1001 differ by 1e-3, so the default never confuses them.
    """
    exact = Fraction(rate)
    best = min(_STANDARD, key=lambda standard: abs(standard - exact))
    return best if abs(best - exact) <= Fraction(tolerance) * best else exact


def parse_rate(text: str) -> Fraction:
    """Read '25', '23.976' or '30000/1001' as an exact rate.

    Raises:
        DataError: not a positive number.
    """
    try:
        rate = Fraction(text.strip())
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise DataError(f"'{text}' is not a frame rate", advice="Write 25, 23.976 or 30000/1001")
    return nearest_rate(rate)


def frame_at(time_s: Fraction, rate: Fraction) -> int:
    """Return the number of the frame that is shown at a time."""
    return (time_s * rate).__floor__()


def nearest_frame(time_s: Fraction, rate: Fraction) -> int:
    """Return the number of the frame whose start is nearest to a time; halves go up."""
    return (time_s * rate + Fraction(1, 2)).__floor__()


def frame_start_s(frame: int, rate: Fraction) -> Fraction:
    """Return the time at which a frame starts."""
    return frame / rate


def can_drop(rate: Fraction) -> bool:
    """Tell whether drop-frame timecode exists for a rate: 29.97 and its multiples."""
    return (rate / Fraction(30000, 1001)).denominator == 1


def to_timecode(frame: int, rate: Fraction, *, drop: bool | None = None) -> str:
    """Write a frame number as timecode HH:MM:SS:FF, or HH:MM:SS;FF in drop-frame.

    Args:
        frame: number of frames since 00:00:00:00; wraps after 24 hours, as on tape.
        rate: frames per second.
        drop: drop-frame counting; by default where the rate has it.

    Raises:
        DataError: drop-frame asked for at a rate that has none.
    """
    nominal, dropped = _counting(rate, drop)
    ten_minutes = 600 * nominal - 9 * dropped
    minute = 60 * nominal - dropped
    frame %= 144 * ten_minutes
    if dropped:
        tens, rest = divmod(frame, ten_minutes)
        # the first minute of ten is whole, the nine others lack their first labels
        minutes_after = 0 if rest < dropped else (rest - dropped) // minute
        frame += dropped * (9 * tens + minutes_after)
    seconds, frames = divmod(frame, nominal)
    digits = len(str(nominal - 1))
    mark = ";" if dropped else ":"
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{clock}{mark}{frames:0{max(2, digits)}}"


def from_timecode(text: str, rate: Fraction) -> int:
    """Return the frame number of a timecode; a semicolon, point or comma means drop-frame.

    Raises:
        DataError: not a timecode, or a label that does not exist at this rate.
    """
    match = _TIMECODE.match(text.strip())
    if not match:
        raise DataError(f"'{text}' is not a timecode", advice="Write HH:MM:SS:FF")
    hours, minutes, seconds = (int(match[i]) for i in (1, 2, 3))
    frames = int(match[5])
    nominal, dropped = _counting(rate, match[4] != ":")
    missing = dropped and frames < dropped and seconds == 0 and minutes % 10
    if hours > 23 or minutes > 59 or seconds > 59 or frames >= nominal or missing:
        raise DataError(f"timecode '{text}' does not exist at {float(rate):.5g} frames per second")
    total_minutes = 60 * hours + minutes
    label = (60 * total_minutes + seconds) * nominal + frames
    return label - dropped * (total_minutes - total_minutes // 10)


def _counting(rate: Fraction, drop: bool | None) -> tuple[int, int]:
    """Return the nominal rate and the number of labels dropped each minute."""
    nominal = max(1, nearest_frame(Fraction(1), rate))
    if drop is None:
        drop = can_drop(rate)
    if drop and not can_drop(rate):
        raise DataError(f"there is no drop-frame timecode at {float(rate):.5g} frames per second")
    return nominal, nominal // 15 if drop else 0
