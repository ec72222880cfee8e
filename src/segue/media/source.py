"""What a media file holds: streams, sizes as shown, exact starts and durations.

`probe` trusts the container only where it must. The shown size and the rotation come from the
first decoded frame, and the end of a stream comes from the timestamps of its last packets, because
headers lack a duration (streamed WebM), keep a stale one (variable frame rate) or count frames.

Clocks: `start_s` of a stream is on the container's clock. The *picture's clock*, used everywhere
else in Segue, starts at the first shown frame; a sound sample at container time t is at
t - video.start_s on it. All times are exact fractions of a second.

Opening itself is `segue.media.opening`; its names are offered here as well.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av.stream

from segue.core.errors import MediaError
from segue.media.opening import Faults, decode, decoding, open_media

__all__ = [
    "AudioStream",
    "Faults",
    "MediaInfo",
    "Orientation",
    "VideoStream",
    "decode",
    "decoding",
    "frame_rate",
    "open_media",
    "picture_stream",
    "probe",
    "sound_stream",
]

_TIMECODE = re.compile(r"^\d{1,2}:\d{2}:\d{2}[:;.]\d{2,3}$")
_TAIL_S = 12
"""Seconds before the stated end at which the search for the last packets starts."""


@dataclass(frozen=True, slots=True)
class Orientation:
    """How a stored picture is turned for display: transposed first, then mirrored."""

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @property
    def rotation_deg(self) -> int:
        """Clockwise turn for display: 0, 90, 180 or 270 (mirrors without a turn give 0)."""
        if self.transpose:
            return 90 if self.mirror_x else 270
        return 180 if self.mirror_x and self.mirror_y else 0

    @classmethod
    def of(cls, frame: Any) -> Orientation:
        """Read the display matrix of a decoded frame."""
        matrix = frame.side_data.get("DISPLAYMATRIX")
        if matrix is None or matrix.buffer_size < 36:
            return cls()
        # x' = a x + c y, y' = b x + d y, as 16.16 fixed point in native byte order
        values = memoryview(bytes(matrix)).cast("i")
        a, b, c, d = values[0], values[1], values[3], values[4]
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return cls(False, a < 0, d < 0)
        return cls(True, c < 0, b < 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoStream:
    """The moving picture of a file."""

    index: int
    width: int
    """Columns as shown: after rotation and with square pixels."""
    height: int
    """Rows as shown."""
    coded_width: int
    coded_height: int
    orientation: Orientation
    pixel_aspect: Fraction
    """Width of a stored pixel divided by its height; 1 when the file does not say."""
    rate: Fraction
    """Frames per second: the nominal rate for constant, a good guess for variable frame rate."""
    time_base: Fraction
    codec: str
    pixel_format: str
    start_s: Fraction
    """Container time of the first shown frame: zero of the picture's clock."""
    duration_s: Fraction
    """From the first shown frame to the end of the last one, by their timestamps."""
    n_frames_hint: int
    """Frames that the header counts; 0 when it does not."""
    start_timecode: str
    """Timecode of the first frame as the file states it, or empty."""

    @property
    def rotation_deg(self) -> int:
        """Clockwise turn for display: 0, 90, 180 or 270."""
        return self.orientation.rotation_deg


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioStream:
    """The sound of a file."""

    index: int
    rate_hz: int
    channels: int
    codec: str
    start_s: Fraction
    """Container time of the first sample."""
    duration_s: Fraction
    """By the timestamps of the first and last packets."""
    language: str
    """ISO 639-2 code, or empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaInfo:
    """What a file holds."""

    path: str
    format_name: str
    duration_s: Fraction
    """Length of the picture, or of the sound where there is no picture."""
    container_duration_s: Fraction | None
    """What the header says, for comparison."""
    video: VideoStream | None
    audio: AudioStream | None
    tags: dict[str, str] = field(default_factory=dict)
    """Tags of the container, with lower-case keys."""


def probe(path: str | Path) -> MediaInfo:
    """Describe a media file; decodes one frame and reads the packets near the end.

    Raises:
        MediaError: the file cannot be opened, or holds neither picture nor sound.
    """
    name = os.fsdecode(path)
    with open_media(path) as container, decoding(path, "read"):
        header_s = Fraction(container.duration, 1_000_000) if container.duration else None
        tags = {key.lower(): value for key, value in container.metadata.items()}
        video, audio = picture_stream(container), sound_stream(container)
        if container.format.name == "ogg" and audio is not None:  # keeps a file's tags there
            tags = {key.lower(): value for key, value in audio.metadata.items()} | tags
        announced = video is not None and video.width and video.frames
        first = _first_frame(container, video) if video else None
        timecodes = [s.metadata.get("timecode", "") for s in container.streams if s.type != "audio"]
        if first is None and not announced:
            video = None  # a transport stream lists a picture that never comes
        if video is None and audio is None:
            raise MediaError("neither picture nor sound in it can be decoded", where=name)
        spans = _spans(path, [s.index for s in (video, audio) if s], header_s)
        found_video = found_audio = None
        if video is not None:
            timecode = next(
                (t for t in [*timecodes, tags.get("timecode", "")] if _TIMECODE.match(t)), ""
            )
            start_s, end_s = spans.get(video.index, (Fraction(0), header_s or Fraction(0)))
            found_video = _describe(video, first, start_s, end_s, timecode)
        if audio is not None:
            start_s, end_s = spans.get(audio.index, (Fraction(0), header_s or Fraction(0)))
            found_audio = AudioStream(
                index=audio.index,
                rate_hz=audio.codec_context.sample_rate or 0,
                channels=audio.codec_context.channels or 0,
                codec=audio.codec_context.name,
                start_s=start_s,
                duration_s=max(end_s - start_s, Fraction(0)),
                language=audio.metadata.get("language", "").replace("und", ""),
            )
    main = found_video or found_audio
    assert main is not None, "one of the two was found above"
    return MediaInfo(
        path=name,
        format_name=container.format.name,
        duration_s=main.duration_s,
        container_duration_s=header_s,
        video=found_video,
        audio=found_audio,
        tags=tags,
    )


def picture_stream(container: Any) -> Any | None:
    """Return the stream that is the moving picture, or None; cover art is not one."""
    cover = av.stream.Disposition.attached_pic
    streams = (s for s in container.streams.video if not s.disposition & cover)
    return next((s for s in streams if s.codec_context), None)


def sound_stream(container: Any) -> Any | None:
    """Return the default audio stream, else the first one that can be decoded, or None."""
    streams = [s for s in container.streams.audio if s.codec_context]
    default = [s for s in streams if s.disposition & av.stream.Disposition.default]
    return next(iter(default or streams), None)


def frame_rate(stream: Any) -> Fraction:
    """Return a believable frame rate of a video stream; 25 where the file gives no clue."""
    for rate in (stream.guessed_rate, stream.average_rate, stream.base_rate):
        if rate and Fraction(1, 100) <= rate <= 1000:
            return Fraction(rate)
    return Fraction(25)


def _first_frame(container: Any, stream: Any) -> Any | None:
    return next(decode(container, stream, Faults()), None)


def _describe(
    stream: Any, first: Any | None, start_s: Fraction, end_s: Fraction, timecode: str
) -> VideoStream:
    coded_width = first.width if first else stream.width
    coded_height = first.height if first else stream.height
    aspect = Fraction(stream.sample_aspect_ratio or 1)
    if not Fraction(1, 10) <= aspect <= 10:
        aspect = Fraction(1)
    orientation = Orientation.of(first) if first else Orientation()
    shown = (max(1, math.floor(coded_width * aspect + Fraction(1, 2))), coded_height)
    width, height = shown[::-1] if orientation.transpose else shown
    if first is not None and first.pts is not None:
        start_s = first.pts * first.time_base
    return VideoStream(
        index=stream.index,
        width=width,
        height=height,
        coded_width=coded_width,
        coded_height=coded_height,
        orientation=orientation,
        pixel_aspect=aspect,
        rate=frame_rate(stream),
        time_base=stream.time_base,
        codec=stream.codec_context.name,
        pixel_format=first.format.name if first else str(stream.pix_fmt or ""),
        start_s=start_s,
        duration_s=max(end_s - start_s, Fraction(0)),
        n_frames_hint=stream.frames,
        start_timecode=timecode,
    )


def _spans(
    path: str | Path, indices: list[int], header_s: Fraction | None
) -> dict[int, tuple[Fraction, Fraction]]:
    """Return stream index -> (start, end) on the container's clock, by packet timestamps."""
    with open_media(path) as container:
        streams = [container.streams[i] for i in indices]
        start = {s.index: s.start_time * s.time_base for s in streams if s.start_time is not None}
        end: dict[int, Fraction] = {}
        if header_s is not None and header_s > 3 * _TAIL_S:
            base = Fraction(container.start_time or 0, 1_000_000)
            try:
                container.seek(int((base + header_s - _TAIL_S) * 1_000_000))
                _, end = _extent(container, streams)
            except Exception:  # not seekable: read it all below
                end = {}
    if set(start) != set(indices) or set(end) != set(indices):
        with open_media(path) as container:
            whole = [container.streams[i] for i in indices]
            first, end = _extent(container, whole)
            start = first | start
    return {i: (start[i], end[i]) for i in indices if i in start and i in end}


def _extent(container: Any, streams: list[Any]) -> tuple[dict[int, Fraction], dict[int, Fraction]]:
    """Read packets to the end; return the earliest start and latest end of each stream."""
    first: dict[int, Fraction] = {}
    last: dict[int, Fraction] = {}
    for packet in _packets(container, streams):
        stream = packet.stream
        start = packet.pts * packet.time_base
        length = (packet.duration or 0) * packet.time_base
        if not length and stream.type == "video":
            length = 1 / frame_rate(stream)
        first[stream.index] = min(first.get(stream.index, start), start)
        last[stream.index] = max(last.get(stream.index, start), start + length)
    return first, last


def _packets(container: Any, streams: list[Any]) -> Iterator[Any]:
    """Yield packets with a timestamp that are meant to be shown, until the file ends or fails."""
    try:
        for packet in container.demux(*streams):
            if packet.size and packet.pts is not None and not packet.is_discard:
                yield packet
    except Exception:  # a damaged end: what was read before it counts
        return
