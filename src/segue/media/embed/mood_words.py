"""Axes of mood in words, for models that compare pictures or sound with text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from segue.media.embed import unit

__all__ = ["describe_music", "describe_scene", "embed_texts", "mood_words"]

_WORDS = (  # axis by axis: (strongly low, low, high, strongly high)
    ("very calm", "calm", "energetic", "very intense"),
    ("sad and dark", "melancholic", "happy", "joyful and bright"),
    ("peaceful", "relaxed", "tense", "suspenseful and threatening"),
    ("very slow", "slow", "fast", "very fast and driving"),
    ("dark and deep in tone", "warm in tone", "bright in tone", "brilliant in tone"),
)
_CLEAR, _STRONG = 0.5, 1.4


def mood_words(axes: Sequence[float]) -> list[str]:
    """Return a word for every axis that is clearly off its middle, the strongest first."""
    found = []
    for value, (very_low, low, high, very_high) in zip(axes, _WORDS, strict=True):
        if abs(value) >= _CLEAR:
            strong = abs(value) >= _STRONG
            word = (very_high if strong else high) if value > 0 else (very_low if strong else low)
            found.append((-abs(value), word))
    return [word for _, word in sorted(found)] or ["neutral"]


def describe_music(axes: Sequence[float]) -> str:
    """Return a sentence about the music that a scene with these axes wants."""
    return f"This is {', '.join(mood_words(axes))} instrumental film music."


def describe_scene(axes: Sequence[float]) -> str:
    """Return a sentence about the picture that music with these axes suits."""
    return f"A still from a film scene that is {', '.join(mood_words(axes))}."


def embed_texts(
    texts: Sequence[str], embed: Callable[[str], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Return [N, D] unit vectors of texts, each different one embedded once and alone.

    Args:
        texts: N of them; moods repeat, so few are different.
        embed: a text -> [1, D].
    """
    vectors = {text: embed(text) for text in dict.fromkeys(texts)}
    return unit(np.concatenate([vectors[text] for text in texts]))
