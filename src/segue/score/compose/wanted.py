"""Which segments are composed for: what the user names, and the gaps of the library.

Whether the library fits is asked in the space of affect, whichever embedder chooses the music, so
that the threshold means the same with each: the alignment term of the reward,
3/2 (cos(segment, track) + .2), between -1.2 and 1.8, of the best track.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import UsageError
from segue.media.embed.affect import vector
from segue.score.compose.config import ComposeSettings
from segue.score.library import Music
from segue.score.locks import Locks
from segue.score.understand import FilmSegment

__all__ = ["best_fits", "fit", "segments_to_compose", "stretches"]


def best_fits(segments: Sequence[FilmSegment], music: Music) -> NDArray[np.float64]:
    """Return [T] the alignment of the track that fits each segment best."""
    heard = [track.axes for track in music.tracks]
    return np.array([max(fit(segment, axes) for axes in heard) for segment in segments])


def fit(segment: FilmSegment, axes: NDArray[np.float64]) -> float:
    """Return the alignment of music of a mood with a segment."""
    return float(1.5 * (vector(segment.scene.axes) @ vector(axes) + 0.2))


def segments_to_compose(
    segments: Sequence[FilmSegment], music: Music, locks: Locks, settings: ComposeSettings
) -> tuple[set[int], set[int]]:
    """Return the segments to compose for: those that are asked for, and further gaps.

    Args:
        segments: [T] of the film.
        music: the library.
        locks: what the user fixed; a track that is locked is not composed away.
        settings: mode, threshold and segments by name.

    Raises:
        UsageError: a named segment is not there, or is locked to a track.
    """
    count, named = len(segments), set(settings.segments) | locks.composed
    for segment in sorted(settings.segments):
        if segment >= count:
            raise UsageError(
                f"there is no segment {segment}",
                where="compose.segments",
                advice=f"The film has {count} segments, 0 to {count - 1}",
            )
        if segment in locks.tracks:
            raise UsageError(
                f"segment {segment} is locked to {music.names[locks.tracks[segment]]}",
                where="compose.segments",
                advice="Drop the lock, or do not name the segment",
            )
    free = set(range(count)) - locks.tracks.keys()
    if settings.mode == "all":
        return free, set()
    if settings.mode == "off":
        return named, set()
    fits = best_fits(segments, music)
    return named, {t for t in free - named if fits[t] < settings.fit_below}


def stretches(
    chosen: Sequence[int], segments: Sequence[FilmSegment], longest_s: float
) -> list[list[int]]:
    """Return runs of neighbouring segments, each to be one piece.

    Args:
        chosen: segments, ascending.
        segments: all of the film.
        longest_s: a piece of several segments does not get longer than this.
    """
    found: list[list[int]] = []
    for t in chosen:
        begun = found[-1] if found else []
        follows = bool(begun) and begun[-1] == t - 1
        if follows and segments[t].span.end_s - segments[begun[0]].span.start_s <= longest_s:
            begun.append(t)
        else:
            found.append([t])
    return found
