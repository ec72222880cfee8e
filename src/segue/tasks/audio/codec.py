"""The nano model's latents: eight frames of log spectrum as a few principal components.

A diffusion step of the nano model must cost milliseconds, so sound is first made short: 8 frames of
64 bands (128 ms) are 512 numbers, of which the principal components keep what varies. A clip of
5.12 s is 40 latent vectors. So that no seam is heard every 128 ms, neighbours overlap as in a
lapped transform (Malvar, 1992): frames that lie symmetrically about a seam are rotated into each
other, which is undone exactly. On rendered clips, 96 components then keep 98.6 % of the variance
and 95 % of the chroma, and the jump at seams is half of what it is without the rotation.

Every component is divided by a power of its own standard deviation: power 1 makes all of them equal
(whitening), 0 leaves them as they are, and between the two the large ones stay larger, so that a
diffusion model decides them first and the detail last.

Letters: `B` sounds, `F` frames, `D` components, `n` latent vectors.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from segue.core.errors import DataError
from segue.tasks.audio import frontend

__all__ = ["CLIP_TOKENS", "TOKEN_FRAMES", "Codec", "fit_codec", "tokens"]

TOKEN_FRAMES = 8
"""Frames of a latent vector."""
CLIP_TOKENS = frontend.frames(frontend.CLIP_SECONDS) // TOKEN_FRAMES
"""Latent vectors of a training clip, 40."""

_SILENCE = float(frontend.from_band_power(torch.zeros(())))
_PATCH = TOKEN_FRAMES * frontend.BANDS


def tokens(seconds: float) -> int:
    """Return how many latent vectors so many seconds need; raises UsageError for a useless length.

    As every vector stands for .128 s, this is ceil(seconds / .128), but for rounding to samples.
    """
    return -(-frontend.frames(seconds) // TOKEN_FRAMES)


class Codec(nn.Module):
    """Between log spectra and latents; linear, and fixed once fitted.

    Args:
        mean: [512] of patches of 8 frames x 64 bands.
        components: [D, 512], orthonormal rows.
        scales: [D]; a latent is its component divided by this.
    """

    mean: torch.Tensor
    components: torch.Tensor
    scales: torch.Tensor

    def __init__(self, mean: torch.Tensor, components: torch.Tensor, scales: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("components", components)
        self.register_buffer("scales", scales)

    @classmethod
    def empty(cls, size: int) -> Codec:
        """Return a codec of `size` components whose numbers are yet to be loaded."""
        return cls(torch.zeros(_PATCH), torch.zeros(size, _PATCH), torch.ones(size))

    @property
    def size(self) -> int:
        """Components of a latent vector, `D`."""
        return len(self.scales)

    def encode(self, mel: torch.Tensor) -> torch.Tensor:
        """Return latents [B, D, n] of log spectra [B, F, 64], n = ceil(F / 8).

        Missing frames of the last vector are silence.
        """
        missing = -mel.shape[1] % TOKEN_FRAMES
        mel = nn.functional.pad(mel, (0, 0, 0, missing), value=_SILENCE)
        patches = _lapped(mel).reshape(mel.shape[0], -1, _PATCH)  # [B, n, 512]
        return (((patches - self.mean) @ self.components.T) / self.scales).transpose(1, 2)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Return log spectra [B, 8 n, 64] of latents [B, D, n], nowhere quieter than silence."""
        patches = (latents.transpose(1, 2) * self.scales) @ self.components + self.mean
        mel = patches.reshape(patches.shape[0], -1, frontend.BANDS)
        return _lapped(mel, undo=True).clamp_min(_SILENCE)

    def kept(self, mel: torch.Tensor) -> float:
        """Return the share of the variance of log spectra [B, F, 64] that latents keep."""
        lost = (self.decode(self.encode(mel))[:, : mel.shape[1]] - mel).square().mean()
        return float(1 - lost / mel.var(unbiased=False))


def fit_codec(batches: Iterable[torch.Tensor], size: int, whitening: float = 0.5) -> Codec:
    """Find the principal components of log spectra.

    Args:
        batches: [B, F, 64] each; frames beyond a multiple of 8 are left out.
        size: components to keep, `D`.
        whitening: power of the standard deviations that latents are divided by, 0 to 1; latents
            have unit variance on average whatever it is.

    Raises:
        DataError: there are fewer patches than components, or sound without variance.
    """
    count, total = 0, torch.zeros(_PATCH, dtype=torch.float64)
    products = torch.zeros(_PATCH, _PATCH, dtype=torch.float64)
    for mel in batches:
        whole = mel.shape[1] // TOKEN_FRAMES * TOKEN_FRAMES
        patches = _lapped(mel[:, :whole].float()).reshape(-1, _PATCH)
        count += len(patches)
        total += patches.sum(0, dtype=torch.float64)
        products += (patches.T @ patches).double()
    if count <= size:
        raise DataError(
            f"{count} stretches of 128 ms are too few for {size} components",
            advice="Prepare more clips",
        )
    mean = total / count
    values, vectors = torch.linalg.eigh(products / count - torch.outer(mean, mean))
    variances = values.flip(0)[:size].clamp_min(0.0)
    if not float(variances[-1]) > 1e-9:
        raise DataError(
            f"the sound of this data has fewer than {size} components",
            advice="Prepare other clips, or lower denoiser.latent",
        )
    components = vectors.flip(1)[:, :size].T
    # the sign of an eigenvector is arbitrary: its largest number is made positive
    largest = components.abs().argmax(dim=1)
    components = components * components[torch.arange(size), largest].sign()[:, None]
    scales = variances.pow(whitening / 2)
    scales = scales * (variances / scales.square()).mean().sqrt()
    return Codec(mean.float(), components.contiguous().float(), scales.float())


def _lapped(mel: torch.Tensor, *, undo: bool = False) -> torch.Tensor:
    """Rotate frames about every seam between vectors into each other, [B, 8 n, 64].

    The two at the seam are rotated most, by nearly 45 degrees, those 4 frames off least.
    """
    reach = TOKEN_FRAMES // 2
    off = torch.arange(reach, device=mel.device)
    angle = math.pi / 4 * (1 - (2 * off + 1) / TOKEN_FRAMES)
    cosine, sine = angle.cos()[:, None], angle.sin()[:, None] * (-1 if undo else 1)
    whole = mel.reshape(mel.shape[0], -1, TOKEN_FRAMES, frontend.BANDS)
    before, after = whole[:, :-1, TOKEN_FRAMES - 1 - off], whole[:, 1:, off]  # [B, n - 1, 4, 64]
    out = whole.clone()
    out[:, :-1, TOKEN_FRAMES - 1 - off] = cosine * before + sine * after
    out[:, 1:, off] = cosine * after - sine * before
    return out.reshape(mel.shape)
