"""What every text-to-audio diffusion model looks like to sampling, tuning and evaluation.

A model here is a `Denoiser`: it turns prompts into conditioning, predicts one denoising step, and
decodes clean latents into sound. Letters: `B` samples, `K` denoising steps, `T` audio samples.

Conditioning is a dictionary of tensors whose first axis counts the samples, kept beside every
sample from the first step to the last update: the original kept that of the last prompt only
and reused it for all. Keys that end in `mask` are boolean, true where something is present; a
tensor `x` that has a `x_mask` beside it is padded along its second axis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch

    from segue.tasks.audio.schedule import Schedule

    Conditioning = Mapping[str, torch.Tensor]

__all__ = ["Denoiser", "join", "rows"]


@runtime_checkable
class Denoiser(Protocol):
    """A text-to-audio diffusion model with frozen weights and, when tuned, an adapter.

    All its modules stay in evaluation mode, always: dropout in a text encoder would make the
    conditioning, and with it the ratio of new to old policy, random.
    """

    @property
    def name(self) -> str:
        """What reports call it."""
        ...

    @property
    def identity(self) -> str:
        """A sha256 of the frozen weights; an adapter is refused by any other model."""
        ...

    @property
    def schedule(self) -> Schedule:
        """Noise levels, and what `predict` predicts."""
        ...

    @property
    def sampling_rate(self) -> int:
        """Of the decoded sound, in Hz."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        ...

    def latent_shape(self, seconds: float) -> tuple[int, ...]:
        """Return the shape of one sample's latents; raises UsageError for an unusable length."""
        ...

    def condition(self, prompts: Sequence[str]) -> Conditioning:
        """Return what the model takes from the prompts, `B` rows, without gradients.

        Row i depends on prompt i alone, but for padding, which masks hide. Raises UsageError for
        an empty prompt or one that is too long.
        """
        ...

    def predict(
        self, latents: torch.Tensor, timesteps: torch.Tensor, conditioning: Conditioning
    ) -> torch.Tensor:
        """Return the network's output for noisy latents, [B, ...] like `latents`.

        `timesteps` is [B], integers of the training schedule; rows may differ. Gradients flow to
        the adapter when one is there.
        """
        ...

    def decode(self, latents: torch.Tensor, seconds: float) -> torch.Tensor:
        """Return sound, [B, T] in -1..1 with T = round(seconds x sampling rate), float32."""
        ...

    def add_adapter(self, rank: int, alpha: float, seed: int) -> None:
        """Put a new LoRA on every path by which the prompt enters; it changes nothing at first."""
        ...

    def adapter(self) -> dict[str, torch.nn.Parameter]:
        """Return the trainable parameters by name, in a fixed order; empty without an adapter."""
        ...

    def load_adapter(self, arrays: Mapping[str, torch.Tensor], rank: int, alpha: float) -> None:
        """Take an adapter's weights; raises RunError when names or shapes are another model's."""
        ...

    def without_adapter(self) -> AbstractContextManager[None]:
        """Within the block the model is the base, and `predict` costs no adapter."""
        ...


def rows(conditioning: Conditioning, index: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the conditioning of some samples; `index` is [b], integers."""
    return {key: value[index] for key, value in conditioning.items()}


def join(parts: Sequence[Conditioning]) -> dict[str, torch.Tensor]:
    """Put the samples of several conditionings one after another.

    Padded tensors of different lengths are padded to the longest; masks say what is real.
    """
    import torch

    first = parts[0]
    joined = {}
    for key in first:
        values = [part[key] for part in parts]
        padded = key.endswith("mask") or f"{key}_mask" in first
        if padded and len({value.shape[1] for value in values}) > 1:
            longest = max(value.shape[1] for value in values)
            values = [_lengthen(value, longest) for value in values]
        joined[key] = torch.cat(values)
    return joined


def _lengthen(value: torch.Tensor, length: int) -> torch.Tensor:
    import torch

    more = value.new_zeros((value.shape[0], length - value.shape[1], *value.shape[2:]))
    return torch.cat([value, more], dim=1)
