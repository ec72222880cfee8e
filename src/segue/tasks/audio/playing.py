"""Sound from prompts: the one way in which a denoiser plays for people, tables and films.

Every clip has a seed of its own and depends on it, its prompt and the settings alone, not on the
clips that are made beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from pydantic import Field

from segue.core.config import Config, read_toml
from segue.core.errors import ConfigError, RunError, UsageError
from segue.core.files import read_json
from segue.core.progress import Advance, silent
from segue.tasks.audio.players import NANO
from segue.tasks.audio.sampling import sample

if TYPE_CHECKING:
    from segue.tasks.audio.models.base import Denoiser
    from segue.tasks.audio.players import Player

__all__ = ["SamplingSettings", "latents_of", "play", "sampling_of", "seeds_from"]

_BATCH = 16
"""Clips that are made together."""


class SamplingSettings(Config):
    """How noise becomes a clip."""

    steps: int = Field(20, ge=1, le=1000)
    """Denoising steps, K (original: 19)."""
    guidance: float = Field(3.5, ge=0, le=50)
    """Scale of classifier-free guidance (original: 3.5); 1 is none."""
    eta: float = Field(1.0, ge=0, le=1)
    """Share of fresh noise in each step (original: 1); 0 is deterministic DDIM."""
    negative: str = ""
    """What guidance leads away from; empty: the prompt of no words."""


def sampling_of(player: Player) -> SamplingSettings:
    """Return how a player is to be sampled: as its adapter was tuned, or as its model says.

    A model says it under `sampling` in its nano.json; other models have the defaults.

    Raises:
        ConfigError: what is said cannot be.
    """
    tuned, found = player.adapter, None
    if tuned is not None:
        found = tuned.facts.get("sampling")
        if found is None and (path := tuned.folder / "config.toml").is_file():
            found = read_toml(path).get("sample")
    elif (path := player.home / f"{NANO}.json").is_file():
        found = read_json(path).get("sampling")
    names = SamplingSettings.model_fields
    known = {k: v for k, v in dict(found or {}).items() if k in names and v is not None}
    try:
        return SamplingSettings.parse(known)
    except ConfigError as error:
        where = tuned.folder if tuned else player.home
        raise ConfigError(f"its sampling settings: {error.what}", where=where) from None


def seeds_from(seed: int, n: int) -> list[int]:
    """Return the seeds of n clips: the first is `seed`, so that each can be made again alone."""
    return list(range(seed, seed + n))


def play(
    denoiser: Denoiser,
    prompts: Sequence[str],
    seeds: Sequence[int],
    seconds: float,
    settings: SamplingSettings,
    *,
    batch: int = _BATCH,
    advance: Advance = silent,
) -> torch.Tensor:
    """Return one clip for each prompt, [B, T] in -1..1, float32, on the CPU.

    T is round(seconds x sampling rate), exactly.

    Args:
        denoiser: the model, with its adapter.
        prompts: [B].
        seeds: [B] of the clips' noise.
        seconds: length of each.
        settings: how.
        batch: clips that are made together; memory grows with it, results do not change.
        advance: told the number of clips that are done.

    Raises:
        UsageError: an empty prompt, a length that the model cannot make, or none.
        RunError: the model made a number that is not finite.
    """
    _check(denoiser, prompts, seeds, seconds)
    length = round(seconds * denoiser.sampling_rate)
    found = torch.empty(len(prompts), length)
    for first in range(0, len(prompts), batch):
        part = slice(first, min(first + batch, len(prompts)))
        latents = latents_of(denoiser, prompts[part], seeds[part], seconds, settings)
        with torch.inference_mode():
            sound = denoiser.decode(latents, seconds).float().cpu()
        if sound.shape != (len(latents), length):
            raise RunError(f"{denoiser.name} made {tuple(sound.shape)} samples, not {length}")
        if not torch.isfinite(sound).all():
            raise RunError(
                f"{denoiser.name} made numbers that are not finite",
                where=f"'{prompts[first]}'",
                advice="Sample with less guidance; if that does not help, the model is damaged",
            )
        found[part] = sound.clamp(-1.0, 1.0)
        advance(float(len(latents)))
    return found


def latents_of(
    denoiser: Denoiser,
    prompts: Sequence[str],
    seeds: Sequence[int],
    seconds: float,
    settings: SamplingSettings,
) -> torch.Tensor:
    """Return clean latents, [B, ...], before they are made sound."""
    return sample(
        denoiser, prompts, seconds, settings.steps, settings.eta, settings.guidance,
        settings.negative, seeds,
    )  # fmt: skip


def _check(
    denoiser: Denoiser, prompts: Sequence[str], seeds: Sequence[int], seconds: float
) -> None:
    if len(prompts) != len(seeds):
        raise UsageError(f"{len(prompts)} prompts and {len(seeds)} seeds")
    if not prompts:
        raise UsageError("no prompt is given", advice='As in --prompt "a calm piano solo"')
    for text in prompts:
        if not text.strip():
            raise UsageError("a prompt is empty", advice='As in --prompt "a calm piano solo"')
    if not seconds * denoiser.sampling_rate >= 1:
        raise UsageError(f"{seconds:g} s is no length of a clip", advice="Give a positive number")
    denoiser.latent_shape(seconds)
