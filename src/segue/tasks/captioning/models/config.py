"""Sizes of the captioning network. The defaults are the `paper` profile, those of BMHRL."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from segue.core.config import Config

__all__ = ["CriticConfig", "NetworkConfig"]


class CriticConfig(Config):
    """The segment critic, which says where a phrase of a caption ends."""

    kind: Literal["learned", "words"] = "learned"
    """learned: a network (original); words: a phrase ends with punctuation and with the words that
    begin the next one, which needs no training."""
    words: int = Field(0, ge=0)
    """Width of word embeddings of its own; 0 reads the captioner's (original), which must then
    stay as they are."""
    lstm: int = Field(600, ge=1)
    """Units of the LSTM (original: 600)."""
    lstm_layers: int = Field(4, ge=1)
    """Layers of the LSTM (original: 4)."""
    gru: int = Field(600, ge=1)
    """Units of the GRU (original: 600)."""
    gru_layers: int = Field(2, ge=1)
    """Layers of the GRU (original: 2)."""
    threshold: float = Field(0.25, gt=0, lt=1)
    """A phrase ends where its probability is above (original: 0.25)."""


class NetworkConfig(Config):
    """The bimodal encoder, the two decoders, and what they decide with."""

    modalities: Literal["both", "visual", "audio"] = "both"
    """What is seen and heard; one alone is the ablation of the paper."""
    visual: int = Field(1024, ge=1)
    """Numbers of a visual feature row (I3D: 1024)."""
    audio: int = Field(128, ge=1)
    """Numbers of an audio feature row (VGGish: 128)."""
    visual_width: int = Field(0, ge=0)
    """Width of the visual stream; 0 takes the rows as they are (original)."""
    audio_width: int = Field(0, ge=0)
    """Width of the audio stream; 0 takes the rows as they are (original)."""
    words: int = Field(300, ge=2)
    """Width of word embeddings and decoders (original: 300, GloVe)."""
    attention: int = Field(1024, ge=1)
    """Width of the attention space (original: 1024)."""
    heads: int = Field(4, ge=1)
    """Heads of every attention but the goals' (original: 4)."""
    layers: int = Field(2, ge=1)
    """Layers of encoder and decoders (original: 2)."""
    visual_ff: int = Field(1024, ge=1)
    """Width inside the visual feed-forward (original: 1024)."""
    audio_ff: int = Field(512, ge=1)
    """Width inside the audio feed-forward (original: 512)."""
    word_ff: int = Field(0, ge=0)
    """Width inside a feed-forward after each decoder layer; 0 has none. The original makes one of
    2048 and never calls it."""
    goal: int = Field(64, ge=1)
    """Numbers of a goal (original: 64)."""
    goal_heads: int = Field(2, ge=1)
    """Heads of the attention of goals to words (original: 2)."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Everywhere (original: 0.1)."""
    words_frozen: bool = True
    """Whether word embeddings stay as they were loaded (original). Without vectors to load they
    are trained."""
    tied: bool = False
    """Whether the output layer shares the word embeddings. Original: no."""
    hierarchy: bool = True
    """Whether a manager sets goals; without, the worker speaks alone."""
    critic: CriticConfig = CriticConfig()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for name in ("attention",):
            if getattr(self, name) % self.heads or getattr(self, name) % self.goal_heads:
                raise ValueError(f"{name} must be a multiple of heads and of goal_heads")
        return self

    @property
    def visual_size(self) -> int:
        """Width of the visual stream."""
        return self.visual_width or self.visual

    @property
    def audio_size(self) -> int:
        """Width of the audio stream."""
        return self.audio_width or self.audio
