"""Tables in the form that one step of one episode reads fastest: scalars out of memory views.

Indexing a numpy array gives a numpy scalar and costs twice as much as indexing a `memoryview` of
it, which gives a Python float. A step reads about thirty numbers, so this is most of its time.
Letters: `T` segments, `K` tracks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError
from segue.tasks.soundtrack.data import Dataset, Video
from segue.tasks.soundtrack.prior import Prior, sigma_of
from segue.tasks.soundtrack.similarity import fits, hand_overs
from segue.tasks.soundtrack.theme import ThemeTable

__all__ = ["LibraryRows", "VideoRows"]

Floats = NDArray[np.float64]


class LibraryRows:
    """Hand-overs of a library, shared by all videos."""

    def __init__(self, dataset: Dataset) -> None:
        self.tables = hand_overs(dataset)
        self._n_tracks = len(dataset.tracks)
        self.theme = ThemeTable(dataset.track_embeddings)
        # Contiguous in the new track: one row is the look-ahead from the previous track.
        self.transition_from = np.ascontiguousarray(self.tables.transition.T)
        names = (
            "audio",
            "caption",
            "tempo",
            "energy",
            "spectral",
            "mfcc",
            "semantic",
            "acoustic",
            "transition",
        )
        self._views = tuple(_view(getattr(self.tables, name)) for name in names)

    def between(self, track: int, previous: int) -> tuple[float, ...]:
        """Return the nine values of a hand-over, in the order of `similarity.HandOvers`."""
        at = track * self._n_tracks + previous
        a, b, c, d, e, f, g, h, i = self._views  # unrolled: a loop takes twice as long
        return a[at], b[at], c[at], d[at], e[at], f[at], g[at], h[at], i[at]


class VideoRows:
    """One video against the library; views are of [T, K] tables, row after row."""

    def __init__(
        self,
        dataset: Dataset,
        prior: Prior,
        index: int,
        forbidden: NDArray[np.bool_] | None = None,
    ) -> None:
        video: Video = dataset.videos[index]
        fit = fits(dataset, video, prior.picture_reference, prior.caption_reference)
        self.name = video.name
        self.n_segments = video.n_segments
        self.sigma = sigma_of(video)
        self.lengths: list[float] = video.lengths_s.tolist()
        self.durations_s = dataset.durations_s
        self.segments = list(
            zip(
                self.lengths,
                fit.picture_step.tolist(),
                fit.caption_step.tolist(),
                fit.gate.tolist(),
                strict=True,
            )
        )
        """[T] of (length in s, picture step, caption step, gate)."""
        self.tracks = list(
            zip(
                dataset.durations_s.tolist(),
                fit.picture_reference.tolist(),
                fit.caption_reference.tolist(),
                strict=True,
            )
        )
        """[K] of (duration in s, picture reference, caption reference)."""
        self.picture, self.caption = _view(fit.picture), _view(fit.caption)
        self.fits = fit
        alignment = fit.alignment
        self.allowed: NDArray[np.bool_] | None = None
        if forbidden is not None and forbidden.any():
            if forbidden.shape != alignment.shape:
                raise DataError(f"the mask of video '{self.name}' has shape {forbidden.shape}")
            if forbidden.all(axis=1).any():
                raise DataError("a segment has no allowed track", where=f"video '{self.name}'")
            self.allowed = ~forbidden
            alignment = np.where(forbidden, 0.0, alignment)
        self.alignment_rows = alignment
        self.alignment = _view(alignment)


def _view(table: Floats) -> Any:
    """Return the rows of a table one after the other: one index is read faster than two."""
    flat = np.ascontiguousarray(table, dtype=np.float64).reshape(-1)
    return memoryview(flat)  # type: ignore[arg-type]
