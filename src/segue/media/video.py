"""Decoded pictures by time: upright, with square pixels, on the picture's clock.

The clock's zero is the first shown frame, whatever timestamp the file gives it. A frame's time is
its presentation timestamp, never its number divided by a rate, so variable frame rate is exact.
Timestamps that jump back by more than `_MAX_STEP_BACK_S`, or forward by more than `_MAX_GAP_S`, are
splices in the stream (wrapped or concatenated transport streams, damaged files): the clock then
runs on by one frame, and the splice is counted.

Images are uint8 RGB arrays [height, width, 3].
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from segue.core.errors import MediaError
from segue.media.opening import Faults, decode, decoding, open_media
from segue.media.source import Orientation, VideoStream, frame_rate, probe

__all__ = ["Clock", "Picture", "Scaler", "frames", "jpeg", "thumbnails", "turn"]

Image = NDArray[np.uint8]

_MAX_GAP_S = 3600
_MAX_STEP_BACK_S = 1
_SEEK_AHEAD_S = 3
"""Decoding on is cheaper than seeking within this many seconds: about one group of pictures."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One shown frame."""

    start_s: Fraction
    length_s: Fraction
    image: Image


class Clock:
    """Maps the frames of one decode, in order, to the picture's clock."""

    def __init__(self, stream: Any) -> None:
        self.splices = 0
        """How often the timestamps jumped and were joined."""
        self._frame_s = 1 / frame_rate(stream)
        self._zero: Fraction | None = None
        self._last: Fraction | None = None
        self._length = self._frame_s

    def place(self, frame: Any) -> tuple[Fraction, Fraction]:
        """Return (start, length) of the next frame in seconds."""
        length = (frame.duration or 0) * frame.time_base if frame.time_base else Fraction(0)
        if not 0 < length <= _MAX_GAP_S:
            length = self._frame_s
        expected = Fraction(0) if self._last is None else self._last + self._length
        if frame.pts is None or frame.time_base is None:
            start = expected
        else:
            stamp = frame.pts * frame.time_base
            if self._zero is None:
                self._zero = stamp
            start = stamp - self._zero
            if self._last is not None:
                if not self._last - _MAX_STEP_BACK_S <= start <= self._last + _MAX_GAP_S:
                    self.splices += 1
                    self._zero = stamp - expected
                    start = expected
                start = max(start, self._last)  # two frames may carry one timestamp
        self._last, self._length = start, length
        return start, length


class Scaler:
    """Turns decoded frames into small upright images with square pixels.

    Args:
        orientation: how the stored picture is turned for display.
        pixel_aspect: width of a stored pixel over its height.
        width: columns of the result; None keeps the shown size. Never enlarges.
        max_height: rows at most; a taller result is made narrower.
    """

    def __init__(
        self,
        orientation: Orientation,
        pixel_aspect: Fraction,
        width: int | None = None,
        max_height: int | None = None,
    ) -> None:
        self._orientation = orientation
        self._aspect = pixel_aspect
        self._width = width
        self._max_height = max_height
        self._reformatter = VideoReformatter()

    def size(self, coded_width: int, coded_height: int) -> tuple[int, int]:
        """Return the shown (width, height) for a stored size."""
        across, down = coded_width * self._aspect, Fraction(coded_height)
        if self._orientation.transpose:
            across, down = down, across
        scale = Fraction(1)
        if self._width is not None:
            scale = min(scale, self._width / across)
        if self._max_height is not None:
            scale = min(scale, self._max_height / down)
        return max(1, round(across * scale)), max(1, round(down * scale))

    def __call__(self, frame: Any) -> Image:
        """Return the RGB image of a frame."""
        width, height = self.size(frame.width, frame.height)
        if self._orientation.transpose:
            width, height = height, width
        small = self._reformatter.reformat(
            frame, width=width, height=height, format="rgb24", interpolation="BILINEAR", threads=1
        )
        return np.ascontiguousarray(
            turn(np.asarray(small.to_ndarray(), np.uint8), self._orientation)
        )


