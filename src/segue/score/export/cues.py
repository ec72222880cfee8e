"""The cue sheet: which music plays when, for rights clearance and for spreadsheets.

One row a cue, UTF-8, RFC 4180. A field that a spreadsheet would run as a formula is written with an
apostrophe in front: tags and file names come from strangers.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from segue.core.files import atomic_write
from segue.score.export.grid import Grid, Placed
from segue.score.export.text import one_line
from segue.score.timeline import Source, Timeline

__all__ = ["COLUMNS", "CueSheetExporter"]

COLUMNS = (
    "index", "timecode_in", "timecode_out", "start_s", "end_s", "duration_s", "title", "artist",
    "composer", "publisher", "licence", "usage", "file", "track_in_s", "fade_in_s", "fade_out_s",
    "gain_db",
)  # fmt: skip

_LICENCE = ("licence", "license", "copyright")

_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""First characters of a formula, the full-width ones of East Asian keyboards included."""


class CueSheetExporter:
    """Writes `cues.csv`."""

    suffix = ".csv"
    file_name = "cues.csv"

    def write(self, timeline: Timeline, path: Path) -> list[str]:
        """Write one row for each cue to `path`; return what was lost."""
        grid = Grid.standard(timeline)
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(COLUMNS)
        writer.writerows(_row(grid, placed) for placed in grid.placed)
        atomic_write(path, text.getvalue())
        lost = [
            sentence for sentence in grid.lost if not sentence.startswith("times are whole frames")
        ]
        lost.append("a cue sheet lists the music only: no picture, stems, ducking or markers")
        files = {p.cue.source.path: p.cue.source for p in grid.placed}.values()
        silent = sum(not _tag(source, *_LICENCE) for source in files)
        if silent:
            lost.append(f"the licence of {silent} of {len(files)} tracks: their files state none")
        return lost


def _row(grid: Grid, placed: Placed) -> Iterator[str]:
    cue, source = placed.cue, placed.cue.source
    yield str(placed.number)
    yield grid.timecode(placed.start)
    yield grid.timecode(placed.end)
    yield from map(_seconds, (cue.start_s, cue.end_s, cue.duration_s))
    texts = (
        _tag(source, "title") or source.name,
        _tag(source, "artist", "album_artist", "albumartist"),
        _tag(source, "composer"),
        _tag(source, "publisher", "label", "organization", "organisation"),
        _tag(source, *_LICENCE),
        "background",
        source.path,
    )
    yield from map(_safe, texts)
    yield from map(_seconds, (cue.source_start_s, cue.fade_in_s, cue.fade_out_s))
    yield f"{cue.gain_db:.2f}"


def _tag(source: Source, *names: str) -> str:
    return next((source.tags[name] for name in names if source.tags.get(name)), "")


def _safe(text: str) -> str:
    line = one_line(text)
    return f"'{line}" if line.startswith(_FORMULA) else line


def _seconds(value: Fraction) -> str:
    return f"{float(value):.6f}"
