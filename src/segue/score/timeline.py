"""The neutral result of scoring: what plays when, free of any editor's format.

Times are exact fractions of a second on the picture's clock, whose zero is the first frame; an
exporter rounds to frames of `rate` at the last moment. A cue's interval includes its fades, so two
neighbours that crossfade overlap by the length of the crossfade.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import Any

__all__ = ["Cue", "Marker", "Source", "Timeline"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A media file that a timeline refers to."""

    path: str
    """Absolute path."""
    name: str
    """Name shown to a person: a tag's title, or the file's stem."""
    duration_s: Fraction
    rate: Fraction | None = None
    """Picture frames per second; None for sound alone."""
    width: int = 0
    height: int = 0
    audio_channels: int = 0
    """0 when the file has no sound."""
    audio_rate_hz: int = 0
    start_timecode: str = ""
    """Timecode of the first frame as the file states it, or empty."""
    tags: dict[str, str] = field(default_factory=dict)
    """Lower-case tags of the file: title, artist, licence, copyright, genre..."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """A stretch of one track on the timeline."""

    source: Source
    start_s: Fraction
    end_s: Fraction
    """Exclusive."""
    source_start_s: Fraction
    """Position in the track at which the cue starts."""
    fade_in_s: Fraction = Fraction(0)
    """Equal-power fade; equals the overlap with the previous cue where they crossfade."""
    fade_out_s: Fraction = Fraction(0)
    gain_db: float = 0.0
    """Constant gain that brings the track to the level of the mix."""
    segments: tuple[int, ...] = ()
    """Indices of the segments that this cue plays under."""

    @property
    def duration_s(self) -> Fraction:
        """Length on the timeline, fades included."""
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """A named interval: here, a segment of the video and why its music was chosen."""

    start_s: Fraction
    end_s: Fraction
    name: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """A scored video."""

    name: str
    rate: Fraction
    """Frames per second of the timeline; the nominal rate when the picture's rate varies."""
    duration_s: Fraction
    picture: Source
    cues: tuple[Cue, ...]
    """Music, ordered by start; at most two overlap at any time."""
    markers: tuple[Marker, ...] = ()
    duck: tuple[tuple[Fraction, float], ...] = ()
    """Points (time_s, gain_db) of the music's gain under dialogue, linear in dB between them."""
    stems: dict[str, str] = field(default_factory=dict)
    """Stem name ("music", "original", "mix") -> absolute path of a WAV as long as the picture."""

    @property
    def n_frames(self) -> int:
        """Length in whole frames of `rate`, rounded to the nearest."""
        return round(self.duration_s * self.rate)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-like values, fractions as text `"a/b"`; `from_dict` reverses it."""
        return dict(_plain(asdict(self)))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Timeline:
        """Rebuild a timeline from `to_dict`."""

        def source(v: dict[str, Any]) -> Source:
            rate = Fraction(v["rate"]) if v["rate"] else None
            return Source(**{**v, "duration_s": Fraction(v["duration_s"]), "rate": rate})

        def cue(v: dict[str, Any]) -> Cue:
            times = ("start_s", "end_s", "source_start_s", "fade_in_s", "fade_out_s")
            exact = {key: Fraction(v[key]) for key in times}
            segments = tuple(v["segments"])
            return Cue(**{**v, **exact, "source": source(v["source"]), "segments": segments})

        def marker(v: dict[str, Any]) -> Marker:
            return Marker(**{**v, "start_s": Fraction(v["start_s"]), "end_s": Fraction(v["end_s"])})

        return cls(
            name=values["name"],
            rate=Fraction(values["rate"]),
            duration_s=Fraction(values["duration_s"]),
            picture=source(values["picture"]),
            cues=tuple(map(cue, values["cues"])),
            markers=tuple(map(marker, values["markers"])),
            duck=tuple((Fraction(t), float(g)) for t, g in values["duck"]),
            stems=dict(values["stems"]),
        )


def _plain(value: Any) -> Any:
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value
