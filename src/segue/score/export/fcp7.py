"""Final Cut Pro 7 XML (xmeml 4): what Premiere Pro and DaVinci Resolve import.

Written here rather than by the OpenTimelineIO adapter, which reads our files (the tests use it) but
writes 12.5 frames a second as 13000/1001, marks every sound file it does not know as video, labels
audio crossfades as video, and has no stereo pairs, links or volume.

A stereo sound is two tracks of one channel each, linked; every clip carries its file's length, its
place on the timeline (-1 at an end inside a transition) and its place in the file, transitions
included. Volume is linear gain, keyframes count frames of the file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from xml.etree.ElementTree import Element

from segue.core.files import atomic_write
from segue.score.export.grid import Grid, Placed
from segue.score.export.text import element, file_url, xml_document
from segue.score.timeline import Source, Timeline

__all__ = ["Fcp7Exporter", "build"]

_LOUDEST = 3.98109
"""Largest gain of the Audio Levels filter: +12 dB."""
_STEM_RATE_HZ = 48000


class Fcp7Exporter:
    """Writes `timeline.xml`."""

    suffix = ".xml"
    file_name = "timeline.xml"

    def write(self, timeline: Timeline, path: Path) -> list[str]:
        """Write `timeline` to `path`; return what was lost."""
        grid = Grid.standard(timeline)
        atomic_write(path, xml_document(build(grid)))
        lost = list(grid.lost)
        if timeline.picture.audio_channels > 2:
            lost.append(
                f"the original sound has {timeline.picture.audio_channels} channels: "
                "only the first two are on the timeline"
            )
        too_loud = sum(_gain(max(_levels_db(grid, p))) > _LOUDEST for p in grid.placed)
        if too_loud:
            lost.append(f"gains end at +12 dB: cues quieter than in the mix: {too_loud}")
        if any(p.overlap_in or p.fade_in or p.fade_out for p in grid.placed):
            lost.append("fades are the editor's own constant-power curves")
        return lost


def build(grid: Grid) -> Element:
    """Return the `xmeml` element of a grid."""
    timeline = grid.timeline
    root = element(None, "xmeml", version="4")
    sequence = element(root, "sequence", id="sequence-1")
    element(sequence, "name", timeline.name)
    element(sequence, "duration", grid.n_frames)
    _rate(sequence, grid.rate)
    _timecode(sequence, grid, grid.start)
    media = element(sequence, "media")
    video, audio = element(media, "video"), element(media, "audio")
    _video_format(element(video, "format"), grid)
    element(audio, "numOutputChannels", 2)
    sound = element(element(audio, "format"), "samplecharacteristics")
    element(sound, "depth", 16)
    element(sound, "samplerate", _STEM_RATE_HZ)
    writer = _Writer(grid, video, audio)
    writer.picture()
    for lane in range(grid.n_lanes):
        writer.music(grid.lane(lane))
    for stem, path in timeline.stems.items():
        writer.stem(stem, path)
    for start, length, name, note in grid.markers():
        marker = element(sequence, "marker")
        element(marker, "name", name)
        element(marker, "comment", note)
        element(marker, "in", start)
        element(marker, "out", start + length)
    return root


@dataclass
class _Writer:
    """Adds tracks to a sequence, and names files and clips."""

    grid: Grid
    video: Element
    audio: Element
    files: dict[str, str] = field(default_factory=dict)
    n_clips: int = 0

    def picture(self) -> None:
        """Add the picture, and its own sound linked to it."""
        source = self.grid.timeline.picture
        channels = min(2, source.audio_channels)
        names = [self._clip_name() for _ in range(1 + channels)]
        audio_tracks = [self._track(self.audio, i, channels) for i in range(channels)]
        for i, track in enumerate([element(self.video, "track"), *audio_tracks]):
            item = self._clip(track, names[i], source, 0, self.grid.n_frames, 0)
            if i:
                _source_track(item, i)
            _links(item, names, video=True, first_audio=1, position=1)

    def music(self, placed: list[Placed]) -> None:
        """Add one lane of music as a pair of tracks."""
        first = 1 + len(self.audio.findall("track"))
        tracks = [self._track(self.audio, i, 2) for i in range(2)]
        for position, item in enumerate(placed, start=1):
            names = [self._clip_name() for _ in range(2)]
            for channel, track in enumerate(tracks, start=1):
                self._music_clip(track, names[channel - 1], item)
                clip = track.findall("clipitem")[-1]
                _source_track(clip, min(channel, max(1, item.cue.source.audio_channels)))
                _volume(clip, self.grid, item)
                _links(clip, names, video=False, first_audio=first, position=position)

    def stem(self, name: str, path: str) -> None:
        """Add a stem, switched off, as a pair of tracks."""
        grid = self.grid
        source = Source(
            path=path, name=f"{name} (stem)", duration_s=grid.timeline.duration_s,
            audio_channels=2, audio_rate_hz=_STEM_RATE_HZ,
        )  # fmt: skip
        first = 1 + len(self.audio.findall("track"))
        names = [self._clip_name() for _ in range(2)]
        for channel in (1, 2):
            track = self._track(self.audio, channel - 1, 2)
            item = self._clip(track, names[channel - 1], source, 0, grid.n_frames, 0, on=False)
            _source_track(item, channel)
            _links(item, names, video=False, first_audio=first, position=1)

    def _music_clip(self, track: Element, name: str, item: Placed) -> None:
        if item.fade_in:
            _transition(track, self.grid, item.start, item.start + item.fade_in, "start-black")
        start = -1 if item.fade_in or item.overlap_in else item.start
        end = -1 if item.fade_out or item.overlap_out else item.end
        self._clip(track, name, item.cue.source, start, end, item.source, frames=item.frames)
        if item.overlap_out:
            _transition(track, self.grid, item.end - item.overlap_out, item.end, "center")
        elif item.fade_out:
            _transition(track, self.grid, item.end - item.fade_out, item.end, "end-black")

    def _clip(
        self,
        track: Element,
        name: str,
        source: Source,
        start: int,
        end: int,
        first: int,
        *,
        frames: int | None = None,
        on: bool = True,
    ) -> Element:
        frames = end - start if frames is None else frames
        item = element(track, "clipitem", id=name)
        element(item, "name", source.name)
        element(item, "enabled", "TRUE" if on else "FALSE")
        length = max(math.ceil(source.duration_s * self.grid.rate), first + frames)
        element(item, "duration", length)
        _rate(item, self.grid.rate)
        element(item, "start", start)
        element(item, "end", end)
        element(item, "in", first)
        element(item, "out", first + frames)
        self._file(item, source, length)
        return item

    def _file(self, item: Element, source: Source, length: int) -> None:
        if source.path in self.files:
            element(item, "file", id=self.files[source.path])
            return
        self.files[source.path] = name = f"file-{len(self.files) + 1}"
        file = element(item, "file", id=name)
        element(file, "name", Path(source.path).name)
        element(file, "pathurl", file_url(source.path))
        _rate(file, self.grid.rate)
        element(file, "duration", length)
        _timecode(file, self.grid, self.grid.start if source.rate else 0)
        media = element(file, "media")
        if source.rate:
            _video_format(element(media, "video"), self.grid)
        if source.audio_channels:
            audio = element(media, "audio")
            sound = element(audio, "samplecharacteristics")
            element(sound, "depth", 16)
            element(sound, "samplerate", source.audio_rate_hz or _STEM_RATE_HZ)
            element(audio, "channelcount", source.audio_channels)

    def _track(self, parent: Element, index: int, count: int) -> Element:
        return element(
            parent,
            "track",
            currentExplodedTrackIndex=index,
            totalExplodedTrackCount=count,
            premiereTrackType="Stereo" if count == 2 else "Mono",
        )

    def _clip_name(self) -> str:
        self.n_clips += 1
        return f"clipitem-{self.n_clips}"


def _transition(track: Element, grid: Grid, start: int, end: int, alignment: str) -> None:
    item = element(track, "transitionitem")
    element(item, "start", start)
    element(item, "end", end)
    element(item, "alignment", alignment)
    _rate(item, grid.rate)
    effect = element(item, "effect")
    element(effect, "name", "Cross Fade (+3dB)")
    element(effect, "effectid", "KGAudioTransCrossFade3dB")
    element(effect, "effecttype", "transition")
    element(effect, "mediatype", "audio")


def _volume(item: Element, grid: Grid, placed: Placed) -> None:
    if all(abs(level) < 0.05 for level in _levels_db(grid, placed)):
        return
    effect = element(element(item, "filter"), "effect")
    element(effect, "name", "Audio Levels")
    for tag in ("effectid", "effectcategory", "effecttype"):
        element(effect, tag, "audiolevels")
    element(effect, "mediatype", "audio")
    parameter = element(effect, "parameter")
    element(parameter, "parameterid", "level")
    element(parameter, "name", "Level")
    element(parameter, "valuemin", 0)
    element(parameter, "valuemax", _LOUDEST)
    element(parameter, "value", _level(placed.cue.gain_db))
    for frame, duck_db in grid.duck(placed):
        keyframe = element(parameter, "keyframe")
        element(keyframe, "when", placed.source + frame - placed.start)
        element(keyframe, "value", _level(placed.cue.gain_db + duck_db))


def _levels_db(grid: Grid, placed: Placed) -> list[float]:
    return [placed.cue.gain_db + duck for _, duck in grid.duck(placed)] or [placed.cue.gain_db]


def _gain(gain_db: float) -> float:
    return float(10 ** (gain_db / 20))


def _level(gain_db: float) -> str:
    return f"{min(_gain(gain_db), _LOUDEST):.5f}"


def _links(
    item: Element, names: list[str], *, video: bool, first_audio: int, position: int
) -> None:
    for i, name in enumerate(names):
        is_video = video and i == 0
        link = element(item, "link")
        element(link, "linkclipref", name)
        element(link, "mediatype", "video" if is_video else "audio")
        element(link, "trackindex", 1 if is_video else first_audio + i - video)
        element(link, "clipindex", position)
        if not is_video:
            element(link, "groupindex", 1)


def _source_track(item: Element, channel: int) -> None:
    source = element(item, "sourcetrack")
    element(source, "mediatype", "audio")
    element(source, "trackindex", channel)


def _video_format(parent: Element, grid: Grid) -> None:
    picture = grid.timeline.picture
    values = element(parent, "samplecharacteristics")
    _rate(values, grid.rate)
    if picture.width and picture.height:
        element(values, "width", picture.width)
        element(values, "height", picture.height)
    element(values, "pixelaspectratio", "square")
    element(values, "fielddominance", "none")


def _rate(parent: Element, rate: Fraction) -> None:
    node = element(parent, "rate")
    element(node, "timebase", math.ceil(rate))
    element(node, "ntsc", "TRUE" if rate.denominator == 1001 else "FALSE")


def _timecode(parent: Element, grid: Grid, frame: int) -> None:
    node = element(parent, "timecode")
    _rate(node, grid.rate)
    element(node, "string", grid.timecode(frame - grid.start))
    element(node, "frame", frame)
    element(node, "displayformat", "DF" if grid.drop else "NDF")
