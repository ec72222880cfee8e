"""Copy the packets of a picture from one container to another, in time.

Containers differ in what they store: Matroska has no decoding times, AVI has nothing else, MPEG-TS
starts anywhere. What is missing is filled in, and the first shown frame moves to zero; the
distances between the frames stay.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from segue.media.matroska import ROOM

__all__ = ["Copied", "copied_packets", "stream_like"]

_LONGEST_REORDER = 64  # packets; H.264 and HEVC allow 16
_APPLE_TAGS = ("hvc1", "hev1", "dvh1", "dvhe")


@dataclass(slots=True)
class Copied:
    """What was copied so far."""

    times_s: array[float] = field(default_factory=lambda: array("d"))
    """Presentation time of each packet, counted from the first shown frame."""
    n_left_out: int = 0
    """Packets without any usable time."""
    damage: str = ""
    """What FFmpeg said where the source could not be read to its end."""


def copied_packets(source: Any, stream: Any, start_s: Fraction, copied: Copied) -> Iterator[Any]:
    """Yield the packets of a stream with `start_s` moved to zero; `copied` counts them.

    Decoding times come out strictly increasing, as every muxer demands.
    """
    shift, tick_s = round(start_s / stream.time_base), float(stream.time_base)
    last: int | None = None
    for packet in _with_decoding_times(_packets(source, stream, copied)):
        if packet.pts is None:
            packet.pts = packet.dts
        if packet.pts is None or packet.dts is None:
            copied.n_left_out += 1
            continue
        packet.pts -= shift
        packet.dts -= shift
        if last is not None and packet.dts <= last:
            packet.dts = last + 1
            if packet.dts > packet.pts:
                copied.n_left_out += 1
                continue
        last = packet.dts
        copied.times_s.append(packet.pts * tick_s)
        yield packet


def stream_like(film: Any, stream: Any) -> Any:
    """Add a stream that is described like the source's, with the tags that players look at."""
    video = film.add_stream_from_template(stream, opaque=True)
    aspect = stream.sample_aspect_ratio
    if aspect and aspect > 0:
        video.codec_context.sample_aspect_ratio = aspect
    if stream.codec_tag in _APPLE_TAGS and film.format.name in ("mp4", "mov"):
        video.codec_context.codec_tag = stream.codec_tag
    video.metadata.update({k: v for k, v in stream.metadata.items() if k not in ("DURATION",)})
    if aspect and aspect != 1 and film.format.name in ("webm", "matroska"):
        video.metadata["title"] = ROOM
    return video


def _packets(source: Any, stream: Any, copied: Copied) -> Iterator[Any]:
    """Yield the picture's packets; a damaged end is reported and ends them."""
    demuxed = source.demux(stream)
    while True:
        try:
            packet = next(demuxed)
        except StopIteration:
            return
        except Exception as error:
            copied.damage = str(error)
            return
        if packet.size:
            yield packet


def _with_decoding_times(packets: Iterator[Any]) -> Iterator[Any]:
    """Fill in the decoding times that Matroska lacks for the first frames of a film with B-frames.

    They are set backwards from the first known one, a frame apart; without any, they are the
    presentation times.
    """
    waiting: list[Any] = []
    for packet in packets:
        waiting.append(packet)
        if packet.dts is None and len(waiting) < _LONGEST_REORDER:
            continue
        if packet.dts is not None:
            for earlier, later in zip(reversed(waiting[:-1]), reversed(waiting), strict=False):
                earlier.dts = later.dts - max(earlier.duration or 1, 1)
        yield from _falling_back(waiting)
        waiting = []
    yield from _falling_back(waiting)


def _falling_back(packets: list[Any]) -> list[Any]:
    for packet in packets:
        if packet.dts is None:
            packet.dts = packet.pts
    return packets
