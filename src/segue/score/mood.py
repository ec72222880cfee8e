"""Moods in words: five numbers as a short phrase that a person can agree or disagree with.

The axes are those of the shared mood space, in standard deviations of their own reference
distribution: 0 is the middle of what was measured, +/-1 is distinct, +/-2 is extreme.
"""

from __future__ import annotations

from collections.abc import Sequence

from segue.media.embed.music_axes import AXES

__all__ = ["AXES", "describe"]

WORDS = {
    "arousal": ("calm", "energetic"),
    "valence": ("gloomy", "pleasant"),
    "tension": ("relaxed", "tense"),
    "pace": ("slow", "fast"),
    "brightness": ("dark", "bright"),
}


def describe(axes: Sequence[float]) -> str:
    """Return a phrase such as "very tense, dark"; the strongest axes first, at most three."""
    strong = sorted(zip(AXES, axes, strict=True), key=lambda pair: -abs(pair[1]))
    words = [
        ("very " if abs(value) >= 1.6 else "") + WORDS[name][value > 0]
        for name, value in strong
        if abs(value) >= 0.6
    ]
    return ", ".join(words[:3]) or "even"
