"""A plain DDPO loop in the manner of ddpo-pytorch, as the peer of `audio_ddpo.py`.

Written for the comparison, after the method and not after anybody's code: the network of diffusers
with LoRA by PEFT, guidance by doubled latents, clips of a batch played together; then, for every
batch and every step, a forward pass, the clipped loss and a backward pass; one optimiser step when
all steps of a batch are done.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

__all__ = ["Peer", "Record"]


@dataclass
class Record:
    """What was played."""

    latents: torch.Tensor
    """[n, K + 1, ...]"""
    log_probs: torch.Tensor
    """[n, K]"""
    timesteps: torch.Tensor
    """[K]"""
    heard: dict[str, torch.Tensor]
    """Conditioning: n negative rows, then n positive ones."""


class Peer:
    """The loop and what it learns with."""

    def __init__(
        self, unet: Any, scheduler: Any, steps: int, guidance: float, rate: float,
        clip: float = 1e-4, eta: float = 1.0, rank: int = 8,
    ) -> None:  # fmt: skip
        import peft

        self.unet = copy.deepcopy(unet).eval().requires_grad_(False)
        config = peft.LoraConfig(
            r=rank, lora_alpha=rank, target_modules=["to_q", "to_k", "to_v", "to_out.0"]
        )
        peft.inject_adapter_in_model(config, self.unet)
        self.weights = [w for w in self.unet.parameters() if w.requires_grad]
        self.adam = torch.optim.AdamW(self.weights, lr=rate, weight_decay=1e-4)
        self.scheduler, self.steps, self.guidance = scheduler, steps, guidance
        self.clip, self.eta = clip, eta
        scheduler.set_timesteps(steps)

    def begin(self, adapter: Mapping[str, torch.Tensor]) -> None:
        """Take the weights of an adapter."""
        import peft

        peft.set_peft_model_state_dict(self.unet, dict(adapter))

    def guided(self, latents: torch.Tensor, t: torch.Tensor, heard: Any) -> torch.Tensor:
        """Ask the network twice about each clip."""
        out = self.unet(
            torch.cat([latents, latents]), torch.cat([t, t]), heard["generated"],
            encoder_hidden_states_1=heard["text"], encoder_attention_mask_1=heard["text_mask"],
            return_dict=False,
        )[0]  # fmt: skip
        away, towards = out.chunk(2)
        return away + self.guidance * (towards - away)

    def step(
        self, output: torch.Tensor, t: torch.Tensor, x: torch.Tensor, arrived: torch.Tensor | None,
        noise: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
        """Take a step, or judge one; returns where it arrives and its log-probability."""
        table = self.scheduler.alphas_cumprod
        after = t - self.scheduler.config.num_train_timesteps // self.steps
        a_t = table[t].view(-1, 1, 1, 1)
        a_p = torch.where(after >= 0, table[after.clamp(min=0)], self.scheduler.final_alpha_cumprod)
        a_p = a_p.view(-1, 1, 1, 1)
        clean = (x - (1 - a_t).sqrt() * output) / a_t.sqrt()
        sigma = self.eta * ((1 - a_p) / (1 - a_t) * (1 - a_t / a_p)).sqrt()
        mean = a_p.sqrt() * clean + (1 - a_p - sigma**2).sqrt() * output
        if arrived is None:
            arrived = mean + sigma * noise
        log_prob = -((arrived.detach() - mean) ** 2) / (2 * sigma**2)
        log_prob = log_prob - sigma.log() - math.log(math.sqrt(2 * math.pi))
        return arrived, log_prob.mean(dim=(1, 2, 3))

    @torch.no_grad()
    def play(
        self, heard: dict[str, torch.Tensor], shape: tuple[int, ...], seeds: list[int]
    ) -> Record:
        """Play a batch of clips."""
        sources = [torch.Generator().manual_seed(seed) for seed in seeds]

        def fresh() -> torch.Tensor:
            return torch.stack([torch.randn(shape, generator=each) for each in sources])

        x = fresh()
        latents, log_probs = [x], []
        for t in self.scheduler.timesteps:
            at = t.repeat(len(x))
            x, log_prob = self.step(self.guided(x, at, heard), at, x, None, fresh())
            latents.append(x)
            log_probs.append(log_prob)
        return Record(
            torch.stack(latents, 1), torch.stack(log_probs, 1), self.scheduler.timesteps, heard
        )

    def learn(self, record: Record, gains: torch.Tensor, batch: int) -> dict[str, float]:
        """Learn from all steps of all clips; one optimiser step for each batch."""
        n, ratios, norm = len(gains), [], 0.0
        shuffled = torch.randperm(n)
        for rows in shuffled.split(batch):
            heard = {k: torch.cat([v[:n][rows], v[n:][rows]]) for k, v in record.heard.items()}
            # every clip has its own order of steps
            order = torch.stack([torch.randperm(self.steps) for _ in rows])
            for j in range(self.steps):
                k = order[:, j]
                t, x = record.timesteps[k], record.latents[rows, k]
                _, new = self.step(
                    self.guided(x, t, heard), t, x, record.latents[rows, k + 1], None
                )
                ratio = torch.exp(new - record.log_probs[rows, k])
                gain = gains[rows]
                loss = torch.maximum(
                    -gain * ratio, -gain * ratio.clamp(1 - self.clip, 1 + self.clip)
                ).mean()
                (loss / self.steps).backward()
                ratios.append((ratio.detach() - 1).abs().max())
            norm = float(torch.nn.utils.clip_grad_norm_(self.weights, 1.0))
            self.adam.step()
            self.adam.zero_grad()
        return {"deviation": float(torch.stack(ratios).max()), "grad_norm": norm}
