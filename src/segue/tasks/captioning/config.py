"""Settings of `pretrain`: the network and its warm start on human captions.

The defaults are the `paper` profile; `presets/small.toml` trains on two cores.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from segue.core.config import Config
from segue.core.errors import UsageError
from segue.core.names import unknown
from segue.tasks.captioning.models.config import NetworkConfig

__all__ = ["PretrainConfig", "preset_file"]


class PretrainConfig(Config):
    """How a captioner learns from human captions."""

    network: NetworkConfig = NetworkConfig()
    fit_features: bool = True
    """Whether `network.visual` and `network.audio` are taken from the data."""
    epochs: int = Field(30, ge=1)
    """Times that every caption is read (original: up to 100, stopped early)."""
    batch: int = Field(16, ge=1)
    """Captions of an update (original: 16)."""
    longest: int = Field(80, ge=4)
    """Words of a caption that are learned from; the rest of a longer one is left out."""
    learning_rate: float = Field(1e-4, gt=0)
    """Of Adam (original: 1e-4)."""
    warmup: int = Field(0, ge=0)
    """Updates over which the learning rate rises to it."""
    final_share: float = Field(1.0, ge=0, le=1)
    """What is left of the learning rate at the end of a cosine (original: constant)."""
    weight_decay: float = Field(0.0, ge=0)
    """Of AdamW (original: 0)."""
    smoothing: float = Field(0.7, ge=0, lt=1)
    """Mass of the target distribution that the other words share (original: 0.7)."""
    clip: float = Field(0.0, ge=0)
    """Largest norm of the gradient; 0 does not clip (original: none, and after the step)."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of matrix products while training; weights and losses stay float32."""
    unknown_words: bool = True
    """Whether the unknown word is learned as a word (original). Without, its places cost nothing
    and captions never miss a word that they do not know."""
    drop_modality: float = Field(0.0, ge=0, lt=1)
    """Share of segments whose picture or sound (either, by chance) is hidden while training."""
    average: int = Field(1, ge=1)
    """The weights kept are the mean of those after the last so many epochs."""
    patience: int = Field(30, ge=1)
    """Epochs without a better validation loss that end the training (original: 30, by METEOR)."""
    seed: int = Field(0, ge=0)
    """Of weights, order and dropout (original: 0)."""


def preset_file(preset: str | None, file: Path | None) -> Path | None:
    """Return the file of a preset that ships, or `file` when there is no preset.

    Raises:
        UsageError: both are given.
        UnknownName: no such preset.
    """
    if preset is None:
        return file
    if file is not None:
        raise UsageError("--preset and --config are both given", advice="Give one of them")
    folder = Path(__file__).parent / "presets"
    known = sorted(path.stem for path in folder.glob("*.toml"))
    if preset not in known:
        raise unknown("preset", preset, known)
    return folder / f"{preset}.toml"
