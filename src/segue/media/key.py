"""Key and mode of a piece, from its pitch class profile.

The profile of the piece is correlated with the 24 rotations of three published profiles of major
and minor keys; *mode* is the best correlation with a major key minus the best with a minor key,
positive for major. One mode value per published set is kept, since their mean is steadier than any.

Measured on 75 pop songs of known key, rendered with five harmonics
(`benchmarks/music_affect.py`): see the table that it prints. Modal and atonal music has no answer
here, and a long modulation counts as a mixture.

Letters: `T` frames; pitch classes run from C = 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["PITCH_CLASSES", "PROFILES", "Key", "chroma_entropy", "find_key", "pitch_profile"]

PITCH_CLASSES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")

PROFILES: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    # Krumhansl & Kessler 1982, Psychological Review 89:334-368: probe-tone ratings
    "krumhansl-kessler": (
        (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
        (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
    ),
    # Temperley 1999, Music Perception 17:65-100
    "temperley": (
        (5.0, 2.0, 3.5, 2.0, 4.5, 4.0, 2.0, 4.5, 2.0, 3.5, 1.5, 4.0),
        (5.0, 2.0, 3.5, 4.5, 2.0, 4.0, 2.0, 4.5, 3.5, 2.0, 1.5, 4.0),
    ),
    # Albrecht & Shanahan 2013, Music Perception 31:59-67: counted in scores
    "albrecht-shanahan": (
        (0.238, 0.006, 0.111, 0.006, 0.137, 0.094, 0.016, 0.214, 0.009, 0.080, 0.008, 0.081),
        (0.220, 0.006, 0.104, 0.123, 0.019, 0.103, 0.012, 0.214, 0.062, 0.022, 0.061, 0.052),
    ),
}
"""Name -> (major, minor), tonic first."""


@dataclass(frozen=True, slots=True)
class Key:
    """Where a piece is at home."""

    tonic: int
    """Pitch class, C = 0."""
    is_minor: bool
    modes: tuple[float, float, float]
    """Major minus minor correlation, -2..2, by each of PROFILES in their order."""

    @property
    def name(self) -> str:
        """For example "F# minor"."""
        return f"{PITCH_CLASSES[self.tonic]} {'minor' if self.is_minor else 'major'}"

    @property
    def mode(self) -> float:
        """Mean of `modes`: positive for major."""
        return sum(self.modes) / len(self.modes)


def find_key(profile: NDArray[np.floating]) -> Key:
    """Find the key of a [12] pitch class profile (a flat one gives C major with modes of 0)."""
    centred = np.asarray(profile, np.float64) - np.mean(profile)
    length = float(np.linalg.norm(centred))
    if length < 1e-9:
        return Key(0, False, (0.0, 0.0, 0.0))
    rotated = centred[_ROTATIONS] / length  # [tonic, 12]
    scores = _shapes() @ rotated.T  # [3, mode, tonic]
    best = scores.max(axis=2)
    modes = [float(major - minor) for major, minor in best]
    total = scores.sum(axis=0)
    is_minor, tonic = np.unravel_index(int(np.argmax(total)), total.shape)
    return Key(int(tonic), bool(is_minor), (modes[0], modes[1], modes[2]))


def pitch_profile(chroma: NDArray[np.floating], rms: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the [12] profile of a piece, largest value 1 (zeros for silence).

    Each frame is normalised, then weighted by the root of its energy, capped at the 75th percentile
    so that a few loud bars do not decide.

    Args:
        chroma: [T, 12] pitch class power.
        rms: [T] root mean square.
    """
    if not len(rms) or float(np.max(rms)) <= 0:
        return np.zeros(12)
    ordered = np.sort(rms)
    place = 0.75 * (len(rms) - 1)
    below, above = ordered[int(place)], ordered[min(int(place) + 1, len(rms) - 1)]
    weight = np.minimum(rms, below + (above - below) * (place % 1))
    top = chroma.max(axis=1)
    shapes = chroma / np.where(top > 0, top, 1)[:, None]
    profile = (weight[:, None] * shapes).sum(axis=0, dtype=np.float64)
    return np.asarray(profile / max(float(profile.max()), 1e-12))


def chroma_entropy(chroma: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return [T] the entropy of each frame's pitch classes, 0 (one class) to 1 (all alike)."""
    share = chroma / np.maximum(chroma.sum(axis=1, keepdims=True), 1e-12)
    return np.asarray(-(share * np.log(np.maximum(share, 1e-12))).sum(axis=1) / np.log(12))


_ROTATIONS = (np.arange(12)[:, None] + np.arange(12)) % 12
"""[tonic, 12] pitch classes in the order from each tonic."""


@cache
def _shapes() -> NDArray[np.float64]:
    """[3, 2, 12] the published profiles, each of mean 0 and length 1."""
    shapes = np.array(list(PROFILES.values()))
    shapes = shapes - shapes.mean(axis=2, keepdims=True)
    return np.asarray(shapes / np.linalg.norm(shapes, axis=2, keepdims=True))
