"""What a composed cue sounds like, segment by segment, by the same ears that judge the library."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.media.affect_features import Stretch
from segue.media.audio import stream_audio
from segue.media.embed.music_axes import music_axes
from segue.media.music_features import measure
from segue.media.spectrum import HOP_S, RATE_HZ

__all__ = ["heard_moods", "moods_of"]

_LEAST_FRAMES = 43
"""About a second: less has no rhythm to measure."""


def heard_moods(path: Path, spans_s: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
    """Return [n, 5] the mood axes of intervals of a sound file.

    Args:
        path: the file.
        spans_s: (start, end) in seconds; a shorter one than a second is heard with what surrounds
            it.

    Raises:
        MediaError: the file cannot be decoded.
    """
    return moods_of((block[0] for block in stream_audio(path, RATE_HZ, 1)), spans_s)


def moods_of(
    blocks: Iterable[NDArray[np.float32]], spans_s: Sequence[tuple[float, float]]
) -> NDArray[np.float64]:
    """Return the same of sound itself, given in blocks of mono samples at 22 050 Hz."""
    frames = measure(blocks)
    stretch, count = Stretch(frames), len(frames.rms)
    found = []
    for start_s, end_s in spans_s:
        start, stop = round(start_s / HOP_S), round(end_s / HOP_S)
        short = max(_LEAST_FRAMES - (stop - start), 0)
        start = min(max(start - short // 2, 0), max(count - _LEAST_FRAMES, 0))
        stop = min(max(stop, start + _LEAST_FRAMES), count)
        found.append(music_axes(stretch.affect(start, stop), stretch.timbre(start, stop)))
    return np.array(found).reshape(-1, 5)
