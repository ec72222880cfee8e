"""Sound of spectra: exact length, level and pitch, no click, no clipping, nothing random."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from segue.tasks.audio import frontend
from segue.tasks.audio.vocoder import bin_power, griffin_lim, inverse_spectrum, limited, vocode
from tests.tasks.audio.tiny_nano import tones


def steady(hz: float, seconds: float, amplitude: float) -> torch.Tensor:
    time = torch.arange(frontend.samples(seconds)) / frontend.SAMPLING_RATE
    return amplitude * torch.sin(2 * math.pi * hz * time)[None]


def test_the_inverse_spectrum_is_exact() -> None:
    audio = tones(2, 1.0)
    back = inverse_spectrum(frontend.spectrum(audio))
    assert back.shape == (2, 256 * 63)
    # the first and last samples lie under the edge of one window only
    torch.testing.assert_close(back[:, 64:15_900], audio[:, 64:15_900], atol=1e-4, rtol=0)


def test_bin_power_gives_the_bands_again() -> None:
    mel = frontend.log_mel(tones(1, 0.5))
    wanted = frontend.band_power(mel)
    power = bin_power(wanted)
    assert power.shape == (1, 513, 32)
    assert float(power.min()) >= 0
    again = (frontend.band_filters() @ power).transpose(1, 2)
    assert float((again - wanted).abs().sum() / wanted.sum()) < 0.05


@pytest.mark.parametrize("n_samples", [8000, 8001, 16_000, 20_479])
def test_length_is_exact(n_samples: int) -> None:
    mel = frontend.log_mel(tones(1, 2.0)[:, :n_samples])
    assert vocode(mel, n_samples, iterations=2).shape == (1, n_samples)


@pytest.mark.parametrize("hz", [220.0, 880.0])
def test_a_tone_keeps_pitch_and_level(hz: float) -> None:
    audio = steady(hz, 1.0, 0.2)
    sound = vocode(frontend.log_mel(audio), 16_000)[0]
    peak = np.abs(np.fft.rfft(sound.numpy() * np.hanning(16_000))).argmax()
    assert abs(peak - hz) < 0.03 * hz + 8  # bands are coarse, the peak is in the right one
    level = float(sound.square().mean().sqrt() / audio.square().mean().sqrt())
    assert abs(20 * math.log10(level)) < 2


def test_the_spectrum_of_the_sound_is_what_was_asked_for() -> None:
    mel = frontend.log_mel(tones(2, 1.0))
    again = frontend.log_mel(vocode(mel, 16_000))
    error = float((again - mel)[:, 2:-2].square().mean().sqrt())
    noise = float((mel - mel.mean()).square().mean().sqrt())
    assert error < 0.35 * noise


def test_more_iterations_fit_better() -> None:
    magnitude = frontend.spectrum(tones(1, 1.0)).abs()

    def off(iterations: int) -> float:
        made = frontend.spectrum(griffin_lim(magnitude, iterations)).abs()
        return float((made - magnitude).norm() / magnitude.norm())

    assert off(32) < 0.6 * off(0)
    assert off(32) < 0.2


def test_there_is_no_click_at_the_ends_and_no_clipping() -> None:
    loud = frontend.log_mel(tones(3, 1.0) * torch.tensor([[0.2], [1.0], [8.0]]))
    sound = vocode(loud, 16_000)
    assert float(sound[:, [0, -1]].abs().max()) < 1e-6
    assert float(sound.abs().max()) <= 0.98 + 1e-6
    assert float(sound[2].abs().max()) == pytest.approx(0.98, abs=1e-4)


def test_peaks_are_turned_down_and_nothing_else() -> None:
    loud = torch.full((2, 8000), 0.5)
    loud[1, 4000] = 3.0
    found = limited(loud)
    assert torch.equal(found[0], loud[0])
    assert float(found.abs().max()) == pytest.approx(0.98, abs=1e-4)
    changed = torch.nonzero(found[1] != loud[1])
    assert 4000 - 160 <= int(changed.min()) <= int(changed.max()) <= 4000 + 160
    # the gain has no step of its own
    assert float((found[1] / loud[1]).diff().abs().max()) < 0.01


def test_silence_is_silent() -> None:
    sound = vocode(frontend.log_mel(torch.zeros(1, 16_000)), 16_000)
    assert float(sound.abs().max()) < 1e-3


def test_sound_does_not_depend_on_its_neighbours_and_comes_again() -> None:
    mel = frontend.log_mel(tones(3, 1.0))
    together = vocode(mel, 16_000, iterations=8)
    assert torch.equal(together, vocode(mel, 16_000, iterations=8))
    for i in range(3):
        torch.testing.assert_close(
            vocode(mel[i : i + 1], 16_000, iterations=8)[0], together[i], atol=1e-3, rtol=0
        )


def test_no_rows_are_no_sounds() -> None:
    assert vocode(torch.zeros(0, 32, 64), 8000).shape == (0, 8000)
