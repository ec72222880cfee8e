"""Write the pixel aspect of a picture into a finished WebM or Matroska file.

Matroska keeps the shape of a pixel as the size at which the picture is shown (DisplayWidth and
DisplayHeight in the Video element). FFmpeg's muxer takes it from a field of the stream that PyAV
cannot set, so it is put in afterwards, without moving a byte of the rest: the muxer is given a
track name that serves as a place holder (`ROOM`), which is then exchanged for the two elements and
padding.

An element is: id, size of its content (both of variable length), content (RFC 8794).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

__all__ = ["ROOM", "write_pixel_aspect"]

ROOM = "room for the pixel aspect " + "-" * 40

_SEGMENT, _CLUSTER = b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75"
_TRACKS, _TRACK, _NAME, _VIDEO = b"\x16\x54\xae\x6b", b"\xae", b"\x53\x6e", b"\xe0"
_PIXEL_WIDTH, _PIXEL_HEIGHT = b"\xb0", b"\xba"
_SHOWN_WIDTH, _SHOWN_HEIGHT, _SHOWN_UNIT = b"\x54\xb0", b"\x54\xba", b"\x54\xb2"
_CRC, _VOID = b"\xbf", b"\xec"
_HEAD = 1 << 20  # the tracks lie before the first cluster, within the first kilobytes

Element = tuple[bytes, bytes]


def write_pixel_aspect(path: Path, aspect: Fraction) -> bool:
    """Exchange the place holder `ROOM` for the size that the aspect gives.

    Args:
        path: a file whose video track is named `ROOM`.
        aspect: width of a pixel over its height.

    Returns:
        whether the place was found and the size written.
    """
    with path.open("rb+") as file:
        head = file.read(_HEAD)
        place = _find_tracks(head)
        if place is None:
            return False
        start, end = place
        tracks = bytearray(head[start:end])
        position, changed = 0, False
        while position < len(tracks):
            kind, begin, size = _opened(tracks, position)
            position = begin + size
            if kind == _TRACK:
                before = bytes(tracks[begin:position])
                after = _with_aspect(before, aspect)
                changed |= after != before
                tracks[begin:position] = after
        if not changed:
            return False
        kind, begin, size = _opened(tracks, 0)
        if kind == _CRC:
            checksum = zlib.crc32(tracks[begin + size :])
            tracks[begin : begin + size] = checksum.to_bytes(4, "little")
        file.seek(start)
        file.write(tracks)
    return True


def _find_tracks(head: bytes) -> tuple[int, int] | None:
    """Return where the content of Tracks starts and ends."""
    position = 0
    while position < len(head):
        kind, start, size = _opened(head, position)
        if kind == _TRACKS:
            return (start, start + size) if start + size <= len(head) else None
        if kind == _CLUSTER:
            return None
        position = start if kind == _SEGMENT else start + size
    return None


def _with_aspect(track: bytes, aspect: Fraction) -> bytes:
    """Return the content of a TrackEntry, as long as before, with the shown size in it."""
    parts = list(_elements(track))
    if (_NAME, ROOM.encode()) not in parts:
        return track
    parts.remove((_NAME, ROOM.encode()))
    parts = [
        (kind, _shown(content, aspect) if kind == _VIDEO else content) for kind, content in parts
    ]
    content = _written(parts)
    n_free = len(track) - len(content) - 2  # id and size of the padding, in one byte each
    return content + _VOID + _size(n_free) + bytes(n_free) if 0 <= n_free < 127 else track


def _shown(video: bytes, aspect: Fraction) -> bytes:
    told = (_SHOWN_WIDTH, _SHOWN_HEIGHT, _SHOWN_UNIT)
    parts = [(kind, content) for kind, content in _elements(video) if kind not in told]
    values = {kind: int.from_bytes(content, "big") for kind, content in parts}
    width = round(values[_PIXEL_WIDTH] * aspect)
    return _written(
        [
            *parts,
            (_SHOWN_WIDTH, width.to_bytes(4, "big")),
            (_SHOWN_HEIGHT, values[_PIXEL_HEIGHT].to_bytes(4, "big")),
        ]
    )


def _elements(content: bytes) -> Iterator[Element]:
    position = 0
    while position < len(content):
        kind, start, size = _opened(content, position)
        yield kind, content[start : start + size]
        position = start + size


def _opened(data: bytes | bytearray, position: int) -> tuple[bytes, int, int]:
    """Return id, start and size of the content of the element at a position."""
    n_id = 9 - data[position].bit_length()
    kind = bytes(data[position : position + n_id])
    position += n_id
    n_size = 9 - data[position].bit_length()
    size = int.from_bytes(data[position : position + n_size], "big") - (1 << 7 * n_size)
    return kind, position + n_size, size


def _written(elements: list[Element]) -> bytes:
    return b"".join(kind + _size(len(content)) + content for kind, content in elements)


def _size(value: int) -> bytes:
    n_bytes = next(n for n in range(1, 9) if value < (1 << 7 * n) - 1)
    return (value + (1 << 7 * n_bytes)).to_bytes(n_bytes, "big")
