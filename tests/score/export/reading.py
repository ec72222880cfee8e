"""Read exported timelines back, by code that shares nothing with the exporters.

Every reader returns the heard extent of each cue, fades and crossfades included, as
(name, first frame, end frame, frame of the track at the first), frames counted at the file's rate.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import opentimelineio as otio

Extent = tuple[str, int, int, int]


def otio_extents(timeline: Any, track_names: tuple[str, ...] = ("Music",)) -> list[Extent]:
    """Extents on the named audio tracks of an OpenTimelineIO timeline."""
    return sorted(
        extent
        for track in timeline.tracks
        if track.kind == "Audio" and track.name.startswith(track_names)
        for extent in _track_extents(track)
    )


def _track_extents(track: Any) -> list[Extent]:
    extents, at = [], 0.0
    items = list(track)
    for i, item in enumerate(items):
        if isinstance(item, otio.schema.Transition):
            continue
        length = item.source_range.duration.value
        if isinstance(item, otio.schema.Clip):
            before = items[i - 1] if i else None
            after = items[i + 1] if i + 1 < len(items) else None
            head = before.in_offset.value if isinstance(before, otio.schema.Transition) else 0
            tail = after.out_offset.value if isinstance(after, otio.schema.Transition) else 0
            source = item.source_range.start_time.value - head
            values = (at - head, at + length + tail, source)
            assert all(value == int(value) for value in values)
            extents.append((item.name, *map(int, values)))
        at += length
    return extents


@dataclass(frozen=True)
class Edit:
    """One line of an edit decision list, in frames."""

    number: int
    reel: str
    channel: str
    kind: str
    dissolve: int
    source_in: int
    source_out: int
    record_in: int
    record_out: int


def edl_edits(text: str, rate: Fraction) -> list[Edit]:
    """The edits of a CMX 3600 list; timecodes are read by OpenTimelineIO."""
    edits = []
    for line in text.splitlines():
        words = line.split()
        if not words or not words[0].isdigit():
            continue
        assert len(line) <= 80
        *head, a, b, c, d = words
        frames = [otio.opentime.from_timecode(t, float(rate)).to_frames() for t in (a, b, c, d)]
        # Timecode starts again at midnight: nothing here is longer than half a day.
        day = otio.opentime.from_timecode("23:59:59:00", float(rate)).to_frames() + round(rate)
        first = edits[0].record_in if edits else frames[2]
        frames[2:] = [f + day if first - f > day // 2 else f for f in frames[2:]]
        frames[1] += day if frames[1] < frames[0] else 0
        dissolve = int(head[4]) if head[3] == "D" else 0
        edits.append(Edit(int(head[0]), *head[1:4], dissolve, *frames))
    return edits


def edl_extents(text: str, rate: Fraction) -> list[Extent]:
    """Extents of the music; names are reels, record times count from the picture's first frame."""
    edits = edl_edits(text, rate)
    zero = next(e.record_in for e in edits if e.channel == "V")
    music = [e for e in edits if e.channel == "A2"]
    extents = []
    for i, edit in enumerate(music):
        still = edit.record_in == edit.record_out
        fading_only = still and edit.reel != "BL" and not _heard(music[:i], edit)
        if edit.reel == "BL" or (still and not fading_only):
            continue
        end, j = edit.record_out, i + 1
        while j + 1 < len(music) and music[j].reel == edit.reel and music[j].record_in == end:
            if music[j].record_out > end:  # another cue of the same track
                break
            end, j = end + music[j + 1].dissolve, j + 2
        start, source = edit.record_in, edit.source_in
        extents.append((edit.reel, start - zero, end - zero, source))
    return sorted(extents)


def _heard(before: list[Edit], edit: Edit) -> bool:
    """Whether the outgoing track of a dissolve was already playing."""
    return any(e.reel == edit.reel and e.record_out == edit.record_in for e in before)


def fcpxml_extents(text: str) -> list[Extent]:
    """Extents of the connected clips that are switched on."""
    root = ElementTree.fromstring(text)
    sequence = next(root.iter("sequence"))
    formats = {node.get("id"): node for node in root.iter("format")}
    frame = seconds(formats[sequence.get("format")].get("frameDuration"))
    picture = next(root.iter("asset-clip"))
    extents = []
    for clip in picture.findall("asset-clip"):
        if clip.get("enabled") == "0":
            continue
        start = (seconds(clip.get("offset")) - seconds(picture.get("start"))) / frame
        length = seconds(clip.get("duration")) / frame
        source = seconds(clip.get("start")) / frame
        assert {value.denominator for value in (start, length, source)} == {1}
        extents.append((clip.get("name"), int(start), int(start + length), int(source)))
    return sorted(extents)


def seconds(text: str | None) -> Fraction:
    """A time of Final Cut Pro XML: `5s` or `1001/24000s`."""
    assert text is not None
    assert text.endswith("s")
    return Fraction(text[:-1])
