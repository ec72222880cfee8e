"""Generated clips as rewards hear them: sound at any rate, or its log-mel, and what was asked for.

A model that can say which mel spectrum its latents stand for lets rewards that hear mel do without
the vocoder; the others get the sound, resampled once for each rate that a term declares.

Letters: `B` clips, `T` samples, `F` frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from segue.core.errors import UsageError

if TYPE_CHECKING:
    from segue.tasks.audio.vocabulary import Prompt

__all__ = ["Clips", "resample"]


class Clips:
    """A batch of clips and their prompts.

    Args:
        audio: [B, T] float32, full scale +/-1; None where no term needs sound.
        rate: of `audio`, in Hz.
        prompts: B of them.
        mel: [B, F, 64] log-mel of `frontend`, when the model tells it; else it is computed.

    Raises:
        UsageError: there is neither sound nor mel, or the numbers of clips differ.
    """

    def __init__(
        self,
        audio: Tensor | None,
        rate: int,
        prompts: Sequence[Prompt],
        mel: Tensor | None = None,
    ) -> None:
        given = [part for part in (audio, mel) if part is not None]
        if not given:
            raise UsageError("clips have neither sound nor a mel spectrum")
        if any(len(part) != len(prompts) for part in given):
            sizes = " and ".join(str(len(part)) for part in given)
            raise UsageError(f"{sizes} clips for {len(prompts)} prompts")
        if audio is not None and (audio.ndim != 2 or audio.shape[1] == 0):
            raise UsageError(f"sound of shape {tuple(audio.shape)} instead of [clips, samples]")
        self.prompts = tuple(prompts)
        self.rate = rate
        self._mel = mel
        self._audio = {} if audio is None else {rate: audio.detach().float()}

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def has_audio(self) -> bool:
        """Whether terms that hear sound can be paid."""
        return bool(self._audio)

    def at(self, rate: int) -> Tensor:
        """Return the sound at a rate, [B, T'] float32; resampled once.

        Raises:
            UsageError: there is no sound.
        """
        if not self._audio:
            raise UsageError(
                "a reward term hears sound, and these clips have only a mel spectrum",
                advice="Decode the latents to sound for it",
            )
        if rate not in self._audio:
            self._audio[rate] = resample(self._audio[self.rate], self.rate, rate)
        return self._audio[rate]

    def log_mel(self) -> Tensor:
        """Return the log-mel of `frontend`, [B, F, 64]: the model's own, or that of the sound."""
        if self._mel is None:
            from segue.tasks.audio.frontend import SAMPLING_RATE, log_mel

            with torch.inference_mode():
                self._mel = log_mel(self.at(SAMPLING_RATE))
        return self._mel


def resample(audio: Tensor, rate: int, wanted: int) -> Tensor:
    """Return sound [B, T] at another rate, on the device of `audio`; without gradients."""
    import soxr

    if rate == wanted:
        return audio
    # soxr reads time first; the clips go through as channels, each for itself
    samples = np.ascontiguousarray(audio.detach().cpu().numpy().T)
    found = soxr.resample(samples, rate, wanted, quality="HQ")
    return torch.from_numpy(np.ascontiguousarray(found.T)).to(audio.device)
