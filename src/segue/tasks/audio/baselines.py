"""What tuning has to beat: choosing among samples, more guidance, and learning from good samples.

- *best of N*: N clips of the base model for each one wanted, the best by the reward is kept. It
  changes no weights, and N grows until it has cost as much as tuning has.
- *tuned guidance*: the scale of classifier-free guidance with the highest reward on validation
  prompts, for nothing but the price of the search and of the second prediction of each step.
- *reward-weighted*: the same adapter learns to denoise the clips that it made, weighted by what
  they earned (Lee et al., "Aligning text-to-image models using human feedback", 2023), for as many
  epochs of as many clips.

Letters: `n` clips wanted, `N` candidates of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from segue.core.errors import UsageError
from segue.core.progress import Advance, silent
from segue.core.seeding import generator
from segue.tasks.audio.playing import SamplingSettings, latents_of
from segue.tasks.audio.rewards.clips import Clips
from segue.tasks.audio.rewards.table import needs_audio

if TYPE_CHECKING:
    from segue.rl.rewards import WeightedSum
    from segue.tasks.audio.config import TuneConfig
    from segue.tasks.audio.models.base import Denoiser
    from segue.tasks.audio.vocabulary import Prompt

__all__ = [
    "BACKWARD",
    "best_of",
    "choose_guidance",
    "equal_candidates",
    "rewards_of",
    "seeds_of",
    "tuning_cost",
]

Floats = NDArray[np.float64]

BACKWARD = 2.0
"""A backward pass in forward passes, as is usual for networks of matrix products."""
_BATCH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidates:
    latents: torch.Tensor
    reward: Floats


def seeds_of(seed: int, label: str, n: int, candidate: int = 0) -> list[int]:
    """Return the noise seeds of n clips; candidate 0 is what every player starts from."""
    drawn = generator(seed, "clips", label, candidate).integers(0, 2**31, n)
    return [int(each) for each in drawn]


def rewards_of(
    denoiser: Denoiser,
    latents: torch.Tensor,
    seconds: float,
    prompts: Sequence[Prompt],
    reward: WeightedSum,
) -> Floats:
    """Return what clean latents earn, [n], without a vocoder where no term needs sound."""
    with torch.inference_mode():
        to_mel = getattr(denoiser, "predict_mel", None)
        if to_mel is not None and not needs_audio(reward):
            clips = Clips(None, denoiser.sampling_rate, prompts, to_mel(latents, seconds))
        else:
            clips = Clips(denoiser.decode(latents, seconds), denoiser.sampling_rate, prompts)
        return reward(clips)[0]


def best_of(
    denoiser: Denoiser,
    prompts: Sequence[Prompt],
    seeds: Sequence[Sequence[int]],
    seconds: float,
    settings: SamplingSettings,
    reward: WeightedSum,
    *,
    advance: Advance = silent,
) -> torch.Tensor:
    """Return the best of N clips for each prompt, [n, T].

    Args:
        denoiser: the base model.
        prompts: [n].
        seeds: N lists of [n]; the first candidate is what the base model plays.
        seconds: length of each.
        settings: how.
        reward: what decides; of equal ones the earlier is kept.
        advance: told the number of clips that are done, of n.
    """
    found = []
    for first in range(0, len(prompts), _BATCH):
        part = slice(first, first + _BATCH)
        best: _Candidates | None = None
        for each in seeds:
            texts = [prompt.text for prompt in prompts[part]]
            made = latents_of(denoiser, texts, each[part], seconds, settings)
            earned = rewards_of(denoiser, made, seconds, prompts[part], reward)
            best = _better(best, _Candidates(latents=made, reward=earned))
            advance(len(texts) / len(seeds))
        assert best is not None, "there is at least one candidate"
        with torch.inference_mode():
            found.append(denoiser.decode(best.latents, seconds).float().cpu().clamp(-1.0, 1.0))
    return torch.cat(found)


def choose_guidance(
    denoiser: Denoiser,
    prompts: Sequence[Prompt],
    seeds: Sequence[int],
    seconds: float,
    settings: SamplingSettings,
    reward: WeightedSum,
    scales: Sequence[float],
    *,
    advance: Advance = silent,
) -> tuple[float, dict[float, float]]:
    """Return the scale of guidance that earns most on validation prompts, and what each earns.

    Args:
        denoiser: the base model.
        prompts: [n] of validation.
        seeds: [n].
        seconds: length of each clip.
        settings: everything else about sampling.
        reward: what decides; of equal ones the smaller scale is chosen.
        scales: to try.
        advance: told the number of clips that are done.

    Raises:
        UsageError: there is no scale.
    """
    if not scales:
        raise UsageError("no scale of guidance to choose from", where="guidances")
    texts = [prompt.text for prompt in prompts]
    earned: dict[float, float] = {}
    for scale in sorted(scales):
        tried = settings.model_copy(update={"guidance": scale})
        found = []
        for first in range(0, len(prompts), _BATCH):
            part = slice(first, first + _BATCH)
            made = latents_of(denoiser, texts[part], seeds[part], seconds, tried)
            found.append(rewards_of(denoiser, made, seconds, prompts[part], reward))
            advance(float(len(made)))
        earned[scale] = float(np.concatenate(found).mean())
    return max(earned, key=lambda scale: (earned[scale], -scale)), earned


def tuning_cost(config: TuneConfig, epochs: int | None = None) -> float:
    """Return what a tuning costs, in predictions of one clip's noise.

    Sampling is one for each step, or two with guidance; training is a forward and a backward pass
    of each step that is trained, and a forward pass of the base model where the distance to it is
    measured.

    Args:
        config: of the tuning.
        epochs: those that were done; by default all.
    """
    sample, update = config.sample, config.update
    both = 1.0 if sample.guidance == 1 else 2.0
    trained = float(update.trainable(sample.steps))
    if update.window:
        trained = min(trained, float(update.window))
    trained *= update.fraction * update.inner_epochs
    anchor = update.base_share if update.base_penalty else 0.0
    clips = config.clips * (config.epochs if epochs is None else epochs)
    return clips * both * (sample.steps + trained * (1.0 + BACKWARD + anchor))


def equal_candidates(cost: float, n_clips: int, settings: SamplingSettings, most: int) -> int:
    """Return N at which best-of-N of n clips costs what tuning and then playing them costs.

    Args:
        cost: of tuning, as `tuning_cost` counts it.
        n_clips: clips that are wanted in all.
        settings: how they are sampled.
        most: N does not get larger.
    """
    one = settings.steps * (1.0 if settings.guidance == 1 else 2.0)
    return min(max(2, round(1 + cost / (max(n_clips, 1) * one))), most)


def _better(best: _Candidates | None, new: _Candidates) -> _Candidates:
    if best is None:
        return new
    wins = new.reward > best.reward
    mask = torch.from_numpy(wins).to(new.latents.device)
    mask = mask.reshape(-1, *[1] * (new.latents.ndim - 1))
    return _Candidates(
        latents=torch.where(mask, new.latents, best.latents),
        reward=np.where(wins, new.reward, best.reward),
    )
