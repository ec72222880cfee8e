"""The picture is copied untouched, the sound starts with it, and the result says what it is."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from segue.core.errors import MediaError
from segue.media.audio import read_audio, write_wav
from segue.media.matroska import ROOM, write_pixel_aspect
from segue.media.mux import MuxResult, mux
from segue.media.source import probe
from tests.synthetic_audio import noise, tone
from tests.synthetic_video import write_sound, write_video

RATE_HZ = 48_000


def mix_for(folder: Path, seconds: float | Fraction, click_s: float | None = None) -> Path:
    sound = np.stack([tone(220, float(seconds), RATE_HZ, 0.1)] * 2)
    sound = sound[:, : round(seconds * RATE_HZ)]
    if click_s is not None:
        sound[:] = 0
        at = round(click_s * RATE_HZ)
        sound[:, at : at + 480] = 0.5
    write_wav(folder / "mix.wav", sound, RATE_HZ)
    return folder / "mix.wav"


def frames(path: Path) -> list[tuple[Fraction, bytes]]:
    """Return (time since the first frame, pixels) of every frame."""
    with av.open(str(path)) as container:
        decoded = [
            (frame.pts * frame.time_base, frame.to_ndarray().tobytes())
            for frame in container.decode(video=0)
        ]
    return [(time_s - decoded[0][0], pixels) for time_s, pixels in decoded]


def check(source: Path, made: MuxResult) -> None:
    """What must hold for every result."""
    before, after = frames(source), frames(made.path)
    assert [pixels for _, pixels in after] == [pixels for _, pixels in before]
    worst = max(abs(float(a - b)) for (a, _), (b, _) in zip(after, before, strict=True))
    assert worst <= 0.0015  # Matroska counts milliseconds
    info, was = probe(made.path), probe(source)
    assert info.video is not None
    assert was.video is not None
    assert info.audio is not None
    assert (info.video.width, info.video.height) == (was.video.width, was.video.height)
    assert info.video.rotation_deg == was.video.rotation_deg
    assert info.video.pixel_aspect == was.video.pixel_aspect
    assert abs(info.video.duration_s - was.video.duration_s) <= 1 / was.video.rate
    assert abs(info.audio.duration_s - was.video.duration_s) <= 1 / was.video.rate
    # AVI has no presentation times: with B-frames a reader cannot tell the first one's
    tolerance_s = 1 / was.video.rate if made.container == "avi" else 0.002
    assert abs(info.audio.start_s - info.video.start_s) <= tolerance_s
    assert abs(made.sync_error_s) <= tolerance_s + 1e-6
    assert made.n_frames == len(before)
    assert made.warnings == []


Maker = Callable[[Path], Path]


def b_frames(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(30_000, 1001))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.max_b_frames = 3
        for index in range(50):
            image = np.full((48, 64, 3), 5 * index, np.uint8)
            image[:, index : index + 8] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def made_of(seconds: int = 2, kind: str = "pan", **settings: Any) -> Maker:
    return lambda path: write_video(path, [(seconds, kind)], **settings)


UNEVEN_S = [Fraction(index * index, 500) for index in range(24)]
WIDE = Fraction(4, 3)


@pytest.mark.parametrize(
    ("name", "make", "suffix", "codec"),
    [
        ("plain.mp4", made_of(audio="tone"), ".mp4", "aac"),
        ("turned.mp4", made_of(kind="corner", rotation=90), ".mp4", "aac"),
        ("wide.mp4", made_of(pixel_aspect=WIDE), ".mp4", "aac"),
        ("late.mkv", made_of(start_s=7), ".mp4", "aac"),
        ("uneven.mkv", made_of(times_s=UNEVEN_S), ".mp4", "aac"),
        ("b.mp4", b_frames, ".mp4", "aac"),
        ("b.mkv", b_frames, ".mp4", "aac"),
        ("b.ts", b_frames, ".mp4", "aac"),
        ("vp9.webm", made_of(codec="libvpx-vp9"), ".mp4", "aac"),
        ("vp8.webm", made_of(codec="libvpx", audio="tone"), ".webm", "libopus"),
        ("lossless.mkv", made_of(codec="ffv1"), ".mkv", "libopus"),
        ("frames.mov", made_of(codec="mjpeg", pixel_format="yuvj420p"), ".mov", "aac"),
        ("old.avi", made_of(audio="tone"), ".avi", "pcm_s16le"),
        ("b.avi", b_frames, ".avi", "pcm_s16le"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_picture_is_copied_and_the_sound_starts_with_it(
    tmp_path: Path, name: str, make: Maker, suffix: str, codec: str
) -> None:
    source = make(tmp_path / name)
    video = probe(source).video
    assert video is not None
    made = mux(source, mix_for(tmp_path, video.duration_s), tmp_path / "out" / "scored.mp4")
    assert made.path == tmp_path / "out" / f"scored{suffix}"
    assert made.audio_codec == codec
    assert made.reason
    assert [p.name for p in (tmp_path / "out").iterdir()] == [f"scored{suffix}"]
    check(source, made)


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.avi"])
def test_a_click_stays_at_its_picture(tmp_path: Path, name: str) -> None:
    codec = "libvpx" if name.endswith("webm") else "mpeg4"
    source = write_video(tmp_path / name, [(2, "pan")], codec=codec)
    made = mux(source, mix_for(tmp_path, 2, click_s=1.25), tmp_path / "scored.mp4")
    heard = np.abs(read_audio(made.path, RATE_HZ).samples[0])
    assert np.argmax(heard > 0.25) / RATE_HZ == pytest.approx(1.25, abs=0.003)


@pytest.mark.parametrize(
    ("name", "codec", "aspect"),
    [("a.webm", "libvpx", WIDE), ("a.webm", "libvpx", Fraction(7, 8)), ("a.mkv", "ffv1", WIDE)],
)
def test_webm_and_matroska_keep_the_pixel_aspect(
    tmp_path: Path, name: str, codec: str, aspect: Fraction
) -> None:
    # FFmpeg through PyAV cannot write it there, so the source is made as MP4 would describe it.
    plain = write_video(tmp_path / name, [(1, "pan")], codec=codec)
    source = tmp_path / f"shaped-{name}"
    with av.open(str(plain)) as one, av.open(str(source), "w") as out:
        video = out.add_stream_from_template(one.streams.video[0], opaque=True)
        video.metadata["title"] = ROOM
        for packet in one.demux(video=0):
            if packet.size:
                packet.stream = video
                out.mux(packet)
    assert probe(source).video.pixel_aspect == 1  # type: ignore[union-attr]
    assert write_pixel_aspect(source, aspect)
    assert not write_pixel_aspect(source, aspect)  # the place holder is used up
    assert probe(source).video.pixel_aspect == aspect  # type: ignore[union-attr]
    made = mux(source, mix_for(tmp_path, 1), tmp_path / "scored.mp4")
    check(source, made)
    with av.open(str(made.path)) as film:
        assert "title" not in film.streams.video[0].metadata


def test_a_peak_that_the_encoder_adds_is_taken_back(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mp4", [(3, "pan")])
    loud = np.clip(np.stack([noise(3, 1, RATE_HZ, 0.5)] * 2), -0.88, 0.88)  # -1.1 dBFS, clipped
    write_wav(tmp_path / "mix.wav", loud, RATE_HZ)
    made = mux(source, tmp_path / "mix.wav", tmp_path / "scored.mp4")
    assert made.true_peak_dbtp is not None
    assert made.true_peak_dbtp <= -1 or made.warnings
    untouched = mux(source, tmp_path / "mix.wav", tmp_path / "b.mp4", true_peak_dbtp=20)
    assert untouched.true_peak_dbtp is not None
    assert untouched.true_peak_dbtp > -1  # without the correction
    assert made.true_peak_dbtp < untouched.true_peak_dbtp - 1


def test_names_of_every_kind_are_written(tmp_path: Path) -> None:
    folder = tmp_path / "a: b'c\"d|e 🎬\nf"
    folder.mkdir()
    source = write_video(tmp_path / "plain.mp4", [(1, "pan")])
    moved = source.rename(folder / "concat:x|y.mp4")
    made = mux(moved, mix_for(folder, 1), folder / "out put.mp4")
    assert made.path.stat().st_size > 1000
    check(moved, made)


def test_tags_stay_and_other_streams_are_named(tmp_path: Path) -> None:
    source = tmp_path / "two.mkv"
    write_video(tmp_path / "a.mkv", [(1, "pan")], audio="tone", tags={"title": "A film"})
    with av.open(str(tmp_path / "a.mkv")) as one, av.open(str(source), "w") as out:
        out.metadata["title"] = "A film"
        video = out.add_stream_from_template(one.streams.video[0], opaque=True)
        sounds = [out.add_stream_from_template(one.streams.audio[0]) for _ in range(2)]
        for packet in one.demux():
            if packet.dts is None:
                continue
            packet.stream = video if packet.stream.type == "video" else sounds[1]
            out.mux(packet)
    made = mux(source, mix_for(tmp_path, 1), tmp_path / "scored.mp4")
    assert made.not_carried == ["audio stream 2 (aac)"]
    assert probe(made.path).tags["title"] == "A film"


def test_mistakes_are_told_and_leave_the_old_file(tmp_path: Path) -> None:
    out = tmp_path / "scored.mp4"
    out.write_bytes(b"before")
    mix = mix_for(tmp_path, 1)
    with pytest.raises(MediaError, match="no picture"):
        mux(write_sound(tmp_path / "only.wav", 1), mix, out)
    with pytest.raises(MediaError, match="no such file"):
        mux(tmp_path / "none.mp4", mix, out)
    with pytest.raises(MediaError, match="no such file"):
        mux(write_video(tmp_path / "a.mp4", [(1, "pan")]), tmp_path / "none.wav", out)
    assert out.read_bytes() == b"before"
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".tmp-")]


@pytest.mark.slow
def test_real_films_of_many_kinds(shared_data: Path, tmp_path: Path) -> None:
    n_done = 0
    videos = shared_data / "videos"
    for source in sorted([*videos.glob("*.*"), *videos.glob("edge/*.*")]):
        if source.stat().st_size > 700_000 or source.suffix in (".md", ".csv"):
            continue
        info = probe(source)
        if info.video is None:
            continue
        made = mux(source, mix_for(tmp_path, info.video.duration_s), tmp_path / "scored.mp4")
        result = probe(made.path)
        assert result.video is not None
        assert result.audio is not None
        frame_s = 1 / info.video.rate
        assert abs(result.video.duration_s - info.video.duration_s) <= frame_s, source.name
        assert abs(result.audio.duration_s - info.video.duration_s) <= frame_s, source.name
        assert result.video.orientation == info.video.orientation, source.name
        assert result.video.pixel_aspect == info.video.pixel_aspect, source.name
        n_done += 1
    assert n_done >= 15


def test_sound_too_dense_for_a_constant_quality_gets_an_even_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_video(tmp_path / "a.mp4", [(4, "pan")])
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 4 * 48_000)).astype(np.float32)
    write_wav(tmp_path / "noise.wav", noise, 48_000)

    def rate_kbps(name: str) -> float:
        made = mux(source, tmp_path / "noise.wav", tmp_path / name)
        with av.open(str(made.path)) as film:
            sizes = [packet.size for packet in film.demux(audio=0)]
        assert max(sizes) <= 1536  # what the standard allows for two channels
        return sum(sizes) * 8 / 4 / 1000

    assert rate_kbps("free.mp4") > 290
    monkeypatch.setattr("segue.media.mux._LARGEST_AAC_FRAME", 500)
    assert rate_kbps("even.mp4") == pytest.approx(256, rel=0.05)
