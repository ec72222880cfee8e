"""Reading, streaming, resampling and writing sound."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from segue.core.errors import MediaError
from segue.media.audio import read_audio, stream_audio, write_wav
from segue.media.opening import Faults, decode
from tests.synthetic_audio import clicks, noise, tone, write_audio


def dominant_hz(samples: np.ndarray, rate_hz: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate_hz / len(samples))


@pytest.mark.parametrize(
    ("bits", "tolerance"), [(16, 1 / 2**15), (24, 1 / 2**23), (32, 0.0)], ids=str
)
def test_a_written_file_reads_back_to_its_resolution(
    tmp_path: Path, bits: int, tolerance: float
) -> None:
    samples = np.stack([tone(440, 0.5, 48000), tone(880, 0.5, 48000)])
    write_wav(tmp_path / "a.wav", samples, 48000, bits)
    back = read_audio(tmp_path / "a.wav")
    assert back.rate_hz == 48000
    assert back.samples.shape == samples.shape
    assert back.samples.dtype == np.float32
    np.testing.assert_allclose(back.samples, samples, atol=tolerance, rtol=0)


def test_writing_clips_at_full_scale_and_refuses_nan(tmp_path: Path) -> None:
    write_wav(tmp_path / "loud.wav", np.array([2.0, -2.0, 0.0], np.float32), 8000, 16)
    assert np.abs(read_audio(tmp_path / "loud.wav").samples).max() == pytest.approx(1, abs=1e-4)
    with pytest.raises(MediaError, match="not finite"):
        write_wav(tmp_path / "bad.wav", np.array([0.0, np.nan], np.float32), 8000)
    assert not (tmp_path / "bad.wav").exists()
    with pytest.raises(MediaError, match="no samples"):
        write_wav(tmp_path / "none.wav", np.zeros((2, 0), np.float32), 8000)
    with pytest.raises(MediaError, match="12-bit"):
        write_wav(tmp_path / "odd.wav", np.zeros(3, np.float32), 8000, 12)
    assert {p.name for p in tmp_path.iterdir()} == {"loud.wav"}


def test_writing_takes_blocks_and_leaves_nothing_when_one_is_wrong(tmp_path: Path) -> None:
    part = np.stack([tone(300, 0.1, 8000)] * 2)
    write_wav(tmp_path / "a.wav", iter([part, part]), 8000)
    assert read_audio(tmp_path / "a.wav").samples.shape == (2, 1600)
    with pytest.raises(MediaError, match="1 channels after 2"):
        write_wav(tmp_path / "b.wav", iter([part, part[:1]]), 8000)
    assert not (tmp_path / "b.wav").exists()


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [("wav", "pcm_s16le"), ("flac", "flac"), ("ogg", "vorbis"), ("mp3", "libmp3lame"),
     ("m4a", "aac"), ("mkv", "libopus")],
)  # fmt: skip
def test_common_codecs_keep_length_pitch_and_position(
    tmp_path: Path, suffix: str, codec: str
) -> None:
    rate_hz = 48000
    samples = np.stack([tone(440, 1, rate_hz), tone(440, 1, rate_hz)])
    samples[:, :24000] *= 0.05  # a step at half a second shows a shift in time
    path = write_audio(tmp_path / f"a.{suffix}", samples, rate_hz, codec)
    got = read_audio(path, 22050, mono=True)
    assert got.samples.shape[0] == 1
    assert got.duration_s == pytest.approx(1, abs=0.06)  # codecs pad to whole packets
    assert dominant_hz(got.samples[0, 11025:22050], 22050) == pytest.approx(440, abs=3)
    level = np.sqrt(np.convolve(got.samples[0] ** 2, np.ones(220) / 220, "same"))
    assert np.argmax(level > 0.2) / 22050 == pytest.approx(0.5, abs=0.015)


@pytest.mark.parametrize(
    ("codec", "layout", "rate_hz", "format_name"),
    [("pcm_u8", "mono", 8000, "u8"), ("pcm_s24le", "stereo", 96000, "s32"),
     ("pcm_f64le", "5.1", 44100, "dbl")],
)  # fmt: skip
def test_unusual_formats(
    tmp_path: Path, codec: str, layout: str, rate_hz: int, format_name: str
) -> None:
    n = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
    path = write_audio(tmp_path / "a.wav", np.stack([tone(500, 1, rate_hz)] * n), rate_hz, codec)
    assert read_audio(path).samples.shape == (n, rate_hz)
    got = read_audio(path, 22050, mono=True)
    assert got.samples.shape == (1, 22050)
    assert dominant_hz(got.samples[0], 22050) == pytest.approx(500, abs=2)


def test_mono_is_the_mean_and_surround_folds_without_clipping(tmp_path: Path) -> None:
    left = tone(440, 0.5, 48000, 0.8)
    stereo = write_audio(
        tmp_path / "s.wav", np.stack([left, np.zeros_like(left)]), 48000, "pcm_s16le"
    )
    assert np.abs(read_audio(stereo, mono=True).samples).max() == pytest.approx(0.4, abs=1e-3)
    six = np.zeros((6, 48000), np.float32)
    six[[0, 1, 2, 4, 5]] = 1.0  # everything but the LFE at full scale
    six[3] = tone(40, 1, 48000, 0.9)
    surround = write_audio(tmp_path / "six.wav", six, 48000, "pcm_s16le")
    folded = next(stream_audio(surround, 48000, 2))
    assert folded.shape[0] == 2
    np.testing.assert_allclose(folded, 1.0, atol=1e-3)  # the LFE is not heard, nothing exceeds 1
    centre = np.zeros((6, 4800), np.float32)
    centre[2] = 0.5
    path = write_audio(tmp_path / "c.wav", centre, 48000, "pcm_s16le")
    both = next(stream_audio(path, 48000, 2))
    np.testing.assert_allclose(both[0], both[1])
    assert both.max() == pytest.approx(0.5 * 0.7071 / (1 + 2 * 0.7071), abs=1e-3)
    one = write_audio(tmp_path / "one.wav", left, 48000, "pcm_s16le")
    assert next(stream_audio(one, 48000, 2)).shape[0] == 2


def test_blocks_join_to_the_whole(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "a.flac", noise(2.3, 0, 44100), 44100, "flac")
    blocks = list(stream_audio(path, 22050, 2, block=5000))
    assert {b.shape for b in blocks[:-1]} == {(2, 5000)}
    whole = read_audio(path, 22050, mono=True).samples
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1)[:1], whole)
    assert whole.shape[1] == round(2.3 * 22050)


def test_a_part_is_the_part_of_the_whole(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "a.wav", noise(2, 1, 16000), 16000, "pcm_s16le")
    whole = read_audio(path).samples
    part = read_audio(path, start_s=0.5, duration_s=0.75)
    np.testing.assert_array_equal(part.samples, whole[:, 8000:20000])
    with pytest.raises(MediaError, match="no sound after 5 s"):
        read_audio(path, start_s=5)


def test_agrees_with_an_independent_reader_and_resampler(tmp_path: Path) -> None:
    import soxr

    path = write_audio(tmp_path / "a.ogg", np.stack([noise(1, 2, 44100)] * 2), 44100, "vorbis")
    samples, rate_hz = soundfile.read(path, dtype="float32")
    expected = soxr.resample(samples.mean(axis=1), rate_hz, 22050, quality="HQ")
    np.testing.assert_allclose(
        read_audio(path, 22050, mono=True).samples[0], expected, atol=1e-4, rtol=0
    )


def test_a_late_start_is_silence_where_there_is_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    _film(path, sound_start_s=0.4)
    sound = read_audio(path, mono=True)
    onset_s = np.argmax(np.abs(sound.samples[0]) > 0.05) / sound.rate_hz
    assert onset_s == pytest.approx(0.4, abs=0.01)
    assert not sound.samples[0, : int(0.38 * sound.rate_hz)].any()


def test_without_a_picture_the_first_sound_is_second_zero(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "a.mkv", tone(440, 0.5, 48000), 48000, "pcm_s16le", start_s=2)
    assert read_audio(path).duration_s == pytest.approx(0.5, abs=0.01)


def test_a_hole_in_the_time_stamps_becomes_silence(tmp_path: Path) -> None:
    path = tmp_path / "hole.mkv"
    _film(path, sound_start_s=0.0, hole_s=0.5)
    sound = read_audio(path, mono=True)
    assert sound.duration_s == pytest.approx(1.5, abs=0.02)
    hole = sound.samples[0, int(0.55 * sound.rate_hz) : int(0.95 * sound.rate_hz)]
    assert not hole.any()
    assert np.abs(sound.samples[0, int(1.05 * sound.rate_hz) :]).max() > 0.2


def test_a_hole_in_unsigned_samples_is_silence_too(tmp_path: Path) -> None:
    path = tmp_path / "hole.mkv"
    _film(path, sound_start_s=0.0, hole_s=0.5, codec="pcm_u8")
    sound = read_audio(path, mono=True)
    assert not sound.samples[0, int(0.55 * sound.rate_hz) : int(0.95 * sound.rate_hz)].any()


def test_an_overlap_in_the_time_stamps_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rate_hz = 8000
    samples = noise(1.0, 3, rate_hz)
    path = write_audio(tmp_path / "a.wav", samples, rate_hz, "pcm_s16le")
    whole = read_audio(path).samples[0]

    def early(container: object, stream: object, faults: Faults) -> Iterator[Any]:
        """From a half second on, every time stamp is 0.1 s too early."""
        n = 0
        for frame in decode(container, stream, faults):
            n += frame.samples
            if n > rate_hz // 2:
                frame.pts -= rate_hz // 10
            seen.append((n - frame.samples, frame.samples))
            yield frame

    seen: list[tuple[int, int]] = []
    monkeypatch.setattr("segue.media.audio.decode", early)
    cut = read_audio(path).samples[0]
    first = next(start for start, n in seen if start + n > rate_hz // 2)
    np.testing.assert_array_equal(cut, np.delete(whole, slice(first, first + rate_hz // 10)))


def test_the_number_of_channels_may_change_inside_a_stream(tmp_path: Path) -> None:
    one = write_audio(tmp_path / "one.mp3", tone(440, 1, 44100, 0.4), 44100, "libmp3lame")
    pair = np.stack([tone(440, 1, 44100, 0.4)] * 2)
    two = write_audio(tmp_path / "two.mp3", pair, 44100, "libmp3lame")
    (tmp_path / "both.mp3").write_bytes(one.read_bytes() + two.read_bytes() + one.read_bytes())
    for channels in (1, 2):
        sound = np.concatenate(list(stream_audio(tmp_path / "both.mp3", 22050, channels)), axis=1)
        assert sound.shape[1] / 22050 == pytest.approx(3, abs=0.25)
        for second in (0.5, 1.5, 2.5):
            part = sound[:, int(second * 22050) :][:, :4096]
            np.testing.assert_allclose(np.abs(part).max(axis=1), 0.4, atol=0.05)
            assert dominant_hz(part[-1], 22050) == pytest.approx(440, abs=6)


def test_values_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    bad = tone(440, 0.5, 8000)
    bad[100] = np.nan
    soundfile.write(tmp_path / "nan.wav", bad, 8000, subtype="FLOAT")
    with pytest.raises(MediaError, match="not finite"):
        read_audio(tmp_path / "nan.wav")
    bad[100] = np.inf
    soundfile.write(tmp_path / "inf.wav", bad, 8000, subtype="FLOAT")
    with pytest.raises(MediaError, match="not finite"):
        list(stream_audio(tmp_path / "inf.wav"))


def test_files_without_sound_are_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty.wav"
    soundfile.write(empty, np.zeros(0, np.float32), 8000)
    (tmp_path / "zero.wav").write_bytes(b"")
    (tmp_path / "text.mp3").write_text("no music here\n" * 50)
    for name in ("empty.wav", "zero.wav", "text.mp3", "missing.wav", "."):
        with pytest.raises(MediaError):
            read_audio(tmp_path / name)


def test_damaged_packets_are_counted_and_a_wreck_is_refused(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "a.mp3", clicks(120, 10, 44100), 44100, "libmp3lame")
    data = bytearray(path.read_bytes())
    generator = np.random.default_rng(0)
    middle = len(data) // 2
    data[middle : middle + 1500] = generator.bytes(1500)
    (tmp_path / "scratched.mp3").write_bytes(data)
    faults = Faults()
    n = sum(b.shape[1] for b in stream_audio(tmp_path / "scratched.mp3", faults=faults))
    assert n / 44100 == pytest.approx(10, abs=0.3)
    header = struct.pack("<4sI4s", b"RIFF", 36, b"WAVE")
    (tmp_path / "wreck.wav").write_bytes(header + generator.bytes(4000))
    with pytest.raises(MediaError):
        read_audio(tmp_path / "wreck.wav")


def _film(path: Path, sound_start_s: float, hole_s: float = 0.0, codec: str = "pcm_s16le") -> None:
    """One second of grey picture and of a tone that starts late, or with a hole at 0.5 s."""
    from fractions import Fraction

    import av

    rate_hz = 48000
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        audio = container.add_stream(codec, rate=rate_hz, layout="mono")
        for _ in range(12):
            picture = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 90, np.uint8), "rgb24")
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        samples = (tone(440, 1, rate_hz) * 32767).astype(np.int16)
        for start in range(0, rate_hz, 1200):
            frame = av.AudioFrame.from_ndarray(
                samples[None, start : start + 1200], format="s16", layout="mono"
            )
            frame.sample_rate, frame.time_base = rate_hz, Fraction(1, rate_hz)
            late_s = sound_start_s + (hole_s if start >= rate_hz // 2 else 0)
            frame.pts = start + round(late_s * rate_hz)
            container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
