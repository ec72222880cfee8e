"""CMX 3600 edit decision list: the oldest exchange format, and the one that everything reads.

One list with three channels: `V` the picture, `A` its own sound, `A2` the music. A dissolve starts
at its event's record-in: a first line of no length gives the outgoing track's position, the second
the incoming track. A fade from or to silence is a dissolve with `BL`. All times are exclusive at
their end; record times count from the picture's start timecode.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from segue.core.files import atomic_write
from segue.score.export.grid import Grid, Placed
from segue.score.export.text import ascii_only, file_url, one_line
from segue.score.timeline import Source, Timeline

__all__ = ["EdlExporter", "build"]

_LONGEST_DISSOLVE = 255
"""Frames; the format's own limit."""
_MOST_EVENTS = 999
_BLACK = "BL"


class EdlExporter:
    """Writes `timeline.edl`."""

    suffix = ".edl"
    file_name = "timeline.edl"

    def write(self, timeline: Timeline, path: Path) -> list[str]:
        """Write `timeline` to `path`; return what was lost."""
        grid = Grid.standard(timeline)
        lines, lost = build(grid)
        atomic_write(path, "\n".join(lines) + "\n")
        return [*grid.lost, *lost]


@dataclass(frozen=True, slots=True)
class _Event:
    """One edit; `before` is (source, frame) of the outgoing track of a dissolve."""

    channel: str
    source: Source | None
    source_in: int
    record_in: int
    record_out: int
    dissolve: int = 0
    before: tuple[Source | None, int] = (None, 0)


def build(grid: Grid) -> tuple[list[str], list[str]]:
    """Return the lines of the list, and what it could not carry."""
    timeline = grid.timeline
    placed, lost = _within_limits(grid)
    picture = timeline.picture
    events = [_Event("V", picture, 0, 0, grid.n_frames)]
    if picture.audio_channels:
        events.append(_Event("A", picture, 0, 0, grid.n_frames))
    events += [event for item in placed for event in _music(item, _previous(placed, item))]
    sources = [e.source for e in events if e.source]
    reels = _reels(dict.fromkeys(source.path for source in sources))
    title = one_line(timeline.name)[:70]
    mode = "DROP FRAME" if grid.drop else "NON-DROP FRAME"
    lines = [f"TITLE: {title}", f"FCM: {mode}", ""]
    for number, event in enumerate(events, start=1):
        lines += _lines(grid, reels, number, event)
        if number == 1:
            lines += [
                f"* LOC: {grid.timecode(at)} CYAN    {name}" for at, _, name, _ in grid.markers()
            ]
        lines.append("")
    return lines[:-1], lost + _lost(grid, len(events))


def _lost(grid: Grid, n_events: int) -> list[str]:
    timeline = grid.timeline
    rate = f"{float(grid.rate):.3f}".rstrip("0").rstrip(".")
    lost = [f"the frame rate: tell the editor that the list counts {rate} frames a second"]
    if any(abs(p.cue.gain_db) >= 0.05 or grid.duck(p) for p in grid.placed):
        lost.append("levels and ducking: the list has none, the music stem has both")
    if timeline.stems:
        lost.append("the stems are not in the list")
    if any(marker.note for marker in timeline.markers):
        lost.append("the reasons for each choice: locators carry only the names of segments")
    if timeline.picture.audio_channels > 1:
        lost.append("stereo: the channels A and A2 each stand for all channels of a file")
    names = [timeline.name, *(p.cue.source.name for p in grid.placed)]
    if not all(name.isascii() for name in names):
        lost.append("letters outside ASCII are in comments as UTF-8, which old readers garble")
    if n_events > _MOST_EVENTS:
        lost.append(f"{n_events} events are more than the {_MOST_EVENTS} that old readers number")
    return lost


