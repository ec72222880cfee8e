"""Opening a user's media file safely, and decoding it whatever its state.

Every audio and video file is opened here, as a file object and never by name. A name can then hold
spaces, quotes, colons, newlines or bytes that are not UTF-8, and FFmpeg never reads it as a
protocol (`concat:a|b`, `http://...`). Formats that point to *other* files (HLS, DASH, concat lists,
SDP, image sequences) are refused twice: by a look at the first bytes, with a sentence that says
why, and by FFmpeg's own list of allowed demuxers. Only regular files are opened, so a named pipe
or a device cannot block or flood the program.

PyAV lets more than its own exceptions through on damaged files (UnicodeDecodeError,
AttributeError...); `decoding` turns every one into a `MediaError`, and `decode` survives damaged
packets and counts them.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from segue.core.errors import MediaError, SegueError

__all__ = ["Faults", "decode", "decoding", "open_media"]

_SELF_CONTAINED = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf,mxf,nut,ivf,gif,apng,dv,"
    "gxf,wtv,rm,yuv4mpegpipe,h264,hevc,m4v,mpegvideo,obu,vc1,nsv,"
    "mp3,wav,w64,flac,aac,aiff,caf,ac3,eac3,ape,tta,wv,amr,au,dts,dtshd,truehd,mpc,mpc8,voc,tak,"
    "dsf,oma,qcp,sox,loas"
)
"""Demuxers that read one file and nothing else; all others are refused."""

_LISTS = {".m3u", ".m3u8", ".mpd", ".ffconcat", ".sdp", ".pls", ".xspf", ".asx", ".ism", ".ismc"}
_LIST_HEADS = (b"#EXTM3U", b"ffconcat version", b"<MPD", b"v=0", b"[playlist]", b"<asx", b"<smil")
_PROTOCOL = re.compile(r"^[A-Za-z][A-Za-z0-9+.,-]+:")
_MAX_PIXELS = 2**26  # 8192 x 8192; a forged header must not reserve gigabytes
_BUFFER = 1 << 18


@dataclass(slots=True)
class Faults:
    """Counts what a tolerant decode had to leave out."""

    errors: int = 0
    """Packets or reads that failed."""
    last: str = ""
    """What FFmpeg said about the last of them."""
    repaired: int = 0
    """Frames that came out although parts of them were damaged."""
    at_s: list[float] = field(default_factory=list)
    """Container times of the first hundred failing packets, where they are known."""

    def add(self, error: Exception, time_s: float | None = None) -> None:
        """Note one failure."""
        self.errors += 1
        self.last = _said(error)
        if time_s is not None and len(self.at_s) < 100:
            self.at_s.append(time_s)


@contextmanager
def open_media(path: str | Path) -> Iterator[Any]:
    """Open a media file for reading; yields a PyAV `InputContainer`, closed at the end.

    Raises:
        MediaError: not a regular file, empty, not readable, a list of other files, or not a format
            that Segue reads.
    """
    with _open_regular(path) as file:
        head = file.read(512)
        _refuse_lists(path, head)
        file.seek(0)
        # FFmpeg sees a neutral name with the real suffix: the suffix helps to recognise raw
        # formats, the rest of the name could only mislead it.
        file.name = "media" + re.sub(r"[^A-Za-z0-9.]", "", Path(os.fsdecode(path)).suffix)
        try:
            container = av.open(
                file,
                "r",
                container_options={
                    "format_whitelist": _SELF_CONTAINED,
                    "protocol_whitelist": "none",
                },
                metadata_errors="replace",
                buffer_size=_BUFFER,
            )
        except Exception as error:
            # FFmpeg reports a demuxer that is not on our list as an invalid argument.
            refused = isinstance(error, av.error.ArgumentError)
            reason = "damaged, or not of a format that Segue reads" if refused else _said(error)
            raise MediaError(
                f"not a video or audio file that can be read ({reason})",
                where=os.fsdecode(path),
                advice="Give a common format: mp4, mov, mkv, webm, avi, mpg, wav, flac, mp3, ogg",
            ) from error
        try:
            for stream in container.streams:
                if stream.type == "video" and stream.codec_context is not None:
                    stream.codec_context.options = {"max_pixels": str(_MAX_PIXELS)}
            yield container
        finally:
            container.close()


@contextmanager
def decoding(path: str | Path, doing: str = "decode") -> Iterator[None]:
    """Turn every exception of the block, except Segue's own, into a MediaError about `path`.

    Keep the block to calls of PyAV: a mistake of ours inside it would look like the file's.
    """
    try:
        yield
    except SegueError:
        raise
    except Exception as error:
        raise MediaError(f"cannot {doing} it ({_said(error)})", where=os.fsdecode(path)) from error


def decode(container: Any, stream: Any, faults: Faults) -> Iterator[Any]:
    """Yield the decoded frames of one stream in the order of presentation, whatever happens.

    A damaged packet is left out and counted in `faults`. When reading itself fails, it is tried
    again a few times, since some demuxers find the next good place, and then ends.
    """
    retries = 8
    while retries:
        try:
            for packet in container.demux(stream):
                retries = 8 if packet.size else retries
                try:
                    frames = packet.decode()
                except av.error.EOFError:
                    frames = []
                except Exception as error:
                    faults.add(error, _seconds(packet.pts, packet.time_base))
                    frames = []
                for frame in frames:
                    faults.repaired += frame.is_corrupt
                    yield frame
            return
        except Exception as error:
            faults.add(error)
            retries -= 1
    try:
        yield from stream.codec_context.decode(None)
    except Exception as error:
        faults.add(error)


@contextmanager
def _open_regular(path: str | Path) -> Iterator[Any]:
    """Open a regular, readable, non-empty file without ever waiting for a pipe or a device."""
    name = os.fsdecode(path)
    try:
        _refuse_special(
            name, Path(name).stat().st_mode
        )  # opening a device can have effects already
        # should the file have been replaced by a pipe since, then without waiting for its writer
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        if _PROTOCOL.match(name):
            raise MediaError(
                "an address or a protocol, not a file", where=name, advice="Give a local file"
            ) from None
        raise MediaError("no such file", where=name) from None
    except PermissionError:
        raise MediaError("no permission to read it", where=name) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise MediaError(f"cannot be opened ({reason})", where=name) from None
    try:
        status = os.fstat(descriptor)
        _refuse_special(name, status.st_mode)
        if status.st_size == 0:
            raise MediaError("an empty file (0 bytes)", where=name)
        file = os.fdopen(descriptor, "rb", buffering=0)
    except BaseException:
        os.close(descriptor)
        raise
    with file:
        yield file


def _refuse_special(name: str, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise MediaError(f"{kind}, not a file", where=name, advice="Give a video or audio file")


def _refuse_lists(path: str | Path, head: bytes) -> None:
    name = os.fsdecode(path)
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    listed = start.startswith(_LIST_HEADS) or b"<MPD" in head or b"<SmoothStreamingMedia" in head
    if listed or Path(name).suffix.lower() in _LISTS:
        raise MediaError(
            "a playlist or manifest that names other files",
            where=name,
            advice="Give the media file itself",
        )


def _said(error: Exception) -> str:
    """Return what FFmpeg said in a few words, without the file name it adds."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    log = getattr(error, "log", None)
    if log and len(log) == 3 and log[2].strip():
        text = f"{text}: {log[2].strip()}"
    return text if isinstance(error, av.FFmpegError) else f"{type(error).__name__}: {text}"


def _seconds(timestamp: int | None, time_base: Fraction | None) -> float | None:
    return None if timestamp is None or time_base is None else float(timestamp * time_base)
