"""A result as the page sees it: segments, colours of tracks, and places on the time axis."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from segue.score.mood import AXES, describe
from segue.score.report.data import ReportData

__all__ = ["N_COLOURS", "TERM_LABELS", "View"]

N_COLOURS = 10
"""Colours of tracks in the style sheet; more tracks than that repeat them."""

TERM_LABELS: dict[str, str] = {
    "alignment": "fits the picture",
    "listener": "liked by the listener",
    "smoothness": "smooth hand-over",
    "switch": "number of hand-overs",
    "theme": "one theme",
    "silence": "silence",
}
"""What a reward term means, in words."""

_WHOLE_FILM = ("switch", "theme")
"""Terms that are paid once, for the whole film: no segment earned them."""

_DIFFERENT = 0.1
"""Smallest distance of two moods that the eye can see on the page."""


class View:
    """Everything that more than one part of the page needs."""

    def __init__(self, result: Mapping[str, Any], extras: ReportData) -> None:
        self.result = result
        self.extras = extras
        self.film_name = extras.film_name
        self.segments: list[Mapping[str, Any]] = list(result.get("segments", ()))
        ends = [float(s["end_s"]) for s in self.segments]
        stated = result.get("video", {}).get("duration_s") or 0.0
        self.duration_s = max([float(stated), *ends]) or 1.0

    @cached_property
    def colours(self) -> dict[str, int]:
        """Track -> number of its colour, in the order of appearance."""
        tracks = dict.fromkeys(str(s["track"]) for s in self.segments)
        return {track: i % N_COLOURS for i, track in enumerate(tracks)}

    def colour(self, track: object) -> str:
        """Return the style class of a track."""
        return f"k{self.colours.get(str(track), N_COLOURS - 1)}"

    def x(self, seconds: float) -> float:
        """Return the place of a time on the axis, 0..1."""
        return min(max(float(seconds) / self.duration_s, 0.0), 1.0)

    def terms(self, segment: Mapping[str, Any]) -> dict[str, float]:
        """Return the reward terms that one segment earned."""
        terms = segment.get("terms") or {}
        return {
            name: float(value)
            for name, value in terms.items()
            if name not in _WHOLE_FILM and isinstance(value, int | float) and math.isfinite(value)
        }

    @cached_property
    def total_terms(self) -> dict[str, float]:
        """Reward terms of the whole film."""
        totals: dict[str, float] = {}
        for segment in self.segments:
            for name, value in (segment.get("terms") or {}).items():
                if isinstance(value, int | float) and math.isfinite(value):
                    totals[name] = totals.get(name, 0.0) + float(value)
        return totals

    def picture_mood(self, segment: Mapping[str, Any]) -> dict[str, float]:
        """Return the mood of a segment by axis."""
        return _axes(segment.get("mood"))

    def wanted_mood(self, segment: Mapping[str, Any]) -> dict[str, float]:
        """Return the axes on which another mood than the picture's was asked of the music."""
        picture = self.picture_mood(segment)
        wanted = _axes(segment.get("wanted"))
        return {a: v for a, v in wanted.items() if abs(v - picture.get(a, v)) >= _DIFFERENT}

    def music_mood(self, segment: Mapping[str, Any]) -> dict[str, float]:
        """Return the mean mood of the music under a segment, else that of its whole track."""
        times = np.asarray(self.extras.music_times_s, dtype=float)
        inside = (times >= float(segment["start_s"])) & (times < float(segment["end_s"]))
        axes = np.asarray(self.extras.music_axes, dtype=float)
        heard = axes[inside] if len(axes) == len(times) else axes[:0]
        heard = heard[np.isfinite(heard).all(axis=1)] if len(heard) else heard
        if not len(heard):
            return _axes(segment.get("track_mood"))
        return dict(zip(AXES, heard.mean(axis=0).tolist(), strict=True))

    def mood_words(self, segment: Mapping[str, Any]) -> str:
        """Return the mood of a segment in words."""
        mood = segment.get("mood") or {}
        for key in ("words", "description"):
            if isinstance(mood.get(key) or segment.get(key), str):
                return str(mood.get(key) or segment.get(key))
        values = self.picture_mood(segment)
        return describe([values.get(axis, 0.0) for axis in AXES]) if values else ""

    def lock(self, segment: Mapping[str, Any], track: object) -> str:
        """Return the option that gives a segment another track."""
        return "--lock " + shlex.quote(f"{segment['index']}={track}")

    def command_with(self, segment: Mapping[str, Any], track: object) -> str:
        """Return the whole command that gives a segment another track, in place of its lock."""
        option = self.lock(segment, track)
        if not self.base_command:
            return option
        try:
            words = shlex.split(self.base_command)
        except ValueError:  # not a command line that a shell would take
            return f"{self.base_command} {option}"
        mine = f"{segment['index']}="
        kept: list[str] = []
        for word in words:
            if word.startswith(f"--lock={mine}"):
                continue
            if kept and kept[-1] == "--lock" and word.startswith(mine):
                kept.pop()
                continue
            kept.append(word)
        return f"{shlex.join(kept)} {option}"

    @property
    def base_command(self) -> str:
        """The command that made this result, allowed to replace it."""
        command = self.extras.command
        replaces = not command or "--overwrite" in command.split()
        return command if replaces else f"{command} --overwrite"


def _axes(mood: object) -> dict[str, float]:
    """Return the axes of a mood that are numbers."""
    if not isinstance(mood, Mapping):
        return {}
    values = {axis: mood.get(axis) for axis in AXES}
    return {a: float(v) for a, v in values.items() if isinstance(v, int | float)}
