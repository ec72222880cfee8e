"""Loudness and true peak against pyloudnorm and against signals of known level."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyloudnorm
import pytest

from segue.core.errors import MediaError
from segue.media.loudness import Loudness, Meter, measure, measure_samples
from tests.synthetic_audio import noise, tone, write_audio

RATE_HZ = 48_000


def programme(seed: int) -> np.ndarray:
    """Return [2, n]: noise and tones with silences, so that both gates have something to do."""
    generator = np.random.default_rng(seed)
    parts = []
    for _ in range(6):
        level = 10 ** generator.uniform(-2.5, -0.5)
        length_s = generator.uniform(0.5, 2.5)
        parts.append(noise(length_s, int(generator.integers(1 << 30)), RATE_HZ, level))
        parts.append(np.zeros(round(generator.uniform(0, 1) * RATE_HZ), np.float32))
        parts.append(tone(generator.uniform(60, 9000), 0.8, RATE_HZ, level))
    left = np.concatenate(parts)
    return np.stack([left, generator.uniform(0.2, 1) * left])


@pytest.mark.parametrize("seed", range(4))
def test_two_independent_meters_agree(seed: int) -> None:
    samples = programme(seed)
    expected = pyloudnorm.Meter(RATE_HZ).integrated_loudness(samples.T.astype(float))
    found = measure_samples(samples).integrated_lufs
    assert found == pytest.approx(expected, abs=0.1)


def test_the_calibration_tone_of_the_standard() -> None:
    # BS.1770: a 997 Hz sine at 0 dBFS in one channel is -3.01 LUFS; in both channels 0.
    sine = tone(997, 5, RATE_HZ, 1.0)
    both = measure_samples(np.stack([sine, sine]))
    one = measure_samples(np.stack([sine, np.zeros_like(sine)]))
    assert both.integrated_lufs == pytest.approx(0.0, abs=0.1)
    assert one.integrated_lufs == pytest.approx(-3.01, abs=0.1)


def test_the_true_peak_between_the_samples_is_seen() -> None:
    # A quarter of the sample rate, 45 degrees off: every sample is 3.01 dB under the real peak.
    phase = 2 * np.pi * (np.arange(RATE_HZ) / 4 + 1 / 8)
    samples = np.stack([0.5 * np.sin(phase)] * 2)
    samples *= np.hanning(RATE_HZ)  # an abrupt start would have peaks of its own
    assert np.abs(samples).max() < 0.36
    assert measure_samples(samples).true_peak_dbtp == pytest.approx(-6.02, abs=0.1)


def test_a_peak_in_the_last_incomplete_tenth_of_a_second_counts() -> None:
    samples = np.stack([tone(500, 2.05, RATE_HZ, 0.1)] * 2)
    samples[:, -100:] *= 8
    found = measure_samples(samples).true_peak_dbtp
    assert found == pytest.approx(20 * np.log10(0.8), abs=0.3)


def test_blocks_of_any_size_give_the_same_result() -> None:
    samples = programme(9)
    meter = Meter()
    for start in range(0, samples.shape[1], 7919):
        meter.push(samples[:, start : start + 7919])
    assert meter.result() == measure_samples(samples)


def test_loudness_range_of_two_levels() -> None:
    # EBU Tech 3342, test 1: 20 s at -20 LUFS, 20 s at -30 LUFS: 10 LU.
    sine = tone(1000, 20, RATE_HZ, 0.1)
    samples = np.stack([np.concatenate([sine, sine * 10**-0.5])] * 2)
    assert measure_samples(samples).range_lu == pytest.approx(10, abs=1)


def test_what_is_silent_or_shorter_than_a_block_has_no_loudness() -> None:
    assert measure_samples(np.zeros((2, RATE_HZ))) == Loudness(None, 0.0, None)
    short = measure_samples(np.stack([tone(500, 0.3, RATE_HZ, 0.5)] * 2))
    assert short.integrated_lufs is None
    assert short.true_peak_dbtp == pytest.approx(-6.02, abs=0.1)


def test_files_are_measured_as_they_are_heard_in_stereo(tmp_path: Path) -> None:
    mono = write_audio(tmp_path / "m.flac", tone(997, 4, 44_100, 0.5), 44_100, "flac")
    assert measure(mono).integrated_lufs == pytest.approx(-6.02, abs=0.1)
    with pytest.raises(MediaError, match="no such file"):
        measure(tmp_path / "none.wav")
