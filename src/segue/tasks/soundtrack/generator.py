"""Soundtrack problems drawn at random: libraries and videos in which greed does not pay.

A policy that should serve any library has to be trained on many, and judged on others. Both come
from a latent space of moods: a track and a segment of the same mood get similar embeddings.

What keeps a problem from being easy for an agent that looks one segment ahead:
- scenes drift, and cutaways of one segment interrupt them, so that the best track now is seldom
  the best one for the scene;
- short tracks and acoustic outliers have purer embeddings, hence are the best local fits;
- fits differ little (`spread`: real cross-modal cosines lie close together) against the cost of a
  switch, and few switches are wanted.

`PRESETS` names the settings. `benchmark` is the hard one that results are stated for; others shift
one thing and are for testing only; `product` is like what `segue score` makes of a film: six
dimensions, no captions, no statistics of other films, silence costs.

Letters: `T` segments, `K` tracks, `D`, `E` dimensions of embeddings and captions, `Z` of moods.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from segue.core.config import Config
from segue.core.names import unknown
from segue.core.seeding import generator
from segue.tasks.soundtrack.budget import Bin, SwitchBudget
from segue.tasks.soundtrack.data import Dataset, Segment, Track, Video
from segue.tasks.soundtrack.prior import Prior
from segue.tasks.soundtrack.similarity import neighbour_cosines, units
from segue.tasks.soundtrack.tables import Tables, Weights, build_tables

__all__ = ["PRESETS", "GeneratorConfig", "Library", "draw_library", "draw_tables", "preset"]

Floats = NDArray[np.float64]

NEUTRAL = 0.675
"""Alignment of a track that resembles a segment as much as it resembles every other one."""
_REFERENCE_VIDEOS = 60
"""Videos of no test that the reference vectors of a world are averaged over."""


class GeneratorConfig(Config):
    """One family of random problems."""

    segments: tuple[int, int] = (12, 24)
    """Fewest and most segments of a video."""
    tracks: tuple[int, int] = (50, 300)
    """Fewest and most tracks of a library."""
    dimension: int = Field(32, ge=1)
    """Dimensions of the embeddings, D."""
    text_dimension: int = Field(24, ge=0)
    """Dimensions of the caption vectors, E; 0 means no captions."""
    mood_dimension: int = Field(8, ge=1)
    """Dimensions of a mood, Z."""
    moods: tuple[int, int] = (3, 6)
    """Fewest and most moods of a video; they return."""
    scene: tuple[int, int] = (2, 7)
    """Fewest and most segments of a scene."""
    drift: float = Field(1.5, ge=0)
    """Way of the mood from the middle of a scene to its ends (moods: length about 2.8)."""
    cutaways: float = Field(0.2, ge=0, le=1)
    """Share of segments that show another mood."""
    picture_noise: float = Field(0.1, ge=0)
    """Standard deviation per dimension of the segments' embeddings (signal: about 0.5)."""
    caption_noise: float = Field(0.14, ge=0)
    """The same of their captions."""
    offset: float = Field(1.0, ge=0)
    """Length of what all vectors of one space have in common (signal: about 2.8)."""
    family: int = Field(4, ge=1)
    """Tracks in a family of near-duplicates, about."""
    short_share: float = Field(0.6, ge=0, le=1)
    """Share of tracks of 10 to 40 s; the others last 80 to 300 s."""
    outlier_share: float = Field(0.2, ge=0, le=1)
    """Share of tracks of odd tempo and brightness."""
    noise: float = Field(0.45, ge=0)
    """Standard deviation per dimension of the tracks' vectors."""
    pure_noise: float = Field(0.15, ge=0)
    """The same of short tracks and outliers."""
    spread: float = Field(0.2, gt=0)
    """Factor of the differences of alignment."""
    target_mean: float | None = Field(2.0)
    """Mean number of switches wanted; None derives it from how often the picture turns."""
    target_std: float = Field(1.35, ge=0)
    """Standard deviation of that number."""
    reference: bool = True
    """Whether fits are counted above the library's fit to other videos."""
    length_s: float = Field(9.5, gt=0)
    """Median length of a segment; lengths are log-normal within 2 and 42 s."""
    silence: float = Field(0.0, ge=0)
    """Weight of the silence term."""
    weight_range: float = Field(1.0, ge=1)
    """The weights of smoothness, switch and theme are multiplied by a factor drawn between
    1 / weight_range and weight_range for each library; 1 leaves them at .5, .3 and .3."""

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        for name in ("segments", "tracks", "moods", "scene"):
            low, high = getattr(self, name)
            if not 1 <= low <= high:
                raise ValueError(f"{name} = {low}..{high} is not a range of numbers above 0")
        return self


