"""From noise to latents: the chain of denoising steps, guided or not, seeded sample by sample.

The noise of a sample comes from its own seed, so what it becomes depends neither on the samples
beside it nor on the process that makes it (but for the last bits, which matrix products of other
sizes round in other ways).

Letters: `B` samples, `K` denoising steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from segue.core.errors import UsageError
from segue.core.progress import Advance, silent
from segue.tasks.audio.models.base import join, rows
from segue.tasks.audio.schedule import Step, step

if TYPE_CHECKING:
    from segue.tasks.audio.models.base import Denoiser

__all__ = ["Precision", "Prompting", "autocast", "denoise", "guided", "prompting", "sample"]

Precision = Literal["float32", "bfloat16", "float16"]
"""Of matrix products; weights, latents and log-probabilities stay float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompting:
    """What a batch of samples was asked for; every sample has its own, always."""

    positive: Mapping[str, torch.Tensor]
    """Conditioning of the prompts, B rows."""
    negative: Mapping[str, torch.Tensor] | None
    """Conditioning of what guidance leads away from, B rows; None without guidance."""
    guidance: float
    """Scale `w` of classifier-free guidance: negative + w (positive - negative)."""

    def rows(self, index: torch.Tensor) -> Prompting:
        """Return what some samples were asked for; `index` is [b], integers."""
        return Prompting(
            positive=rows(self.positive, index),
            negative=None if self.negative is None else rows(self.negative, index),
            guidance=self.guidance,
        )

    @staticmethod
    def join(parts: Sequence[Prompting]) -> Prompting:
        """Put the samples of several batches one after another."""
        negatives = [part.negative for part in parts if part.negative is not None]
        return Prompting(
            positive=join([part.positive for part in parts]),
            negative=join(negatives) if negatives else None,
            guidance=parts[0].guidance,
        )


def prompting(
    denoiser: Denoiser, prompts: Sequence[str], guidance: float, negative: str = ""
) -> Prompting:
    """Turn prompts into conditioning; each distinct text is encoded once.

    Args:
        denoiser: whose text encoders are used.
        prompts: B texts.
        guidance: scale; at 1 the negative prompt has no effect and is left out.
        negative: what guidance leads away from, for all of them; empty: the prompt of no words.

    Raises:
        UsageError: no prompt, an empty one, one that is too long, or a negative guidance scale.
    """
    if not prompts:
        raise UsageError("there is no prompt", advice="Give at least one")
    if any(not text.strip() for text in prompts):
        raise UsageError("a prompt is empty", advice="Say what is wanted, in words")
    if not guidance >= 0:
        raise UsageError(f"guidance is {guidance}; it is 0 or more, and 1 is none")
    distinct = {text: i for i, text in enumerate(dict.fromkeys(prompts))}
    with torch.no_grad():
        positive = denoiser.condition(list(distinct))
        index = torch.tensor([distinct[text] for text in prompts], device=denoiser.device)
        against = None
        if guidance != 1:
            against = rows(denoiser.condition([negative]), torch.zeros_like(index))
    return Prompting(positive=rows(positive, index), negative=against, guidance=guidance)


def guided(
    denoiser: Denoiser, latents: torch.Tensor, timesteps: torch.Tensor, asked: Prompting
) -> torch.Tensor:
    """Return the network's output with guidance, [B, ...]; gradients flow through both halves.

    Guidance is a part of the policy: sampling and training both come through here, so that the
    ratio of their probabilities is 1 as long as the weights are the same.
    """
    if asked.negative is None:
        return denoiser.predict(latents, timesteps, asked.positive)
    heard = join([asked.negative, asked.positive])
    # some models do the work that both halves share only once
    pair = getattr(denoiser, "predict_pair", None)
    if pair is not None:
        both: torch.Tensor = pair(latents, timesteps, heard)
    else:
        both = denoiser.predict(
            torch.cat([latents, latents]), torch.cat([timesteps, timesteps]), heard
        )
    away, towards = both.float().chunk(2)
    return away + asked.guidance * (towards - away)


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Return the block in which matrix products have a precision."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, getattr(torch, precision))


def denoise(
    denoiser: Denoiser,
    asked: Prompting,
    shape: tuple[int, ...],
    steps: int,
    eta: float,
    seeds: Sequence[int],
    precision: Precision = "float32",
    weights: torch.Tensor | None = None,
) -> Iterator[tuple[torch.Tensor, torch.Tensor, Step]]:
    """Walk from noise to clean latents, without gradients.

    Args:
        denoiser: the model, with its adapter.
        asked: B samples.
        shape: of one sample's latents.
        steps: K.
        eta: share of fresh noise in each step.
        seeds: B of them, one for the noise of each sample.
        precision: of matrix products.
        weights: of the elements in log-probabilities.

    Yields:
        Timesteps [B], the latents that were seen [B, ...], and the step that was taken; K times.
    """
    device = denoiser.device
    sources = [torch.Generator().manual_seed(int(seed)) for seed in seeds]

    def fresh() -> torch.Tensor:
        # drawn on the CPU, so that a seed means the same on every device
        return torch.stack([torch.randn(shape, generator=each) for each in sources]).to(device)

    latents = fresh()
    for t in denoiser.schedule.timesteps(steps):
        timesteps = torch.full((len(sources),), int(t), device=device)
        with torch.no_grad():
            with autocast(device, precision):
                output = guided(denoiser, latents, timesteps, asked)
            noise = fresh() if eta > 0 else None
            taken = step(
                denoiser.schedule, output, latents, timesteps, steps, eta,
                noise=noise, weights=weights,
            )  # fmt: skip
        yield timesteps, latents, taken
        latents = taken.latents


def sample(
    denoiser: Denoiser,
    prompts: Sequence[str],
    seconds: float,
    K: int,  # noqa: N803  the number of steps, as everywhere in the task
    eta: float = 1.0,
    guidance: float = 1.0,
    negative: str = "",
    seeds: Sequence[int] | None = None,
    *,
    batch: int = 64,
    precision: Precision = "float32",
    advance: Advance = silent,
) -> torch.Tensor:
    """Return clean latents of prompts, [B, ...].

    Args:
        denoiser: the model, with its adapter if it has one.
        prompts: B texts.
        seconds: length of every clip.
        K: denoising steps.
        eta: share of fresh noise in each step; 0 is deterministic DDIM.
        guidance: scale of classifier-free guidance; 1 is none.
        negative: what guidance leads away from.
        seeds: B of them; by default 0, 1, 2...
        batch: samples that are made together; it changes no result.
        precision: of matrix products.
        advance: told the number of samples that are done.

    Raises:
        UsageError: a prompt, length, number of steps, guidance or eta that cannot be used, or
            another number of seeds than of prompts.
    """
    numbers = range(len(prompts)) if seeds is None else seeds
    if len(numbers) != len(prompts):
        raise UsageError(f"{len(numbers)} seeds for {len(prompts)} prompts")
    asked = prompting(denoiser, prompts, guidance, negative)
    shape, parts = denoiser.latent_shape(seconds), []
    for first in range(0, len(prompts), batch):
        own = numbers[first : first + batch]
        some = asked.rows(torch.arange(first, first + len(own), device=denoiser.device))
        for _, _, taken in denoise(denoiser, some, shape, K, eta, own, precision):
            last = taken.latents
        parts.append(last)
        advance(float(len(own)))
    return torch.cat(parts)
