"""Final Cut Pro XML 1.10: what Final Cut Pro imports, and DaVinci Resolve from 18.5 on.

The picture is the primary storyline; each cue is a connected clip below it (lane -1, -2, ...),
since connected clips have no transitions: neighbours that overlap lie on alternate lanes and fade.
Stems lie below, switched off. All times are rational seconds on frame boundaries; times inside the
picture clip, those of markers and connected clips included, count from its start timecode. There
are no modification dates: Final Cut Pro refuses files with dates that it did not write.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from xml.etree.ElementTree import Element

from segue.core.files import atomic_write
from segue.score.export.grid import Grid, Placed
from segue.score.export.text import element, file_url, xml_document
from segue.score.timeline import Source, Timeline

__all__ = ["FcpxmlExporter", "build"]

_STEM_RATE_HZ = 48000
_LOUDEST_DB = 12.0
"""Final Cut Pro's fader ends there."""


class FcpxmlExporter:
    """Writes `timeline.fcpxml`."""

    suffix = ".fcpxml"
    file_name = "timeline.fcpxml"

    def write(self, timeline: Timeline, path: Path) -> list[str]:
        """Write `timeline` to `path`; return what was lost."""
        grid = Grid.standard(timeline)
        atomic_write(path, xml_document(build(grid)))
        lost = list(grid.lost)
        if any(p.overlap_in for p in grid.placed):
            lost.append(
                "connected clips have no transitions: a crossfade is a fade-out and a fade-in on "
                "two lanes"
            )
        if any(p.overlap_in or p.fade_in or p.fade_out for p in grid.placed):
            lost.append("fades are Final Cut Pro's own constant-power curves")
        too_loud = sum(p.cue.gain_db > _LOUDEST_DB for p in grid.placed)
        if too_loud:
            lost.append(f"gains end at +12 dB: cues quieter than in the mix: {too_loud}")
        return lost


def build(grid: Grid) -> Element:
    """Return the `fcpxml` element of a grid."""
    timeline = grid.timeline
    root = element(None, "fcpxml", version="1.10")
    resources = _Resources(grid, element(root, "resources"))
    sequence_format = resources.format(grid.rate)
    library = element(root, "library")
    event = element(library, "event", name="Segue")
    project = element(event, "project", name=timeline.name)
    tc_format = "DF" if grid.drop else "NDF"
    first = grid.seconds(grid.start)
    sequence = element(
        project,
        "sequence",
        format=sequence_format,
        duration=_time(grid.seconds(grid.n_frames)),
        tcStart=_time(first),
        tcFormat=tc_format,
        audioLayout="stereo",
        audioRate="48k",
    )
    picture = element(
        element(sequence, "spine"),
        "asset-clip",
        ref=resources.asset(timeline.picture, grid.n_frames),
        offset=_time(first),
        name=timeline.picture.name,
        start=_time(first),
        duration=_time(grid.seconds(grid.n_frames)),
        tcFormat=tc_format,
        audioRole="dialogue" if timeline.picture.audio_channels else None,
    )
    n_lanes = 0
    for placed, lane in _lanes(grid):
        _connect(grid, picture, resources, placed, lane)
        n_lanes = max(n_lanes, lane)
    for lane, (stem, path) in enumerate(timeline.stems.items(), start=n_lanes + 1):
        _stem(grid, picture, resources, stem, path, lane)
    for start, length, name, note in grid.markers():
        element(
            picture,
            "marker",
            start=_time(grid.seconds(grid.start + start)),
            duration=_time(grid.seconds(min(length, 1))),
            value=name,
            note=note or None,
        )
    return root


