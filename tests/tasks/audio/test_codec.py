"""Latents: exact shapes, principal components that are those of numpy, and what they keep."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from segue.core.errors import DataError, UsageError
from segue.tasks.audio import frontend
from segue.tasks.audio.codec import CLIP_TOKENS, Codec, fit_codec, tokens
from tests.tasks.audio.tiny_nano import tiny_codec, tones


def test_a_clip_is_40_vectors() -> None:
    assert CLIP_TOKENS == 40
    assert tokens(frontend.CLIP_SECONDS) == 40


@pytest.mark.parametrize(("seconds", "n"), [(0.5, 4), (0.512, 4), (0.6, 5), (1.0, 8), (10.0, 79)])
def test_any_length_has_its_vectors(seconds: float, n: int) -> None:
    assert tokens(seconds) == n
    mel = frontend.log_mel(torch.zeros(2, frontend.samples(seconds)))
    codec = tiny_codec()
    assert codec.encode(mel).shape == (2, 12, n)
    assert codec.decode(codec.encode(mel)).shape == (2, 8 * n, 64)


def test_a_useless_length_is_refused() -> None:
    with pytest.raises(UsageError):
        tokens(0.1)


def by_hand(mel: torch.Tensor) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Rotate the frames about each seam, one pair at a time."""
    out = mel.double().numpy().copy()
    for seam in range(8, mel.shape[1], 8):
        for off in range(4):
            angle = np.pi / 4 * (1 - (2 * off + 1) / 8)
            a, b = out[:, seam - 1 - off].copy(), out[:, seam + off].copy()
            out[:, seam - 1 - off] = np.cos(angle) * a + np.sin(angle) * b
            out[:, seam + off] = np.cos(angle) * b - np.sin(angle) * a
    return out


def test_components_are_those_of_a_singular_value_decomposition() -> None:
    mel = frontend.log_mel(tones(8, 2.0))[:, :120]
    codec = fit_codec([mel[:3], mel[3:]], 12, whitening=1.0)
    patches = by_hand(mel).reshape(-1, 512)
    centred = patches - patches.mean(0)
    _, sizes, rows = np.linalg.svd(centred, full_matrices=False)
    likeness = np.abs((codec.components.double().numpy() * rows[:12]).sum(1))
    np.testing.assert_allclose(likeness, 1.0, atol=1e-3)
    expected = sizes[:12] / np.sqrt(len(patches))
    np.testing.assert_allclose(codec.scales.numpy(), expected, rtol=1e-3)
    share = (sizes[:12] ** 2).sum() / (sizes**2).sum()
    # what lies below silence is cut off when decoded, so slightly more is kept
    least = 1 - (1 - share) * (centred**2).mean() / float(mel.double().var(unbiased=False))
    assert least - 1e-5 < codec.kept(mel) < least + 5e-3


@pytest.mark.parametrize("whitening", [0.0, 0.5, 1.0])
def test_latents_have_unit_variance_on_average(whitening: float) -> None:
    mel = frontend.log_mel(tones(8, 2.0))[:, :120]
    latents = fit_codec([mel], 12, whitening).encode(mel)
    spread = latents.transpose(1, 2).reshape(-1, 12).var(0, unbiased=False)
    assert float(spread.mean()) == pytest.approx(1.0, abs=1e-3)
    ratio = float(spread[0] / spread[-1])
    if whitening == 1:
        assert ratio == pytest.approx(1.0, abs=1e-2)
    else:
        assert ratio > 3


def test_encoding_undoes_decoding() -> None:
    fitted = tiny_codec()
    codec = Codec(torch.zeros(512), fitted.components, fitted.scales)  # far above silence
    latents = 0.02 * torch.randn(2, 12, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(codec.encode(codec.decode(latents)), latents, atol=1e-4, rtol=0)


def test_with_all_components_nothing_is_lost() -> None:
    codec = Codec(torch.zeros(512), torch.eye(512), torch.ones(512))
    mel = frontend.log_mel(tones(2, 1.024))
    torch.testing.assert_close(codec.decode(codec.encode(mel)), mel, atol=1e-5, rtol=0)


def test_nothing_is_quieter_than_silence() -> None:
    codec = tiny_codec()
    silence = frontend.log_mel(torch.zeros(1, 2048)).min()
    assert float(codec.decode(torch.randn(4, 12, 10) * 50).min()) >= float(silence)


def test_too_little_sound_is_refused() -> None:
    with pytest.raises(DataError, match="too few for 96 components"):
        fit_codec([torch.zeros(1, 64, 64)], 96)
    with pytest.raises(DataError, match="fewer than 4 components"):
        fit_codec([torch.zeros(1, 640, 64)], 4)
