"""Collectors that watch the small pictures of one decode and keep a few numbers of each.

`ColourSampler` holds what is shown at k/4 s, `MotionSampler` what moved between frames an eighth of
a second apart, `ThumbnailTaker` one small JPEG for each shot. All keep scalars only, so that a film
of any length fits into memory.
"""

from __future__ import annotations

import math
from array import array
from fractions import Fraction
from typing import Any

import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from segue.media.embed.picture_axes import RATE_HZ
from segue.media.motion import block_motion, exposure_matched_difference
from segue.media.shots import SmallPicture
from segue.media.source import Orientation
from segue.media.video import Scaler, jpeg, turn

__all__ = ["ColourSampler", "MotionSampler", "ThumbnailTaker"]

Floats = NDArray[np.float64]

_DARK, _BRIGHT = 40, 200
_LIGHTNESS = 116 * np.maximum((np.arange(256) / 255) ** 2.2, 216 / 24389) ** (1 / 3) - 16
"""CIE L* of each 8-bit luma, for a display gamma of 2.2."""
_COLOURS = ("lightness", "saturation", "edge", "dark", "bright")
_STEP_S = 1 / 8
_LONGEST_STEP_S = 0.5
_BATCH = 32
_MAX_THUMBNAILS = 5000
"""Some 20 MB; later shots have none."""


