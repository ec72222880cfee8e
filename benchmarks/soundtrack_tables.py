"""Reward tables drawn at random, for the benchmarks: a natural generator and a hard one.

`natural`: everything is Gaussian; no structure that a planner could exploit or stumble over.
`hard`: what makes the greedy agent fail. Scene moods that return and drift, single-segment
cutaways, families of near-duplicate tracks, short tracks and acoustic outliers that are the best
local fits, cosines spread as narrowly as real cross-modal ones, and a low switch target.

Letters: `T` segments, `K` tracks, `D` dimensions.
"""

from __future__ import annotations

from math import erf, sqrt

import numpy as np
from numpy.typing import NDArray

from segue.tasks.soundtrack.tables import Tables

Floats = NDArray[np.float64]


def natural(
    rng: np.random.Generator, n_segments: int = 30, n_tracks: int = 300, fade_per_s: float = 0.0
) -> Tables:
    """Return tables of independent Gaussian embeddings, 64 dimensions."""
    steps = rng.normal(size=(n_segments, 64))
    picture = _unit(np.cumsum(steps, axis=0) * 0.3 + rng.normal(size=(n_segments, 64)))
    caption = _unit(rng.normal(size=(n_segments, 64)))
    music, text = _unit(rng.normal(size=(n_tracks, 64))), _unit(rng.normal(size=(n_tracks, 64)))
    alignment = (3 * (picture @ music.T + 0.2) + 2.5 * (caption @ text.T + 0.3)) / 2
    return _tables(
        lengths_s=rng.lognormal(np.log(9.5), 0.5, n_segments).clip(2, 42),
        durations_s=rng.uniform(30, 240, n_tracks),
        alignment=alignment,
        picture=picture,
        music=music,
        bpm=rng.normal(110, 25, n_tracks),
        centroid=rng.normal(2000, 500, n_tracks),
        mfcc=rng.normal(size=(n_tracks, 13)) * 20 + np.eye(13)[0] * -150,
        target=rng.normal(4.0, 1.0),
        deviation=1.35,
        fade_per_s=fade_per_s,
    )


def hard(
    rng: np.random.Generator,
    n_segments: int = 30,
    n_tracks: int = 300,
    fade_per_s: float = 0.0,
    spread: float = 0.2,
) -> Tables:
    """Return tables in which the best next step is often not on the best way; see the module."""
    # 1. The film: moods that return, drift inside a scene, cutaways to another mood.
    moods = rng.normal(size=(int(rng.integers(3, 7)), 8))
    latent: list[Floats] = []
    while len(latent) < n_segments:
        length, drift = int(rng.integers(2, 8)), rng.normal(size=8) / sqrt(8)
        mood = moods[rng.integers(len(moods))]
        latent += [mood + drift * way for way in np.linspace(-1, 1, length)]
    scene = np.array(latent[:n_segments])
    cutaway = rng.random(n_segments) < 0.2
    scene[cutaway] = moods[rng.integers(len(moods), size=int(cutaway.sum()))]
    scene = scene / np.linalg.norm(scene, axis=1, keepdims=True)
    see, read = rng.normal(size=(8, 32)) / sqrt(8), rng.normal(size=(8, 24)) / sqrt(8)
    see_offset, read_offset = rng.normal(size=32) / sqrt(32), rng.normal(size=24) / sqrt(24)
    picture = _unit(scene @ see + see_offset + 0.35 * rng.normal(size=(n_segments, 32)) / sqrt(8))
    caption = _unit(scene @ read + read_offset + 0.46 * rng.normal(size=(n_segments, 24)) / sqrt(8))

    # 2. The library: families, short tracks and outliers with the purer embeddings.
    n_families = max(1, n_tracks // 4)
    family = rng.integers(n_families, size=n_tracks)
    centres = rng.normal(size=(n_families, 8))
    near = rng.random(n_families) < 0.5
    centres[near] = moods[rng.integers(len(moods), size=int(near.sum()))] + 0.4 * centres[near]
    short, outlier = rng.random(n_tracks) < 0.6, rng.random(n_tracks) < 0.2
    noise = np.where(short | outlier, 0.3, 0.9)[:, None]
    taste = centres[family] + 0.15 * rng.normal(size=(n_tracks, 8))
    taste = taste / np.linalg.norm(taste, axis=1, keepdims=True)
    family_noise = rng.normal(size=(n_families, 32))[family] * 0.9
    own = 0.45 * rng.normal(size=(n_tracks, 32))
    music = _unit(taste @ see + see_offset + noise * (family_noise + own) / sqrt(32))
    text = _unit(taste @ read + read_offset + noise * rng.normal(size=(n_tracks, 24)) / sqrt(24))
    sign = rng.choice([-1.0, 1.0], size=(2, n_tracks))
    bpm = rng.normal(112, 15, n_families)[family] + rng.normal(0, 3, n_tracks)
    bpm += outlier * sign[0] * rng.uniform(60, 120, n_tracks)
    centroid = rng.normal(2200, 300, n_families)[family] + rng.normal(0, 60, n_tracks)
    centroid += outlier * sign[1] * rng.uniform(1000, 2000, n_tracks)
    mfcc = rng.normal(size=(n_families, 13))[family] * 20 + rng.normal(size=(n_tracks, 13)) * 5
    mfcc[:, 0] -= 180

    # 3. Fit: cosines less those of the mean film, in a narrow spread.
    mean_picture, mean_caption = _unit(picture.mean(axis=0)), _unit(caption.mean(axis=0))
    by_ear = spread * (picture @ music.T - music @ mean_picture)
    by_text = spread * (caption @ text.T - text @ mean_caption)
    return _tables(
        lengths_s=rng.lognormal(np.log(9.5), 0.5, n_segments).clip(2, 42),
        durations_s=np.where(short, rng.uniform(10, 40, n_tracks), rng.uniform(80, 300, n_tracks)),
        alignment=(3 * (by_ear + 0.2) + 2.5 * (by_text + 0.3)) / 2,
        picture=picture,
        music=music,
        bpm=bpm,
        centroid=centroid,
        mfcc=mfcc,
        target=2.0,
        deviation=1.35,
        fade_per_s=fade_per_s,
    )


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def _tables(
    *,
    lengths_s: Floats,
    durations_s: Floats,
    alignment: Floats,
    picture: Floats,
    music: Floats,
    bpm: Floats,
    centroid: Floats,
    mfcc: Floats,
    target: float,
    deviation: float,
    fade_per_s: float,
) -> Tables:
    """Put hand-overs, gates and the switch budget beside the alignment."""
    tone = _unit(mfcc)
    acoustic = (
        -np.abs(bpm[:, None] - bpm) / 100
        - np.abs(centroid[:, None] - centroid) / 2000
        + (tone @ tone.T - 1) / 2
    ) / 3 + 1
    gate = np.ones(len(lengths_s))
    gate[1:] = np.exp(-5 * (1 - (picture[1:] * picture[:-1]).sum(axis=1)))
    values = np.arange(min(len(lengths_s), 10))
    below = np.array([(1 + erf((v + 0.5 - target) / deviation / sqrt(2))) / 2 for v in values])
    below[-1] = 1.0  # a draw outside is clipped to the nearest number
    return Tables(
        lengths_s=lengths_s,
        durations_s=durations_s,
        alignment=alignment,
        transition=((music @ music.T + 1) / 2 + acoustic) / 2,
        gate=gate,
        embeddings=music * 20,
        target_values=values,
        target_probabilities=np.diff(below, prepend=0.0),
        fade_per_s=fade_per_s,
    )