def _within_limits(grid: Grid) -> tuple[list[Placed], list[str]]:
    """Return the cues of the one music channel, with dissolves no longer than the format allows."""
    lost = []
    placed = grid.lane(0)
    left_out = [p for p in grid.placed if p.lane]
    for item in left_out:
        name = one_line(item.cue.source.name)
        lost.append(f"cue {item.number} '{name}' overlaps more than its neighbours: left out")
    for i, item in enumerate(placed):
        seconds = float(item.overlap_in / grid.rate)
        if item.overlap_in > _LONGEST_DISSOLVE:
            before, after = placed[i - 1], item
            cut = item.cut_in
            placed[i - 1] = replace(before, end=cut, overlap_out=0)
            moved = cut - after.start
            placed[i] = replace(after, start=cut, source=after.source + moved, overlap_in=0)
            lost.append(
                f"the crossfade of {seconds:.1f} s is longer than 255 frames: a cut instead"
            )
        if max(item.fade_in, item.fade_out) > _LONGEST_DISSOLVE:
            placed[i] = replace(
                placed[i],
                fade_in=min(item.fade_in, _LONGEST_DISSOLVE),
                fade_out=min(item.fade_out, _LONGEST_DISSOLVE),
            )
            lost.append(f"fades of cue {item.number} are shortened to 255 frames")
    return placed, lost


def _previous(placed: list[Placed], item: Placed) -> Placed | None:
    index = placed.index(item)
    return placed[index - 1] if index else None


def _music(item: Placed, previous: Placed | None) -> Iterator[_Event]:
    source = item.cue.source
    # The next dissolve, or the fade-out, takes over before the cue's own end.
    end = item.end - item.overlap_out - item.fade_out
    if item.overlap_in and previous:
        at = previous.source + item.start - previous.start
        before = (previous.cue.source, at)
        yield _Event("A2", source, item.source, item.start, end, item.overlap_in, before)
    elif item.fade_in:
        yield _Event("A2", source, item.source, item.start, end, item.fade_in)
    elif end > item.start:
        yield _Event("A2", source, item.source, item.start, end)
    if item.fade_out:
        before = (source, item.source + end - item.start)
        yield _Event("A2", None, 0, end, end + item.fade_out, item.fade_out, before)


def _lines(grid: Grid, reels: dict[str, str], number: int, event: _Event) -> Iterator[str]:
    record = grid.timecode(event.record_in), grid.timecode(event.record_out)
    length = event.record_out - event.record_in
    if event.dissolve:
        source, at = event.before
        still = _source_time(grid, source, at)
        reel = reels[source.path] if source else _BLACK
        yield _line(number, reel, event.channel, "C", 0, still, still, record[0], record[0])
    first = _source_time(grid, event.source, event.source_in)
    last = _source_time(grid, event.source, event.source_in + length)
    reel = reels[event.source.path] if event.source else _BLACK
    kind = "D" if event.dissolve else "C"
    yield _line(number, reel, event.channel, kind, event.dissolve, first, last, *record)
    before = event.before[0] if event.dissolve else event.source
    if before:
        yield f"* FROM CLIP NAME: {one_line(before.name)}"
    if event.dissolve and event.source:
        yield f"* TO CLIP NAME: {one_line(event.source.name)}"
    if event.source:
        path = event.source.path
        yield f"* SOURCE FILE: {path if one_line(path) == path else file_url(path)}"


def _line(number: int, reel: str, channel: str, kind: str, dissolve: int, *times: str) -> str:
    frames = f"{dissolve:03d}" if kind == "D" else "   "
    return f"{number:03d}  {reel:<8} {channel:<5} {kind:<4} {frames} {' '.join(times)}"


def _source_time(grid: Grid, source: Source | None, frame: int) -> str:
    # The picture's own timecode is that of the timeline; sound files and black start at zero.
    return grid.timecode(frame) if source and source.rate else grid.source_timecode(frame)


def _reels(paths: dict[str, None]) -> dict[str, str]:
    """Name each file by up to eight capitals and digits, no two alike."""
    taken = {_BLACK, "AX", "AUX", ""}
    reels = {}
    for number, path in enumerate(paths, start=1):
        stem = ascii_only(Path(path).stem).upper()
        letters = "".join(c for c in stem if c.isascii() and c.isalnum())
        reel = letters[:8]
        while reel in taken:
            suffix = str(number)
            reel = (letters or "REEL")[: 8 - len(suffix)] + suffix
            number += len(paths)
        taken.add(reel)
        reels[path] = reel
    return reels
