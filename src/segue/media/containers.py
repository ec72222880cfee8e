"""Which file format takes a picture that must not be re-encoded, and in which codec its sound.

MP4 plays everywhere, so it is first choice for every codec that players expect in it. What it
cannot hold stays in the container it came in, and what that cannot take goes to Matroska.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["ContainerChoice", "choose_container"]

_IN_MP4 = {"h264", "hevc", "av1", "vp9", "mpeg4", "mpeg2video", "mpeg1video", "vvc"}
"""MP4 may hold more by the letter (MJPEG, PNG, VC-1), but common players refuse those there."""


@dataclass(frozen=True, slots=True)
class ContainerChoice:
    """A file format, and how the sound is stored in it."""

    suffix: str
    muxer: str
    """FFmpeg's name of the format."""
    audio_codec: str
    bit_rate: int
    """Bits per second; 0 for codecs without loss."""
    reason: str


_MP4 = ("mp4", "aac", 256_000)
_KNOWN = {
    ".mp4": _MP4,
    ".mov": ("mov", "aac", 256_000),
    ".webm": ("webm", "libopus", 256_000),
    ".mkv": ("matroska", "libopus", 256_000),
    # MP3 and AAC start late in AVI, which cannot say by how much; PCM is in time.
    ".avi": ("avi", "pcm_s16le", 0),
}


def choose_container(source: Path, format_name: str, stream: Any) -> ContainerChoice:
    """Choose for a video stream.

    Args:
        source: path of the file; its suffix tells MOV from MP4 and WebM from Matroska.
        format_name: FFmpeg's name of the source's format.
        stream: the video stream of the opened source.
    """
    codec = stream.codec_context.codec.canonical_name
    own = _own_suffix(source, format_name)
    if codec == "vp9" and stream.metadata.get("alpha_mode") == "1":
        suffix, reason = own, "VP9 with an alpha channel, which MP4 would lose"
    elif own == ".avi":
        # AVI stores no presentation times: with B-frames, any other container would need a guess.
        suffix, reason = own, f"{codec} in AVI, which has no presentation times to carry over"
    elif codec in _IN_MP4:
        suffix, reason = ".mp4", f"MP4 holds {codec}"
    else:
        suffix, reason = own, f"MP4 cannot hold {codec}"
    if suffix not in _KNOWN:
        suffix, reason = ".mkv", f"{reason}; {format_name} is not written, Matroska takes it"
    muxer, audio_codec, bit_rate = _KNOWN[suffix]
    return ContainerChoice(suffix, muxer, audio_codec, bit_rate, reason)


def _own_suffix(source: Path, format_name: str) -> str:
    names = set(format_name.split(","))
    suffix = source.suffix.lower()
    if "mov" in names:
        return ".mp4" if suffix in (".mp4", ".m4v") else ".mov"
    if "matroska" in names:
        return ".webm" if suffix == ".webm" else ".mkv"
    return ".avi" if "avi" in names else "." + format_name.split(",")[0]