PRESETS: dict[str, dict[str, object]] = {
    "benchmark": {},
    "easy": {
        "family": 1,
        "short_share": 0.0,
        "outlier_share": 0.0,
        "drift": 0.45,
        "cutaways": 0.0,
        "spread": 0.35,
    },
    "full-spread": {"spread": 1.0},
    "hardest": {"spread": 0.1, "drift": 2.2, "cutaways": 0.4},
    "target-3.4": {"target_mean": 3.4},
    "target-4.3": {"target_mean": 4.3},
    "product": {
        "segments": (1, 30),
        "tracks": (1, 300),
        "dimension": 6,
        "text_dimension": 0,
        "mood_dimension": 5,
        "spread": 1.0,
        "target_mean": None,
        "reference": False,
        "silence": 1.0,
        "picture_noise": 0.15,
        "noise": 0.3,
        "pure_noise": 0.2,
        "offset": 0.4,
    },
}
"""Preset -> differences from the defaults."""


def preset(name: str) -> GeneratorConfig:
    """Return the settings of a preset.

    Raises:
        UnknownName: there is no such preset.
    """
    if name not in PRESETS:
        raise unknown("preset", name, sorted(PRESETS))
    return GeneratorConfig.parse(PRESETS[name])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Library:
    """A library with videos, as data and as reward tables."""

    dataset: Dataset
    prior: Prior
    tables: tuple[Tables, ...]
    """One for each video; all share the arrays of the library."""


def draw_tables(
    config: GeneratorConfig, seed: int, split: str, n_libraries: int, n_videos: int
) -> list[Tables]:
    """Return the tables of `n_libraries` libraries with `n_videos` videos each, library by library.

    Args:
        config: the family of problems.
        seed: draws with the same seed share the spaces that moods are seen and heard in.
        split: draws of different splits have no library and no video in common.
        n_libraries: number of libraries.
        n_videos: number of videos of each.
    """
    return [
        tables
        for index in range(n_libraries)
        for tables in draw_library(config, seed, split, index, n_videos).tables
    ]


def draw_library(
    config: GeneratorConfig, seed: int, split: str, index: int, n_videos: int
) -> Library:
    """Return one library with its videos; see `draw_tables`."""
    world = _World(config, seed)
    rng = generator(seed, "soundtrack library", split, index)
    weights = Weights(silence=config.silence)
    if config.weight_range > 1:
        factors = config.weight_range ** rng.uniform(-1, 1, 3)
        weights = Weights(
            smoothness=0.5 * factors[0],
            switch=0.3 * factors[1],
            theme=0.3 * factors[2],
            silence=config.silence,
        )
    dataset = Dataset(
        tracks=world.tracks(rng),
        videos=tuple(world.video(rng, f"video {i}") for i in range(n_videos)),
        name=f"{split} library {index}",
    )
    prior = world.prior()
    tables = []
    for video in range(n_videos):
        plain = build_tables(dataset, prior, video, weights)
        spread = NEUTRAL + config.spread * (plain.alignment - NEUTRAL)
        if config.text_dimension == 0:
            spread = plain.alignment  # nothing is known about the spread of one half
        values, probabilities = _target(config, dataset, video, plain)
        tables.append(
            replace(
                plain,
                alignment=spread,
                target_values=values,
                target_probabilities=probabilities,
            )
        )
    return Library(dataset=dataset, prior=prior, tables=tuple(tables))


