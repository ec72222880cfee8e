"""What `prepare` says of its work, and of the films that it divides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from segue.core.errors import printable

if TYPE_CHECKING:
    from segue.media.films import Film

__all__ = ["Prepared", "described"]

_SPEECH_SHARE = 0.15
"""From this share on a segment counts as one with speech."""


@dataclass(slots=True)
class Prepared:
    """What was done in one folder, or would be done in a dry run."""

    folder: str
    dry_run: bool
    n_videos: int = 0
    """Films whose segments all have a vector."""
    n_segments: int = 0
    n_tracks: int = 0
    """Tracks with all features and a vector."""
    written: dict[str, int] = field(default_factory=dict)
    """Kind of file -> number of files that were, or would be, written."""
    dropped: list[tuple[str, str]] = field(default_factory=list)
    """(name, reason) of everything that is left out."""
    notes: list[str] = field(default_factory=list)
    """What was repaired, guessed, or is odd."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-like values."""
        rows = [{"name": name, "reason": reason} for name, reason in self.dropped]
        return asdict(self) | {"dropped": rows}

    def __str__(self) -> str:
        """Return it as lines for a person."""
        verb = "would write" if self.dry_run else "wrote"
        written = ", ".join(f"{n} {kind}" for kind, n in self.written.items()) or "nothing"
        lines = [
            f"{self.folder}: ready are {self.n_videos} videos with {self.n_segments} segments and "
            f"{self.n_tracks} tracks",
            f"  {verb}: {written}",
            *([f"  left out: {len(self.dropped)}"] if self.dropped else []),
            *(f"    {name}: {reason}" for name, reason in self.dropped),
            *(f"  note: {note}" for note in self.notes),
        ]
        return "\n".join(map(printable, lines))


def described(
    film: Film, spans_s: Sequence[tuple[float, float]], shared: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the caption entries of segments, with what can be seen and heard of them.

    Args:
        film: divided into `spans_s`, (start, end) in seconds.
        spans_s: the segments.
        shared: added to every entry, and stronger than what was measured.
    """
    from segue.media.embed.mood_words import mood_words

    entries = []
    for start_s, end_s in spans_s:
        inside = (film.picture.times_s >= start_s) & (film.picture.times_s < end_s)
        mood = film.picture.axes[inside].mean(axis=0).tolist() if inside.any() else [0.0] * 5
        entries.append(
            {
                "start": round(start_s, 3),
                "end": round(end_s, 3),
                "visual_summary": ", ".join(mood_words(mood)),
                "energy_level": _level(mood[0], ("Low", "Medium", "High")),
                "cut_pace": _level(mood[3], ("Slow", "Moderate", "Fast")),
                "has_speech": film.speech_share(start_s, end_s) > _SPEECH_SHARE,
                **shared,
            }
        )
    return entries


def _level(value: float, names: tuple[str, str, str]) -> str:
    return names[0] if value < -0.5 else names[2] if value > 0.5 else names[1]
