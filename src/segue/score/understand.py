"""Understand: what the film shows, where somebody speaks, and which parts want one music.

Watching and listening depend on the film's content alone, so their results are kept in the user's
cache under its hash; grouping into segments depends on settings and is done anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.files import cache_dir
from segue.core.progress import Advance, silent
from segue.media.picture import PictureAnalysis, analyse_picture
from segue.media.source import MediaInfo
from segue.media.speech import find_speech
from segue.score.mood import describe, wanted_mood
from segue.score.segments import SegmentSettings, Span, group_shots
from segue.score.steps import Done, Steps

__all__ = ["Film", "FilmSegment", "divide", "watch"]

VERSION = 1
"""Raised when the analysis changes, so that results of older versions are not used."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """What was seen and heard."""

    picture: PictureAnalysis
    speech: tuple[tuple[float, float], ...]
    """Intervals with dialogue, in seconds on the picture's clock."""
    key: str
    """Fingerprint of the film's content and of the analysis."""
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmSegment:
    """A part of the film that wants one music."""

    span: Span
    mood: Floats
    """[5] mean of the picture's mood curves."""
    wanted: Floats
    """[5] mood that the music should have."""
    speech_share: float
    """Share of the segment with dialogue, 0..1."""
    description: str
    shot: int
    """Index of the shot that shows most of the segment."""


def watch(path: Path, info: MediaInfo, content: str, advance: Advance = silent) -> Film:
    """Analyse the picture and the sound of a film, or take both from the cache.

    Args:
        path: the film.
        info: what `probe` said of it.
        content: hash of its content.
        advance: called with seconds of film, twice its length in total.

    Raises:
        MediaError: there is no picture, or it cannot be decoded.
    """
    steps = Steps(cache_dir() / "films", kept=100)

    def look(folder: Path) -> None:
        analysis = analyse_picture(path, advance=advance)
        np.savez_compressed(folder / "picture.npz", allow_pickle=False, **analysis.to_arrays())

    def listen(folder: Path) -> Any:
        if info.audio is None:
            return {"intervals": [], "warnings": []}
        heard = find_speech(path)
        advance(float(info.duration_s))
        return {"intervals": [list(map(float, i)) for i in heard.intervals], "warnings": []}

    seen = steps.run("picture", [VERSION, content], look)
    heard = steps.run("speech", [VERSION, content], listen)
    picture = _load(seen)
    return Film(
        picture=picture,
        speech=tuple((a, b) for a, b in heard.value["intervals"]),
        key=seen.key + heard.key,
        warnings=(*picture.warnings, *heard.value["warnings"]),
    )


def divide(film: Film, settings: SegmentSettings) -> list[FilmSegment]:
    """Group the shots of a film into segments and describe each."""
    picture = film.picture
    spans = group_shots(
        picture.duration_s, list(picture.cuts_s), picture.times_s, picture.axes, settings
    )
    segments = []
    for span in spans:
        inside = (picture.times_s >= float(span.start_s)) & (picture.times_s < float(span.end_s))
        if not inside.any():  # shorter than a sample of the curves
            inside[np.argmin(np.abs(picture.times_s - float(span.start_s)))] = True
        mood = picture.axes[inside].mean(axis=0)
        share = _overlap(film.speech, float(span.start_s), float(span.end_s)) / span.length_s
        segments.append(
            FilmSegment(
                span=span,
                mood=mood,
                wanted=wanted_mood(mood, share),
                speech_share=share,
                description=describe(mood.tolist()) + (", with speech" if share > 0.15 else ""),
                shot=_longest_shot(picture.shots, span),
            )
        )
    return segments


def _load(done: Done) -> PictureAnalysis:
    with np.load(done.folder / "picture.npz", allow_pickle=False) as arrays:
        return PictureAnalysis.from_arrays(dict(arrays))


def _overlap(intervals: Sequence[tuple[float, float]], start_s: float, end_s: float) -> float:
    return sum(max(0.0, min(b, end_s) - max(a, start_s)) for a, b in intervals)


def _longest_shot(shots: Sequence[tuple[Fraction, Fraction]], span: Span) -> int:
    shown = [min(b, span.end_s) - max(a, span.start_s) for a, b in shots]
    return max(range(len(shots)), key=lambda i: shown[i])
