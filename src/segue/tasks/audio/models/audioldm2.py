"""AudioLDM2 (Liu et al., 2023) from a folder of diffusers, tuned by LoRA on its attention.

A text goes two ways to the network. CLAP's text tower makes one vector of it and Flan-T5 a
sequence; both, projected, are the beginning of a sequence that GPT-2 continues by 8 states, and
the network hears those and the T5 sequence itself. Both are kept for every sample. A prompt is
encoded as if it were alone: GPT-2 counts padding as places, so in diffusers' pipeline a prompt
sounds otherwise beside a longer one, and a negative prompt that is longer than the prompt is cut.

Symbols: `B` samples, `L` tokens, latents [B, 8, frames / 4, mel bands / 4].
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch

from segue.core.errors import RunError, UsageError
from segue.tasks.audio.models.audioldm2_parts import (
    ADAPTED,
    AdaptedAttention,
    adapted_layers,
    denoise,
)
from segue.tasks.audio.models.audioldm2_text import encode
from segue.tasks.audio.models.folder import Part, PipelineFolder, library
from segue.tasks.audio.schedule import Schedule

if TYPE_CHECKING:
    from segue.tasks.audio.models.base import Conditioning

__all__ = ["PARTS", "AudioLDM2Denoiser"]

PARTS = {
    "text_encoder": Part(("ClapModel",), "transformers:ClapModel"),
    "text_encoder_2": Part(("T5EncoderModel",), "transformers:T5EncoderModel"),
    "projection_model": Part(("AudioLDM2ProjectionModel",), "diffusers:AudioLDM2ProjectionModel"),
    # The published folders name GPT2Model, which generates no longer; the weights are the same.
    "language_model": Part(("GPT2LMHeadModel", "GPT2Model"), "transformers:GPT2LMHeadModel"),
    "tokenizer": Part(
        ("RobertaTokenizer", "RobertaTokenizerFast"), "transformers:RobertaTokenizerFast",
        "tokenizer",
    ),
    "tokenizer_2": Part(
        ("T5Tokenizer", "T5TokenizerFast"), "transformers:T5TokenizerFast", "tokenizer"
    ),
    "unet": Part(("AudioLDM2UNet2DConditionModel",), "diffusers:AudioLDM2UNet2DConditionModel"),
    "vae": Part(("AutoencoderKL",), "diffusers:AutoencoderKL"),
    "vocoder": Part(("SpeechT5HifiGan",), "transformers:SpeechT5HifiGan"),
    "scheduler": Part(
        ("DDIMScheduler", "PNDMScheduler", "LMSDiscreteScheduler"), "diffusers:DDIMScheduler",
        "settings",
    ),
}  # fmt: skip
"""What is loaded of an `AudioLDM2Pipeline`."""

_LONGEST_S = 600.0
_DECODED = 8
"""Samples that are turned into sound together."""


class AudioLDM2Denoiser:
    """AudioLDM2 as a `Denoiser`.

    Args:
        parts: the pipeline's, by the names of PARTS; networks in evaluation mode.
        name: what reports call it.
        identity: a SHA-256 of the denoising network, by default of its weights in memory.
        device: where to compute.
        checkpointing: whether training runs layers twice, to save memory.
    """

    def __init__(
        self,
        parts: Mapping[str, Any],
        *,
        name: str = "audioldm2",
        identity: str | None = None,
        device: str | torch.device = "cpu",
        checkpointing: bool = False,
    ) -> None:
        self._parts = {key: parts[key] for key in PARTS}
        self._networks = [p for p in self._parts.values() if isinstance(p, torch.nn.Module)]
        for network in self._networks:
            network.to(device).eval().requires_grad_(False)
        self._network = self._parts["unet"]
        self._attention = AdaptedAttention()
        self._network.set_attn_processor(self._attention)
        self._name, self._known = name, identity
        self.checkpointing = checkpointing
        self._schedule = Schedule.from_diffusers(self._parts["scheduler"])

    @classmethod
    def from_folder(
        cls, folder: Path, *, device: str | torch.device = "cpu", dtype: str = "float32"
    ) -> Self:
        """Load a folder as `AudioLDM2Pipeline.save_pretrained` writes it; nothing is downloaded.

        Args:
            folder: the folder.
            device: where to compute.
            dtype: of the frozen weights: float32, float16 or bfloat16.

        Raises:
            MissingExtra: diffusers, transformers or peft is not installed.
            MissingModel: the folder or a file of it is missing.
            DataError: it holds code, pickled weights or another model, or is damaged.
        """
        checked = PipelineFolder.check(folder, "AudioLDM2Pipeline", PARTS)
        parts = {name: checked.load(name, getattr(torch, dtype)) for name in PARTS}
        # only the text tower of CLAP is asked; the other is as large
        parts["text_encoder"].audio_model = parts["text_encoder"].audio_projection = None
        made = cls(parts, name=folder.resolve().name, identity=checked.identity("unet"))
        return made.to(device)

    def to(self, device: str | torch.device) -> Self:
        """Move all networks to a device."""
        for network in self._networks:
            network.to(device)
        return self

    @property
    def name(self) -> str:
        """What reports call it: the name of its folder."""
        return self._name

    @cached_property
    def identity(self) -> str:
        """A sha256 of the denoising network, which is what an adapter belongs to."""
        if self._known:
            return self._known
        digest = hashlib.sha256()
        for name, value in self._network.state_dict().items():
            if ".lora_" not in name:
                digest.update(name.replace(".base_layer.", ".").encode())
                digest.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().data)
        return digest.hexdigest()

    @property
    def schedule(self) -> Schedule:
        """Noise levels, and what `predict` predicts."""
        return self._schedule

    @property
    def sampling_rate(self) -> int:
        """Of the decoded sound, in Hz."""
        return int(self._parts["vocoder"].config.sampling_rate)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return torch.device(self._network.device)

    def latent_shape(self, seconds: float) -> tuple[int, ...]:
        """Return the shape of one sample's latents, [channels, frames, bands].

        Raises:
            UsageError: the length is not above 0, or above ten minutes.
        """
        samples = self._samples(seconds)
        vocoder = self._parts["vocoder"].config
        frames = math.ceil(samples / math.prod(vocoder.upsample_rates))
        smaller = 2 ** (len(self._parts["vae"].config.block_out_channels) - 1)
        channels = int(self._network.config.in_channels)
        return channels, math.ceil(frames / smaller), vocoder.model_in_dim // smaller

    def condition(self, prompts: Sequence[str], *, length: int | None = None) -> Conditioning:
        """Return what the network hears of the prompts, `B` rows, without gradients.

        Args:
            prompts: texts; the empty one is what guidance leads away from by default.
            length: T5 tokens to pad every prompt to, as diffusers' pipeline pads to the longest
                prompt of a batch. By default a row depends on its own prompt alone.

        Returns:
            `generated` [B, 8, D], the states of GPT-2; `text` [B, L, D], those of T5; and
            `text_mask` [B, L].

        Raises:
            UsageError: there is no prompt, one is blank, or one is too long.
        """
        if not prompts:
            raise UsageError("there is no prompt", advice="Give at least one")
        return encode(self._parts, prompts, self.device, length)

    def predict(
        self, latents: torch.Tensor, timesteps: torch.Tensor, conditioning: Conditioning
    ) -> torch.Tensor:
        """Return the network's output, [B, ...] like `latents`, float32."""
        return self._denoise(latents, timesteps, conditioning, copies=1)

    def predict_pair(
        self, latents: torch.Tensor, timesteps: torch.Tensor, conditioning: Conditioning
    ) -> torch.Tensor:
        """Return the output for two texts of each sample, [2 B, ...]; cheaper than `predict`.

        What comes before the first text is computed once for both. It equals `predict` of
        latents and timesteps that are repeated.

        Args:
            latents: [B, ...].
            timesteps: [B].
            conditioning: 2 B rows; rows i and B + i are of sample i.
        """
        return self._denoise(latents, timesteps, conditioning, copies=2)

    def _denoise(
        self, latents: torch.Tensor, timesteps: torch.Tensor, heard: Conditioning, copies: int
    ) -> torch.Tensor:
        return denoise(
            self._network, latents, timesteps, heard["generated"], heard["text"],
            heard["text_mask"], copies=copies, checkpointing=self.checkpointing,
        ).float()  # fmt: skip

    @torch.no_grad()
    def decode(self, latents: torch.Tensor, seconds: float) -> torch.Tensor:
        """Return sound, [B, T] in -1..1 with T = round(seconds x sampling rate), float32."""
        vae, vocoder, sounds = self._parts["vae"], self._parts["vocoder"], []
        for some in torch.split(latents.to(vae.dtype), _DECODED):
            spectrum = vae.decode(some / vae.config.scaling_factor).sample
            sounds.append(vocoder(spectrum.squeeze(1)).float())
        return torch.cat(sounds)[:, : self._samples(seconds)]

    def add_adapter(self, rank: int, alpha: float, seed: int) -> None:
        """Put a new LoRA on queries, keys, values and outputs of every attention module.

        The first factor is drawn with standard deviation 1 / rank, the second is 0.
        """
        self._inject(rank, alpha)
        source = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, weight in self.adapter().items():
                if ".lora_A." in name:
                    drawn = torch.randn(weight.shape, generator=source) / rank
                    weight.copy_(drawn)
                else:
                    weight.zero_()

    def adapter(self) -> dict[str, torch.nn.Parameter]:
        """Return the factors by the names that PEFT stores them under, in the network's order."""
        return {
            name.replace(".default", ""): weight
            for name, weight in self._network.named_parameters()
            if ".lora_" in name
        }

    def load_adapter(self, arrays: Mapping[str, torch.Tensor], rank: int, alpha: float) -> None:
        """Take an adapter's weights.

        Raises:
            RunError: names or shapes are those of another model's adapter.
        """
        expected = dict(self._shapes(rank))
        found = {name: tuple(value.shape) for name, value in arrays.items()}
        if found != expected:
            odd = sorted(n for n in {*found, *expected} if found.get(n) != expected.get(n))
            name = odd[0]
            raise RunError(
                f"an adapter of another model: {name} has shape {found.get(name)}, "
                f"{expected.get(name)} was expected, and {len(odd) - 1} more differ",
                where=self.name,
                advice="Give the model that it was tuned from",
            )
        self._inject(rank, alpha)
        with torch.no_grad():
            for name, weight in self.adapter().items():
                weight.copy_(arrays[name])

    @contextmanager
    def without_adapter(self) -> Iterator[None]:
        """Within the block the model is the base, and `predict` costs no adapter."""
        before, self._attention.adapted = self._attention.adapted, False
        try:
            yield
        finally:
            self._attention.adapted = before

    @property
    def separates(self) -> bool:
        """Whether `adapter_of_each` works: only if the weights have float32."""
        return bool(self._network.dtype == torch.float32)

    @contextmanager
    def adapter_of_each(self, n: int) -> Iterator[dict[str, torch.Tensor]]:
        """Within the block every sample has a copy of the adapter, so that gradients stay apart.

        Args:
            n: samples of each `predict` or `predict_pair`.

        Yields:
            The copies by name, [n, ...], with gradients.

        Raises:
            UsageError: the weights have half precision, in which the sum of both would be coarse.
        """
        if not self.separates:
            raise UsageError(
                f"gradients of each sample need float32 weights, these are {self._network.dtype}"
            )
        copies = {
            name: weight.detach().expand(n, *weight.shape).clone().requires_grad_()
            for name, weight in self.adapter().items()
        }
        self._attention.own = {
            id(layer): (copies[f"{name}.lora_A.weight"], copies[f"{name}.lora_B.weight"])
            for name, layer in adapted_layers(self._network)
        }
        try:
            yield copies
        finally:
            self._attention.own = {}

    def _samples(self, seconds: float) -> int:
        samples = round(seconds * self.sampling_rate) if math.isfinite(seconds) else 0
        if samples < 1 or seconds > _LONGEST_S:
            raise UsageError(
                f"a clip of {seconds} s cannot be made",
                advice=f"Give a length above 0 and up to {_LONGEST_S:.0f} s; the model was trained "
                "on about 10 s",
            )
        return samples

    def _shapes(self, rank: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        for name, layer in adapted_layers(self._network):
            wide, long = getattr(layer, "base_layer", layer).weight.shape
            yield f"{name}.lora_A.weight", (rank, long)
            yield f"{name}.lora_B.weight", (wide, rank)

    def _inject(self, rank: int, alpha: float) -> None:
        if rank < 1 or not math.isfinite(alpha):
            raise UsageError(f"an adapter of rank {rank} and alpha {alpha} cannot be made")
        self._remove()
        peft = library("peft")
        config = peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(ADAPTED))
        peft.inject_adapter_in_model(config, self._network)
        for weight in self.adapter().values():
            weight.data = weight.data.float()  # updates are smaller than half precision can tell
        self._network.eval()

    def _remove(self) -> None:
        for name, layer in list(adapted_layers(self._network)):
            if hasattr(layer, "base_layer"):
                parent, _, own = name.rpartition(".")
                setattr(self._network.get_submodule(parent), own, layer.base_layer)
        if hasattr(self._network, "peft_config"):
            del self._network.peft_config
