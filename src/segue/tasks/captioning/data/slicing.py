"""Which rows of a video's features belong to a segment of it.

The rows of a video are spread evenly over its length. A segment takes the rows from
floor(S start / duration) to floor(S end / duration), the last one left out; where both are the
same, the one row there (the last row, at the very end), so that a short segment has one row. This
is the original's rule.
"""

from __future__ import annotations

import math

__all__ = ["crop"]


def crop(rows: int, start_s: float, end_s: float, duration_s: float) -> tuple[int, int] | None:
    """Return (first row, row after the last) of a segment, or None where it has no row.

    Args:
        rows: S, of the whole video.
        start_s: of the segment.
        end_s: of the segment.
        duration_s: of the whole video.
    """
    if rows <= 0 or not duration_s > 0:
        return None
    first = math.floor(rows * start_s / duration_s)
    last = math.floor(rows * end_s / duration_s)
    if first == last:
        first, last = (rows - 1, rows) if first == rows else (first, first + 1)
    first, last = max(first, 0), min(last, rows)
    return (first, last) if first < last else None
