"""Understand: the parts of a film that want one music each, described to choose for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from segue.media import films
from segue.media.embed import Scene
from segue.media.films import Film
from segue.media.segments import SegmentSettings, Span
from segue.score.mood import describe

__all__ = ["FilmSegment", "divide"]

Floats = NDArray[np.float64]

SPEECH_NOTED = 0.15
"""From this share of dialogue on, a segment's description says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmSegment:
    """A part of the film that wants one music."""

    span: Span
    mood: Floats
    """[5] mean of the picture's mood curves."""
    scene: Scene
    """The same as an embedder sees it; its axes are those of the wanted music."""
    speech_share: float
    """Share of the segment with dialogue, 0..1."""
    description: str
    shot: int
    """Index of the shot that shows most of the segment."""


def divide(film: Film, settings: SegmentSettings) -> list[FilmSegment]:
    """Group the shots of a film into segments and describe each."""
    picture = film.picture
    spans = films.divide(film, settings)
    scenes = films.scenes(film, [(float(s.start_s), float(s.end_s)) for s in spans])
    segments = []
    for span, scene in zip(spans, scenes, strict=True):
        inside = (picture.times_s >= scene.start_s) & (picture.times_s < scene.end_s)
        if not inside.any():  # shorter than a sample of the curves
            inside[np.argmin(np.abs(picture.times_s - scene.start_s))] = True
        mood = picture.axes[inside].mean(axis=0)
        share = film.speech_share(scene.start_s, scene.end_s)
        speech = ", with speech" if share > SPEECH_NOTED else ""
        segments.append(
            FilmSegment(
                span=span,
                mood=mood,
                scene=scene,
                speech_share=share,
                description=describe(mood.tolist()) + speech,
                shot=_longest_shot(picture.shots, span),
            )
        )
    return segments


def _longest_shot(shots: Sequence[tuple[Fraction, Fraction]], span: Span) -> int:
    shown = [min(b, span.end_s) - max(a, span.start_s) for a, b in shots]
    return max(range(len(shots)), key=lambda i: shown[i])
