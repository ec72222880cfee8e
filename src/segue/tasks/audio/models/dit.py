"""The nano model's network: a diffusion transformer over latent vectors.

Self-attention with rotary positions (Su et al., 2021) sees the vectors of a clip, attention to the
text sees the words of its prompt, and time, prompt and the beginning set scale, shift and gate of
every layer (adaptive layer norm with zero at first: Peebles and Xie, "Scalable diffusion models
with transformers", 2023). Only relative positions are known, so any length can be worked on; one
bit tells whether the first vector is the beginning of the music.

All paths by which a prompt enters are built of layers that can be adapted (`lora`), as are the
queries, keys, values and outputs of the self-attention.

Letters: `B` samples, `D` numbers of a latent vector, `n` vectors, `L` words, `W` width.
"""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import nn

from segue.tasks.audio.models.config import DenoiserConfig
from segue.tasks.audio.models.lora import Linear

__all__ = ["DiffusionTransformer"]

_L = TypeVar("_L", bound=nn.Linear)

_TIME = 64
"""Sines and cosines each of the embedded timestep."""
_TIME_SPAN = 1000.0
"""Period of the slowest over the fastest, and about the number of timesteps."""


class DiffusionTransformer(nn.Module):
    """The network that predicts what a noisy sample needs.

    Args:
        config: sizes.
        text_width: of the text encoder.
    """

    def __init__(self, config: DenoiserConfig, text_width: int) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.enter = nn.Linear(config.latent, width)
        self.time = nn.Sequential(nn.Linear(2 * _TIME, width), nn.SiLU(), nn.Linear(width, width))
        self.words = Linear(text_width, width)
        self.prompt = Linear(text_width, width)
        self.beginning = nn.Parameter(torch.zeros(width))
        self.no_words = nn.Parameter(torch.zeros(text_width))
        self.no_prompt = nn.Parameter(torch.zeros(text_width))
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.layers))
        self.last = nn.LayerNorm(width, elementwise_affine=False)
        self.last_modulation = _zero(Linear(width, 2 * width))
        self.leave = _zero(nn.Linear(width, config.latent))

    def forward(
        self,
        latents: torch.Tensor,
        timesteps: torch.Tensor,
        text: torch.Tensor,
        text_mask: torch.Tensor,
        pooled: torch.Tensor,
        begins: torch.Tensor,
    ) -> torch.Tensor:
        """Return the prediction for noisy latents.

        Args:
            latents: [B, D, n].
            timesteps: [B], integers from 0 to 999.
            text: [B, L, d], what the text encoder made of each word.
            text_mask: [B, L] bool, true where there is a word; one at least.
            pooled: [B, d], of the whole prompt.
            begins: [B] bool, whether the first vector begins the music.

        Returns:
            [B, D, n].
        """
        hidden = self.enter(latents.transpose(1, 2))  # [B, n, W]
        state = self.time(_waves(timesteps)) + self.prompt(pooled)
        state = nn.functional.silu(state + begins[:, None] * self.beginning)  # [B, W]
        words = self.words(text)
        mask = text_mask[:, None, None, :]
        turns = _turns(hidden.shape[1], self.config.width // self.config.heads, hidden)
        for block in self.blocks:
            hidden = block(hidden, state, words, mask, turns)
        scale, shift = self.last_modulation(state)[:, None].chunk(2, dim=2)
        out = self.leave(self.last(hidden) * (1 + scale) + shift)
        return torch.as_tensor(out.transpose(1, 2))

    def without_prompt(
        self, text: torch.Tensor, text_mask: torch.Tensor, pooled: torch.Tensor, none: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the conditioning with that of no prompt in the rows where `none` [B] is true."""
        first = torch.arange(text.shape[1], device=text.device) == 0
        text = torch.where(none[:, None, None], self.no_words * first[:, None], text)
        mask = torch.where(none[:, None], first, text_mask)
        return text, mask, torch.where(none[:, None], self.no_prompt, pooled)


class _Block(nn.Module):
    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        width = config.width
        self.modulation = _zero(Linear(width, 8 * width))
        self.norms = nn.ModuleList(nn.LayerNorm(width, elementwise_affine=False) for _ in range(3))
        self.to_itself = _Attention(width, config.heads, nn.Linear)
        self.to_text = _Attention(width, config.heads, Linear)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, config.feed_forward),
            nn.GELU(approximate="tanh"),
            nn.Linear(config.feed_forward, width),
        )

    def forward(
        self,
        hidden: torch.Tensor,
        state: torch.Tensor,
        words: torch.Tensor,
        mask: torch.Tensor,
        turns: torch.Tensor,
    ) -> torch.Tensor:
        parts = self.modulation(state)[:, None].chunk(8, dim=2)  # [B, 1, W] each
        scale, shift, gate, scale_text, gate_text, scale_feed, shift_feed, gate_feed = parts
        inner = self.norms[0](hidden) * (1 + scale) + shift
        hidden = hidden + gate * self.to_itself(inner, inner, turns=turns)
        inner = self.norms[1](hidden) * (1 + scale_text)
        hidden = hidden + gate_text * self.to_text(inner, words, mask=mask)
        inner = self.norms[2](hidden) * (1 + scale_feed) + shift_feed
        return torch.as_tensor(hidden + gate_feed * self.feed_forward(inner))


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int, layer: type[nn.Linear]) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (layer(width, width) for _ in range(3))
        self.out = layer(width, width)

    def forward(
        self,
        hidden: torch.Tensor,
        context: torch.Tensor,
        mask: torch.Tensor | None = None,
        turns: torch.Tensor | None = None,
    ) -> torch.Tensor:
        query, key, value = (
            layer(x).unflatten(2, (self.heads, -1)).transpose(1, 2)  # [B, heads, n, W / heads]
            for layer, x in ((self.query, hidden), (self.key, context), (self.value, context))
        )
        if turns is not None:
            query, key = _turned(query, turns), _turned(key, turns)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return torch.as_tensor(self.out(mixed.transpose(1, 2).flatten(2)))


def _zero(layer: _L) -> _L:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _waves(timesteps: torch.Tensor) -> torch.Tensor:
    """Return sines and cosines of timesteps [B], as [B, 128]."""
    steps = torch.arange(_TIME, device=timesteps.device) / _TIME
    angles = timesteps[:, None] * torch.exp(-math.log(_TIME_SPAN) * steps)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def _turns(n: int, width: int, like: torch.Tensor) -> torch.Tensor:
    """Return cosines and sines of rotary positions, [2, n, width / 2]."""
    speeds = torch.exp(-math.log(100.0) * torch.arange(width // 2, device=like.device) * 2 / width)
    angles = torch.arange(n, device=like.device)[:, None] * speeds
    return torch.stack([angles.cos(), angles.sin()])


def _turned(x: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    cosines, sines = turns
    left, right = x.chunk(2, dim=-1)
    return torch.cat([left * cosines - right * sines, left * sines + right * cosines], dim=-1)
