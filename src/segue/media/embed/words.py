"""Captions as vectors without a language model: words, their parts, and the moods they name.

A text becomes counts of its words, of pairs of neighbours, of three-letter parts (so that "epic"
and "epically" meet) and of the moods that its words stand for ("joyful" and "cheerful" are both
`happy`). The counts are hashed with signs into DIM numbers, damped by the square root and scaled to
length 1 (K. Weinberger et al., "Feature hashing for large scale multitask learning", ICML 2009), so
the cosine of two texts counts what they share. It knows spelling and a list of moods, no grammar
and no negation: "not happy" is happy. A sentence encoder is better; its vectors can be put into
the files instead.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from segue.media.embed import unit

__all__ = ["DIM", "MOODS", "WordsEmbedder"]

DIM = 256

MOODS: dict[str, str] = {
    "happy": "happy happiness joy joyful cheerful upbeat bright sunny optimistic uplifting glad",
    "epic": "epic heroic grand majestic powerful triumphant battle orchestral soaring",
    "dark": "dark gloomy sinister ominous brooding grim eerie haunting menacing horror scary",
    "romantic": "romantic love loving tender passionate intimate warm",
    "playful": "playful fun funny quirky light whimsical comic bouncy cute",
    "world": "world ethnic folk tribal traditional latin asian african celtic exotic",
    "cinematic": "cinematic film score dramatic sweeping atmospheric ambient trailer",
    "electronic": "electronic synth synthesizer edm techno house digital electro dance",
    "classy": "classy elegant jazz jazzy lounge sophisticated smooth classical",
    "neutral": "neutral plain background unobtrusive even",
    "chill": "chill calm relaxed relaxing peaceful mellow lofi soft gentle quiet slow serene",
    "tense": "tense tension suspense suspenseful nervous anxious urgent thrilling dangerous",
    "sentimental": "sentimental sad melancholic melancholy nostalgic emotional sorrowful touching",
    "energetic": "energetic energy fast driving intense exciting lively dynamic action",
}
"""Mood -> words that name it; the first 13 are the vocabulary of the original's captions."""

_MOOD_OF = {word: mood for mood, words in MOODS.items() for word in words.split()}
_COMMON_WORDS = "a an and are as at be by for from in is it of on or that the this to with"
_COMMON = frozenset(_COMMON_WORDS.split()) | {"music", "video"}
_WORD, _PAIR, _PART, _MOOD = 1.0, 0.5, 0.25, 2.0


class WordsEmbedder:
    """Embed texts by their words; needs no model."""

    name = "words"
    dim = DIM

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return [N, DIM] vectors of unit length; a text without a word becomes zeros."""
        rows = np.zeros((len(texts), DIM))
        for row, text in zip(rows, texts, strict=True):
            for feature, weight in _features(text).items():
                index, sign = _slot(feature)
                row[index] += sign * np.sqrt(weight)
        return unit(rows)


def _features(text: str) -> dict[str, float]:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = [word for word in re.findall(r"[a-z0-9]+", plain) if word not in _COMMON]
    found: dict[str, float] = defaultdict(float)
    for word in words:
        found[f"w {word}"] += _WORD
        if word in _MOOD_OF:
            found[f"m {_MOOD_OF[word]}"] += _MOOD
        framed = f"_{word}_"
        for start in range(len(framed) - 2):
            found[f"p {framed[start : start + 3]}"] += _PART
    for first, second in pairwise(words):
        found[f"b {first} {second}"] += _PAIR
    return found


@lru_cache(maxsize=1 << 16)
def _slot(feature: str) -> tuple[int, float]:
    """Return where a feature is counted, and with which sign; the same on every machine."""
    number = int.from_bytes(hashlib.blake2b(feature.encode(), digest_size=8).digest(), "little")
    return number % DIM, 1.0 if number >> 63 else -1.0
