"""Where words are: the bars in which the melody is silent."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from segue.score.compose.fitting import Fit

__all__ = ["spoken_bars"]

_MOMENT = 0.25
"""Share of a bar with words from which on the melody is silent in it."""


def spoken_bars(
    fit: Fit, start_s: Fraction, speech: Sequence[tuple[float, float]]
) -> frozenset[int]:
    """Return the bars in which somebody speaks for more than a moment.

    Args:
        fit: bars and their times.
        start_s: time of the first bar in the film.
        speech: intervals (start, end) in seconds of the film.
    """
    found = set()
    per_bar = fit.quarters_per_bar
    for bar in range(fit.starts[-1]):
        start, end = (float(start_s + fit.seconds(b * per_bar)) for b in (bar, bar + 1))
        spoken = sum(max(0.0, min(b, end) - max(a, start)) for a, b in speech)
        if spoken > _MOMENT * (end - start):
            found.add(bar)
    return frozenset(found)
