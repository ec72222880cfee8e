"""Sizes of the nano model: its text encoder and its denoiser."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from segue.core.config import Config

__all__ = ["DenoiserConfig", "TextConfig"]


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