class _World:
    """How moods are seen, heard and described: fixed random maps of one seed."""

    def __init__(self, config: GeneratorConfig, seed: int) -> None:
        self.config = config
        rng = generator(seed, "soundtrack world")
        self.see = _isometry(rng, config.mood_dimension, config.dimension)
        self.read = _isometry(rng, config.mood_dimension, max(config.text_dimension, 1))
        self.see_offset = config.offset * units(rng.normal(size=(1, config.dimension)))
        self.read_offset = config.offset * units(
            rng.normal(size=(1, max(config.text_dimension, 1)))
        )
        self._reference_rng = generator(seed, "soundtrack reference")

    def prior(self) -> Prior:
        config = self.config
        budget = SwitchBudget(
            bins=(Bin(config.target_mean or 0.0, config.target_std + 1e-6, 0.0, 2.0),)
        )
        picture, caption = np.zeros(config.dimension), np.zeros(max(config.text_dimension, 1))
        if config.reference:
            seen, read = [], []
            for _ in range(_REFERENCE_VIDEOS):
                video = self.video(self._reference_rng, "reference")
                seen.append(video.embeddings.mean(axis=0))
                if video.text_embeddings is not None:
                    read.append(video.text_embeddings.mean(axis=0))
            picture = units(np.mean(seen, axis=0)[None])[0]
            caption = units(np.mean(read, axis=0)[None])[0] if read else caption
        return Prior(
            picture_reference=picture,
            caption_reference=caption if config.text_dimension else None,
            budget=budget,
        )

    def video(self, rng: np.random.Generator, name: str) -> Video:
        config = self.config
        n = int(rng.integers(config.segments[0], config.segments[1] + 1))
        moods = rng.normal(
            size=(int(rng.integers(config.moods[0], config.moods[1] + 1)), config.mood_dimension)
        )
        latent: list[Floats] = []
        mood = -1
        while len(latent) < n:
            # 1. The next scene: another mood than the last one's, drifting from one side of it
            #    to the other.
            others = np.setdiff1d(np.arange(len(moods)), [mood])
            mood = int(rng.choice(others)) if len(others) else 0
            length = int(rng.integers(config.scene[0], config.scene[1] + 1))
            way = config.drift * units(rng.normal(size=(1, config.mood_dimension)))[0]
            latent += [moods[mood] + step * way for step in np.linspace(-1, 1, length)]
        scene = np.array(latent[:n])
        # 2. Cutaways to any mood at all.
        away = rng.random(n) < config.cutaways
        scene[away] = rng.normal(size=(int(away.sum()), config.mood_dimension))
        pictures = self._seen(rng, scene, config.picture_noise)
        captions = self._described(rng, scene, config.caption_noise)
        lengths = rng.lognormal(np.log(config.length_s), 0.6, n).clip(2.0, 42.0)
        ends = np.cumsum(lengths)
        return Video(
            name=name,
            segments=tuple(
                Segment(
                    start_s=float(end - length),
                    end_s=float(end),
                    embedding=pictures[i],
                    text_embedding=None if captions is None else captions[i],
                )
                for i, (end, length) in enumerate(zip(ends, lengths, strict=True))
            ),
        )

    def tracks(self, rng: np.random.Generator) -> tuple[Track, ...]:
        config = self.config
        n = int(rng.integers(config.tracks[0], config.tracks[1] + 1))
        n_families = max(1, round(n / config.family))
        family = rng.integers(n_families, size=n)
        mood = rng.normal(size=(n_families, config.mood_dimension))[family]
        mood = mood + 0.15 * rng.normal(size=mood.shape)
        short, outlier = rng.random(n) < config.short_share, rng.random(n) < config.outlier_share
        noise = np.where(short | outlier, config.pure_noise, config.noise)[:, None]
        vectors, texts = self._seen(rng, mood, noise), self._described(rng, mood, noise)
        sign = rng.choice([-1.0, 1.0], size=(2, n))
        tempo = rng.normal(112, 15, n_families)[family] + rng.normal(0, 3, n)
        tempo = np.maximum(tempo + outlier * sign[0] * rng.uniform(60, 120, n), 1.0)
        centroid = rng.normal(2200, 300, n_families)[family] + rng.normal(0, 60, n)
        centroid = np.maximum(centroid + outlier * sign[1] * rng.uniform(1000, 2000, n), 50.0)
        mfcc = rng.normal(size=(n_families, 13))[family] * 20 + rng.normal(size=(n, 13)) * 5
        mfcc[:, 0] -= 180
        durations = np.where(short, rng.uniform(10, 40, n), rng.uniform(80, 300, n))
        energy = rng.uniform(0.05, 0.3, n)
        return tuple(
            Track(
                name=f"track {i}",
                embedding=vectors[i],
                text_embedding=None if texts is None else texts[i],
                duration_s=float(durations[i]),
                tempo_bpm=float(tempo[i]),
                energy=float(energy[i]),
                centroid_hz=float(centroid[i]),
                mfcc=mfcc[i],
            )
            for i in range(n)
        )

    def _seen(self, rng: np.random.Generator, mood: Floats, noise: Floats | float) -> Floats:
        vectors = mood @ self.see + self.see_offset
        return units(vectors + noise * rng.normal(size=vectors.shape))

    def _described(
        self, rng: np.random.Generator, mood: Floats, noise: Floats | float
    ) -> Floats | None:
        vectors = mood @ self.read + self.read_offset
        vectors = units(vectors + noise * rng.normal(size=vectors.shape))
        return vectors if self.config.text_dimension else None


def _target(
    config: GeneratorConfig, dataset: Dataset, video: int, plain: Tables
) -> tuple[NDArray[np.int64], Floats]:
    """Return the distribution of the wanted number of switches."""
    if config.target_mean is not None:
        return plain.target_values, plain.target_probabilities
    turns = (1.0 - neighbour_cosines(dataset.videos[video].embeddings)[1:]) / 2.0
    probabilities = np.ones(1)
    for turn in turns.clip(0.0, 1.0):  # a sum of independent coin flips
        probabilities = np.convolve(probabilities, [1.0 - turn, turn])
    return np.arange(len(probabilities)), probabilities / probabilities.sum()


def _isometry(rng: np.random.Generator, rows: int, columns: int) -> Floats:
    """Return a map [rows, columns] that keeps lengths, or the best that fits."""
    matrix = np.linalg.qr(rng.normal(size=(max(rows, columns), min(rows, columns))))[0]
    return matrix if rows >= columns else matrix.T
