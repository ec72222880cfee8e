"""Settings of the soundtrack task: which profile, what is rewarded, how the data is divided.

Two profiles exist. `reference` reproduces the environments that this task grew from, to the
number, including their flaws, so that published results stay comparable. `default` is what one
should use: statistics fitted on the training videos alone, a complete and normalised observation,
switch targets that a video can meet, and no NaN anywhere. The differences are listed on
docs/tasks/soundtrack.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field

from segue.core.config import Config, read_toml
from segue.core.names import unknown
from segue.tasks.soundtrack.tables import Weights

__all__ = ["PRESETS", "DataConfig", "Mode", "Profile", "SoundtrackConfig", "WeightsConfig"]

Profile = Literal["reference", "default"]
Mode = Literal["train", "test"]

PRESETS = ("default", "reference")
"""Names of the files in `presets/`; each states differences from the defaults below."""


class WeightsConfig(Config):
    """Weights of the reward terms; the first four are those of the original system."""

    alignment: float = 1.0
    """Fit of the music to picture and captions, per segment."""
    smoothness: float = 0.5
    """Quality of the hand-over from the previous track, per segment."""
    switch: float = Field(default=0.3, ge=0)
    """Cost of each switch too many or too few, once at the end."""
    theme: float = 0.3
    """Unity of all the music heard, once at the end."""
    silence: float = Field(default=1.0, ge=0)
    """Cost of the share of a segment that stays silent because the track ends (own choice: the
    original ignores it, weight 0; 1 is the size of one good alignment)."""

    def weights(self) -> Weights:
        """Return the weights in the form the tables take."""
        return Weights(**self.model_dump())


class DataConfig(Config):
    """Which videos are learned from, and what a video without labels should be scored to."""

    split_ratio: float = Field(default=0.8, gt=0, le=1)
    """Share of the videos used for training (original: 0.8)."""
    split_seed: int = Field(default=28, ge=0)
    """Seed of the division (original: 28)."""
    min_change_score: float = Field(default=0.02, ge=0)
    """Detected music changes scored lower are not counted as switches when labels are made
    (the original counts all, though its notes call those below 0.02 unreliable)."""
    budget_shrinkage: float = Field(default=4.0, ge=0)
    """Videos' worth of weight that the global mean has against a bin's own videos (own choice)."""
    switch_rate: float = Field(default=0.105, ge=0, le=1)
    """Switches per segment where no training video is labelled: 2.83 reliable changes per
    video over 27.1 segments per video, the means published with the original."""


class SoundtrackConfig(Config):
    """Everything that decides what an episode is and what it earns."""

    profile: Profile = "default"
    """`reference` for the original's behaviour to the number, `default` for the repaired one."""
    environment: Literal["Discrete", "MultiDiscrete"] = "Discrete"
    """`Discrete` is the full reward; `MultiDiscrete` the older, caption-only one."""
    mode: Mode = "train"
    """`train` fades the alignment of a track that goes on: exp(-0.01 per second); `test` does
    not."""
    weights: WeightsConfig = WeightsConfig()
    """Weights of the reward terms."""
    extra_terms: dict[str, float] = Field(default_factory=dict)
    """More reward terms, `package.module:term` -> weight; paid by the environments, unknown to
    the planner."""
    kappa: float = Field(default=1.0, ge=0)
    """Spread of the switch target: 0 always asks for the mean (original: 1)."""
    data: DataConfig = DataConfig()
    """Division and statistics of the data."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Return a shipped preset.

        Raises:
            UnknownName: there is no such preset.
        """
        if name not in PRESETS:
            raise unknown("preset", name, PRESETS)
        path = Path(__file__).parent / "presets" / f"{name}.toml"
        return cls.parse(read_toml(path), str(path))
