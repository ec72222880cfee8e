"""How much of DDPO's gradient is signal: two gradients of different clips, step by step.

    OMP_NUM_THREADS=1 python benchmarks/audio_gradients.py --run RUN [--adapter NAME] [--clips 32]

The same model plays N clips of every prompt. One half of them gives one gradient, the other half
another, each with advantages among groups of eight siblings, as `tune` has them. If all were
signal, their cosine would be 1; of noise alone it is about 0. Printed for each denoising step by
itself, and for sums of the first ones, as they are and discounted (`update.step_discount`).

Rows of one step cost about 4 ms each on a processor core: 32 clips of 36 prompts, four steps, take
a minute.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from segue.tasks.audio.advantages import by_group
from segue.tasks.audio.config import TuneConfig
from segue.tasks.audio.ddpo import element_weights, step_weights
from segue.tasks.audio.models.base import Denoiser
from segue.tasks.audio.players import open_listeners, open_player
from segue.tasks.audio.rewards.table import build
from segue.tasks.audio.rollout import Rollout, collect, paid
from segue.tasks.audio.sampling import guided
from segue.tasks.audio.schedule import step
from segue.tasks.audio.tuning_prompts import tuning_prompts

SIBLINGS = 8
ROWS = 96


def gradient(
    denoiser: Denoiser, rollout: Rollout, clips: torch.Tensor, k: int, advantages: torch.Tensor
) -> torch.Tensor:
    """Return the gradient of mean(A log p) over clips at step k, as one vector."""
    weights = list(denoiser.adapter().values())
    total = torch.zeros(sum(weight.numel() for weight in weights))
    for i in clips.split(ROWS):
        at = torch.full_like(i, k)
        seen, t = rollout.latents[i, at], rollout.timesteps[i, at]
        output = guided(denoiser, seen, t, rollout.asked.rows(i))
        taken = step(
            denoiser.schedule, output, seen, t, rollout.steps, rollout.eta,
            previous=rollout.latents[i, at + 1], weights=rollout.weights,
        )  # fmt: skip
        mean = (advantages[i] * taken.log_prob).sum() / len(clips)
        parts = torch.autograd.grad(mean, weights, allow_unused=True)
        total += torch.cat(
            [
                torch.zeros(weight.numel()) if part is None else part.flatten()
                for weight, part in zip(weights, parts, strict=True)
            ]
        )
    return total


def main() -> None:
    """Play, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", required=True, help="of `segue audio pretrain`")
    parser.add_argument("--adapter", help="name of a tuning; by default a new one, the base model")
    parser.add_argument("--clips", type=int, default=32, help="of each prompt, a multiple of 16")
    parser.add_argument("--steps", type=int, default=4, help="denoising steps that are looked at")
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = TuneConfig()
    denoiser = open_player(options.run, options.adapter).denoiser
    if options.adapter is None:
        denoiser.add_adapter(config.adapter.rank, config.adapter.alpha, config.seed)
    reward = build(config.reward, open_listeners(options.run), config.terms)
    prompts = [p for p in tuning_prompts(config.prompts) for _ in range(options.clips)]
    n = len(prompts)
    weights = element_weights(denoiser, config.update)
    rollout = collect(denoiser, prompts, range(n), config.sample, weights=weights)
    rewards = paid(denoiser, reward, rollout.clean, prompts, config.sample)[:, 0]
    print(f"{n} clips, mean reward {rewards.mean():.2f}")

    group = np.arange(n) // SIBLINGS
    gains = torch.from_numpy(by_group([str(g) for g in group], rewards)).float().clamp(-5, 5)
    halves = [torch.from_numpy(np.flatnonzero(group % 2 == half)) for half in (0, 1)]
    found = {}
    for k in range(options.steps):
        one, other = (gradient(denoiser, rollout, half, k, gains) for half in halves)
        found[k] = one, other
        cosine = torch.cosine_similarity(one, other, 0)
        print(f"step {k + 1}: cosine {cosine:.2f}, norm {one.norm():.1e}", flush=True)
    for name, counts in (
        ("sum of the first", torch.ones(options.steps)),
        ("discounted sum of the first", step_weights(config.update, config.sample.steps)),
    ):
        for last in range(1, options.steps):
            sums = [
                torch.stack([counts[k] * found[k][half] for k in range(last + 1)]).sum(0)
                for half in (0, 1)
            ]
            print(f"{name} {last + 1}: cosine {torch.cosine_similarity(*sums, 0):.2f}")


if __name__ == "__main__":
    main()
