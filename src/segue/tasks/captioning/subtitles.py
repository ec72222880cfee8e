"""Captions as subtitles: SubRip (.srt), WebVTT (.vtt) and JSON.

Times are rounded to milliseconds, and a caption is shown for at least one. Captions may overlap, as
events do; players show them together. Text is put on one line, and what a format reads as a sign of
its own is written so that it is read as text: `-->` in both, `&`, `<` and `>` in WebVTT, tags in
SubRip. SubRip has no such writing; there look-alike signs stand in their place.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from segue.core.errors import DataError, UsageError, printable
from segue.core.files import atomic_write
from segue.core.names import unknown

__all__ = ["FORMATS", "Subtitle", "to_json", "to_srt", "to_vtt", "write_subtitles"]

_SRT_SIGNS = str.maketrans({"<": "‹", ">": "›"})
_VTT_SIGNS = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


@dataclass(frozen=True, slots=True)
class Subtitle:
    """One caption and when it is shown."""

    start_s: float
    end_s: float
    text: str


def to_srt(subtitles: Sequence[Subtitle]) -> str:
    """Return captions as SubRip, in order of time.

    Raises:
        DataError: a caption has no text or an impossible time.
    """
    parts = []
    for number, (start, end, text) in enumerate(_checked(subtitles), start=1):
        times = f"{_clock(start, ',')} --> {_clock(end, ',')}"
        parts.append(f"{number}\n{times}\n{text.translate(_SRT_SIGNS)}\n")
    return "\n".join(parts)


def to_vtt(subtitles: Sequence[Subtitle]) -> str:
    """Return captions as WebVTT, in order of time.

    Raises:
        DataError: a caption has no text or an impossible time.
    """
    parts = ["WEBVTT\n"]
    for start, end, text in _checked(subtitles):
        times = f"{_clock(start, '.')} --> {_clock(end, '.')}"
        parts.append(f"{times}\n{text.translate(_VTT_SIGNS)}\n")
    return "\n".join(parts)


def to_json(subtitles: Sequence[Subtitle]) -> str:
    """Return captions as a JSON list of `start`, `end` (seconds) and `sentence`, in order of time.

    Raises:
        DataError: a caption has no text or an impossible time.
    """
    rows = [
        {"start": start / 1000, "end": end / 1000, "sentence": text}
        for start, end, text in _checked(subtitles)
    ]
    return json.dumps(rows, indent=1, ensure_ascii=False) + "\n"


FORMATS: dict[str, Callable[[Sequence[Subtitle]], str]] = {
    "json": to_json,
    "srt": to_srt,
    "vtt": to_vtt,
}
"""Ending of the file -> writer."""


def write_subtitles(
    subtitles: Sequence[Subtitle], folder: Path, name: str, formats: Sequence[str] = tuple(FORMATS)
) -> list[Path]:
    """Write captions in some formats as `<name>.<format>` into a folder; return the files.

    Raises:
        DataError: a caption has no text or an impossible time; nothing was written.
        UnknownName: a format is not known.
        UsageError: the folder cannot be written to.
    """
    for each in formats:
        if each not in FORMATS:
            raise unknown("format of subtitles", each, FORMATS)
    content = {folder / f"{name}.{each}": FORMATS[each](subtitles) for each in formats}
    try:
        for path, text in content.items():
            atomic_write(path, text)
    except OSError as error:
        raise UsageError(f"cannot be written: {error.strerror or error}", where=folder) from None
    return list(content)


def _checked(subtitles: Sequence[Subtitle]) -> list[tuple[int, int, str]]:
    """Return start and end in milliseconds, and the text on one line, in order of time."""
    rows = []
    for number, subtitle in enumerate(subtitles):
        where = f"caption {number}"
        start_s, end_s = subtitle.start_s, subtitle.end_s
        if not (math.isfinite(start_s) and math.isfinite(end_s) and 0 <= start_s <= end_s):
            raise DataError(f"cannot be shown from {start_s} s to {end_s} s", where=where)
        text = printable(" ".join(subtitle.text.split()))
        if not text:
            raise DataError("has no text", where=where)
        start = round(start_s * 1000)
        rows.append((start, max(round(end_s * 1000), start + 1), text))
    return sorted(rows, key=lambda row: row[:2])


def _clock(milliseconds: int, point: str) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{rest:03}"
