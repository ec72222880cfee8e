"""A film watched and listened to once, and its parts as embedders see them.

What is seen and heard depends on the content of the file alone, so it is kept in the user's cache
under the content's SHA-256, in .npz files of plain arrays, written whole or not at all. An entry
that is damaged, or of another version, is as good as none.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segue.core.digests import known_sha256
from segue.core.errors import MediaError
from segue.core.files import atomic_write, cache_dir
from segue.core.progress import Advance, silent
from segue.media.embed import Scene
from segue.media.embed.wanted import wanted_mood
from segue.media.picture import PictureAnalysis, analyse_picture
from segue.media.segments import SegmentSettings, Span, group_shots
from segue.media.source import probe

__all__ = ["VERSION", "Film", "divide", "scenes", "watch"]

VERSION = 1
"""To be raised whenever a change of the code changes any number of an analysis."""

_LARGEST = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Film:
    """What a film shows, and where somebody speaks."""

    path: Path
    picture: PictureAnalysis
    speech: tuple[tuple[float, float], ...]
    """Intervals (start, end) in seconds."""

    def speech_share(self, start_s: float, end_s: float) -> float:
        """Return the share of an interval in which somebody speaks, 0..1."""
        spoken = sum(max(0.0, min(b, end_s) - max(a, start_s)) for a, b in self.speech)
        return min(1.0, spoken / max(end_s - start_s, 1e-9))


def watch(path: Path, advance: Advance = silent) -> Film:
    """Analyse picture and speech of a film, or take both from the cache.

    Args:
        path: a video file.
        advance: called with the seconds of picture just analysed.

    Raises:
        MediaError: the file cannot be read, has no picture, or it cannot be decoded.
    """
    try:
        digest = known_sha256(path)
    except OSError as error:
        raise MediaError(f"cannot be read: {error.strerror or error}", where=path) from None
    entry = cache_dir() / "watched" / f"v{VERSION}" / f"{digest}.npz"
    if (film := _load(entry, path)) is not None:
        return film
    picture = analyse_picture(path, advance=advance)
    speech: list[tuple[float, float]] = []
    if probe(path).audio is not None:
        from segue.media.speech import find_speech

        speech = find_speech(path).intervals
    buffer = io.BytesIO()
    intervals = np.array(speech, np.float64).reshape(-1, 2)
    np.savez(buffer, allow_pickle=False, speech=intervals, **picture.to_arrays())
    atomic_write(entry, buffer.getvalue())
    return Film(path=path, picture=picture, speech=tuple((a, b) for a, b in speech))


def divide(film: Film, settings: SegmentSettings) -> list[Span]:
    """Return the segments of a film: shots grouped by mood."""
    picture = film.picture
    return group_shots(
        picture.duration_s, list(picture.cuts_s), picture.times_s, picture.axes, settings
    )


def scenes(film: Film, spans_s: Sequence[tuple[float, float]]) -> list[Scene]:
    """Return intervals of a film, (start, end) in seconds, as an embedder wants them.

    An interval outside the picture gets the picture's nearest moment.
    """
    picture, found = film.picture, []
    for index, (start_s, end_s) in enumerate(spans_s):
        inside = (picture.times_s >= start_s) & (picture.times_s < end_s)
        if not inside.any():
            inside[np.argmin(np.abs(picture.times_s - start_s))] = True
        mood = picture.axes[inside].mean(axis=0)
        stills = tuple(
            still
            for (a, b), still in zip(picture.shots, picture.thumbnails, strict=True)
            if still and float(a) < end_s and float(b) > start_s
        )
        found.append(
            Scene(
                index=index,
                start_s=start_s,
                end_s=end_s,
                axes=wanted_mood(mood, film.speech_share(start_s, end_s)),
                stills=stills or tuple(still for still in picture.thumbnails[-1:] if still),
            )
        )
    return found


def _load(entry: Path, path: Path) -> Film | None:
    try:
        if entry.stat().st_size > _LARGEST:
            return None
        with entry.open("rb") as data, np.load(data, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file}
        speech = tuple((float(a), float(b)) for a, b in arrays["speech"])
        return Film(path=path, picture=PictureAnalysis.from_arrays(arrays), speech=speech)
    except Exception:  # missing, damaged (zipfile has a dozen complaints), or of another form
        return None
