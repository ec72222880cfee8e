"""The log spectrum: exact frames, known bands, and the way back through the logarithm."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from segue.core.errors import UsageError
from segue.tasks.audio import frontend


def tone(hz: float, n: int, amplitude: float = 0.1) -> torch.Tensor:
    time = torch.arange(n) / frontend.SAMPLING_RATE
    return amplitude * torch.sin(2 * math.pi * hz * time)[None]


def test_a_clip_has_320_frames() -> None:
    assert frontend.samples(frontend.CLIP_SECONDS) == 81_920
    assert frontend.frames(frontend.CLIP_SECONDS) == 320
    assert frontend.log_mel(torch.zeros(2, 81_920)).shape == (2, 320, 64)


@pytest.mark.parametrize("n", [1, 255, 256, 257, 8001])
def test_any_length_has_its_frames(n: int) -> None:
    assert frontend.log_mel(tone(440.0, n)).shape == (1, -(-n // 256), 64)


def test_frames_equal_a_discrete_fourier_transform_by_hand() -> None:
    audio = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 2000)).astype(np.float32))
    n = np.arange(1024)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * n / 1024)
    padded = np.pad(audio[0].double().numpy(), (384, 1024))
    power = np.abs(np.fft.rfft(padded[3 * 256 : 3 * 256 + 1024] * hann)) ** 2
    bands = frontend.band_filters().double().numpy() @ power
    expected = (np.log(bands + 1e-3) + 1.0) / 3.8
    np.testing.assert_allclose(frontend.log_mel(audio)[0, 3].numpy(), expected, atol=1e-4)


def test_a_tone_is_loudest_in_its_band() -> None:
    # the bands are even in log(1 + hz / 300) from 50 to 8000 Hz
    low, high = math.log1p(50 / 300), math.log1p(8000 / 300)
    for hz in (110.0, 440.0, 1760.0, 5000.0):
        band = (math.log1p(hz / 300) - low) / (high - low) * 65 - 1
        loudest = int(frontend.log_mel(tone(hz, 16_000))[0, 30].argmax())
        assert abs(loudest - band) < 1


def test_no_band_is_empty_and_all_are_triangles() -> None:
    bands = frontend.band_filters()
    assert bands.shape == (64, 513)
    assert bool((bands.sum(1) > 0.5).all())
    assert float(bands.max()) <= 1.0


def test_silence_and_full_scale_are_finite() -> None:
    quiet = frontend.log_mel(torch.zeros(1, 4000))
    loud = frontend.log_mel(tone(440.0, 4000, 1.0))
    assert torch.isfinite(quiet).all()
    assert torch.isfinite(loud).all()
    assert float(quiet.max()) == float(quiet.min())


def test_power_comes_back_from_the_logarithm() -> None:
    power = torch.tensor([[[0.0, 1e-2, 1.0, 1e3, 1e5]]])
    back = frontend.band_power(frontend.from_band_power(power))
    torch.testing.assert_close(back, power, rtol=1e-4, atol=1e-6)


def test_rows_do_not_depend_on_the_batch() -> None:
    audio = torch.from_numpy(np.random.default_rng(1).normal(size=(3, 3000)).astype(np.float32))
    together = frontend.log_mel(audio)
    alone = torch.cat([frontend.log_mel(row[None]) for row in audio])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("seconds", [0.0, -1.0, 0.49, math.nan, math.inf])
def test_a_useless_length_is_refused(seconds: float) -> None:
    with pytest.raises(UsageError, match=r"0\.5 seconds or more"):
        frontend.frames(seconds)


def test_sound_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="not"):
        frontend.log_mel(torch.zeros(100))
