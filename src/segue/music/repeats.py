"""The order in which bars are played, from the repeat signs and endings between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from segue.core.errors import DataError

__all__ = ["MAX_BARS", "MAX_PASSES", "RepeatMarks", "play_order"]

MAX_BARS = 100_000
"""Bars that a piece may have when its repeats are written out."""
MAX_PASSES = 20
"""More repeats than this are a slip of the pen."""


@dataclass(frozen=True, slots=True)
class RepeatMarks:
    """What stands at a bar."""

    begins: bool = False
    """A repeat begins with this bar."""
    again: int = 0
    """How often the player goes back after this bar; 0 where there is no sign."""
    endings: tuple[int, ...] = ()
    """The passes in which this bar is played; none means all."""


def play_order(bars: Sequence[RepeatMarks]) -> list[int]:
    """Return the numbers of the bars as they are played.

    Where nothing says where a repeat begins, it is after the last repeat, or at the start.

    Raises:
        DataError: the repeats make more than `MAX_BARS` bars, or a sign has too high a number.
    """
    order: list[int] = []
    last_pass = _last_passes(bars)
    start, passed, at = 0, 1, 0
    while at < len(bars):
        bar = bars[at]
        after_endings = at > 0 and bool(bars[at - 1].endings) and not bar.endings
        if at != start and (bar.begins or after_endings):
            start, passed = at, 1
        if bar.endings and passed not in bar.endings:
            at += 1
            continue
        order.append(at)
        if len(order) > MAX_BARS:
            raise DataError(f"its repeats make more than {MAX_BARS:,} bars")
        at += 1
        if not bar.again:
            continue
        if passed < (last_pass[at - 1] or bar.again + 1):
            passed += 1
            at = start
        else:
            start, passed = at, 1
    return order


def _last_passes(bars: Sequence[RepeatMarks]) -> list[int]:
    """Return for each bar the last pass of the endings that it is among; 0 outside endings."""
    found: list[int] = []
    first = 0  # bar at which the endings began
    for at, bar in enumerate(bars):
        if max(bar.again + 1, *bar.endings, 0) > MAX_PASSES:
            raise DataError(f"a passage is repeated more than {MAX_PASSES} times")
        if bar.begins or not bar.endings or not found[-1:] or not found[-1]:
            first = at
        found.append(max((*bar.endings, found[-1] if at > first else 0), default=0))
    for at in range(len(bars) - 2, -1, -1):
        if found[at] and found[at + 1] and not bars[at + 1].begins:
            found[at] = found[at + 1]
    return found
