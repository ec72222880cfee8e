"""How much moves between two pictures an eighth of a second apart.

Two measures, both on small luma pictures [rows, columns] of 8 bits, and both for a batch of pairs
at once:

- `exposure_matched_difference`: mean absolute difference after the earlier picture's mean and
  contrast are matched to the later one's. Without the match a fade-in counts as motion.
- `block_motion`: mean displacement of 8x8 blocks, found by full search at half the resolution.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["block_motion", "exposure_matched_difference"]

Lumas = NDArray[np.uint8]
Floats = NDArray[np.float64]

_BLOCK = 8
_REACH = 4
_COST = 0.5
"""Price of one pixel of displacement, per row of a block: keeps flat blocks where they are."""


def exposure_matched_difference(earlier: Lumas, later: Lumas) -> Floats:
    """Return the mean absolute difference [B] of pairs [B, rows, columns], in 8-bit luma."""
    before = earlier.reshape(len(earlier), -1).astype(np.float32)
    after = later.reshape(len(later), -1).astype(np.float32)
    before -= before.mean(axis=1, keepdims=True)
    after -= after.mean(axis=1, keepdims=True)
    spread = np.sqrt(np.einsum("ij,ij->i", before, before))
    wanted = np.sqrt(np.einsum("ij,ij->i", after, after))
    gain = np.clip(wanted / np.maximum(spread, 1e-6), 1 / 3, 3).astype(np.float32)
    before *= gain[:, None]
    after -= before
    difference: Floats = np.abs(after, out=after).mean(axis=1).astype(np.float64)
    return difference


def block_motion(earlier: Lumas, later: Lumas) -> Floats:
    """Return the mean displacement [B] of blocks between pairs [B, rows, columns].

    The unit is the width of the picture.
    """
    before, after = _halved(earlier), _halved(later)  # [B, h, w]
    n, height, width = after.shape
    down, across = height // _BLOCK, width // _BLOCK
    padded = np.pad(before, ((0, 0), (_REACH, _REACH), (_REACH, _REACH)), mode="edge")
    height, width = down * _BLOCK, across * _BLOCK
    after = after[:, :height, :width]
    best = np.full((n, down, across), np.inf, np.float32)
    length = np.zeros((n, down, across), np.float32)
    for distance, dy, dx in _SEARCH:
        top, left = _REACH + dy, _REACH + dx
        error = after - padded[:, top : top + height, left : left + width]
        np.abs(error, out=error)
        rows = error.reshape(n, down, _BLOCK, width).sum(axis=2, dtype=np.int16)
        cost = rows.reshape(n, down, across, _BLOCK).sum(axis=3) + _COST * _BLOCK * distance
        better = cost < best
        np.copyto(best, cost, where=better)
        length[better] = distance
    moved: Floats = length.mean(axis=(1, 2), dtype=np.float64) / after.shape[2]
    return moved


def _halved(lumas: Lumas) -> NDArray[np.int16]:
    """Return the pictures at half the size, at least one block in each direction."""
    height, width = (side // 2 * 2 for side in lumas.shape[1:])
    wide = lumas[:, :height, :width].astype(np.int16)
    small = (wide[:, ::2, ::2] + wide[:, 1::2, ::2] + wide[:, ::2, 1::2] + wide[:, 1::2, 1::2]) // 4
    lacking = [max(0, _BLOCK - side) for side in small.shape[1:]]
    if any(lacking):
        small = np.pad(small, ((0, 0), (0, lacking[0]), (0, lacking[1])), mode="edge")
    return small


_SEARCH = sorted(
    (float(np.hypot(dx, dy)), dy, dx)
    for dy in range(-_REACH, _REACH + 1)
    for dx in range(-_REACH, _REACH + 1)
)
"""(distance, dy, dx), nearest first, so that ties go to the smaller displacement."""
