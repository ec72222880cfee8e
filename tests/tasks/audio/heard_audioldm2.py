"""A tiny AudioLDM2 that is tuned in tests: its random vocoder is silent, so latents are drawn."""

from __future__ import annotations

import torch

from segue.tasks.audio.models.audioldm2 import AudioLDM2Denoiser
from segue.tasks.audio.vocabulary import understand

__all__ = ["SAID", "Heard"]

SAID = [
    understand(text)
    for text in ("a happy piano", "an angry guitar", "a sad violin", "a tender song")
]
"""Prompts that it can read."""


class Heard(AudioLDM2Denoiser):
    """See the module; its waves are above zero where the latents are."""

    def decode(self, latents: torch.Tensor, seconds: float) -> torch.Tensor:
        """Return sound, [B, T]."""
        wave = torch.tanh(4 * latents.mean((1, 3))).repeat_interleave(640, dim=1)
        return wave[:, : round(seconds * self.sampling_rate)].float()
