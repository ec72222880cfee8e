from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from segue.core.errors import MediaError
from segue.media.shots import ShotFinder, SmallPicture, find_cuts, shots_between
from tests.synthetic_video import write_sound, write_video


def test_hard_cuts_are_found_to_the_frame(tmp_path: Path) -> None:
    shots = [(1.0, "red"), (1.5, "still"), (1.0, "grey"), (1.0, "blue")]
    path = write_video(tmp_path / "a.mp4", shots)
    assert find_cuts(path) == [1, Fraction(5, 2), Fraction(7, 2)]


@pytest.mark.parametrize("kind", ["pan", "still", "noise", "white"])
def test_one_shot_has_no_cut(tmp_path: Path, kind: str) -> None:
    assert find_cuts(write_video(tmp_path / "a.mp4", [(2, kind)])) == []


def test_variable_frame_rate_cut_times_are_timestamps(tmp_path: Path) -> None:
    slow = [Fraction(i, 2) for i in range(24)]  # a red second becomes twelve seconds
    fast = [12 + Fraction(i, 24) for i in range(24)]
    path = write_video(tmp_path / "a.mp4", [(1, "red"), (1, "blue")], times_s=slow + fast)
    assert find_cuts(path) == [12]


def test_turned_picture_has_the_same_cuts(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mov", [(1, "red"), (1, "blue")], rotation=90, size=(128, 48))
    assert find_cuts(path) == [1]


def test_the_end_of_black_ends_a_shot(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [(1, "black"), (1, "still")])
    assert find_cuts(path) == [1]
    finder = ShotFinder()
    levels = [100] * 10 + [60, 30, 10, 5, 5, 10, 30, 60] + [100] * 10  # a fade: no cut for scdet
    for i, level in enumerate(levels):
        luma = np.full((90, 160), level, np.uint8)
        finder.push(Fraction(i, 10), SmallPicture(luma, 0.0, None))
    assert finder.cuts_s == [Fraction(17, 10)]


def test_limits_within_04_s_are_one() -> None:
    finder = ShotFinder()
    bright = np.full((90, 160), 100, np.uint8)
    for i in range(100):
        score = 50.0 if i in (5, 50, 53, 56, 90) else 0.0
        finder.push(Fraction(i, 10), SmallPicture(bright, score, None))
    assert finder.cuts_s == [Fraction(1, 2), 5, Fraction(28, 5), 9]


def test_shots_cover_the_picture() -> None:
    shots = shots_between([Fraction(1), Fraction(2)], Fraction(5, 2))
    assert shots == [(0, 1), (1, 2), (2, Fraction(5, 2))]
    assert shots_between([], Fraction(1)) == [(0, 1)]


def test_no_picture(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no picture"):
        find_cuts(write_sound(tmp_path / "a.wav", 0.5))
