"""What is measured of generated music beside its reward: realism, variety, loudness.

*Fréchet audio distance* (Kilgour et al., "Fréchet audio distance: a reference-free metric for
evaluating music enhancement algorithms", Interspeech 2019): between Gaussians fitted to embeddings
of generated and of real clips,

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)).

It is as good as its embedding and it is biased: few clips look worse than many. So it always goes
with the name of its embedding, and rows of a table have equally many clips.

*Vendi score* (Friedman and Dieng, "The Vendi score: a diversity evaluation metric for machine
learning", 2023): exp of the entropy of the eigenvalues of K / n, with K the cosines of n clips. It
is the number of clips that differ: 1 when all are alike, n when all are orthogonal. With centred
embeddings cosines spread; here the centre is that of real clips, so it is the same for all rows.

Letters: `n` clips, `D` features, `P` prompts, `R` resamples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segue.core.errors import DataError
from segue.core.tables import Value
from segue.media.loudness import measure_samples

if TYPE_CHECKING:
    import torch

__all__ = [
    "frechet_distance",
    "jackknifed",
    "loudness_lufs",
    "mean_distance",
    "outlines",
    "pairwise_distances",
    "two_way_interval",
    "vendi_score",
]

Floats = NDArray[np.float64]

_OUTLINE = 8
"""Frames of a mean: .128 s of our log-mel."""


def frechet_distance(generated: ArrayLike, real: ArrayLike) -> float:
    """Return the Fréchet distance between two sets of embeddings.

    Args:
        generated: [n, D].
        real: [m, D].

    Raises:
        DataError: fewer than two clips on a side, other widths, or a number that is not finite.
    """
    a, b = _rows(generated, "generated"), _rows(real, "real")
    if a.shape[1] != b.shape[1]:
        raise DataError(f"embeddings of width {a.shape[1]} and {b.shape[1]} cannot be compared")
    if min(len(a), len(b)) < 2:
        raise DataError(
            f"{len(a)} generated and {len(b)} real clips",
            advice="A Fréchet distance needs two of each",
        )
    between = a.mean(axis=0) - b.mean(axis=0)
    first, second = _covariance(a), _covariance(b)
    root = _square_root(first)
    # tr (C1 C2)^(1/2) by the symmetric C1^(1/2) C2 C1^(1/2), whose eigenvalues are the same.
    inner = np.linalg.eigvalsh(root @ second @ root)
    shared = np.sqrt(np.clip(inner, 0.0, None)).sum()
    distance = between @ between + np.trace(first) + np.trace(second) - 2.0 * shared
    return max(0.0, float(distance))


def vendi_score(embeddings: ArrayLike, centre: ArrayLike | None = None) -> float:
    """Return how many different clips there are among n, between 1 and n.

    Args:
        embeddings: [n, D].
        centre: [D] subtracted first; by default nothing is.

    Raises:
        DataError: no clip, or a number that is not finite.
    """
    rows = _rows(embeddings, "generated")
    if centre is not None:
        rows = rows - np.asarray(centre, dtype=np.float64)
    units = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    kernel = units @ units.T
    np.fill_diagonal(kernel, 1.0)  # of a clip that lies in the centre, too
    shares = np.clip(np.linalg.eigvalsh(kernel / len(rows)), 0.0, None)
    shares = shares[shares > 1e-12]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def mean_distance(embeddings: ArrayLike) -> float:
    """Return the mean Euclidean distance of all pairs of clips; 0 for a single one."""
    n = len(rows := _rows(embeddings, "generated"))
    return float(pairwise_distances(rows).sum() / (n * (n - 1))) if n > 1 else 0.0


def pairwise_distances(rows: Floats) -> Floats:
    """Return the Euclidean distances between all rows, [n, n] of [n, D]."""
    squares = (rows**2).sum(axis=1)
    between = np.clip(squares[:, None] + squares[None] - 2.0 * rows @ rows.T, 0.0, None)
    np.fill_diagonal(between, 0.0)
    return np.asarray(np.sqrt(between))


def outlines(mel: torch.Tensor) -> Floats:
    """Return [n, (F // 8) x 64] the log spectra of clips, [n, F, 64], as means of 8 frames.

    How far these lie from each other says how unlike clips of one prompt sound. An embedding that
    was trained to tell moods and instruments cannot say so: in it all clips that do what they
    should are alike.
    """
    n, frames, bands = mel.shape
    whole = frames // _OUTLINE * _OUTLINE
    means = mel[:, :whole].reshape(n, -1, _OUTLINE, bands).mean(dim=2)
    return np.asarray(means.flatten(1).double().cpu().numpy())


def loudness_lufs(clips: NDArray[np.floating], rate_hz: int) -> Floats:
    """Return [n] the integrated loudness of clips [n, T]; minus infinity for silence."""
    found = [measure_samples(clip, rate_hz).integrated_lufs for clip in clips]
    return np.array([-np.inf if lufs is None else lufs for lufs in found])


def jackknifed(statistic: Callable[[NDArray[np.int64]], float], n: int) -> Value:
    """Return a statistic of a set with its 95 % jackknife interval.

    For what is no mean of items, as a Fréchet distance, which clips that are drawn twice would
    raise: each item is left out once (Efron and Stein, "The jackknife estimate of variance", 1981).

    Args:
        statistic: of the items with these indices.
        n: number of items.
    """
    value = statistic(np.arange(n))
    if n < 3:
        return Value(value=value)
    without = np.array([statistic(np.delete(np.arange(n), i)) for i in range(n)])
    error = float(np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum()))
    return Value(value=value, low=value - 1.96 * error, high=value + 1.96 * error)


def two_way_interval(
    differences: ArrayLike,
    generator: np.random.Generator,
    *,
    resamples: int = 2000,
    level: float = 0.95,
) -> Value:
    """Return a mean with an interval over training runs and prompts at once.

    Both are drawn with replacement, each on its own (Owen, "The pigeonhole bootstrap", 2007): the
    interval says what another five runs on other prompts may give.

    Args:
        differences: [S, n] of every run on every item.
        generator: source of the resampling.
        resamples: R.
        level: coverage.

    Raises:
        DataError: nothing there, or a number that is not finite.
    """
    table = np.atleast_2d(np.asarray(differences, dtype=np.float64))
    if table.ndim != 2 or not table.size or not np.isfinite(table).all():
        raise DataError(f"no finite numbers of runs and items: shape {table.shape}")
    runs, items = table.shape
    value = float(table.mean())
    if runs * items < 2:
        return Value(value=value)
    by_run = generator.multinomial(runs, np.full(runs, 1 / runs), resamples) / runs  # [R, S]
    by_item = generator.multinomial(items, np.full(items, 1 / items), resamples) / items
    means = ((by_run @ table) * by_item).sum(axis=1)
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Value(value=value, low=float(low), high=float(high))


def _rows(values: ArrayLike, what: str) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or not len(array):
        raise DataError(f"no embeddings of {what} clips: an array of shape {array.shape}")
    if not np.isfinite(array).all():
        raise DataError(f"embeddings of {what} clips hold numbers that are not finite")
    return array


def _covariance(rows: Floats) -> Floats:
    return np.atleast_2d(np.cov(rows, rowvar=False))


def _square_root(matrix: Floats) -> Floats:
    values, vectors = np.linalg.eigh(matrix)
    scaled = vectors * np.sqrt(np.clip(values, 0.0, None))
    return np.asarray(scaled @ vectors.T)
