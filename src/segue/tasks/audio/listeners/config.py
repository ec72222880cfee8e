"""Settings of the listeners: what they are, and how they learn.

The defaults train in about five minutes on one processor core. `EmotionConfig.paper()` is the
short-chunk residual network of the EMOPIA paper in its own size, for a GPU.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from segue.core.config import Config
from segue.tasks.audio.models.config import TextConfig

__all__ = [
    "AugmentConfig",
    "ClapConfig",
    "EmotionConfig",
    "JudgeConfig",
    "LearningConfig",
    "ListenersConfig",
]


class ClapConfig(Config):
    """A listener that compares sound with text: an audio CNN beside the prompts' text encoder."""

    channels: tuple[int, ...] = (16, 32, 64, 128, 256)
    """Of the convolutions, each of which halves time and frequency."""
    embedding: int = Field(64, ge=2)
    """Numbers of an embedding."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Before the last layer of each tower, while it is trained."""
    text: TextConfig = TextConfig()


class EmotionConfig(Config):
    """A short-chunk residual network (Won et al. 2020; Hung et al. 2021, "EMOPIA")."""

    hears: Literal["mel", "audio"] = "mel"
    """`mel`: the log-mel of all our listeners; `audio`: sound at `sampling_rate`, of which the
    network takes its own mel spectrum in decibels."""
    channels: tuple[int, ...] = (8, 16, 32, 48, 64, 64)
    """Of the residual blocks, each of which halves time and frequency (paper: 128, 128, 256, 256,
    256, 256, 512)."""
    hidden: int = Field(64, ge=1)
    """Width of the layer before the last (paper: 512)."""
    dropout: float = Field(0.3, ge=0, lt=1)
    """Of that layer, while it is trained (paper: .5)."""
    chunk_seconds: float = Field(2.56, gt=0)
    """A chunk is heard at once; a clip is the mean of its chunks (paper: 3)."""
    sampling_rate: int = Field(16000, ge=1000)
    """With `audio`: in Hz (paper: 22 050)."""
    bands: int = Field(64, ge=8)
    """Mel bands from 0 to half the sampling rate (paper: 128)."""

    @classmethod
    def paper(cls) -> EmotionConfig:
        """Return the sizes of the paper: 12.1 million weights."""
        return cls(
            hears="audio",
            channels=(128, 128, 256, 256, 256, 256, 512),
            hidden=512,
            dropout=0.5,
            chunk_seconds=3.0,
            sampling_rate=22050,
            bands=128,
        )


class JudgeConfig(Config):
    """The independent judge: convolutions over time, a recurrent network, attention pooling."""

    width: int = Field(96, ge=4)
    """Channels of the convolutions."""
    recurrent: int = Field(64, ge=2)
    """Units of the recurrent network in each direction."""
    embedding: int = Field(128, ge=2)
    """Numbers of the embedding in which Frechet distances are measured."""
    dropout: float = Field(0.3, ge=0, lt=1)
    """While it is trained."""


class AugmentConfig(Config):
    """What is done to the log-mel of training clips, so that generated sound is heard rightly.

    Listeners are asked about sound that a diffusion model and a vocoder made. What these do to
    sound, and what a model that is paid for it could do cheaply, must not change the answer.
    """

    gain_db: float = Field(6.0, ge=0)
    """Largest change of level, both ways."""
    tilt_db: float = Field(6.0, ge=0)
    """Largest change of the balance of low and high bands; also of a smooth curve over them."""
    noise_db: tuple[float, float] = (-60.0, -20.0)
    """Level of white noise below that of the clip, drawn between these for half of the clips."""
    codec: float = Field(0.5, ge=0, le=1)
    """Share of clips that are rebuilt from few principal components of 8 frames."""
    codec_components: tuple[int, int] = (32, 160)
    """How many components are kept, drawn between these."""
    codec_noise: float = Field(0.5, ge=0)
    """Largest standard deviation of noise in the whitened components."""
    mask_frames: int = Field(16, ge=0)
    """Longest stretch of frames that is blotted out."""
    mask_bands: int = Field(8, ge=0)
    """Widest stretch of bands that is blotted out."""
    vocoder: int = Field(1600, ge=0)
    """Training clips that are also heard as the vocoder plays them, every other time; each costs
    .15 s at the start."""


class LearningConfig(Config):
    """How one listener learns."""

    epochs: int = Field(20, ge=1)
    """Times that every clip is heard."""
    batch: int = Field(64, ge=2)
    """Clips of an update."""
    learning_rate: float = Field(2e-3, gt=0)
    """Of AdamW, at its largest: it rises for a tenth of the updates, then falls to 0."""
    weight_decay: float = Field(1e-2, ge=0)
    """Of AdamW."""
    crop_seconds: float = Field(2.56, gt=0)
    """Length of the piece of a clip that is heard, at a place drawn anew each time."""


class ListenersConfig(Config):
    """How the three listeners learn."""

    clap: ClapConfig = ClapConfig()
    emotion: EmotionConfig = EmotionConfig()
    judge: JudgeConfig = JudgeConfig()
    clap_learning: LearningConfig = LearningConfig(epochs=24, batch=128)
    emotion_learning: LearningConfig = LearningConfig(epochs=20)
    judge_learning: LearningConfig = LearningConfig(epochs=20, crop_seconds=3.84)
    augment: AugmentConfig = AugmentConfig()
    emotion_labels: Literal["clips", "captions"] = "clips"
    """Which moods the emotion network learns: those that the clips have, as EMOPIA's were labelled
    by people, or those that their captions name, wrong ones and all. The judge always learns from
    the clips', of the other half of them."""
    emotion_clips: Literal["half", "all"] = "half"
    """Which training clips the emotion network hears: those that the judge does not hear, or all,
    for a classifier that no judge is to check."""
    assumed_noise: float | None = Field(None, ge=0, lt=1)
    """Share of captions that are taken to belong to another clip: the losses allow for it (Patrini
    et al. 2017). Without a value, what the data say of themselves."""
    smoothing: float = Field(0.05, ge=0, lt=1)
    """Of the labels of the emotion network and the judge."""
    seed: int = Field(0, ge=0)
    """Of weights, order, augmentation and dropout."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.emotion.hears == "mel" and self.emotion.bands != 64:
            raise ValueError("emotion.bands must be 64 where emotion.hears is 'mel'")
        return self
