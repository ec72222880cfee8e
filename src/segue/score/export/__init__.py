"""Timelines for editing software.

Every exporter writes one file from the same `Timeline` and returns, in words, what that file
format could not carry: an editor who opens it must never find out by ear. `EXPORTERS` is the table
of short names; a user's own `package.module:Thing` works wherever a short name does.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, runtime_checkable

from segue.core.errors import DataError
from segue.core.names import resolve
from segue.score.timeline import Timeline

__all__ = ["EXPORTERS", "Exporter", "export_all"]

EXPORTERS: dict[str, str] = {
    "otio": "segue.score.export.otio:OtioExporter",
    "xml": "segue.score.export.fcp7:Fcp7Exporter",
    "fcpxml": "segue.score.export.fcpxml:FcpxmlExporter",
    "edl": "segue.score.export.edl:EdlExporter",
    "cues": "segue.score.export.cues:CueSheetExporter",
}


@runtime_checkable
class Exporter(Protocol):
    """Writes a timeline in one format; made without arguments, keeps no state."""

    suffix: str
    """With the dot: `".edl"`."""
    file_name: str
    """Name of the file in the output folder: `"timeline.edl"`."""

    def write(self, timeline: Timeline, path: Path) -> list[str]:
        """Write `timeline` to `path`, whole or not at all; return what was lost, in words."""
        ...


def export_all(
    timeline: Timeline, folder: Path, names: Iterable[str] = tuple(EXPORTERS)
) -> dict[str, list[str]]:
    """Write `timeline` with every exporter in `names` into `folder`.

    Returns:
        exporter -> sentences about what its file could not carry; empty when it carries all.

    Raises:
        DataError: a file cannot be written.
        UnknownName: a name is neither in the table nor importable.
    """
    lost: dict[str, list[str]] = {}
    for name in names:
        exporter: Exporter = resolve(EXPORTERS, name, "exporter")()
        path = folder / exporter.file_name
        try:
            lost[name] = exporter.write(timeline, path)
        except OSError as error:
            raise DataError(
                f"cannot write the timeline: {error.strerror or error}",
                where=path,
                advice="Choose an output folder that you can write to, with --out",
            ) from error
    return lost
