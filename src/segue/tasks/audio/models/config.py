"""Settings of the nano model: sizes of its text encoder and denoiser, and how it is trained."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from segue.core.config import Config

__all__ = ["DenoiserConfig", "DiffusionConfig", "TextConfig"]


class TextConfig(Config):
    """The transformer that reads prompts word by word."""

    width: int = Field(96, ge=8)
    """Numbers for each word."""
    layers: int = Field(2, ge=1)
    """Layers of self-attention."""
    heads: int = Field(4, ge=1)
    """Heads of the attention."""
    longest: int = Field(64, ge=8, le=1024)
    """Most words of a prompt; a longer one is refused."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """While it is trained."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.width % self.heads:
            raise ValueError("width must be a multiple of heads")
        return self


class DenoiserConfig(Config):
    """The diffusion transformer over latent vectors of 8 frames each."""

    latent: int = Field(96, ge=1, le=512)
    """Numbers of a latent vector: principal components of 8 frames x 64 bands that are kept."""
    width: int = Field(128, ge=8)
    """Width of the transformer."""
    layers: int = Field(4, ge=1)
    """Layers of self-attention, attention to the text, and feed-forward."""
    heads: int = Field(4, ge=1)
    """Heads of every attention."""
    feed_forward: int = Field(384, ge=8)
    """Width inside the feed-forward."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.width % self.heads or self.width // self.heads % 2:
            raise ValueError("width must be an even multiple of heads, for rotary positions")
        return self


class DiffusionConfig(Config):
    """Training of the base model: it learns to take noise away from clips of music."""

    seed: int = Field(0, ge=0)
    """Of the first weights, the order of clips, noise and timesteps."""
    denoiser: DenoiserConfig = DenoiserConfig()
    whitening: float = Field(0.5, ge=0, le=1)
    """How equal latent components are made: 1 gives all the same variance, 0 leaves them. In equal
    time .5 made clips that are nearer to real ones than 1."""
    betas: Literal["cosine", "scaled_linear", "linear"] = "cosine"
    """How noise grows over the 1000 timesteps."""
    prediction: Literal["v", "epsilon", "sample"] = "v"
    """What the network predicts."""
    steps: int = Field(4800, ge=1)
    """Updates of the weights: 38 passes over 4000 clips, 12 minutes of one processor core."""
    batch: int = Field(32, ge=1)
    """Clips of an update; at equal time 32 learn faster than 64."""
    learning_rate: float = Field(2e-3, gt=0)
    """Of AdamW, at its highest."""
    warmup: int = Field(100, ge=0)
    """Updates over which it rises."""
    final_share: float = Field(0.02, ge=0, le=1)
    """What is left of it at the end of the cosine."""
    weight_decay: float = Field(0.01, ge=0)
    """Of AdamW."""
    clip: float = Field(1.0, ge=0)
    """Largest norm of a gradient; 0 is no bound."""
    average: float = Field(0.998, ge=0, lt=1)
    """Decay of the moving average of the weights, which is what is kept."""
    no_prompt: float = Field(0.1, ge=0, lt=1)
    """Share of clips whose prompt is hidden, for guidance."""
    crops: float = Field(0.2, ge=0, le=1)
    """Share of updates on parts of clips: any beginning, 1 s to the whole. They teach what long
    and short music needs."""
    validate_every: int = Field(400, ge=1)
    """Updates between looks at the validation clips, and between checkpoints."""
    validation_clips: int = Field(192, ge=1)
    """At most."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where it is trained."""
