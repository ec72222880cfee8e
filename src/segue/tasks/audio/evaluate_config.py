"""Settings of `evaluate`."""

from __future__ import annotations

from pydantic import Field

from segue.core.config import Config
from segue.tasks.audio.prompt_sets import Kind

__all__ = ["EvaluateConfig"]


class EvaluateConfig(Config):
    """What is compared, on how much, and how clips are sampled."""

    kinds: tuple[Kind, ...] = ("seen words", "plain", "unseen words", "unseen pairs")
    """Kinds of prompts; the first one's table is the main one."""
    prompts: int = Field(36, ge=2)
    """Prompts of each kind."""
    clips: int = Field(4, ge=1)
    """Clips of each prompt and player."""
    seconds: float = Field(5.12, gt=0, le=60)
    """Length of a clip."""
    steps: int | None = Field(None, ge=1, le=1000)
    """Denoising steps of all players; by default those of tuning."""
    guidance: float | None = Field(None, ge=0, le=50)
    """Scale of guidance; by default that of tuning."""
    eta: float | None = Field(None, ge=0, le=1)
    """Share of fresh noise in each step; by default that of tuning."""
    negative: str | None = None
    """What guidance leads away from; by default that of tuning."""
    reward: dict[str, float] = Field(default_factory=dict)
    """Weights of reward terms; by default those that the first tuned run was paid by."""
    best_of: int = Field(0, ge=0, le=1000)
    """N of best-of-N; 0: as many as cost what tuning has cost; 1 leaves the row out."""
    best_of_most: int = Field(16, ge=2)
    """N at most, where it is computed."""
    guidances: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0, 4.5, 7.0)
    """Scales of which one is chosen on validation prompts for the base model and, apart, for the
    first run of each tuning; none leaves these rows out."""
    validation: int = Field(24, ge=1)
    """Prompts on which it is chosen."""
    gallery: int = Field(12, ge=0)
    """Prompts on the page to listen to."""
    seed: int = Field(0, ge=0)
    """Of the noise."""
    device: str = "cpu"
    """cpu or cuda."""
