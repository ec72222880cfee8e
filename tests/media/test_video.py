from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from segue.core.errors import MediaError
from segue.media.source import Orientation
from segue.media.video import Clock, Scaler, frames, jpeg, thumbnails, turn
from tests.synthetic_video import write_sound, write_video

BRIGHT = {0: (0, 0), 90: (0, 1), 180: (1, 1), 270: (1, 0)}
"""Clockwise rotation -> (lower half, right half) of the white corner as shown."""


def opened(data: bytes) -> np.ndarray:
    """Decode a JPEG file."""
    with av.open(io.BytesIO(data)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


def corner(image: np.ndarray) -> tuple[int, int]:
    height, width = image.shape[0] // 2, image.shape[1] // 2
    quarters = [
        [image[r * height :][:height, c * width :][:, :width].mean() for c in (0, 1)]
        for r in (0, 1)
    ]
    return divmod(int(np.argmax(quarters)), 2)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_pictures_stand_upright(tmp_path: Path, rotation: int) -> None:
    path = write_video(tmp_path / "a.mov", [(0.2, "corner")], rotation=rotation)
    picture = next(frames(path))
    assert picture.image.shape == ((96, 64, 3) if rotation % 180 else (64, 96, 3))
    assert corner(picture.image) == BRIGHT[rotation]
    thumbnail = opened(thumbnails(path, [0], width=40)[0])
    assert thumbnail.shape[1] == 40
    assert corner(thumbnail) == BRIGHT[rotation]


def test_mirrored_orientation_is_not_a_rotation() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    mirrored = Orientation(mirror_x=True)
    assert mirrored.rotation_deg == 0
    assert np.array_equal(turn(image, mirrored), image[:, ::-1])


def test_square_pixels_odd_sizes_and_limited_width(tmp_path: Path) -> None:
    wide = write_video(tmp_path / "a.mp4", [(0.1, "red")], pixel_aspect=Fraction(4, 3))
    assert next(frames(wide)).image.shape == (64, 128, 3)
    assert next(frames(wide, width=64)).image.shape == (32, 64, 3)
    odd = write_video(
        tmp_path / "b.mkv", [(0.1, "red")], size=(33, 21), codec="ffv1", pixel_format="yuv444p"
    )
    assert next(frames(odd)).image.shape == (21, 33, 3)
    assert next(frames(odd, width=2000)).image.shape == (21, 33, 3), "never enlarged"
    tall = Scaler(Orientation(), Fraction(1), width=240, max_height=427)
    assert tall.size(10, 100_000) == (1, 427)


def test_variable_frame_rate_keeps_its_times(tmp_path: Path) -> None:
    times = [Fraction(0), Fraction(1, 30), Fraction(1), Fraction(3, 2)]
    path = write_video(tmp_path / "v.mp4", [(1, "still")], times_s=times, rate=30)
    assert [picture.start_s for picture in frames(path)] == times


@pytest.mark.parametrize("name", ["a.mp4", "a.ts", "a.mkv"])
def test_the_first_frame_is_zero(tmp_path: Path, name: str) -> None:
    codec = "mpeg2video" if name.endswith("ts") else "mpeg4"
    path = write_video(tmp_path / name, [(1, "still")], start_s=3, codec=codec, audio="tone")
    found = list(frames(path))
    assert len(found) == 24
    assert found[0].start_s == 0
    assert abs(found[-1].start_s + found[-1].length_s - 1) < Fraction(1, 400)  # mkv counts in ms


def test_a_part_of_a_film(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [(6, "red"), (6, "blue")])
    part = list(frames(path, start_s=Fraction(11, 2), end_s=Fraction(13, 2), width=16))
    assert part[0].start_s == Fraction(11, 2)
    assert len(part) == 24
    assert part[0].image[0, 0, 0] > 150
    assert part[-1].image[0, 0, 2] > 120
    between = next(frames(path, start_s=5.51))
    assert between.start_s <= 5.51 < between.start_s + between.length_s


def test_thumbnails_come_in_the_order_asked_for(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [(8, "red"), (8, "blue"), (8, "green")], rate=12)
    times = [20, 1, Fraction(25, 2), 99, 1]
    colours = [int(np.argmax(opened(t)[2, 2])) for t in thumbnails(path, times, width=48)]
    assert colours == [1, 0, 2, 1, 0]


def test_ten_bit_and_alpha(tmp_path: Path) -> None:
    deep = write_video(
        tmp_path / "a.mp4", [(0.2, "red")], codec="libx264", pixel_format="yuv420p10le"
    )
    assert next(frames(deep)).image[0, 0, 0] > 150
    clear = write_video(tmp_path / "b.mkv", [(0.2, "green")], codec="ffv1", pixel_format="yuva420p")
    assert next(frames(clear)).image[0, 0, 1] > 130


def test_no_picture(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.wav", 0.5)
    with pytest.raises(MediaError, match="no picture"):
        next(frames(path))
    with pytest.raises(MediaError, match="no picture"):
        thumbnails(path, [0])


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (240, 135)])
def test_jpeg_of_any_size(size: tuple[int, int]) -> None:
    image = np.full((size[1], size[0], 3), (200, 40, 40), np.uint8)
    data = jpeg(image)
    assert data.startswith(b"\xff\xd8")
    assert np.abs(opened(data).astype(int) - image).max() < 12


class FakeFrame:
    time_base = Fraction(1, 10)
    duration = 1

    def __init__(self, pts: int | None) -> None:
        self.pts = pts


class FakeStream:
    guessed_rate = average_rate = base_rate = Fraction(10)


def test_clock_joins_spliced_timestamps() -> None:
    clock = Clock(FakeStream())
    stamps = [50, 51, 51, None, 53, 10**9, 10**9 + 1, 7, 8]
    starts = [clock.place(FakeFrame(pts))[0] * 10 for pts in stamps]
    assert starts == [0, 1, 1, 2, 3, 4, 5, 6, 7]
    assert clock.splices == 2
