"""The reward for sound that agrees with its prompt."""

from __future__ import annotations

from typing import cast

import numpy as np

from segue.tasks.audio.rewards.clips import Clips
from segue.tasks.audio.rewards.terms import ClipTerm, Floats, Needs, SimilarityEar

__all__ = ["clap"]


def clap(needs: Needs) -> ClipTerm:
    """Return the term that pays the cosine of each clip with its own prompt, -1..1.

    Each row is normalised by its own length. The original divided by the Frobenius norm of the
    whole batch, and so paid less the more clips there were.
    """
    ear = cast("SimilarityEar", needs.listener("clap"))

    def value(clips: Clips) -> Floats:
        heard = clips.log_mel() if ear.hears == "mel" else clips.at(ear.sampling_rate)
        found = ear.similarity(heard, [prompt.text for prompt in clips.prompts])
        return np.asarray(np.clip(found.double().cpu().numpy(), -1.0, 1.0))

    return ClipTerm("clap", value, -1.0, 1.0, ear.hears, ear.sampling_rate)
