from __future__ import annotations

import io
import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from segue.core.errors import MediaError
from segue.media.embed.picture_axes import AXES, FEATURES
from segue.media.picture import PictureAnalysis, analyse_picture
from segue.media.source import probe
from tests.synthetic_video import write_sound, write_video

AROUSAL, VALENCE, TENSION, PACE, BRIGHTNESS = range(5)


def check(analysis: PictureAnalysis) -> None:
    """Assert what holds for every analysis."""
    n = len(analysis.times_s)
    assert n == max(1, -(-analysis.duration_s * 4 // 1))
    assert analysis.axes.shape == (n, len(AXES))
    assert set(analysis.features) == set(FEATURES)
    assert all(curve.shape == (n,) for curve in analysis.features.values())
    assert analysis.blank.shape == analysis.dark.shape == (n,)
    for curve in (analysis.axes, analysis.blank, *analysis.features.values()):
        assert np.isfinite(curve).all()
    assert np.abs(analysis.axes).max() <= 2.5
    shots = analysis.shots
    assert len(shots) == len(analysis.thumbnails) == len(analysis.cuts_s) + 1
    assert shots[0][0] == 0
    assert shots[-1][1] == analysis.duration_s
    assert all(start < end for start, end in shots)
    assert all(picture.startswith(b"\xff\xd8") for picture in analysis.thumbnails)


def opened(data: bytes) -> np.ndarray:
    with av.open(io.BytesIO(data)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


def test_shots_curves_and_thumbnails_of_one_film(tmp_path: Path) -> None:
    shots = [(4, "still"), (4, "yellow"), (4, "pan"), (2, "black"), (2, "red")]
    path = write_video(tmp_path / "a.mp4", shots, size=(160, 90))
    told: list[float] = []
    analysis = analyse_picture(path, advance=told.append)
    check(analysis)
    assert analysis.cuts_s == (4, 8, 12, 14)
    assert analysis.duration_s == 16
    assert analysis.n_frames == 384
    assert sum(told) == pytest.approx(16)
    assert analysis.warnings == ()
    middle = analysis.axes[[8, 24, 40, 52]]  # 2, 6, 10, 13 s
    assert middle[2, AROUSAL] > middle[0, AROUSAL] + 0.5, "sliding is more exciting than still"
    assert middle[1, VALENCE] > middle[0, VALENCE], "bright and colourful is pleasant"
    assert middle[3, AROUSAL] == middle[:, AROUSAL].min(), "black is quiet"
    assert analysis.blank[50:54].min() == 1
    assert analysis.features["diff"][8] < analysis.features["diff"][40] - 1
    colours = [opened(picture)[4, 4] for picture in analysis.thumbnails]
    assert colours[1][2] < 100 < colours[1][0]
    assert colours[3].max() < 20
    assert colours[4][0] > 150


def test_round_trip_through_a_file(tmp_path: Path) -> None:
    analysis = analyse_picture(write_video(tmp_path / "a.mp4", [(1, "still"), (1, "red")]))
    np.savez(tmp_path / "a.npz", **analysis.to_arrays())
    with np.load(tmp_path / "a.npz", allow_pickle=False) as arrays:
        back = PictureAnalysis.from_arrays(arrays)
    assert back.shots == analysis.shots
    assert back.thumbnails == analysis.thumbnails
    assert (back.duration_s, back.warnings, back.n_frames) == (2, (), 48)
    assert np.array_equal(back.axes, analysis.axes)
    assert np.array_equal(back.features["edge"], analysis.features["edge"])


@pytest.mark.parametrize(
    ("seconds", "size", "form"),
    [
        (1 / 24, (96, 64), {}),
        (0.1, (96, 64), {}),
        (1, (10, 6), {"codec": "ffv1", "pixel_format": "yuv444p"}),
        (1, (1, 1), {"codec": "ffv1", "pixel_format": "yuv444p"}),
        (1, (33, 21), {"codec": "ffv1", "pixel_format": "yuv444p"}),
        (1, (36, 640), {}),
        (0.5, (2000, 4), {"codec": "ffv1"}),
        (0.5, (4, 2000), {"codec": "ffv1"}),
        (1, (64, 96), {"codec": "libx264", "pixel_format": "yuv420p10le"}),
        (1, (64, 96), {"codec": "ffv1", "pixel_format": "yuva420p"}),
        (1, (64, 96), {"codec": "ffv1", "pixel_format": "gray"}),
        (1, (64, 96), {"codec": "ffv1", "pixel_format": "bgr0"}),
    ],
)
def test_any_length_shape_and_format(
    tmp_path: Path, seconds: float, size: tuple[int, int], form: dict[str, str]
) -> None:
    path = write_video(tmp_path / "a.mkv", [(seconds, "still")], size=size, **form)
    analysis = analyse_picture(path)
    check(analysis)
    assert analysis.duration_s == probe(path).duration_s
    assert analysis.duration_s == pytest.approx(max(1, round(seconds * 24)) / 24, abs=0.002)


@pytest.mark.parametrize("rate", [5, 10])
def test_motion_is_in_widths_per_second(tmp_path: Path, rate: int) -> None:
    # the field slides by a fiftieth of the width a frame; the search knows whole pixels of 80
    path = write_video(tmp_path / "a.mp4", [(3, "pan")], rate=rate, size=(160, 90))
    speed = np.exp(analyse_picture(path).features["blocks"][2:-2]).mean() - 0.01
    assert speed == pytest.approx(rate / 50, rel=0.3)


@pytest.mark.parametrize("rate", [Fraction(1, 3), Fraction(24000, 1001), 60, 120])
def test_any_frame_rate(tmp_path: Path, rate: Fraction | int) -> None:
    analysis = analyse_picture(write_video(tmp_path / "a.mp4", [(3, "pan")], rate=rate))
    check(analysis)
    assert analysis.duration_s == round(3 * rate) / Fraction(rate)


def test_variable_frame_rate_lies_on_the_clock(tmp_path: Path) -> None:
    times = [Fraction(i, 24) for i in range(24)] + [6 + Fraction(i, 24) for i in range(24)]
    path = write_video(tmp_path / "a.mp4", [(1, "red"), (1, "yellow")], times_s=times)
    analysis = analyse_picture(path)
    check(analysis)
    assert analysis.cuts_s == (6,)
    assert analysis.duration_s == probe(path).duration_s == 7
    light = analysis.features["lightness"]
    assert light[:24] == pytest.approx(np.full(24, light[0]), abs=3), "the last red frame stays"
    assert light[24:].min() > light[:24].max() + 10


def test_turned_picture_gives_the_same_curves(tmp_path: Path) -> None:
    upright = analyse_picture(write_video(tmp_path / "a.mov", [(2, "pan")], size=(96, 96)))
    half = write_video(tmp_path / "b.mov", [(2, "pan")], size=(96, 96), rotation=180)
    turned = analyse_picture(half)
    assert turned.axes == pytest.approx(upright.axes, abs=0.15)
    portrait = write_video(tmp_path / "c.mov", [(2, "still")], size=(96, 64), rotation=90)
    assert opened(analyse_picture(portrait).thumbnails[0]).shape == (96, 64, 3)


def test_size_changes_in_the_middle(tmp_path: Path) -> None:
    first = write_video(tmp_path / "a.ts", [(1, "still")], codec="mpeg2video")
    second = write_video(
        tmp_path / "b.ts", [(1, "red")], codec="mpeg2video", size=(64, 128), start_s=1
    )
    both = tmp_path / "c.ts"
    both.write_bytes(first.read_bytes() + second.read_bytes())
    analysis = analyse_picture(both)
    check(analysis)
    assert analysis.n_frames >= 46
    assert analysis.duration_s == pytest.approx(2, abs=0.1)


def test_sound_alone_and_a_picture_without_frames(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no picture in it, only sound"):
        analyse_picture(write_sound(tmp_path / "a.mp3", 0.5))
    path = write_video(tmp_path / "b.mp4", [(0.5, "red")], codec="libx264")
    data = bytearray(path.read_bytes())
    body = data.index(b"mdat") + 4
    end = data.index(b"moov") - 4
    data[body:end] = bytes(end - body)
    path.write_bytes(data)
    with pytest.raises(MediaError, match="no frame of its picture can be decoded"):
        analyse_picture(path)


def test_damage_is_counted_and_told(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "a.mkv", [(4, "noise")], codec="ffv1", size=(64, 48), audio="tone"
    )
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    cut_off = analyse_picture(path)
    check(cut_off)
    assert any("the file states 4.0" in text for text in cut_off.warnings)
    # the same with ten frames wiped out inside
    path = write_video(tmp_path / "b.mp4", [(4, "noise")], codec="libx264", size=(64, 48))
    data = bytearray(path.read_bytes())
    place = data.index(b"mdat") + 20_000
    data[place : place + 8_000] = bytes(8_000)
    path.write_bytes(data)
    holed = analyse_picture(path)
    check(holed)
    assert holed.damaged > 0
    assert any(f"left out: {holed.damaged} (" in text for text in holed.warnings)
    # single wrong bytes: the decoder patches the blocks and goes on
    path = write_video(tmp_path / "c.ts", [(2, "noise")], codec="mpeg2video")
    data = bytearray(path.read_bytes())
    for place in range(20_000, len(data), 20_000):
        data[place] ^= 0xFF
    path.write_bytes(data)
    patched = analyse_picture(path)
    check(patched)
    assert patched.repaired > 0
    assert any(text.endswith(f"as they are: {patched.repaired}") for text in patched.warnings)


def test_memory_does_not_hold_frames(tmp_path: Path) -> None:
    def peak(minutes: int) -> int:
        path = tmp_path / f"{minutes}.mp4"
        write_video(path, [(60, "red")] * minutes, rate=1, size=(32, 32))
        tracemalloc.start()
        analysis = analyse_picture(path)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert analysis.duration_s == 60 * minutes
        return used

    # ten minutes more are 600 small pictures of 25 kB each, or 2400 samples of 10 numbers
    assert peak(12) - peak(2) < 1.5e6


def test_thumbnails_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segue.media.sampling._MAX_THUMBNAILS", 2)
    shots = [(1, "red"), (1, "yellow")] * 2
    analysis = analyse_picture(write_video(tmp_path / "a.mp4", shots))
    assert len(analysis.thumbnails) == len(analysis.shots) == 4
    assert [bool(picture) for picture in analysis.thumbnails] == [True, True, False, False]


@pytest.mark.slow
def test_every_real_video_gives_a_result_or_one_clear_sentence(shared_data: Path) -> None:
    videos = sorted(p for p in (shared_data / "videos").rglob("*.*") if p.suffix != ".md")
    refused = {}
    for path in videos:
        try:
            analysis = analyse_picture(path)
        except MediaError as error:
            refused[path.name] = str(error)
            continue
        check(analysis)
        assert analysis.duration_s == probe(path).duration_s
    assert len(videos) == 38
    assert list(refused) == ["zero_frame.ts"]
    assert "no picture" in refused["zero_frame.ts"]
