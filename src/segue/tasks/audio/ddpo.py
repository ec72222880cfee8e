"""DDPO: the clipped ratio of denoising steps, after Black et al. (2024), section 4.3.

For clip i and step k with ratio r = exp(log p_new - log p_old) and the clip's advantage A,

    loss = mean over (i, k) of g(k) max(-A r, -A clamp(r, 1 - c, 1 + c)) + w distance to the base

with weights g(k) of the steps, 1 in the paper. The distance compares the outputs with and without
the adapter; there is no second copy of the model. Rows of several clips and timesteps go through
the network together, each chunk has a backward pass of its own, and no graph outlives its chunk.

Letters: `n` clips, `K` denoising steps, `T` trained ones, `R` rows (clip, step).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from segue.tasks.audio.sampling import Precision, autocast, guided
from segue.tasks.audio.schedule import Step, step

if TYPE_CHECKING:
    from segue.tasks.audio.config import UpdateConfig
    from segue.tasks.audio.models.base import Denoiser
    from segue.tasks.audio.rollout import Rollout

__all__ = ["Part", "clipped", "element_weights", "losses", "step_weights", "trained_steps"]

Part = tuple[torch.Tensor, dict[str, float]]
"""A part of the loss, ready for its backward pass, and sums of what is logged of it."""


def trained_steps(
    config: UpdateConfig, steps: int, n: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw which of its steps each clip is trained on, in a drawn order, [n, T].

    Of those that may be trained, the first ones, a window that is the same for all clips, and of
    that a share, drawn for each clip.
    """
    first, count = 0, config.trainable(steps)
    if config.window is not None:
        first = int(rng.integers(0, count - config.window + 1))
        count = config.window
    kept = max(1, int(count * config.fraction))
    drawn = rng.permuted(np.tile(np.arange(first, first + count), (n, 1)), axis=1)
    return drawn[:, :kept]


def step_weights(config: UpdateConfig, steps: int) -> torch.Tensor:
    """Return the weights of steps, [K], with a mean of 1 over those that may be trained."""
    weights = config.step_discount ** torch.arange(steps, dtype=torch.float64)
    return (weights / weights[: config.trainable(steps)].mean()).float()


def element_weights(denoiser: Denoiser, config: UpdateConfig) -> torch.Tensor | None:
    """Return the weights of latent elements in log-probabilities; None where all are equal."""
    return getattr(denoiser, "element_weights", None) if config.density == "weighted" else None


def clipped(
    new: torch.Tensor, old: torch.Tensor, advantages: torch.Tensor, clip: float, scale: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the loss and the ratio of each row, [R] both.

    Args:
        new: log-probability under the present weights, [R].
        old: when the clip was made, [R].
        advantages: [R].
        clip: range of the ratio around 1.
        scale: factor of the log-ratio.
    """
    ratio = torch.exp(scale * (new - old))
    worst = torch.maximum(
        -advantages * ratio, -advantages * torch.clamp(ratio, 1.0 - clip, 1.0 + clip)
    )
    return worst, ratio


def losses(
    denoiser: Denoiser,
    rollout: Rollout,
    clips: torch.Tensor,
    trained: torch.Tensor,
    advantages: torch.Tensor,
    total: int,
    config: UpdateConfig,
    precision: Precision = "float32",
) -> Iterator[Part]:
    """Yield the loss of a minibatch in parts, each over at most `config.rows` rows.

    Args:
        denoiser: the policy, with an adapter.
        rollout: what it played.
        clips: which clips, [b].
        trained: their steps, [b, T].
        advantages: theirs, [b].
        total: rows of the minibatch over all processes; the parts add up to a mean over them.
        config: how.
        precision: of matrix products.
    """
    index, at = clips.repeat_interleave(trained.shape[1]), trained.flatten()
    gain = advantages.float().repeat_interleave(trained.shape[1])
    scale, weights = config.temperature, step_weights(config, rollout.steps).to(at.device)
    if config.density == "sum":
        scale *= math.prod(rollout.latents.shape[2:])
    for first in range(0, len(index), config.rows):
        part = slice(first, first + config.rows)
        i, k = index[part], at[part]
        seen, t, asked = rollout.latents[i, k], rollout.timesteps[i, k], rollout.asked.rows(i)
        with autocast(denoiser.device, precision):
            output = guided(denoiser, seen, t, asked).float()
        new = _judge(denoiser, rollout, output, i, k)
        old = rollout.log_prob[i, k]
        loss, ratio = clipped(new.log_prob, old, gain[part], config.clip_range, scale)
        loss = weights[k] * loss
        away = 0.0
        found = loss.sum()
        if config.base_penalty:
            few = math.ceil(len(i) * config.base_share)
            # rows come in a drawn order, so the first ones are a sample of all
            head = slice(0, few)
            with denoiser.without_adapter(), torch.no_grad():
                with autocast(denoiser.device, precision):
                    base = guided(denoiser, seen[head], t[head], asked.rows(_first(i, few))).float()
                base_step = _judge(denoiser, rollout, base, i[head], k[head])
            distance = _distance(config, output[head], base, new, base_step, few) * (len(i) / few)
            found = found + config.base_penalty * distance
            away = float(distance.detach())
        change = (new.log_prob - old).detach()
        off = (ratio.detach() - 1.0).abs()
        yield (
            found / total,
            {
                "loss": float(loss.detach().sum()),
                "base_distance": away,
                "approx_kl": float(0.5 * change.square().sum()),
                "clip_fraction": float((off > config.clip_range).sum()),
                "ratio_deviation": float(off.sum()),
            },
        )


def _judge(
    denoiser: Denoiser, rollout: Rollout, output: torch.Tensor, i: torch.Tensor, k: torch.Tensor
) -> Step:
    return step(
        denoiser.schedule,
        output,
        rollout.latents[i, k],
        rollout.timesteps[i, k],
        rollout.steps,
        rollout.eta,
        previous=rollout.latents[i, k + 1],
        weights=rollout.weights,
    )


def _distance(
    config: UpdateConfig,
    output: torch.Tensor,
    base: torch.Tensor,
    new: Step,
    base_step: Step,
    few: int,
) -> torch.Tensor:
    """Return the summed distance of rows from the base model."""
    if config.base_distance == "prediction":
        return (output - base).square().flatten(1).mean(1).sum()
    between = (new.mean[:few] - base_step.mean).square().flatten(1).mean(1)
    return (between / (2 * new.sigma[:few].square())).sum()


def _first(index: torch.Tensor, few: int) -> torch.Tensor:
    return torch.arange(few, device=index.device)
