"""Rows of features of a film that need no model: what picture and sound are like, window by window.

*Picture*, 82 numbers: mean and standard deviation of 13 curves of `media.picture` (motion, blocks,
pace, lightness, saturation, edges, darkness, blankness, five axes of mood), the colours of the
shot's thumbnail on a grid of 4 x 4, and how strong edges of eight directions are in it.
*Sound*, 67 numbers: mean and standard deviation of 24 bands of the mel spectrum, 12 pitch classes,
and means of level, centroid, bandwidth, roll-off, zero crossings, flux and onset strength.

All are scaled to a spread of about 1. They describe surfaces, day or night, calm or busy, speech or
music, and name no thing. Windows are spread evenly over the picture, so that a segment finds its
rows by time.

Letters: `S` rows (windows), `N` samples of the picture's curves, `T` frames of sound.
"""

from __future__ import annotations

import io
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.media.embed.picture_axes import FEATURES, RATE_HZ
from segue.media.picture import PictureAnalysis

__all__ = ["N_AUDIO", "N_VISUAL", "picture_rows", "sound_rows", "windows"]

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

_GRID = 4
_DIRECTIONS = 8
_THUMBNAIL = (32, 32)
_BANDS = 24
N_VISUAL = 2 * (len(FEATURES) + 1 + 5) + 3 * _GRID * _GRID + _DIRECTIONS
"""Numbers of a row of picture features."""
N_AUDIO = 2 * _BANDS + 12 + 7
"""Numbers of a row of sound features."""

_FLOOR = 1e-10
_MEL_DB = (-30.0, 20.0)
"""About the mean and spread of the mel bands of speech and music."""


def windows(duration_s: float, length_s: float) -> Doubles:
    """Return the limits [S + 1] of windows of about `length_s` that fill a film."""
    return np.linspace(0.0, duration_s, max(round(duration_s / length_s), 1) + 1)


def picture_rows(picture: PictureAnalysis, limits_s: Doubles) -> Floats:
    """Return [S, N_VISUAL] of the windows between the limits [S + 1]."""
    scaled = [(picture.features[name] - mean) / sd for name, (mean, sd) in FEATURES.items()]
    curves = np.stack([*scaled, picture.blank, *picture.axes.T], axis=1)  # [N, 13]
    looks: dict[int, Doubles] = {}
    starts = np.array([float(a) for a, _ in picture.shots])
    rows = []
    for begin_s, end_s in pairwise(limits_s.tolist()):
        part = _part(curves, begin_s * RATE_HZ, end_s * RATE_HZ)
        shot = int(np.searchsorted(starts, (begin_s + end_s) / 2, side="right")) - 1
        if shot not in looks:
            looks[shot] = _look(picture.thumbnails[shot])
        rows.append(np.concatenate([part.mean(axis=0), part.std(axis=0), looks[shot]]))
    return np.array(rows, dtype=np.float32)


def sound_rows(video: Path, limits_s: Doubles) -> Floats | None:
    """Return [S, N_AUDIO] of the windows between the limits [S + 1] of the picture's clock.

    Where the sound is over before the picture it is silent. None: there is no sample of sound.

    Raises:
        MediaError: the sound cannot be decoded.
    """
    from segue.media import music_features
    from segue.media.audio import stream_audio
    from segue.media.spectrum import HOP_S
    from segue.media.spectrum import RATE_HZ as SOUND_HZ

    blocks = (block[0] for block in stream_audio(video, SOUND_HZ, 1))
    first = next((block for block in blocks if len(block)), None)
    if first is None:
        return None
    frames = music_features.measure(chain([first], blocks))
    mel = _bands(frames.mel)  # [T, 24]
    chroma = frames.chroma / np.maximum(frames.chroma.sum(axis=1, keepdims=True), _FLOOR)
    plain = np.stack(
        [
            _level(frames.rms),
            _octaves(frames.centroid_hz),
            _octaves(frames.bandwidth_hz),
            _octaves(frames.rolloff_hz),
            10 * frames.crossings,
            frames.flux,
            music_features.onset_strength(frames.mel) / 5,
        ],
        axis=1,
    )
    table = np.concatenate([mel, 4 * chroma, plain], axis=1).astype(np.float64)
    wanted = int(np.ceil(limits_s[-1] / HOP_S)) + 1
    if len(table) < wanted:
        lowest = _octaves(np.zeros(3))
        silence = np.concatenate(
            [_bands(np.zeros((1, frames.mel.shape[1])))[0], np.zeros(12), [_level(0.0)], lowest,
             np.zeros(3)]
        )[None]  # fmt: skip
        table = np.concatenate([table, np.repeat(silence, wanted - len(table), axis=0)])
    rows = []
    for begin_s, end_s in pairwise(limits_s.tolist()):
        part = _part(table, begin_s / HOP_S, end_s / HOP_S)
        rows.append(np.concatenate([part.mean(axis=0), part[:, :_BANDS].std(axis=0)]))
    return np.array(rows, dtype=np.float32)


def _part(curves: Doubles, begin: float, end: float) -> Doubles:
    """Return the samples from begin to end; at least one."""
    first = min(int(np.ceil(begin - 1e-9)), len(curves) - 1)
    return curves[first : max(int(np.ceil(end - 1e-9)), first + 1)]


def _look(thumbnail: bytes) -> Doubles:
    """Return 48 colours on a grid and 8 strengths of edges of a JPEG picture, or zeros."""
    from PIL import Image

    if not thumbnail:
        return np.zeros(3 * _GRID * _GRID + _DIRECTIONS)
    with Image.open(io.BytesIO(thumbnail)) as picture:
        pixels = np.asarray(picture.convert("RGB").resize(_THUMBNAIL), dtype=np.float64) / 255
    side = _THUMBNAIL[0] // _GRID
    cells = pixels.reshape(_GRID, side, _GRID, side, 3).mean(axis=(1, 3))
    down, across = np.gradient(pixels.mean(axis=2))
    angle = np.arctan2(down, across) % np.pi  # an edge has no front
    direction = np.minimum((angle / np.pi * _DIRECTIONS).astype(int), _DIRECTIONS - 1)
    strength = np.bincount(
        direction.ravel(), weights=np.hypot(down, across).ravel(), minlength=_DIRECTIONS
    )
    share = strength / max(float(strength.sum()), _FLOOR)
    return np.concatenate([(cells.ravel() - 0.5) * 4, share * 4])


def _bands(mel: NDArray[np.floating]) -> Doubles:
    """Return [T, 24] the level of groups of mel bands, in units of their usual spread."""
    edges = np.linspace(0, mel.shape[1], _BANDS + 1).astype(int)[:-1]
    power = np.add.reduceat(mel.astype(np.float64), edges, axis=1)
    middle_db, spread_db = _MEL_DB
    return np.asarray((10 * np.log10(np.maximum(power, _FLOOR)) - middle_db) / spread_db)


def _level(rms: NDArray[np.floating] | float) -> Doubles:
    return np.asarray((20 * np.log10(np.maximum(rms, 1e-5)) + 30) / 15)


def _octaves(hz: NDArray[np.floating]) -> Doubles:
    return np.asarray(np.log2(np.maximum(hz, 50.0) / 2000.0))
