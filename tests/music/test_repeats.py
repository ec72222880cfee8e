from __future__ import annotations

import time

import pytest

from segue.core.errors import DataError
from segue.music.repeats import MAX_BARS, RepeatMarks, play_order

PLAIN = RepeatMarks()


@pytest.mark.parametrize(
    ("bars", "order"),
    [
        ([], []),
        ([PLAIN, PLAIN], [0, 1]),
        ([PLAIN, RepeatMarks(again=1), PLAIN], [0, 1, 0, 1, 2]),
        ([PLAIN, RepeatMarks(begins=True, again=2), PLAIN], [0, 1, 1, 1, 2]),
        # a repeat that nobody ends
        ([PLAIN, RepeatMarks(begins=True), RepeatMarks(begins=True, again=1)], [0, 1, 2, 2]),
        # first and second ending, the second with a needless sign
        (
            [PLAIN, RepeatMarks(endings=(1,), again=1), RepeatMarks(endings=(2,), again=1), PLAIN],
            [0, 1, 0, 2, 3],
        ),
        # after the endings a new repeat begins by itself
        (
            [PLAIN, RepeatMarks(endings=(1,), again=1), RepeatMarks(endings=(2,)), PLAIN,
             RepeatMarks(again=1)],
            [0, 1, 0, 2, 3, 4, 3, 4],
        ),
        ([PLAIN, RepeatMarks(endings=(2,)), PLAIN], [0, 2]),
    ],
)  # fmt: skip
def test_order(bars: list[RepeatMarks], order: list[int]) -> None:
    assert play_order(bars) == order


def test_repeats_are_bounded() -> None:
    with pytest.raises(DataError, match="more than 20 times"):
        play_order([RepeatMarks(again=20)])
    with pytest.raises(DataError, match="more than 20 times"):
        play_order([RepeatMarks(endings=(21,))])
    with pytest.raises(DataError, match="more than 100,000 bars"):
        play_order([PLAIN] * (MAX_BARS // 2) + [RepeatMarks(again=9)])


def test_many_endings_take_no_longer_than_bars() -> None:
    started = time.perf_counter()
    play_order([RepeatMarks(endings=(1,), again=1)] * 50_000)
    assert time.perf_counter() - started < 2
