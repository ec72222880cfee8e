"""What was played: every step of every clip, with all that is needed to judge it again.

A rollout is the store that all objectives share. Conditioning is kept for each clip, with the
mask of its prompt. The original kept that of the last prompt only, so the ratio of new to old
probabilities was not 1 before anything was learned.

Letters: `n` clips, `K` denoising steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from segue.core.errors import RunError
from segue.tasks.audio.rewards.clips import Clips
from segue.tasks.audio.sampling import Precision, Prompting, autocast, denoise, guided, prompting
from segue.tasks.audio.schedule import step

if TYPE_CHECKING:
    from segue.rl.rewards import WeightedSum
    from segue.tasks.audio.config import SampleConfig
    from segue.tasks.audio.models.base import Denoiser
    from segue.tasks.audio.vocabulary import Prompt

__all__ = ["Rollout", "clips_of", "collect", "paid", "ratio_deviation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """Clips and how they came about."""

    latents: torch.Tensor
    """[n, K + 1, ...] from noise to clean."""
    log_prob: torch.Tensor
    """[n, K] of each step; nan where a step had no noise."""
    timesteps: torch.Tensor
    """[n, K] integers."""
    asked: Prompting
    """n rows."""
    prompts: tuple[Prompt, ...]
    """n."""
    eta: float
    weights: torch.Tensor | None = None
    """Of the elements in `log_prob`, broadcast to [n, ...]; None is all equal."""

    @property
    def steps(self) -> int:
        """K."""
        return self.log_prob.shape[1]

    @property
    def clean(self) -> torch.Tensor:
        """Where the clips arrived, [n, ...]."""
        return self.latents[:, -1]


def collect(
    denoiser: Denoiser,
    prompts: Sequence[Prompt],
    seeds: Sequence[int],
    config: SampleConfig,
    precision: Precision = "float32",
    weights: torch.Tensor | None = None,
) -> Rollout:
    """Play one clip for each prompt.

    Args:
        denoiser: the policy.
        prompts: n.
        seeds: n, of the clips' noise.
        config: how.
        precision: of matrix products.
        weights: of the elements in log-probabilities.

    Raises:
        UsageError: a prompt, length or number of steps that cannot be used.
    """
    texts = [prompt.text for prompt in prompts]
    asked = prompting(denoiser, texts, config.guidance, config.negative)
    n, steps, device = len(prompts), config.steps, denoiser.device
    shape = denoiser.latent_shape(config.seconds)
    latents = torch.empty((n, steps + 1, *shape), device=device)
    log_prob = torch.empty((n, steps), device=device)
    timesteps = torch.empty((n, steps), dtype=torch.int64, device=device)
    for first in range(0, n, config.batch):
        part = slice(first, min(first + config.batch, n))
        some = asked.rows(torch.arange(part.start, part.stop, device=device))
        walk = denoise(denoiser, some, shape, steps, config.eta, seeds[part], precision, weights)
        for k, (at, seen, taken) in enumerate(walk):
            latents[part, k], latents[part, k + 1] = seen, taken.latents
            log_prob[part, k], timesteps[part, k] = taken.log_prob, at
    return Rollout(
        latents=latents,
        log_prob=log_prob,
        timesteps=timesteps,
        asked=asked,
        prompts=tuple(prompts),
        eta=config.eta,
        weights=weights,
    )


def clips_of(
    denoiser: Denoiser,
    latents: torch.Tensor,
    seconds: float,
    prompts: Sequence[Prompt],
    *,
    audio: bool,
) -> Clips:
    """Return clips as rewards hear them.

    Args:
        denoiser: who decodes.
        latents: clean, [n, ...].
        seconds: their length.
        prompts: n.
        audio: whether sound is needed; without, a model that can tell the mel spectrum of its
            latents makes no sound.
    """
    tell: Any = None if audio else getattr(denoiser, "predict_mel", None)
    with torch.no_grad():
        if tell is not None:
            return Clips(None, denoiser.sampling_rate, prompts, tell(latents, seconds))
        return Clips(denoiser.decode(latents, seconds), denoiser.sampling_rate, prompts)


def paid(
    denoiser: Denoiser,
    reward: WeightedSum,
    latents: torch.Tensor,
    prompts: Sequence[Prompt],
    config: SampleConfig,
) -> NDArray[np.float64]:
    """Return what clips earned, [n, 1 + terms]: the sum, then every part of it.

    Args:
        denoiser: who decodes.
        reward: takes `Clips`.
        latents: clean, [n, ...].
        prompts: n.
        config: how the clips were made.

    Raises:
        RunError: the reward has another shape.
    """
    from segue.tasks.audio.rewards.table import needs_audio

    audio, parts = needs_audio(reward), []
    for first in range(0, len(prompts), config.batch):
        part = slice(first, first + config.batch)
        some = prompts[part]
        clips = clips_of(denoiser, latents[part], config.seconds, some, audio=audio)
        with torch.no_grad():
            total, terms = reward(clips)
        columns = [np.asarray(total), *(np.asarray(terms[name]) for name in reward.parts)]
        if any(column.shape != (len(some),) for column in columns):
            shapes = ", ".join(str(column.shape) for column in columns)
            raise RunError(f"the reward of {len(some)} clips has the shapes {shapes}")
        parts.append(np.stack(columns, axis=1))
    return np.concatenate(parts).astype(np.float64)


def ratio_deviation(
    denoiser: Denoiser, rollout: Rollout, rows: int = 64, precision: Precision = "float32"
) -> float:
    """Return the largest |ratio - 1| of new to old probability, over all clips and steps.

    Right after `collect` it is 0 but for rounding; anything else means that training sees other
    inputs than sampling did.

    Args:
        denoiser: the policy.
        rollout: what it played.
        rows: (clip, step) pairs that are computed together.
        precision: of matrix products.
    """
    clip, at = torch.nonzero(~rollout.log_prob.isnan(), as_tuple=True)
    worst = 0.0
    for first in range(0, len(clip), rows):
        i, k = clip[first : first + rows], at[first : first + rows]
        seen, t = rollout.latents[i, k], rollout.timesteps[i, k]
        with torch.no_grad():
            with autocast(denoiser.device, precision):
                output = guided(denoiser, seen, t, rollout.asked.rows(i))
            again = step(
                denoiser.schedule, output, seen, t, rollout.steps, rollout.eta,
                previous=rollout.latents[i, k + 1], weights=rollout.weights,
            )  # fmt: skip
        off = torch.expm1(again.log_prob - rollout.log_prob[i, k]).abs()
        worst = max(worst, float(off.max()))
    return worst
