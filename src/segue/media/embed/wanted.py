"""From the mood of a picture to the mood that its music should have."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segue.media.embed.music_axes import AXES

__all__ = ["SPEECH_SHARE", "wanted_mood"]

SPEECH_SHARE = 0.35
"""Above this share of dialogue, fast and energetic music is not wanted."""


def wanted_mood(axes: NDArray[np.float64], speech_share: float) -> NDArray[np.float64]:
    """Return the mood that the music should have: the picture's, held back under dialogue.

    A fast, loud track under talk is the commonest fault of matching by the picture alone, so
    arousal and pace are not allowed above the middle there.

    Args:
        axes: [5] mood of the picture in the order of AXES.
        speech_share: share of the time in which somebody speaks, 0..1.
    """
    wanted = axes.copy()
    if speech_share > SPEECH_SHARE:
        for axis in (AXES.index("arousal"), AXES.index("pace")):
            wanted[axis] = min(wanted[axis], 0.0)
    return wanted
