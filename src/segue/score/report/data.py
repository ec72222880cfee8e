"""What the report shows beyond `result.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["ReportData"]

Floats = NDArray[np.floating]


def _none() -> Floats:
    return np.zeros(0)


def _no_axes() -> Floats:
    return np.zeros((0, 5))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """Pictures, curves and sound of a scored film. Times in seconds on the picture's clock."""

    film_name: str
    """Title of the page: usually the name of the film's file."""
    media_file: str = ""
    """Name of the scored film beside the page ("scored.mp4"); empty for a page without a player."""
    command: str = ""
    """Command line that made this result; a lock is appended to it."""
    thumbnails: Mapping[int, bytes] = field(default_factory=dict)
    """Segment index -> JPEG."""
    picture_times_s: Floats = field(default_factory=_none)
    """[N]"""
    picture_axes: Floats = field(default_factory=_no_axes)
    """[N, 5] mood of the picture in the order of `segue.score.mood.AXES`, in z units."""
    music_times_s: Floats = field(default_factory=_none)
    """[M]"""
    music_axes: Floats = field(default_factory=_no_axes)
    """[M, 5] mood of the chosen music; NaN where there is none."""
    mix_peaks: Floats = field(default_factory=_none)
    """[W] largest absolute sample (0..1) of the mix in each of W equal stretches of the film."""
    music_peaks: Floats = field(default_factory=_none)
    """[W'] the same for the music alone."""
    speech: Sequence[tuple[float, float]] = ()
    """Intervals with dialogue."""
    duck: Sequence[tuple[float, float]] = ()
    """(time_s, gain_db) points of the music's gain under dialogue."""
    cues: Sequence[tuple[Sequence[int], str, float, float, float, float]] = ()
    """(segment indices, track title, start_s, end_s, fade_in_s, fade_out_s) of each cue."""
