"""Settings of `prepare`."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from segue.core.config import Config

__all__ = ["PrepareConfig"]


class PrepareConfig(Config):
    """How clips are rendered, or cut out of a folder of audio."""

    clips: int = Field(4000, ge=1, le=1_000_000)
    """Rendered clips to train on; validation and test have a tenth as many each."""
    seconds: float = Field(5.12, ge=0.5, le=60.0)
    """Length of every clip: 5.12 s are 320 frames of the nano model."""
    seed: int = Field(0, ge=0)
    """Seed of everything random: music, words, noise, halves and splits."""
    label_noise: float | None = Field(None, ge=0.0, le=1.0)
    """Share of the training captions that are replaced by those of other clips, as captions from
    the web do not always fit: it leaves the reinforcement learning something to repair. Default:
    0.6 for rendered clips, 0 for a source of one's own."""
    key_share: float = Field(0.15, ge=0.0, le=1.0)
    """Share of the rendered clips whose caption names the key."""
    tempo_share: float = Field(0.15, ge=0.0, le=1.0)
    """Share of the rendered clips whose caption names the tempo."""
    timbre: Literal["standard", "unseen", "additive"] = "standard"
    """What instruments sound like; the other sets are for testing listeners on."""
    workers: int = Field(0, ge=0, le=256)
    """Processes that render; 0 takes one for each processor, at most 8."""

    validation_share: float = Field(0.1, ge=0.0, lt=1.0)
    """Share of a source's files that is kept for choosing between models."""
    test_share: float = Field(0.1, ge=0.0, lt=1.0)
    """Share of a source's files that is kept for the final test."""
    most_clips_per_file: int = Field(16, ge=1)
    """Longer files of a source give no more clips than this, spread over their length."""
    silence_db: float = Field(-60.0, ge=-120.0, le=0.0)
    """Clips of a source that are quieter than this, in dB of full scale, are left out."""

    @model_validator(mode="after")
    def _something_to_learn_from(self) -> Self:
        if self.validation_share + self.test_share >= 1:
            raise ValueError("validation_share and test_share leave nothing to learn from")
        return self

    @property
    def n_held_back(self) -> int:
        """Rendered clips of validation, and of test."""
        return max(round(self.clips / 10), 1)

    @property
    def n_for_judge(self) -> int:
        """Rendered clips of the four pairs that training lacks.

        Of each as many as the judge's half of the training clips has of each of the other 36.
        """
        return max(round(self.clips / 2 * 4 / 36), 4)
