"""The theme term from a table of cosines: no vector is touched after construction.

theme = mean_t cos(e_t, z) over the heard tracks e_1..e_n; z = mean_t e_t, divided by |z| + 1e-6.
With C[i, l] the cosine of two tracks and r their norms,

    sum_t e^_t . m = sum_{i,l} C[i, l] r_l,    |m|^2 = sum_{i,l} C[i, l] r_i r_l,    m = sum_t e_t

so an episode of n steps costs n^2 table reads whatever the dimension. Letters: `K` tracks, `n`
steps, `B` episodes. Index K means "nothing heard".
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segue.tasks.soundtrack.similarity import ZERO_NORM, units

__all__ = ["ThemeTable"]

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


class ThemeTable:
    """Cosines and norms of a library, ready for the theme of any sequence of its tracks.

    Args:
        embeddings: [K, D] audio vectors.
    """

    def __init__(self, embeddings: Floats) -> None:
        rows = units(embeddings)
        n_tracks = len(rows)
        # One more row and column, all zero, stands for "nothing heard".
        self.cosines = np.zeros((n_tracks + 1, n_tracks + 1))
        self.cosines[:n_tracks, :n_tracks] = rows @ rows.T
        self.norms = np.append(np.linalg.norm(embeddings, axis=1), 0.0)
        self.norms[self.norms <= ZERO_NORM] = 0.0
        self._flat, self._own = self.cosines.ravel(), self.cosines.diagonal().copy()
        used = self.norms[self.norms > 0]
        self._common_norm = (
            float(used[0]) if used.size and np.ptp(used) <= 1e-12 * used[0] else None
        )

    def value(self, heard: Sequence[int]) -> float:
        """Return the theme of one episode, unweighted."""
        tracks = np.array(heard)
        pairs = self._flat.take(tracks * len(self.norms) + tracks[:, None])  # [n, n]
        if self._common_norm is not None:
            total = self._common_norm * float(pairs.sum())
            return _theme_of_one(total, self._common_norm * total, len(heard))
        norms = self.norms[tracks]
        pulls = pairs @ norms
        return _theme_of_one(float(pulls.sum()), float(norms @ pulls), len(heard))

    def candidates(self, heard: Sequence[int]) -> Floats:
        """Return the theme of `heard` followed by each track, [K], unweighted."""
        norms, own, n = self.norms[:-1], self._own[:-1], len(heard) + 1
        if not heard:
            return _theme(own * norms, own * norms**2, 1)
        tracks = np.array(heard)
        rows = self.cosines.take(tracks, axis=0)  # [n, K + 1]
        sums = np.ones(len(tracks)) @ rows
        if self._common_norm is not None:
            norm = self._common_norm
            total = norm * (float(sums.take(tracks).sum()) + 2.0 * sums[:-1] + own)
            return _theme(total, norm * total, n)
        lengths = self.norms.take(tracks)
        pulls = lengths @ rows
        numerator, square = float(pulls.take(tracks).sum()), float(pulls.take(tracks) @ lengths)
        sums, pulls = sums[:-1], pulls[:-1]
        return _theme(
            numerator + sums * norms + pulls + own * norms,
            square + norms * (2.0 * pulls + own * norms),
            n,
        )

    def batch(self, heard: Indices, n_steps: Indices) -> Floats:
        """Return the theme of many episodes, unweighted, [B].

        Args:
            heard: [n, B] track of each step; K from an episode's end on.
            n_steps: [B] number of steps of each episode.
        """
        width = len(self.norms)
        flat, own = self._flat, self._own
        base = heard * width
        if self._common_norm is not None:
            total = own.take(heard).sum(axis=0)
            for step in range(1, len(heard)):
                total += 2.0 * flat.take(base[:step] + heard[step]).sum(axis=0)
            norm = self._common_norm
            return _theme(norm * total, norm * norm * total, n_steps)
        norms = self.norms.take(heard)
        self_terms = own.take(heard) * norms
        numerator, square = self_terms.sum(axis=0), (self_terms * norms).sum(axis=0)
        for step in range(1, len(heard)):
            pairs = flat.take(base[:step] + heard[step])
            left = (pairs * norms[:step]).sum(axis=0)
            numerator += left + pairs.sum(axis=0) * norms[step]
            square += 2.0 * left * norms[step]
        return _theme(numerator, square, n_steps)


def _theme(numerator: Floats, square: Floats | float, n_steps: Indices | int) -> Floats:
    """Return sum_t e^_t . m / (n |m|), or 0 where the mean vector has no direction."""
    norm = np.sqrt(np.maximum(square, 0.0))
    mean = norm / n_steps
    directed = mean > ZERO_NORM * (mean + 1e-6)
    return np.asarray(
        np.where(directed, numerator / (n_steps * np.where(directed, norm, 1.0)), 0.0)
    )


def _theme_of_one(numerator: float, square: float, n_steps: int) -> float:
    norm = math.sqrt(max(square, 0.0))
    mean = norm / n_steps
    return numerator / (n_steps * norm) if mean > ZERO_NORM * (mean + 1e-6) else 0.0
