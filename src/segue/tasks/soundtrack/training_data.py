"""Videos to learn from and videos to choose the best model on, as reward tables.

Either of a prepared folder, whose test videos are left alone, or drawn at random
(`generator`): a mixture of settings, each with libraries and videos of its own. Videos that choose
the model are never learned from unless there is only one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import Field

from segue.core.config import Config
from segue.core.errors import UsageError
from segue.core.seeding import generator
from segue.tasks.soundtrack.config import SoundtrackConfig
from segue.tasks.soundtrack.data import Dataset
from segue.tasks.soundtrack.folder import load_dataset
from segue.tasks.soundtrack.generator import draw_tables, preset
from segue.tasks.soundtrack.preferences import (
    fit_preferences,
    read_preferences,
    with_preferences,
)
from segue.tasks.soundtrack.pretrain import load_pretrained
from segue.tasks.soundtrack.prior import Prior, default_prior, split_videos
from segue.tasks.soundtrack.tables import Tables, build_tables

__all__ = ["DrawnConfig", "TrainingData", "draw_data", "read_data", "training_split"]


class DrawnConfig(Config):
    """Problems drawn at random."""

    presets: tuple[str, ...] = ("benchmark",)
    """Settings of the generator (`generator.PRESETS`) that are mixed in equal parts."""
    libraries: int = Field(60, ge=1)
    """Libraries to learn from, of all settings together."""
    videos: int = Field(20, ge=1)
    """Videos for each of them."""
    validation_libraries: int = Field(12, ge=1)
    """Libraries to choose the best model on."""
    validation_videos: int = Field(8, ge=1)
    """Videos for each of them."""
    world: int = Field(7, ge=0)
    """Seed of the problems."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingData:
    """What a policy learns from."""

    train: tuple[Tables, ...]
    validation: tuple[Tables, ...]
    name: str
    notes: tuple[str, ...] = ()
    """What was missing or had to be done otherwise, one sentence each."""

    @property
    def fingerprint(self) -> str:
        """`sha256:...` of all tables."""
        digest = hashlib.sha256(f"{len(self.train)}".encode())
        for table in (*self.train, *self.validation):
            for part in (
                table.alignment,
                table.transition,
                table.gate,
                table.lengths_s,
                table.durations_s,
                table.embeddings,
                table.target_values,
                table.target_probabilities,
            ):
                digest.update(str(part.shape).encode() + np.ascontiguousarray(part).tobytes())
            digest.update(repr((table.weights, table.fade_per_s)).encode())
        return f"sha256:{digest.hexdigest()}"


def draw_data(config: DrawnConfig) -> TrainingData:
    """Draw problems.

    Raises:
        UnknownName: there is no such preset.
        UsageError: no preset is given.
    """
    if not config.presets:
        raise UsageError("no preset to draw problems from", where="drawn.presets")
    splits = (
        ("train", config.libraries, config.videos),
        ("validation", config.validation_libraries, config.validation_videos),
    )
    drawn: dict[str, list[Tables]] = {}
    for split, n_libraries, n_videos in splits:
        share = -(-n_libraries // len(config.presets))
        drawn[split] = [
            table
            for name in config.presets
            for table in draw_tables(preset(name), config.world, split, share, n_videos)
        ]
    return TrainingData(
        train=tuple(drawn["train"]),
        validation=tuple(drawn["validation"]),
        name=f"generator: {', '.join(config.presets)}, world {config.world}",
    )


def read_data(
    folder: Path,
    config: SoundtrackConfig,
    validation_share: float,
    prior: Path | None = None,
    preferences: tuple[Path, float] | None = None,
) -> TrainingData:
    """Read a prepared folder; its test videos are not touched.

    Args:
        folder: of `prepare`.
        config: weights, mode, division of the videos.
        validation_share: share of the training videos that chooses the best model.
        prior: run of `pretrain`; None fits a prior on the training videos.
        preferences: file of choices and their weight in the reward (`preferences`).

    Raises:
        DataError: the folder or the file of choices cannot be read.
        UsageError: the prior or the choices are of other data.
    """
    dataset, known = load_dataset(folder, config.profile), None
    if prior is not None:
        pretrained = load_pretrained(prior)
        dataset, known = pretrained.apply(dataset), pretrained.prior
    train, validation, notes = training_split(dataset, config, validation_share)
    fitted: Prior = known or default_prior(dataset, config)
    taste = fit_preferences(read_preferences(preferences[0])) if preferences else None

    def tables(videos: Sequence[int]) -> tuple[Tables, ...]:
        weights = config.weights.weights()
        found = [
            build_tables(dataset, fitted, v, weights, config.mode, None, config.kappa)
            for v in videos
        ]
        if taste is None or preferences is None:
            return tuple(found)
        return tuple(
            with_preferences(table, dataset.videos[v].embeddings, taste, preferences[1])
            for v, table in zip(videos, found, strict=True)
        )

    return TrainingData(
        train=tables(train),
        validation=tables(validation),
        name=dataset.name,
        notes=(*dataset.warnings, *notes),
    )


def training_split(
    dataset: Dataset, config: SoundtrackConfig, validation_share: float
) -> tuple[list[int], list[int], list[str]]:
    """Divide the training videos once more.

    Returns:
        Videos to learn from, videos to choose the best model on, and notes.
    """
    split = config.data
    train, _ = split_videos(len(dataset.videos), split.split_ratio, split.split_seed)
    train = sorted(train) or list(range(len(dataset.videos)))
    notes = []
    if len(train) < 5:
        notes.append(
            f"only {len(train)} training videos: expect a policy that knows little but these"
        )
    if len(train) == 1:
        notes.append("with one training video the best model is chosen on the video it learned")
        return train, train, notes
    order = generator(split.split_seed, "validation videos").permutation(train).tolist()
    count = min(max(1, round(validation_share * len(train))), len(train) - 1)
    return sorted(order[count:]), sorted(order[:count]), notes
