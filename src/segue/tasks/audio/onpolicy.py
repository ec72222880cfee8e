"""Gradients of log-probabilities that are gathered while clips are played.

Where an epoch has one update, the policy that learns from the clips is still the one that played
them. Every ratio is then 1, nothing is clipped, and the gradient of DDPO's loss is

    - mean over clips i and trained steps k of  A_i  grad log p(i, k)

The advantage A_i is known when all clips are; the gradients need not wait for it. They are summed
over the steps of each clip as it is played, each clip with its own copy of the adapter, so the
network runs once for each trained step instead of twice. It is the same update, with the sums in
another order.

Letters: `n` clips, `K` denoising steps, `T` trained ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from segue.tasks.audio.sampling import Prompting, guided
from segue.tasks.audio.schedule import step

if TYPE_CHECKING:
    from segue.tasks.audio.models.base import Denoiser

__all__ = ["Played", "play_and_gather", "separates"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """Clips, and what their log-probabilities say about the adapter."""

    clean: torch.Tensor
    """Latents of the clips, [n, ...]."""
    log_prob: torch.Tensor
    """Of each step, [n, K]."""
    gradients: Mapping[str, torch.Tensor]
    """Of the summed log-probability of the trained steps, by names of the adapter, [n, ...]."""
    trained: int
    """T."""
    weight: float
    """Sum of the weights of these steps; T where all count alike."""

    def loss_gradient(
        self, advantages: torch.Tensor, total: int | None = None
    ) -> dict[str, torch.Tensor]:
        """Return the gradient of DDPO's loss by names of the adapter.

        Args:
            advantages: of the clips, [n].
            total: what the sum over clips and steps is divided by, where other processes have
                played as well; by default n T.
        """
        total = len(self.clean) * self.trained if total is None else total
        weights = -advantages.to(self.clean) / total
        return {
            name: torch.tensordot(weights, value, dims=1) for name, value in self.gradients.items()
        }


def separates(denoiser: Denoiser) -> bool:
    """Tell whether a model can give every clip its own copy of the adapter."""
    return bool(getattr(denoiser, "separates", False))


def play_and_gather(
    denoiser: Denoiser,
    asked: Prompting,
    shape: tuple[int, ...],
    steps: int,
    eta: float,
    seeds: Sequence[int],
    trained: Sequence[int],
    *,
    batch: int = 4,
    weights: torch.Tensor | None = None,
) -> Played:
    """Play clips, and gather the gradients of some of their steps.

    Args:
        denoiser: the policy, one that `separates`, with its adapter.
        asked: n clips.
        shape: of one clip's latents.
        steps: K.
        eta: share of fresh noise in each step, above 0.
        seeds: n, of the clips' noise; it is drawn as `sampling.denoise` does.
        trained: which of the K steps are learned from, the same for all clips.
        batch: clips that are played together; memory grows with it, results do not change.
        weights: of the K steps in the sum; by default all are 1.
    """
    device, parts = denoiser.device, []
    count = torch.ones(steps) if weights is None else weights
    marked = {k: float(count[k]) for k in trained}
    for first in range(0, len(seeds), batch):
        own = seeds[first : first + batch]
        index = torch.arange(first, first + len(own), device=device)
        parts.append(_play(denoiser, asked.rows(index), shape, steps, eta, own, marked))
    return Played(
        clean=torch.cat([part.clean for part in parts]),
        log_prob=torch.cat([part.log_prob for part in parts]),
        gradients={
            name: torch.cat([part.gradients[name] for part in parts]) for name in parts[0].gradients
        },
        trained=len(marked),
        weight=sum(marked.values()),
    )


def _play(
    denoiser: Denoiser,
    asked: Prompting,
    shape: tuple[int, ...],
    steps: int,
    eta: float,
    seeds: Sequence[int],
    trained: Mapping[int, float],
) -> Played:
    """Play clips together; `trained` has the weights of the steps that are learned from."""
    device = denoiser.device
    sources = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
    apart: Callable[[int], AbstractContextManager[dict[str, torch.Tensor]]]
    apart = denoiser.adapter_of_each  # type: ignore[attr-defined]  # asked by `separates`

    def fresh() -> torch.Tensor:
        return torch.stack([torch.randn(shape, generator=each) for each in sources]).to(device)

    latents, told = fresh(), []
    with apart(len(sources)) as copies:
        for k, t in enumerate(denoiser.schedule.timesteps(steps)):
            at = torch.full((len(sources),), int(t), device=device)
            with torch.set_grad_enabled(k in trained):
                output = guided(denoiser, latents, at, asked)
            with torch.no_grad():
                noise = fresh()
                taken = step(denoiser.schedule, output, latents, at, steps, eta, noise=noise)
            if k in trained:
                judged = step(
                    denoiser.schedule, output, latents, at, steps, eta, previous=taken.latents
                )
                total = trained[k] * judged.log_prob.sum()
                total.backward()  # type: ignore[no-untyped-call]
            latents = taken.latents
            told.append(taken.log_prob)
        found = {
            name: torch.zeros_like(copy) if copy.grad is None else copy.grad
            for name, copy in copies.items()
        }
    return Played(
        clean=latents, log_prob=torch.stack(told, dim=1), gradients=found, trained=len(trained),
        weight=sum(trained.values()),
    )  # fmt: skip