class ColourSampler:
    """Light, colour and edges of the frame that is shown at every k / RATE_HZ seconds."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._rows = array("d")
        self._n = 0
        self._held: tuple[float, ...] | None = None

    def push(self, start_s: Fraction, length_s: Fraction, small: SmallPicture) -> None:
        """Take the next frame."""
        first = math.ceil(start_s * RATE_HZ)
        if self._held is not None:
            self._hold(first)  # the frame before was shown until now, however long that was
        if self._held is None or self._n <= first < (start_s + length_s) * RATE_HZ:
            self._held = self._measure(small)

    def curves(self, n: int) -> tuple[dict[str, Floats], Floats]:
        """Return (features, share of bright pixels), each curve [n]."""
        self._hold(n)
        table = np.array(self._rows).reshape(-1, len(_COLOURS))[:n]
        columns = dict(zip(_COLOURS, table.T.copy(), strict=True))
        bright = columns.pop("bright")
        return columns, bright

    def _hold(self, until: int) -> None:
        if self._held is not None and until > self._n:
            self._rows.extend(self._held * (until - self._n))
            self._n = until

    def _measure(self, small: SmallPicture) -> tuple[float, ...]:
        luma = small.luma
        counts = np.bincount(luma.ravel(), minlength=256) / luma.size
        wide = luma.astype(np.int16)
        edge = np.abs(np.diff(wide, axis=1)).mean() if luma.shape[1] > 1 else 0.0
        edge += np.abs(np.diff(wide, axis=0)).mean() if luma.shape[0] > 1 else 0.0
        rgb = self._reformatter.reformat(small.frame, format="rgb24", threads=1).to_ndarray()
        red, green, blue = (rgb[..., i] for i in range(3))
        top = np.maximum(np.maximum(red, green), blue).astype(np.float32)
        bottom = np.minimum(np.minimum(red, green), blue)
        saturation = np.where(top < 20, 0, (top - bottom) / np.maximum(top, 1)).mean()
        return (
            float(counts @ _LIGHTNESS),
            float(saturation),
            float(edge),
            float(counts[:_DARK].sum()),
            float(counts[_BRIGHT + 1 :].sum()),
        )


class MotionSampler:
    """Motion between frames about an eighth of a second apart; pairs across a cut are left out."""

    def __init__(self, orientation: Orientation) -> None:
        self._orientation = orientation
        self._earlier: NDArray[np.uint8] | None = None
        self._earlier_s = 0.0
        self._cut = False
        self._pairs: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]] = []
        self._times = array("d")  # middle of each pair
        self._steps = array("d")
        self._difference = array("d")
        self._blocks = array("d")

    def push(self, start_s: Fraction, small: SmallPicture, new_shot: bool) -> None:
        """Take the next frame."""
        now_s = float(start_s)
        self._cut |= new_shot
        step_s = now_s - self._earlier_s
        if self._earlier is not None and step_s < _STEP_S - 1e-3:
            return
        luma = turn(small.luma, self._orientation).copy()
        if self._earlier is not None and not self._cut and self._earlier.shape == luma.shape:
            self._pairs.append((self._earlier, luma))
            self._times.append(now_s - step_s / 2)
            self._steps.append(step_s)
        self._earlier, self._earlier_s, self._cut = luma, now_s, False
        if len(self._pairs) >= _BATCH:
            self._measure()

    def curves(self, n: int) -> dict[str, Floats]:
        """Return the features diff and blocks, each [n]; gaps are filled from their neighbours."""
        self._measure()
        steps = np.array(self._steps)
        cells = np.floor(np.array(self._times) * RATE_HZ + 0.5).astype(np.int64).clip(0, n - 1)
        # A step that is longer than half a second is one change after a still picture.
        scale = np.where(steps <= _LONGEST_STEP_S, _STEP_S / np.maximum(steps, 1e-3), 1.0)
        difference = _cell_means(cells, np.array(self._difference) * scale, n)
        blocks = _cell_means(cells, np.array(self._blocks) * scale / _STEP_S, n)
        return {"diff": np.log(0.3 + difference), "blocks": np.log(0.01 + blocks)}

    def _measure(self) -> None:
        shapes = {pair[0].shape for pair in self._pairs}
        for shape in sorted(shapes):
            pairs = [pair for pair in self._pairs if pair[0].shape == shape]
            earlier = np.stack([pair[0] for pair in pairs])
            later = np.stack([pair[1] for pair in pairs])
            self._difference.extend(exposure_matched_difference(earlier, later))
            self._blocks.extend(block_motion(earlier, later))
        self._pairs.clear()


class ThumbnailTaker:
    """Keeps a picture from about the middle of each shot.

    Nobody knows a shot's middle before its end, so a candidate is taken half a second after its
    start and at every doubling of that; one of the last two lies between a quarter and the whole
    of the shot.
    """

    def __init__(self, scaler: Scaler) -> None:
        self._scaler = scaler
        self._done: list[bytes] = []
        self._candidates: list[tuple[float, bool, NDArray[np.uint8]]] = []
        self._start_s = 0.0
        self._next_s = 0.0

    def push(self, start_s: Fraction, frame: Any, small: SmallPicture, new_shot: bool) -> None:
        """Take the next frame."""
        now_s = float(start_s)
        if new_shot:
            self._close(now_s)
            self._start_s = now_s
            self._next_s = 0.0
        since_s = now_s - self._start_s
        if since_s < self._next_s or len(self._done) >= _MAX_THUMBNAILS:
            return
        flat = int(small.luma.max()) - int(small.luma.min()) < 24
        self._candidates = [*self._candidates[-1:], (since_s, flat, self._scaler(frame))]
        self._next_s = 0.5 if since_s < 0.5 else 2 * since_s

    def finish(self, end_s: Fraction) -> list[bytes]:
        """Return the thumbnails of all shots, in order."""
        self._close(float(end_s))
        return self._done

    def _close(self, end_s: float) -> None:
        """Encode the best candidate of the shot that has just ended: not flat, near its middle."""
        if len(self._done) >= _MAX_THUMBNAILS:
            self._done.append(b"")
            return
        middle_s = (end_s - self._start_s) / 2
        best = min(self._candidates, key=lambda c: (c[1], abs(c[0] - middle_s)))
        self._done.append(jpeg(best[2]))
        self._candidates = []


def _cell_means(cells: NDArray[np.int64], values: Floats, n: int) -> Floats:
    """Return the mean of the values in each of n cells; empty cells are interpolated."""
    counts = np.bincount(cells, minlength=n)[:n]
    sums = np.bincount(cells, weights=values, minlength=n)[:n]
    filled = np.flatnonzero(counts)
    if not len(filled):
        return np.zeros(n)
    means: Floats = np.interp(np.arange(n), filled, sums[filled] / counts[filled])
    return means