@dataclass
class _Resources:
    """Formats and assets, each written once and named `r1`, `r2`, ..."""

    grid: Grid
    parent: Element
    ids: dict[object, str] = field(default_factory=dict)

    def format(self, rate: Fraction) -> str:
        """Return the id of the picture's format at `rate`."""
        if rate not in self.ids:
            self.ids[rate] = f"r{len(self.ids) + 1}"
            picture = self.grid.timeline.picture
            element(
                self.parent,
                "format",
                id=self.ids[rate],
                frameDuration=_time(1 / rate),
                width=picture.width or None,
                height=picture.height or None,
            )
        return self.ids[rate]

    def asset(self, source: Source, needed: int) -> str:
        """Return the id of a file's asset, at least `needed` frames long."""
        if source.path in self.ids:
            return self.ids[source.path]
        format_id = self.format(source.rate) if source.rate else None
        self.ids[source.path] = name = f"r{len(self.ids) + 1}"
        sound = source.audio_channels
        asset = element(
            self.parent,
            "asset",
            id=name,
            name=Path(source.path).stem,
            start=_time(self.grid.seconds(self.grid.start if source.rate else 0)),
            duration=_time(self._duration(source, needed)),
            hasVideo=1 if source.rate else None,
            format=format_id,
            videoSources=1 if source.rate else None,
            hasAudio=1 if sound else None,
            audioSources=1 if sound else None,
            audioChannels=sound or None,
            audioRate=source.audio_rate_hz or _STEM_RATE_HZ if sound else None,
        )
        element(asset, "media-rep", kind="original-media", src=file_url(source.path))
        return name

    def _duration(self, source: Source, needed: int) -> Fraction:
        duration_s = source.duration_s
        if source.audio_rate_hz and not source.rate:
            # Decoders report times in their own units; an asset of sound lasts whole samples.
            duration_s = Fraction(round(duration_s * source.audio_rate_hz), source.audio_rate_hz)
        elif source.rate:
            duration_s = Fraction(self.grid.frame(duration_s)) / self.grid.rate
        return max(duration_s, self.grid.seconds(needed))


def _lanes(grid: Grid) -> list[tuple[Placed, int]]:
    """Give each cue the first lane below the picture that is free for its whole length."""
    ends: list[int] = []
    result = []
    for placed in grid.placed:
        lane = next((i for i, end in enumerate(ends) if end <= placed.start), len(ends))
        ends[lane:] = [placed.end, *ends[lane + 1 :]]
        result.append((placed, lane + 1))
    return result


def _connect(
    grid: Grid, picture: Element, resources: _Resources, placed: Placed, lane: int
) -> None:
    source = placed.cue.source
    used = max(p.source + p.frames for p in grid.placed if p.cue.source.path == source.path)
    clip = element(
        picture,
        "asset-clip",
        ref=resources.asset(source, used),
        lane=-lane,
        offset=_time(grid.seconds(grid.start + placed.start)),
        name=source.name,
        start=_time(grid.seconds(placed.source)),
        duration=_time(grid.seconds(placed.frames)),
        audioRole="music",
    )
    gain_db, duck = placed.cue.gain_db, grid.duck(placed)
    fade_in, fade_out = placed.fade_in or placed.overlap_in, placed.fade_out or placed.overlap_out
    if not (fade_in or fade_out or duck or abs(gain_db) >= 0.05):
        return
    volume = element(clip, "adjust-volume", amount=_decibels(gain_db))
    if not (fade_in or fade_out or duck):
        return
    amount = element(volume, "param", name="amount")
    if fade_in:
        duration = _time(grid.seconds(fade_in))
        element(amount, "fadeIn", type="easeIn", duration=duration)
    if fade_out:
        duration = _time(grid.seconds(fade_out))
        element(amount, "fadeOut", type="easeOut", duration=duration)
    if duck:
        animation = element(amount, "keyframeAnimation")
        for frame, duck_db in duck:
            time = _time(grid.seconds(placed.source + frame - placed.start))
            value = _decibels(gain_db + duck_db)
            element(animation, "keyframe", time=time, value=value, curve="linear")


def _stem(
    grid: Grid, picture: Element, resources: _Resources, name: str, path: str, lane: int
) -> None:
    source = Source(
        path=path, name=f"{name} (stem)", duration_s=grid.timeline.duration_s,
        audio_channels=2, audio_rate_hz=_STEM_RATE_HZ,
    )  # fmt: skip
    element(
        picture,
        "asset-clip",
        ref=resources.asset(source, grid.n_frames),
        lane=-lane,
        offset=_time(grid.seconds(grid.start)),
        name=source.name,
        start="0s",
        duration=_time(grid.seconds(grid.n_frames)),
        enabled=0,
        audioRole="dialogue" if name == "original" else "music",
    )


def _decibels(gain_db: float) -> str:
    return f"{round(min(gain_db, _LOUDEST_DB), 2) + 0.0:g}dB"  # plus zero: no minus zero


def _time(seconds: Fraction) -> str:
    value = Fraction(seconds)
    if value.denominator == 1:
        return f"{value.numerator}s"
    return f"{value.numerator}/{value.denominator}s"
