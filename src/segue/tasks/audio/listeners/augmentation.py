"""Training clips as a diffusion model, a vocoder, or a policy in search of reward might spoil them.

Everything happens in the log-mel spectrum, so it costs little. A listener that has heard only clean
clips can be sure of itself about sound of a kind it never met, and tuning finds that sound.

Letters: `B` clips, `F` frames, `M` = 64 bands, `N` clips of the data.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue.tasks.audio.frontend import (
    BANDS,
    HOP,
    band_filters,
    band_power,
    from_band_power,
    log_mel,
)
from segue.tasks.audio.listeners.config import AugmentConfig
from segue.tasks.audio.vocoder import vocode

__all__ = ["Augmenter", "Components", "crop", "vocoded"]

_GROUP = 8
"""Frames that the nano model's codec takes together."""
_FIT_CLIPS = 400
_VOCODED_TOGETHER = 16


class Components:
    """Principal components of groups of 8 frames: what the nano model's latents are made of.

    Args:
        features: [N, F, M] log-mel; up to 400 clips, spread over all, are looked at.
    """

    def __init__(self, features: NDArray[np.floating]) -> None:
        step = max(1, len(features) // _FIT_CLIPS)
        groups = _groups(torch.from_numpy(np.asarray(features[::step], np.float32)))
        rows = groups.flatten(0, 1).double()
        self._mean = rows.mean(dim=0)
        centred = rows - self._mean
        values, vectors = torch.linalg.eigh(centred.T @ centred / max(len(rows) - 1, 1))
        self._basis = vectors.flip(1).float()  # [512, 512], largest first
        self._deviations = values.flip(0).clamp_min(0).sqrt().float()
        self._mean = self._mean.float()

    def rebuild(self, mel: Tensor, kept: Tensor, noise: Tensor, rng: np.random.Generator) -> Tensor:
        """Return log-mel [B, F, M] as the first components have it.

        Args:
            mel: [B, F, M]; frames after the last whole group stay as they are.
            kept: [B] how many components.
            noise: [B] standard deviation of what is added, in units of each component's own.
            rng: draws the noise.
        """
        most = min(int(kept.max()), self._basis.shape[1])
        groups = _groups(mel)  # [B, G, 512]
        basis = self._basis[:, :most]
        latents = (groups - self._mean) @ basis
        drawn = torch.from_numpy(rng.standard_normal(latents.shape, np.float32))
        latents = latents + drawn * self._deviations[:most] * noise[:, None, None]
        latents = latents * (torch.arange(most) < kept[:, None])[:, None]
        rebuilt = (latents @ basis.T + self._mean).reshape(len(mel), -1, BANDS)
        return torch.cat([rebuilt, mel[:, rebuilt.shape[1] :]], dim=1)


class Augmenter:
    """Spoils clips, each in its own way.

    Args:
        features: [N, F, M] log-mel of the training clips.
        config: how much.
    """

    def __init__(self, features: NDArray[np.floating], config: AugmentConfig) -> None:
        self.config = config
        self._components = Components(features) if config.codec else None
        filters = band_filters()
        # Power of white noise in a band: a sum of about so many bins, each exponential.
        self._bins = (filters.sum(1).square() / filters.square().sum(1)).clamp_min(1.0)
        self._bins_sum = filters.sum(1)

    def __call__(self, mel: Tensor, rng: np.random.Generator) -> Tensor:
        """Return spoilt log-mel [B, F, M]."""
        mel = self._recoded(mel, rng)
        mel = self._recoloured(mel, rng)
        return self._masked(mel, rng)

    def _recoded(self, mel: Tensor, rng: np.random.Generator) -> Tensor:
        if self._components is None or mel.shape[1] < _GROUP:
            return mel
        n = len(mel)
        chosen = torch.from_numpy(np.flatnonzero(rng.random(n) < self.config.codec))
        low, high = self.config.codec_components
        kept = torch.from_numpy(rng.integers(low, high + 1, n))[chosen]
        noise = torch.from_numpy(rng.uniform(0, self.config.codec_noise, n).astype(np.float32))
        if not len(chosen):
            return mel
        out = mel.clone()
        out[chosen] = self._components.rebuild(mel[chosen], kept, noise[chosen], rng)
        return out

    def _recoloured(self, mel: Tensor, rng: np.random.Generator) -> Tensor:
        """Another level, another balance of bands, and noise."""
        n, config = len(mel), self.config
        place = np.linspace(-1, 1, BANDS)
        curves = np.stack([place, np.cos(np.pi * place), np.sin(1.5 * np.pi * place)])
        decibels = rng.uniform(-config.gain_db, config.gain_db, (n, 1))
        decibels = decibels + rng.uniform(-config.tilt_db, config.tilt_db, (n, 3)) / 2 @ curves
        power = band_power(mel) * _tensor(10 ** (decibels / 10))[:, None]
        level = 10 ** (rng.uniform(*config.noise_db, n) / 10) * (rng.random(n) < 0.5)
        drawn = rng.standard_gamma(self._bins.numpy(), power.shape).astype(np.float32)
        share = torch.from_numpy(drawn) / self._bins * self._bins_sum  # mean: sum of the filter
        mean = power.mean(dim=(1, 2)) / self._bins_sum.mean()
        return from_band_power(power + share * (_tensor(level) * mean)[:, None, None])

    def _masked(self, mel: Tensor, rng: np.random.Generator) -> Tensor:
        floor = float(from_band_power(torch.zeros(())))
        out = mel.clone()
        for axis, widest in ((1, self.config.mask_frames), (2, self.config.mask_bands)):
            widest = min(widest, mel.shape[axis] // 2)
            widths = rng.integers(0, widest + 1, len(mel)) * (rng.random(len(mel)) < 0.5)
            starts = rng.integers(0, mel.shape[axis] - widths + 1)
            for row, start, width in zip(out, starts.tolist(), widths.tolist(), strict=True):
                row.narrow(axis - 1, start, width).fill_(floor)
        return out


def crop(heard: Tensor, length: int, rng: np.random.Generator) -> Tensor:
    """Return [B, length, ...] pieces from places drawn anew for each clip; all of shorter clips."""
    n = heard.shape[1]
    if n <= length:
        return heard
    starts = rng.integers(0, n - length + 1, len(heard)).tolist()
    return torch.stack(
        [row[start : start + length] for row, start in zip(heard, starts, strict=True)]
    )


def vocoded(features: NDArray[np.floating], n: int) -> dict[int, NDArray[np.float16]]:
    """Return the log-mel of clips as the vocoder plays them, by their numbers.

    Args:
        features: [N, F, M] log-mel.
        n: how many, spread over all; no more than there are.
    """
    numbers = np.unique(np.linspace(0, len(features) - 1, min(n, len(features)), dtype=np.int64))
    found: dict[int, NDArray[np.float16]] = {}
    for start in range(0, len(numbers), _VOCODED_TOGETHER):
        part = numbers[start : start + _VOCODED_TOGETHER].tolist()
        mel = torch.from_numpy(np.stack([features[i] for i in part]).astype(np.float32))
        played = log_mel(vocode(mel, HOP * mel.shape[1])).numpy().astype(np.float16)
        found.update(zip(part, played, strict=True))
    return found


def _groups(mel: Tensor) -> Tensor:
    """Return [B, F // 8, 512]: whole groups of 8 frames."""
    whole = mel.shape[1] // _GROUP
    return mel[:, : whole * _GROUP].reshape(len(mel), whole, _GROUP * BANDS)


def _tensor(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
