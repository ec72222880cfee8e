"""Rewards for sound that has the emotion of its prompt.

Three of them rank clips alike but pay differently. The log-probability is steep where the emotion
is wrong, which is where learning starts; the original's margin is 0 for every clip that is right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import UsageError
from segue.tasks.audio.rewards.clips import Clips
from segue.tasks.audio.rewards.terms import ClipTerm, EmotionEar, Floats, Needs

__all__ = ["emotion", "emotion_margin", "emotion_probability"]


def emotion(needs: Needs) -> ClipTerm:
    """Return the term that pays the log-probability of the wanted mood, bounded below."""
    lowest = needs.config.lowest_log_probability

    def value(logs: Floats, wanted: NDArray[np.int64]) -> Floats:
        return np.maximum(_at(logs, wanted), lowest)

    return _term(needs, "emotion", value, lowest, 0.0)


def emotion_probability(needs: Needs) -> ClipTerm:
    """Return the term that pays the probability of the wanted mood."""

    def value(logs: Floats, wanted: NDArray[np.int64]) -> Floats:
        return np.exp(_at(logs, wanted))

    return _term(needs, "emotion_probability", value, 0.0, 1.0)


def emotion_margin(needs: Needs) -> ClipTerm:
    """Return the original's term: the wanted mood's probability minus the largest one."""

    def value(logs: Floats, wanted: NDArray[np.int64]) -> Floats:
        return np.asarray(np.exp(_at(logs, wanted)) - np.exp(logs.max(axis=1)))

    return _term(needs, "emotion_margin", value, -1.0, 0.0)


def _at(logs: Floats, wanted: NDArray[np.int64]) -> Floats:
    return np.asarray(logs[np.arange(len(logs)), wanted])


def _term(
    needs: Needs,
    name: str,
    value: Callable[[Floats, NDArray[np.int64]], Floats],
    low: float,
    high: float,
) -> ClipTerm:
    ear = cast("EmotionEar", needs.listener("emotion"))

    def function(clips: Clips) -> Floats:
        wanted = _moods(clips)
        heard = clips.log_mel() if ear.hears == "mel" else clips.at(ear.sampling_rate)
        logs = ear.log_probabilities(heard).double().cpu().numpy()
        return np.clip(value(logs, wanted), low, high)

    return ClipTerm(name, function, low, high, ear.hears, ear.sampling_rate)


def _moods(clips: Clips) -> NDArray[np.int64]:
    moods = []
    for prompt in clips.prompts:
        if prompt.mood is None:
            raise UsageError(
                f"the prompt '{prompt.text}' names no emotion, so none can be rewarded",
                advice="Put a word such as happy, angry, sad or tender into it, or leave this "
                "reward out",
            )
        moods.append(prompt.mood)
    return np.array(moods, dtype=np.int64)
