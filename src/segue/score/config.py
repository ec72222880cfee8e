"""All settings of `segue score`, and their defaults."""

from __future__ import annotations

from pydantic import Field, field_validator

from segue.core.config import Config
from segue.media.layout import LayoutSettings
from segue.media.mix import MixSettings
from segue.media.segments import SegmentSettings
from segue.score.compose.config import ComposeSettings
from segue.tasks.audio.vocabulary import INSTRUMENT_WORDS
from segue.tasks.playlist.taste import TasteSettings

__all__ = [
    "CaptionSettings",
    "ChooseSettings",
    "GenerateSettings",
    "ListenerSettings",
    "ScoreConfig",
]


class ChooseSettings(Config):
    """Which track plays under which segment: the reward and who maximises it."""

    policy: str = "planner"
    """Who chooses: planner, rl (the trained policy with a beam), greedy, random, or any other agent
    of `segue soundtrack`."""
    switches: int | None = Field(None, ge=0)
    """Wanted number of hand-overs; by default read from how often the mood of the picture turns."""
    alignment: float = Field(1.0, ge=0)
    """Weight of the fit of a track to a segment."""
    smoothness: float = Field(0.5, ge=0)
    """Weight of a smooth hand-over."""
    switch: float = Field(0.3, ge=0)
    """Weight of the distance to the wanted number of hand-overs."""
    theme: float = Field(0.3, ge=0)
    """Weight of the unity of all music heard."""
    silence: float = Field(1.0, ge=0)
    """Weight of the share of a segment that a track is too short to fill."""
    alternatives: int = Field(3, ge=0, le=20)
    """How many other tracks to name for each segment."""


class ListenerSettings(TasteSettings):
    """How much a listening history counts (`--listener`), and how it is read."""

    weight: float = Field(0.3, ge=0)
    """Weight of the preference in the reward. With .3 a track that could not be liked more may fit
    a segment by .2 less, in cosine, than one that was never heard (own choice)."""


class CaptionSettings(Config):
    """What captions of the film (`--captions`) do for the choice of music."""

    encoder: str | None = None
    """Folder of a sentence encoder, as sentence-transformers saves it: captions and the tags of
    music are compared by it. Without one captions are shown and choose nothing."""
    weight: float = Field(0.2, ge=0)
    """Weight of the cosine of caption and tags in the reward (own choice)."""
    limit: int = Field(30, ge=2)
    """Words of a caption at most, where a run of `segue captioning` makes them."""


class GenerateSettings(Config):
    """Who plays music that is made by a model of `segue audio` (`--generate`)."""

    model: str | None = None
    """A run of `segue audio`, a folder of AudioLDM2, or the name of a model that ships. With one,
    music is generated where `compose` would compose it."""
    tries: int = Field(3, ge=1, le=32)
    """Takes of each piece that are played and heard before the best one is kept (own choice)."""
    longest_s: float = Field(30.0, ge=3, le=600)
    """A longer piece is made of parts that are crossfaded (own choice)."""
    instrument: str | None = None
    """Always this one: piano, guitar...; by default the mood decides, and captions."""
    steps: int | None = Field(None, ge=1, le=1000)
    """Denoising steps; by default as the model was tuned."""
    guidance: float | None = Field(None, ge=0, le=50)
    """Scale of guidance; by default as the model was tuned."""
    negative: str | None = None
    """What guidance leads away from; by default as the model was tuned."""

    @field_validator("instrument")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None and value not in INSTRUMENT_WORDS:
            raise ValueError(f"known are {', '.join(INSTRUMENT_WORDS)}")
        return value


class ScoreConfig(Config):
    """Settings of `segue score`."""

    seed: int = Field(0, ge=0)
    """Seed of everything random: what is composed, and the policy `random`."""
    embedder: str = "affect"
    """Space in which pictures and music are compared: affect, clap, clip, or precomputed."""
    embedder_folder: str | None = None
    """Folder of the embedder's model or files; each has a default, which `segue doctor` names."""
    workers: int | None = Field(None, ge=1, le=64)
    """Processes that analyse the library; by default one per core."""
    exports: tuple[str, ...] = ("otio", "xml", "fcpxml", "edl", "cues")
    """Timeline formats to write."""
    segments: SegmentSettings = SegmentSettings()
    choose: ChooseSettings = ChooseSettings()
    compose: ComposeSettings = ComposeSettings()
    generate: GenerateSettings = GenerateSettings()
    listener: ListenerSettings = ListenerSettings()
    captions: CaptionSettings = CaptionSettings()
    layout: LayoutSettings = LayoutSettings()
    mix: MixSettings = MixSettings()

    @field_validator("exports", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return tuple(value.split(",")) if isinstance(value, str) else value
