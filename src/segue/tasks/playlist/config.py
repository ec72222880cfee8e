"""Settings of `pretrain` and `evaluate`: which models, how often, and what they are asked.

The settings of each model stand beside the model; `PretrainConfig.settings` changes them by name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from segue.core.config import Config
from segue.core.names import unknown
from segue.core.presets import Presets
from segue.tasks.playlist.models import MODELS

__all__ = ["PRETRAIN_PRESETS", "TUNE_PRESETS", "EvaluateConfig", "PretrainConfig"]

_FOLDER = Path(__file__).parent / "presets"
PRETRAIN_PRESETS = Presets(_FOLDER, {name: name for name in ("lastfm", "original", "smoke")})
TUNE_PRESETS = Presets(_FOLDER, {"smoke": "tune_smoke"})


class PretrainConfig(Config):
    """Which models are fitted."""

    models: tuple[str, ...] = (
        "popularity",
        "item-cf",
        "user-cf",
        "session-knn",
        "markov",
        "fused",
        "reranker",
    )
    """Short names, or `package.module:Model` of your own; `fused` is the prior of `tune`."""
    settings: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Model -> changes of its settings, as in --set 'settings.item-cf.neighbours=50'."""
    seeds: tuple[int, ...] = (0,)
    """Each model that learns by chance is trained once for each of these."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        if not self.models or not self.seeds:
            raise ValueError("at least one model and one seed")
        if len(set(self.models)) < len(self.models) or len(set(self.seeds)) < len(self.seeds):
            raise ValueError("a model or a seed is named twice")
        for name in (*self.models, *self.settings):
            if name not in MODELS and ":" not in name:
                raise ValueError(str(unknown("model", name, MODELS)))
        return self


class EvaluateConfig(Config):
    """What the models are asked."""

    part: Literal["validation", "test"] = "test"
    """Which sessions; what is chosen by looking belongs on `validation`."""
    protocol: Literal["last", "prefixes", "playlists"] = "last"
    """last: the last track of each session; prefixes: every track but the first; playlists: the
    last five tracks, all hidden, to be continued by a list of five."""
    repeats: Literal["natural", "allowed", "masked"] = "natural"
    """Whether a track of the history may be recommended; natural: where listeners repeat tracks."""
    limit: int = Field(0, ge=0)
    """At most so many questions, drawn by the seed; 0 asks all."""
    seed: int = Field(0, ge=0)
    """Of the draw and of the intervals."""
    resamples: int = Field(1000, ge=100)
    """Of the bootstrap."""
