"""The small text-to-music model of Segue, which two processor cores can train, tune and play.

Latents are [D, n], n = ceil(seconds / .128): principal components of the log spectrum (`codec`), a
clip of training has 40. Longer music is predicted in overlapping windows of 40 vectors whose
predictions are averaged (Bar-Tal et al., "MultiDiffusion", 2023), so one sampling chain makes all
of it. The conditioning is

    text       [B, L, d] the words of the prompt   text_mask [B, L] where there are words
    pooled     [B, d]    the whole prompt

and the empty prompt stands for none: what guidance leads away from.

Letters: `B` samples, `D` numbers of a latent vector, `n` vectors, `w` windows.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import nn

from segue.core.errors import UsageError
from segue.tasks.audio import frontend
from segue.tasks.audio.codec import CLIP_TOKENS, Codec, tokens
from segue.tasks.audio.models import lora
from segue.tasks.audio.models.dit import DiffusionTransformer
from segue.tasks.audio.models.text import TextEncoder, Tokenizer
from segue.tasks.audio.schedule import Schedule
from segue.tasks.audio.vocoder import vocode

if TYPE_CHECKING:
    from segue.tasks.audio.models.base import Conditioning

__all__ = ["LONGEST_SECONDS", "NanoDenoiser"]

log = logging.getLogger(__name__)

LONGEST_SECONDS = 600.0
"""Longer sound is refused: its spectra would fill the memory."""
_STRIDE = CLIP_TOKENS // 2
"""Vectors from one window to the next."""


class NanoDenoiser:
    """A `Denoiser` made of a text encoder, a diffusion transformer and a linear codec.

    Args:
        network: predicts.
        codec: between latents and log spectra.
        text: frozen from now on.
        tokenizer: its words.
        schedule: noise levels, and what the network predicts.
        name: what reports call it.
        device: where the weights go.
    """

    def __init__(
        self,
        network: DiffusionTransformer,
        codec: Codec,
        text: TextEncoder,
        tokenizer: Tokenizer,
        schedule: Schedule,
        name: str = "nano",
        device: str = "cpu",
    ) -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self.codec = codec.to(device)
        self.text = text.to(device).eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self._schedule, self._name, self._device = schedule, name, torch.device(device)
        self._told: set[str] = set()

    @property
    def name(self) -> str:
        """What reports call it."""
        return self._name

    @cached_property
    def identity(self) -> str:
        """A sha256 of all frozen weights and what else decides predictions."""
        digest = hashlib.sha256(repr((self._schedule, self.tokenizer.words)).encode())
        for part in (self.network, self.text, self.codec):
            adapted = lora.adapter(part)
            for name, value in part.state_dict().items():
                if name not in adapted:
                    digest.update(f"{name} {tuple(value.shape)}".encode())
                    digest.update(value.detach().cpu().float().contiguous().numpy().tobytes())
        return digest.hexdigest()

    @property
    def schedule(self) -> Schedule:
        """Noise levels, and what `predict` predicts."""
        return self._schedule

    @property
    def sampling_rate(self) -> int:
        """Of the decoded sound, in Hz."""
        return frontend.SAMPLING_RATE

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self._device

    @property
    def element_weights(self) -> torch.Tensor:
        """How much of the log spectrum's energy each latent component moves, [D, 1], mean 1."""
        energy = self.codec.scales.square()
        return (energy / energy.mean())[:, None]

    def latent_shape(self, seconds: float) -> tuple[int, ...]:
        """Return [D, n] for so many seconds.

        Raises:
            UsageError: `seconds` is under a half or over 600, or no number.
        """
        n = tokens(seconds)
        if seconds > LONGEST_SECONDS:
            raise UsageError(
                f"{seconds:g} seconds of sound", advice=f"Give at most {LONGEST_SECONDS:g}"
            )
        return self.codec.size, n

    def condition(self, prompts: Sequence[str]) -> dict[str, torch.Tensor]:
        """Return the conditioning of prompts; the text "" means no prompt.

        Raises:
            UsageError: a prompt has no words, or too many.
        """
        for prompt in prompts:
            self._check(prompt)
        numbers, mask = (each.to(self._device) for each in self.tokenizer.encode(prompts))
        none = torch.tensor([not prompt for prompt in prompts], device=self._device)
        with torch.no_grad():
            text, pooled = self.text(numbers, mask)
            text, mask, pooled = self.network.without_prompt(text, mask, pooled, none)
        return {"text": text, "text_mask": mask, "pooled": pooled}

    def predict(
        self, latents: torch.Tensor, timesteps: torch.Tensor, conditioning: Conditioning
    ) -> torch.Tensor:
        """Return the network's output for noisy latents, [B, D, n]; see `Denoiser`."""
        n = latents.shape[2]
        if n <= CLIP_TOKENS:
            begins = torch.ones(len(latents), dtype=torch.bool, device=latents.device)
            return self._run(latents, timesteps, conditioning, begins)
        starts = [*range(0, n - CLIP_TOKENS, _STRIDE), n - CLIP_TOKENS]
        windows = torch.cat([latents[:, :, s : s + CLIP_TOKENS] for s in starts])  # [w B, D, 40]
        w = len(starts)
        repeated = {
            key: value.repeat(w, *[1] * (value.ndim - 1)) for key, value in conditioning.items()
        }
        begins = torch.arange(w * len(latents), device=latents.device) < len(latents)
        out = self._run(windows, timesteps.repeat(w), repeated, begins).chunk(w)
        total, weights = torch.zeros_like(latents), latents.new_zeros(n)
        # a window knows least at its ends, so it counts least there
        weight = torch.linspace(-1, 1, CLIP_TOKENS, device=latents.device).abs().neg().add(1.05)
        for start, part in zip(starts, out, strict=True):
            own = slice(start, start + CLIP_TOKENS)
            total[:, :, own] += weight * part
            weights[own] += weight
        return total / weights

    def predict_mel(self, latents: torch.Tensor, seconds: float) -> torch.Tensor:
        """Return the log spectrum that clean latents stand for, [B, F, 64]."""
        return self.codec.decode(latents.to(self._device))[:, : frontend.frames(seconds)]

    def decode(self, latents: torch.Tensor, seconds: float) -> torch.Tensor:
        """Return sound, [B, T] in -1..1 with T = round(16,000 x seconds)."""
        return vocode(self.predict_mel(latents, seconds), frontend.samples(seconds))

    def add_adapter(self, rank: int, alpha: float, seed: int) -> None:
        """Put a new LoRA on every path by which the prompt enters; it changes nothing at first.

        These are the attention to the text, the modulation and the text projections. Attention of
        the music to itself has none: it would only add noise to the gradient.
        """
        lora.add_adapter(self.network, rank, alpha, seed)

    def adapter(self) -> dict[str, nn.Parameter]:
        """Return the trainable parameters by name, in a fixed order; empty without an adapter."""
        return lora.adapter(self.network)

    def load_adapter(self, arrays: Mapping[str, torch.Tensor], rank: int, alpha: float) -> None:
        """Take an adapter's weights; raises RunError when names or shapes are another model's."""
        lora.load_adapter(self.network, arrays, rank, alpha)

    def without_adapter(self) -> AbstractContextManager[None]:
        """Within the block the model is the base, and `predict` costs no adapter."""
        return lora.disabled(self.network)

    def _run(
        self,
        latents: torch.Tensor,
        timesteps: torch.Tensor,
        conditioning: Conditioning,
        begins: torch.Tensor,
    ) -> torch.Tensor:
        return torch.as_tensor(
            self.network(
                latents,
                timesteps,
                conditioning["text"],
                conditioning["text_mask"],
                conditioning["pooled"],
                begins,
            )
        )

    def _check(self, prompt: str) -> None:
        if prompt and not prompt.strip():
            raise UsageError("a prompt is empty", advice="Say what is wanted, in words")
        for word, read in self.tokenizer.replaced(prompt).items():
            if word not in self._told:
                self._told.add(word)
                meaning = f"it is read as '{read}'" if read else "it is left out"
                log.warning("the model does not know the word '%s'; %s", word, meaning)
