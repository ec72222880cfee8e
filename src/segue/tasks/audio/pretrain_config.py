"""Settings of `pretrain`: who listens, and how the base model learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segue.core.config import Config
from segue.core.presets import Presets
from segue.tasks.audio.listeners.config import ListenersConfig
from segue.tasks.audio.models.config import DiffusionConfig

__all__ = ["PRETRAIN_PRESETS", "PretrainConfig", "seeded"]

PRETRAIN_PRESETS = Presets(
    Path(__file__).parent / "presets",
    {"nano": "pretrain_nano", "small": "pretrain_small", "smoke": "pretrain_smoke"},
)


class PretrainConfig(Config):
    """The listeners learn first: the base model reads prompts with the text encoder of one."""

    listeners: ListenersConfig = ListenersConfig()
    diffusion: DiffusionConfig = DiffusionConfig()


def seeded(seed: int | None) -> dict[str, Any]:
    """Return the settings that one seed for everything stands for."""
    return {} if seed is None else {"listeners.seed": seed, "diffusion.seed": seed}
