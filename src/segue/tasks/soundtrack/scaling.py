"""Means and spreads of the features, for networks that want them around zero.

Library features come from all tracks, which training and test share; what depends on videos comes
from the training videos alone. Lengths enter as logarithms, for they spread over decades.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.tasks.soundtrack.data import Dataset, Track, Video
from segue.tasks.soundtrack.similarity import units

__all__ = ["TRACK_FEATURES", "Scaling", "fit_scaling", "track_features"]

Floats = NDArray[np.float64]

TRACK_FEATURES = (
    "log_duration",
    "tempo",
    "energy",
    "log_centroid",
    *(f"mfcc_{i}" for i in range(13)),
)
"""Columns of `track_features`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scaling:
    """Fitted means and spreads; a spread is never zero."""

    track_mean: Floats
    """[17] in the order of TRACK_FEATURES."""
    track_std: Floats
    picture_mean: Floats
    """[D] mean of the training pictures at length 1."""
    picture_std: Floats
    sound_mean: Floats
    """[D] mean of the tracks' vectors at length 1."""
    sound_std: Floats
    log_length_mean: float
    """Of the natural logarithm of the training segments' lengths in s."""
    log_length_std: float

    def tracks(self, tracks: Sequence[Track]) -> Floats:
        """Return [K, 17] standardised features."""
        return (track_features(tracks) - self.track_mean) / self.track_std

    def pictures(self, vectors: Floats) -> Floats:
        """Return [T, D] standardised picture vectors."""
        return (units(vectors) - self.picture_mean) / self.picture_std

    def sounds(self, vectors: Floats) -> Floats:
        """Return [K, D] standardised sound vectors."""
        return (units(vectors) - self.sound_mean) / self.sound_std

    def to_arrays(self) -> dict[str, Floats]:
        """Return it as arrays."""
        return {
            "track_mean": self.track_mean,
            "track_std": self.track_std,
            "picture_mean": self.picture_mean,
            "picture_std": self.picture_std,
            "sound_mean": self.sound_mean,
            "sound_std": self.sound_std,
            "log_length": np.array([self.log_length_mean, self.log_length_std]),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Floats]) -> Scaling:
        """Undo `to_arrays` (KeyError when one is missing)."""
        mean, std = arrays["log_length"].tolist()
        plain = {name: array for name, array in arrays.items() if name != "log_length"}
        return cls(log_length_mean=mean, log_length_std=std, **plain)


def track_features(tracks: Sequence[Track]) -> Floats:
    """Return [K, 17] in the order of TRACK_FEATURES."""
    return np.array(
        [
            [
                np.log1p(t.duration_s),
                t.tempo_bpm,
                t.energy,
                np.log1p(t.centroid_hz),
                *t.mfcc.tolist(),
            ]
            for t in tracks
        ]
    )


def fit_scaling(dataset: Dataset, videos: Sequence[Video]) -> Scaling:
    """Fit means and spreads to a library and the training videos."""
    features = track_features(dataset.tracks)
    pictures = units(np.concatenate([video.embeddings for video in videos]))
    sounds = units(dataset.track_embeddings)
    lengths = np.log(np.concatenate([video.lengths_s for video in videos]))
    return Scaling(
        track_mean=features.mean(axis=0),
        track_std=_spread(features),
        picture_mean=pictures.mean(axis=0),
        picture_std=_spread(pictures),
        sound_mean=sounds.mean(axis=0),
        sound_std=_spread(sounds),
        log_length_mean=float(lengths.mean()),
        log_length_std=float(_spread(lengths[:, None])[0]),
    )


def _spread(rows: Floats) -> Floats:
    spread = rows.std(axis=0)
    return np.where(spread > 1e-9, spread, 1.0)