def frames(
    path: str | Path,
    *,
    start_s: Fraction | float = 0,
    end_s: Fraction | float | None = None,
    width: int | None = None,
    faults: Faults | None = None,
) -> Iterator[Picture]:
    """Yield the frames shown in [start_s, end_s) on the picture's clock, in order.

    Args:
        path: a file with a picture.
        start_s: a frame that is being shown at this time comes first.
        end_s: None reads to the end.
        width: columns at most; None keeps the shown size.
        faults: counts damaged packets, which are left out.

    Raises:
        MediaError: the file cannot be opened or has no picture.
    """
    video = _picture(path)
    with open_media(path) as container, decoding(path):
        stream = container.streams[video.index]
        stream.thread_type = "AUTO"
        scaler = Scaler(video.orientation, video.pixel_aspect, width)
        for start, length, frame in _from(container, stream, video, start_s, faults or Faults()):
            if end_s is not None and start >= end_s:
                return
            if start + length > start_s:
                yield Picture(start, length, scaler(frame))


def thumbnails(
    path: str | Path, times_s: Iterable[Fraction | float], *, width: int = 240
) -> list[bytes]:
    """Return the pictures shown at some times as JPEG files; beyond the end, the last picture.

    Raises:
        MediaError: the file cannot be opened or has no picture.
    """
    times = list(times_s)
    found: dict[Fraction | float, bytes] = {}
    video = _picture(path)
    scaler = Scaler(video.orientation, video.pixel_aspect, width, max_height=3 * width)
    with open_media(path) as container, decoding(path):
        stream = container.streams[video.index]
        run: Iterator[tuple[Fraction, Fraction, Any]] = iter(())
        here: tuple[Fraction, Fraction, Any] | None = None
        for time_s in sorted(set(times)):
            if here is None or time_s > here[0] + here[1] + _SEEK_AHEAD_S:
                run = _from(container, stream, video, time_s, Faults())
                here = next(run, here)
            while here is not None and here[0] + here[1] <= time_s:
                following = next(run, None)
                if following is None:
                    break
                here = following
            if here is None:  # seeking led nowhere: read from the start
                run = _from(container, stream, video, 0, Faults())
                here = next((h for h in run if h[0] + h[1] > time_s), None)
            if here is None:
                raise MediaError(f"no picture at {float(time_s):.3f} s", where=path)
            found[time_s] = jpeg(scaler(here[2]))
    return [found[time_s] for time_s in times]


def turn(image: Image, orientation: Orientation) -> Image:
    """Return the stored image [rows, columns, ...] as it is meant to be shown."""
    turned = image.swapaxes(0, 1) if orientation.transpose else image
    turned = turned[:, ::-1] if orientation.mirror_x else turned
    return turned[::-1] if orientation.mirror_y else turned


def jpeg(image: Image, quality: int = 4) -> bytes:
    """Encode an RGB image as a JPEG file.

    Args:
        image: [height, width, 3].
        quality: quantiser scale, 2 (best) to 31.
    """
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height = frame.width, frame.height
    encoder.pix_fmt = "yuvj420p"
    encoder.time_base = Fraction(1, 25)
    encoder.qmin = encoder.qmax = quality
    packets = [*encoder.encode(frame.reformat(format="yuvj420p")), *encoder.encode(None)]
    return b"".join(bytes(packet) for packet in packets)


def _picture(path: str | Path) -> VideoStream:
    video = probe(path).video
    if video is None:
        raise MediaError("there is no picture in it", where=path)
    return video


def _from(
    container: Any, stream: Any, video: VideoStream, start_s: Fraction | float, faults: Faults
) -> Iterator[tuple[Fraction, Fraction, Any]]:
    """Yield (start, length, frame) from the group of pictures that is shown at `start_s` on."""
    clock = Clock(stream)
    offset: Fraction | None = None
    if start_s > _SEEK_AHEAD_S:
        target = int((video.start_s + Fraction(start_s)) / stream.time_base)
        try:
            container.seek(target, stream=stream, backward=True)
        except Exception:  # not seekable: decode from the start
            container.seek(0)
    for frame in decode(container, stream, faults):
        start, length = clock.place(frame)
        if offset is None:
            stamp = frame.pts * frame.time_base if frame.pts is not None else video.start_s
            offset = stamp - video.start_s
        yield start + offset, length, frame
