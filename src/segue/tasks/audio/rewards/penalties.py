"""What no clip should have: silence and clipping. Both are 0 for a sound clip, -1 at worst."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segue.tasks.audio.rewards.clips import Clips
from segue.tasks.audio.rewards.terms import ClipTerm, Floats, Needs

__all__ = ["clipped_share", "clipping", "silence", "silent_share"]

_WINDOW_S = 0.1
_RUN = 3
"""Samples at full scale in a row that make an over, as meters of converters count them."""


def silence(needs: Needs) -> ClipTerm:
    """Return the term that takes off the silent share of a clip."""
    limit = needs.config.silent_dbfs

    def value(clips: Clips) -> Floats:
        return -silent_share(clips.at(clips.rate).cpu().numpy(), clips.rate, limit)

    return ClipTerm("silence", value, -1.0, 0.0, "audio", None)


def clipping(needs: Needs) -> ClipTerm:
    """Return the term that takes off the share of a clip in which its waveform is cut off."""
    limit = needs.config.clipped_at

    def value(clips: Clips) -> Floats:
        return -clipped_share(clips.at(clips.rate).cpu().numpy(), clips.rate, limit)

    return ClipTerm("clipping", value, -1.0, 0.0, "audio", None)


def silent_share(audio: NDArray[np.floating], rate: int, below_dbfs: float) -> Floats:
    """Return [B] the share of tenths of a second whose root mean square is below a level.

    Args:
        audio: [B, T], full scale +/-1.
        rate: in Hz.
        below_dbfs: the level; a sine of full scale has -3 dB.
    """
    power = np.square(_windows(audio, rate)).mean(axis=2, dtype=np.float64)
    return np.asarray((power < 10 ** (below_dbfs / 10)).mean(axis=1))


def clipped_share(audio: NDArray[np.floating], rate: int, clipped_at: float) -> Floats:
    """Return [B] the share of tenths of a second with three samples in a row at full scale.

    Args:
        audio: [B, T], full scale +/-1.
        rate: in Hz.
        clipped_at: samples of this size or more stand at full scale.
    """
    at_top = np.abs(audio) >= clipped_at
    over = at_top.copy()
    for back in range(1, _RUN):
        over[:, back:] &= at_top[:, :-back]
        over[:, :back] = False
    return np.asarray(_windows(over, rate).any(axis=2).mean(axis=1))


def _windows(values: NDArray[np.generic], rate: int) -> NDArray[np.generic]:
    """Return [B, windows, samples]; a short rest is left out, a short clip is a window."""
    width = min(round(_WINDOW_S * rate), values.shape[1])
    n = values.shape[1] // width
    return values[:, : n * width].reshape(len(values), n, width)
