"""WAV files of every depth and length, against two independent readers."""

from __future__ import annotations

import struct
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile

from segue.media import wav
from segue.media.audio import read_audio
from segue.media.source import probe
from tests.synthetic_audio import noise


@pytest.mark.parametrize(("bits", "kind"), [(16, "PCM_16"), (24, "PCM_24"), (32, "FLOAT")])
@pytest.mark.parametrize("long", [False, True], ids=["RIFF", "RF64"])
def test_every_sample_reaches_other_readers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bits: int, kind: str, long: bool
) -> None:
    if long:
        monkeypatch.setattr(wav, "_LARGEST_RIFF", 1000)
    samples = np.stack([noise(0.11, seed, 48000, level=0.1) for seed in (0, 1, 2)])[:, :5001]
    samples[:, :3] = [[1.0, -1.0, 0.0]] * 3
    path = tmp_path / "a.wav"
    wav.write_wav(path, iter([samples[:, :100], samples[:, 100:]]), 48000, bits)
    info = soundfile.info(path)
    assert path.read_bytes()[:4] == (b"RF64" if long else b"RIFF")
    assert (info.format, info.subtype) == ("RF64" if long else "WAV", kind)
    assert (info.frames, info.channels, info.samplerate) == (5001, 3, 48000)
    tolerance = 0 if bits == 32 else 2.0 ** (1 - bits)  # a half by rounding, one at +1
    theirs = soundfile.read(path, dtype="float32")[0].T
    np.testing.assert_allclose(theirs, samples, atol=tolerance, rtol=0)
    np.testing.assert_array_equal(read_audio(path).samples, theirs)


def test_pythons_own_reader_accepts_a_short_file(tmp_path: Path) -> None:
    wav.write_wav(tmp_path / "a.wav", np.array([0.5, -0.5, 0.25], np.float32), 8000, 24)
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert (file.getnframes(), file.getsampwidth(), file.getframerate()) == (3, 3, 8000)
        assert file.readframes(3) == b"\x00\x00\x40\x00\x00\xc0\x00\x00\x20"
    assert (tmp_path / "a.wav").stat().st_size % 2 == 0  # nine bytes are padded


def test_a_file_of_five_hours_tells_its_length(tmp_path: Path) -> None:
    """The samples are a hole in the file: nothing of that size is written."""
    n_frames, rate_hz = 5 * 3600 * 48000, 48000
    n_bytes = n_frames * 6
    header = wav._header(n_bytes, rate_hz, 2, 24)
    assert len(header) == len(wav._header(0, rate_hz, 2, 24))
    path = tmp_path / "long.wav"
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + n_bytes)
    assert struct.unpack("<QQQ", header[20:44]) == (path.stat().st_size - 8, n_bytes, n_frames)
    assert soundfile.info(path).frames == n_frames
    assert probe(path).duration_s == n_frames // rate_hz


def test_the_limit_is_that_of_a_32_bit_size() -> None:
    most = (2**32 - 1 - (len(wav._header(0, 8000, 1, 16)) - 8)) // 2 * 2
    assert wav._header(most, 8000, 1, 16)[:4] == b"RIFF"
    assert wav._header(most + 2, 8000, 1, 16)[:4] == b"RF64"
