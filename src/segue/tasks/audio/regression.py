"""Reward-weighted regression: the model learns to denoise its own clips, the better ones more.

The loss is that of diffusion training on the clips of a rollout, each weighted by
exp(advantage / temperature), with weights of mean 1 (Lee et al., "Aligning text-to-image models
using human feedback", 2023; RWR in Black et al., 2024). It needs no probabilities and no noise in
the steps, and is the baseline that DDPO is measured against.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from segue.tasks.audio.ddpo import Part
from segue.tasks.audio.sampling import Precision, autocast

if TYPE_CHECKING:
    from segue.tasks.audio.config import UpdateConfig
    from segue.tasks.audio.models.base import Denoiser
    from segue.tasks.audio.rollout import Rollout

__all__ = ["losses", "weights_of"]


def weights_of(advantages: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Return exp(advantages / temperature) scaled to a mean of 1, [n]."""
    found = np.exp((advantages - advantages.max()) / temperature)
    return np.asarray(found / found.mean())


def losses(
    denoiser: Denoiser,
    rollout: Rollout,
    clips: torch.Tensor,
    seeds: Sequence[int],
    repeats: int,
    weights: torch.Tensor,
    total: int,
    config: UpdateConfig,
    precision: Precision = "float32",
) -> Iterator[Part]:
    """Yield the loss of a minibatch in parts, each over at most `config.rows` rows.

    Args:
        denoiser: the model, with an adapter.
        rollout: what it played; the clean latents are used.
        clips: which clips, [b].
        seeds: of the noise and levels that they are denoised from, b.
        repeats: noisy versions of each clip.
        weights: of the clips, [b].
        total: rows of the minibatch over all processes.
        config: how.
        precision: of matrix products.
    """
    schedule, device = denoiser.schedule, denoiser.device
    index = clips.repeat_interleave(repeats)
    weight = weights.float().repeat_interleave(repeats)
    shape = rollout.clean.shape[1:]
    noises, levels = [], []
    for seed in seeds:
        source = torch.Generator().manual_seed(int(seed))
        levels.append(torch.randint(0, schedule.n_train, (repeats,), generator=source))
        noises.append(torch.randn((repeats, *shape), generator=source))
    noise = torch.cat(noises).to(device) if noises else rollout.clean[:0]
    level = torch.cat(levels).to(device) if levels else index
    for first in range(0, len(index), config.rows):
        part = slice(first, first + config.rows)
        i, t, e = index[part], level[part], noise[part]
        clean = rollout.clean[i]
        with autocast(device, precision):
            seen = schedule.add_noise(clean, e, t)
            # without guidance: what is learned is the prompt's own prediction
            output = denoiser.predict(seen, t, rollout.asked.rows(i).positive).float()
        off = (output - schedule.target(clean, e, t)).square().flatten(1).mean(1)
        loss = (weight[part] * off).sum()
        yield loss / total, {"loss": float(loss.detach())}
