"""Event segments of a film without any training: its shots, grouped by what they show.

Shots are where the picture cuts (`media.shots`); neighbours with the same mood become one event,
and a shot that is longer than the longest event is divided (`media.segments`). It knows nothing of
what happens in a shot, and its events tile the film, so it is a start where no proposal model is
trained, and a baseline for one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.core.progress import Advance, silent
from segue.media import films
from segue.media.segments import SegmentSettings

__all__ = ["EVENTS", "shot_segments"]

EVENTS = SegmentSettings(min_s=4.0, max_s=60.0)
"""Events of 4 to 60 s; those of ActivityNet Captions have a median of 21 s."""


def shot_segments(
    video: Path, settings: SegmentSettings = EVENTS, *, advance: Advance = silent
) -> tuple[NDArray[np.float64], float]:
    """Return the events [M, 2] of a film, start and end in seconds, and the film's length.

    Args:
        video: a file with a picture.
        settings: lengths of events, and the price of one more.
        advance: called with the seconds of picture just analysed.

    Raises:
        MediaError: the file cannot be read, or has no picture.
    """
    film = films.watch(video, advance)
    spans = films.divide(film, settings)
    times = [(float(span.start_s), float(span.end_s)) for span in spans]
    return np.array(times).reshape(-1, 2), float(film.picture.duration_s)
