"""OpenTimelineIO: the one format that keeps everything, if only as metadata.

Tracks, from the bottom: Picture, Original sound, Music (with a transition at each crossfade and
fade), then the stems, switched off so that nothing sounds twice. Clips carry whole frames, as
editors need; the exact times, the gain and the tags of each cue are in `metadata["segue"]`, and the
ducking curve is in that of the timeline. The file is written with the schema versions of release
0.15, which older readers accept.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import opentimelineio as otio

from segue.core.files import atomic_write
from segue.score.export.grid import Grid, Placed
from segue.score.export.text import file_url, one_line
from segue.score.timeline import Source, Timeline

__all__ = ["OtioExporter", "build"]

_SCHEMA_RELEASE = "0.15.0"


class OtioExporter:
    """Writes `timeline.otio`."""

    suffix = ".otio"
    file_name = "timeline.otio"

    def write(self, timeline: Timeline, path: Path) -> list[str]:
        """Write `timeline` to `path`; return what was lost."""
        grid = Grid.exact(timeline)
        versions = dict(otio.versioning.fetch_map("OTIO_CORE", _SCHEMA_RELEASE))
        atomic_write(path, otio.core.serialize_json_to_string(build(grid), versions, 2) + "\n")
        kept = "; the exact times are metadata of the clips"
        lost = [line + kept if line.startswith("times are") else line for line in grid.lost]
        if any(abs(cue.gain_db) >= 0.05 for cue in timeline.cues):
            lost.append("OTIO has no volume: the gain of each cue is kept as metadata only")
        if any(grid.duck(placed) for placed in grid.placed):
            lost.append(
                "OTIO has no volume curve: the ducking is metadata of the timeline, in no editor's "
                "mix; the music stem has it"
            )
        return lost


def build(grid: Grid) -> Any:
    """Return the `opentimelineio.schema.Timeline` of a grid."""
    timeline = grid.timeline
    result = otio.schema.Timeline(
        name=one_line(timeline.name), global_start_time=_time(grid, grid.start)
    )
    result.metadata["segue"] = {
        "rate": _text(timeline.rate),
        "duration_s": _text(timeline.duration_s),
        "drop_frame": grid.drop,
        "duck": [[_text(time_s), gain_db] for time_s, gain_db in timeline.duck],
    }
    result.tracks.append(_track("Picture", "Video", [_picture(grid)]))
    if timeline.picture.audio_channels:
        result.tracks.append(_track("Original sound", "Audio", [_picture(grid)]))
    for lane in range(grid.n_lanes):
        name = "Music" if lane == 0 else f"Music {lane + 1}"
        result.tracks.append(_track(name, "Audio", _music(grid, grid.lane(lane))))
    for stem, stem_path in timeline.stems.items():
        clip = _clip(
            grid, f"{stem} (stem)", file_url(stem_path), 0, 0, grid.n_frames, grid.n_frames
        )
        clip.enabled = False
        track = _track(f"Stem: {stem}", "Audio", [clip])
        track.enabled = False
        result.tracks.append(track)
    for start, length, name, note in grid.markers():
        marker = otio.schema.Marker(
            name=name, marked_range=_range(grid, start, length), color="CYAN", comment=note
        )
        marker.metadata["segue"] = {"note": note}  # readers before 0.17 know no comment
        result.tracks.markers.append(marker)
    return result


def _music(grid: Grid, placed: list[Placed]) -> list[Any]:
    items: list[Any] = []
    at = 0
    for item in placed:
        if item.cut_in > at:
            items.append(_gap(grid, item.cut_in - at))
        elif item.fade_in and items and isinstance(items[-1], otio.schema.Transition):
            items.append(_gap(grid, 0))  # two transitions may not stand side by side
        if item.overlap_in:
            before = item.overlap_in // 2
            items.append(_fade(grid, "Crossfade", before, item.overlap_in - before))
        elif item.fade_in:
            items.append(_fade(grid, "Fade in", 0, item.fade_in))
        source = item.source + item.cut_in - item.start
        length = item.cut_out - item.cut_in
        available = max(grid.frame(item.cue.source.duration_s), item.source + item.frames)
        url = file_url(item.cue.source.path)
        clip = _clip(grid, item.cue.source.name, url, 0, source, length, available)
        clip.metadata["segue"] = _cue_metadata(item)
        items.append(clip)
        if item.fade_out:
            items.append(_fade(grid, "Fade out", item.fade_out, 0))
        at = item.cut_out
    return items


def _cue_metadata(item: Placed) -> dict[str, Any]:
    cue, source = item.cue, item.cue.source
    values: dict[str, Any] = {
        key: _text(getattr(cue, key))
        for key in ("start_s", "end_s", "source_start_s", "fade_in_s", "fade_out_s")
    }
    if source.audio_rate_hz:
        values["sample_rate_hz"] = source.audio_rate_hz
        values["source_start_sample"] = round(cue.source_start_s * source.audio_rate_hz)
    values["gain_db"] = cue.gain_db
    values["segments"] = list(cue.segments)
    values["tags"] = {one_line(k): one_line(v) for k, v in source.tags.items()}
    return values


def _picture(grid: Grid) -> Any:
    picture: Source = grid.timeline.picture
    available = max(grid.frame(picture.duration_s), grid.n_frames)
    url = file_url(picture.path)
    return _clip(grid, picture.name, url, grid.start, grid.start, grid.n_frames, available)


def _clip(
    grid: Grid, name: str, url: str, first: int, source: int, length: int, available: int
) -> Any:
    reference = otio.schema.ExternalReference(
        target_url=url, available_range=_range(grid, first, available)
    )
    reference.name = one_line(name)
    return otio.schema.Clip(
        name=one_line(name), media_reference=reference, source_range=_range(grid, source, length)
    )


def _track(name: str, kind: str, items: list[Any]) -> Any:
    return otio.schema.Track(name=name, kind=kind, children=items)


def _gap(grid: Grid, length: int) -> Any:
    return otio.schema.Gap(source_range=_range(grid, 0, length))


def _fade(grid: Grid, name: str, before: int, after: int) -> Any:
    return otio.schema.Transition(
        name=name,
        transition_type=otio.schema.TransitionTypes.SMPTE_Dissolve,
        in_offset=_time(grid, before),
        out_offset=_time(grid, after),
    )


def _range(grid: Grid, start: int, length: int) -> Any:
    return otio.opentime.TimeRange(_time(grid, start), _time(grid, length))


def _time(grid: Grid, frame: int) -> Any:
    return otio.opentime.RationalTime(frame, float(grid.rate))


def _text(value: Fraction) -> str:
    return f"{value.numerator}/{value.denominator}"
