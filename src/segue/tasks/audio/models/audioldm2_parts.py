"""The network of AudioLDM2 run as training needs it: the same numbers in less time.

diffusers' own forward pass is right, and three things about it are wasteful here:

* Guidance asks the network twice about the same latents. Everything before the first layer that
  hears a text is equal in both halves, and is computed once (`denoise` with `copies`).
* LoRA on a narrow layer costs more passes over memory than the layer. Where that is so, the
  product of the two factors is added to the weights instead, which is the same function; queries,
  keys and values of one input become one product (`AdaptedAttention`).
* Attention over the few tokens of a text is faster as plain products than as one kernel.

`B` samples, `C` channels, `N` places of a latent picture, `L` tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn import functional

__all__ = ["ADAPTED", "AdaptedAttention", "adapted_layers", "denoise"]

ADAPTED = ("to_q", "to_k", "to_v", "to_out.0")
"""Layers of every attention module that get an adapter."""

_NARROW = 24
"""Times the rank: widths to which adding the factors' product to the weights is faster."""
_FEW_KEYS = 64
"""Keys to which attention is faster as plain products, on the CPU."""


def adapted_layers(network: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield name and layer of everything that an adapter changes, in the network's order."""
    for name, layer in network.named_modules():
        if name.endswith(tuple(f".{part}" for part in ADAPTED)):
            yield name, layer


@dataclass(slots=True)
class AdaptedAttention:
    """An attention processor of diffusers for plain attention whose layers may carry LoRA."""

    adapted: bool = True
    """Whether the adapter takes part."""
    own: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)
    """Factors of every sample, [n, rank, in] and [n, out, rank], by the id of the layer; they
    take the place of the layer's own."""

    def __call__(
        self,
        attention: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        **_: Any,
    ) -> torch.Tensor:
        """Return [B, N, C]; the mask is a bias, [B, 1, L], of keys only."""
        layers = attention.to_q, attention.to_k, attention.to_v
        if encoder_hidden_states is None:
            query, key, value = self._project_three(layers, hidden_states)
        else:
            query = self._project(layers[0], hidden_states)
            key = self._project(layers[1], encoder_hidden_states)
            value = self._project(layers[2], encoder_hidden_states)
        shape = (query.shape[0], -1, attention.heads, query.shape[-1] // attention.heads)
        query, key, value = (x.view(shape).transpose(1, 2) for x in (query, key, value))
        bias = None if attention_mask is None else attention_mask[:, None].to(query.dtype)
        if key.shape[2] <= _FEW_KEYS and query.device.type == "cpu":
            weights = query @ (key * key.shape[-1] ** -0.5).transpose(2, 3)
            weights = weights if bias is None else weights + bias
            mixed = weights.softmax(-1) @ value
        else:
            mixed = functional.scaled_dot_product_attention(query, key, value, bias)
        mixed = mixed.transpose(1, 2).flatten(2)
        return self._project(attention.to_out[0], mixed)

    def _project(self, layer: Any, x: torch.Tensor) -> torch.Tensor:
        base = getattr(layer, "base_layer", layer)
        if base is layer or not self.adapted:
            return base(x)  # type: ignore[no-any-return]  # a linear layer of diffusers
        if not self.own and not _folds(layer):
            return layer(x)  # type: ignore[no-any-return]
        return _linear(x, self._folded(layer), base.bias)

    def _project_three(self, layers: tuple[Any, ...], x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        bases = [getattr(layer, "base_layer", layer) for layer in layers]
        carries = self.adapted and bases[0] is not layers[0]
        apart = carries and not self.own and not _folds(layers[0])
        if apart or any(base.bias is not None for base in bases):
            return tuple(self._project(layer, x) for layer in layers)
        weights = [self._folded(layer) if carries else layer.weight for layer in layers]
        return _linear(x, torch.cat(weights, dim=-2), None).chunk(3, dim=-1)

    def _folded(self, layer: Any) -> torch.Tensor:
        """Return weights plus the product of the factors, [out, in] or one for each sample."""
        weight, scale = layer.base_layer.weight, layer.scaling["default"]
        if self.own:
            down, up = self.own[id(layer)]
            return torch.baddbmm(weight.expand(len(down), -1, -1), up, down, alpha=scale)
        down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        return torch.addmm(weight, up, down, alpha=scale)


def _folds(layer: Any) -> bool:
    """Tell whether the adapter's product is added to the layer's weights.

    In half precision the sum would lose a small adapter, so there the factors stay apart.
    """
    weight = layer.base_layer.weight
    exact = weight.dtype == torch.float32 and not torch.is_autocast_enabled(weight.device.type)
    return exact and max(weight.shape) <= _NARROW * layer.r["default"]


def _linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Return x W' + b; with weights for each of `n` samples, row i of `x` takes those of i % n."""
    if weight.ndim == 2:
        return functional.linear(x, weight, bias)
    each = x.view(-1, len(weight), *x.shape[1:]) @ weight.transpose(1, 2)
    return each.flatten(0, 1) if bias is None else each.flatten(0, 1) + bias


@dataclass(slots=True)
class _Pass:
    """One forward pass: what its layers need beside the picture."""

    times: torch.Tensor
    streams: tuple[torch.Tensor, torch.Tensor]
    bias: torch.Tensor
    copies: int
    checkpointing: bool
    rows: int = field(init=False)

    def __post_init__(self) -> None:
        self.rows = self.times.shape[0]

    def copied(self, x: torch.Tensor) -> torch.Tensor:
        """Return `x` for all copies of the samples, however many it holds."""
        if self.copies == 1 or x.shape[0] != self.rows:
            return x
        return x.repeat(self.copies, *[1] * (x.ndim - 1))

    def call(self, layer: Any, *arguments: Any) -> Any:
        if self.checkpointing and torch.is_grad_enabled():
            from torch.utils.checkpoint import checkpoint

            return checkpoint(layer, *arguments, use_reentrant=False)
        return layer(*arguments)

    def residual(self, layer: Any, x: torch.Tensor) -> torch.Tensor:
        times = self.times if x.shape[0] == self.rows else self.copied(self.times)
        return self.call(layer, x, times)  # type: ignore[no-any-return]

    def attend(self, block: Any, layer: int, x: torch.Tensor) -> torch.Tensor:
        """Run the transformers after one residual layer: one for each stream of text."""
        widths = block.cross_attention_dim
        for i, width in enumerate(widths):
            # what a transformer hears follows from its place, as in diffusers
            text = None if width is None else self.streams[int(i > 1)]
            bias = self.bias if text is not None and i > 1 else None
            x = x if text is None else self.copied(x)
            transformer = block.attentions[layer * len(widths) + i]
            x = self.call(_transform, transformer, x, text, bias)
        return x


def _transform(
    transformer: Any, x: torch.Tensor, text: torch.Tensor | None, bias: torch.Tensor | None
) -> torch.Tensor:
    made = transformer(
        x, encoder_hidden_states=text, encoder_attention_mask=bias, return_dict=False
    )
    return made[0]  # type: ignore[no-any-return]


def denoise(
    network: Any,
    latents: torch.Tensor,
    timesteps: torch.Tensor,
    generated: torch.Tensor,
    text: torch.Tensor,
    mask: torch.Tensor,
    *,
    copies: int = 1,
    checkpointing: bool = False,
) -> torch.Tensor:
    """Run an `AudioLDM2UNet2DConditionModel`, each sample with `copies` texts.

    Args:
        network: the network.
        latents: [B, C, N, M].
        timesteps: [B].
        generated: the language model's states, [copies x B, 8, D].
        text: the text encoder's states, [copies x B, L, D].
        mask: true where `text` is present, [copies x B, L].
        copies: texts for each sample; row `i + k B` of the texts belongs to sample `i`.
        checkpointing: whether layers are run again for the backward pass, to save memory.

    Returns:
        [copies x B, C, N, M].
    """
    latents = latents.to(network.dtype)
    times = network.time_embedding(network.time_proj(timesteps).to(latents.dtype))
    bias = (1 - mask.to(latents.dtype))[:, None] * -10_000.0
    run = _Pass(times, (generated, text), bias, copies, checkpointing)
    uneven = any(size % 2**network.num_upsamplers for size in latents.shape[-2:])

    x = network.conv_in(latents)
    kept = [x]
    for block in network.down_blocks:
        for i, layer in enumerate(block.resnets):
            x = run.residual(layer, x)
            x = run.attend(block, i, x) if hasattr(block, "attentions") else x
            kept.append(x)
        for layer in block.downsamplers or ():
            x = layer(x)
            kept.append(x)

    middle = network.mid_block
    x = run.residual(middle.resnets[0], x)
    for i, layer in enumerate(middle.resnets[1:]):
        x = run.attend(middle, i, x)
        x = run.residual(layer, x)

    for block in network.up_blocks:
        for i, layer in enumerate(block.resnets):
            x = run.residual(layer, torch.cat([x, run.copied(kept.pop())], dim=1))
            x = run.attend(block, i, x) if hasattr(block, "attentions") else x
        for layer in block.upsamplers or ():
            x = layer(x, kept[-1].shape[2:] if uneven else None)
    return network.conv_out(network.conv_act(network.conv_norm_out(x)))  # type: ignore[no-any-return]
