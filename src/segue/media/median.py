"""The running median of 17 values, exactly, by vectorised minima and maxima alone.

A sorted list of 8 neighbours is merged from two of 4, these from pairs; each list serves every
window that it is part of. Two lists of 8 and one more value give the median of 17. The 58 minima
and maxima (Batcher's odd-even merge, 1968) run over whole arrays and cost a fraction of a general
rank filter, which keeps a sorted structure value by value.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["WIDTH", "running_median"]

Floats = NDArray[np.float32]
_Sorted = list[Floats]
"""Arrays of one shape, in ascending order at every place."""

WIDTH = 17


def running_median(values: Floats, step: int = 1) -> Floats:
    """Return [n - 16 step] the median of values[i], values[i + step], ... values[i + 16 step].

    Args:
        values: [n] finite numbers, more than 16 `step` of them. The work space is twenty times as
            large; arrays that fit into the processor's cache are much the fastest.
        step: distance between neighbours: 1 for a row, the row length for a column of a table.
    """
    pairs = _order(values[:-step], values[step:])
    fours = _merged_pairs(*_neighbours(pairs, 2 * step))
    eights = _merged_fours(*_neighbours(fours, 4 * step))
    n = len(values) - (WIDTH - 1) * step
    low = [a[:n] for a in eights]
    high = [a[8 * step : 8 * step + n] for a in eights]
    # The eight smallest of two sorted eights are min(low[i], high[7 - i]), the others the maxima:
    # the middle two of sixteen are their largest and smallest. A seventeenth value falls between
    # them, or outside, and then the nearer one is the median.
    below = np.minimum(low[0], high[7])
    above = np.maximum(low[0], high[7])
    for i in range(1, 8):
        np.maximum(below, np.minimum(low[i], high[7 - i]), out=below)
        np.minimum(above, np.maximum(low[i], high[7 - i]), out=above)
    np.minimum(above, values[(WIDTH - 1) * step :], out=above)
    return np.maximum(below, above, out=below)


def _neighbours(lists: _Sorted, step: int) -> tuple[_Sorted, _Sorted]:
    """Return each list, and the one that lies `step` further on."""
    return [a[:-step] for a in lists], [a[step:] for a in lists]


def _order(a: Floats, b: Floats) -> _Sorted:
    return [np.minimum(a, b), np.maximum(a, b)]


def _merged_pairs(a: _Sorted, b: _Sorted) -> _Sorted:
    smallest, middle = _order(a[0], b[0])
    other, largest = _order(a[1], b[1])
    return [smallest, *_order(middle, other), largest]


def _merged_fours(a: _Sorted, b: _Sorted) -> _Sorted:
    even = _merged_pairs(a[::2], b[::2])
    odd = _merged_pairs(a[1::2], b[1::2])
    merged = [even[0]]
    for i in range(3):
        merged += _order(odd[i], even[i + 1])
    return [*merged, odd[3]]
