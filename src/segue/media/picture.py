"""Everything Segue wants to know about a picture, from decoding it once.

`analyse_picture` decodes every frame, shrinks it to 160 columns in FFmpeg, and from these small
pictures finds the shots (`segue.media.shots`), measures colour four times and motion eight times a
second, and turns both into curves of five axes (`segue.media.embed.picture_axes`). One thumbnail
for each shot is taken on the way. Memory does not grow with the film except for the curves and the
thumbnails: about 100 kB a minute.

Definitions: `N` samples at `RATE_HZ` (4 per second), sample k at k/4 s of the picture's clock,
whose zero is the first shown frame; `C` limits between shots.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import MediaError
from segue.core.progress import Advance, silent
from segue.media.embed.picture_axes import AXES, RATE_HZ, axes, blankness
from segue.media.opening import Faults, decode, decoding, open_media
from segue.media.sampling import ColourSampler, MotionSampler, ThumbnailTaker
from segue.media.shots import ShotFinder, Shrinker, shots_between
from segue.media.source import MediaInfo, probe
from segue.media.video import Clock, Scaler

__all__ = ["AXES", "RATE_HZ", "PictureAnalysis", "analyse_picture"]

Floats = NDArray[np.float64]
_TOLERATED = 0.02
"""Difference between the decoded and the stated length from which the user is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureAnalysis:
    """What the picture of one file shows over time."""

    duration_s: Fraction
    """From the first shown frame to the end of the last one."""
    n_frames: int
    times_s: Floats
    """[N] k / RATE_HZ."""
    axes: Floats
    """[N, 5] in the order of AXES: smoothed, in standard units, within +/-2.5."""
    features: dict[str, Floats]
    """Name -> [N]; the names are those of `picture_axes.FEATURES`."""
    blank: Floats
    """[N] 1 where the picture is nearly all black or nearly all white."""
    cuts_s: tuple[Fraction, ...]
    """[C] limits between shots."""
    thumbnails: tuple[bytes, ...]
    """One JPEG file for each shot, upright; empty bytes where none could be taken."""
    damaged: int
    """Packets that could not be decoded, and were left out."""
    repaired: int
    """Frames that are damaged in parts and were used as the decoder patched them."""
    warnings: tuple[str, ...]
    """What a user should know about the file, as sentences."""

    @property
    def shots(self) -> list[tuple[Fraction, Fraction]]:
        """(start, end) of every shot in seconds, without gaps."""
        return shots_between(list(self.cuts_s), self.duration_s)

    @property
    def dark(self) -> Floats:
        """[N] share of the picture with luma below 40."""
        return self.features["dark"]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the analysis as plain arrays for an .npz file; no pickling needed."""
        sizes = [len(picture) for picture in self.thumbnails]
        return {
            "duration": np.array(_pair(self.duration_s)),
            "n_frames": np.array(self.n_frames),
            "axes": self.axes,
            "blank": self.blank,
            "cuts": np.array([_pair(cut) for cut in self.cuts_s], np.int64).reshape(-1, 2),
            "thumbnail_sizes": np.array(sizes, np.int64),
            "thumbnails": np.frombuffer(b"".join(self.thumbnails), np.uint8),
            "damaged": np.array([self.damaged, self.repaired]),
            "warnings": np.array(self.warnings, np.str_),
            **{f"feature_{name}": curve for name, curve in self.features.items()},
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> PictureAnalysis:
        """Undo `to_arrays`.

        Raises:
            KeyError: an array is missing.
        """
        ends = np.cumsum(arrays["thumbnail_sizes"])
        data = arrays["thumbnails"].tobytes()
        sizes = arrays["thumbnail_sizes"]
        n = len(arrays["axes"])
        return cls(
            duration_s=Fraction(*map(int, arrays["duration"])),
            n_frames=int(arrays["n_frames"]),
            times_s=np.arange(n) / RATE_HZ,
            axes=arrays["axes"],
            features={
                name.removeprefix("feature_"): arrays[name]
                for name in arrays
                if name.startswith("feature_")
            },
            blank=arrays["blank"],
            cuts_s=tuple(Fraction(*map(int, pair)) for pair in arrays["cuts"]),
            thumbnails=tuple(data[end - size : end] for size, end in zip(sizes, ends, strict=True)),
            damaged=int(arrays["damaged"][0]),
            repaired=int(arrays["damaged"][1]),
            warnings=tuple(map(str, arrays["warnings"])),
        )


def analyse_picture(path: str | Path, *, advance: Advance = silent) -> PictureAnalysis:
    """Decode the picture of a file once and describe it.

    Args:
        path: a video file.
        advance: called with the seconds of picture just analysed.

    Raises:
        MediaError: the file cannot be opened, has no picture, or no frame of it can be decoded.
    """
    info = probe(path)
    if info.video is None:
        raise MediaError("there is no picture in it, only sound", where=path)
    faults, finder = Faults(), ShotFinder()
    colour, motion = ColourSampler(), MotionSampler(info.video.orientation)
    thumbnails = ThumbnailTaker(Scaler(info.video.orientation, info.video.pixel_aspect, 240, 427))
    end_s, n_frames, told_s = Fraction(0), 0, Fraction(0)
    with open_media(path) as container, decoding(path):
        stream = container.streams[info.video.index]
        stream.thread_type = "AUTO"
        clock = Clock(stream)
        shrink = Shrinker(stream.time_base, transposed=info.video.orientation.transpose)
        for frame in decode(container, stream, faults):
            start_s, length_s = clock.place(frame)
            small = shrink(frame)
            new_shot = finder.push(start_s, small)
            colour.push(start_s, length_s, small)
            motion.push(start_s, small, new_shot)
            thumbnails.push(start_s, frame, small, new_shot)
            end_s, n_frames = start_s + length_s, n_frames + 1
            if end_s - told_s >= 1:
                advance(float(end_s - told_s))
                told_s = end_s
    if not n_frames:
        raise MediaError(
            f"no frame of its picture can be decoded ({faults.last or 'no frames'})", where=path
        )
    advance(float(end_s - told_s))
    n = max(1, math.ceil(end_s * RATE_HZ))
    features, bright = colour.curves(n)
    features |= motion.curves(n)
    features["pace"] = _pace(shots_between(finder.cuts_s, end_s), n)
    blank = blankness(features["dark"], bright)
    return PictureAnalysis(
        duration_s=end_s,
        n_frames=n_frames,
        times_s=np.arange(n) / RATE_HZ,
        axes=axes(features, blank),
        features=features,
        blank=blank,
        cuts_s=tuple(finder.cuts_s),
        thumbnails=tuple(thumbnails.finish(end_s)),
        damaged=faults.errors,
        repaired=faults.repaired,
        warnings=_warnings(info, end_s, faults, clock),
    )


def _pace(shots: list[tuple[Fraction, Fraction]], n: int) -> Floats:
    """Return -ln(shot length) at every sample."""
    pace = np.empty(n)
    for start_s, end_s in shots:
        value = -math.log(min(30.0, max(0.3, float(end_s - start_s))))
        pace[math.ceil(start_s * RATE_HZ) : math.ceil(end_s * RATE_HZ)] = value
    return pace


def _warnings(info: MediaInfo, end_s: Fraction, faults: Faults, clock: Clock) -> tuple[str, ...]:
    texts = []
    if faults.errors:
        texts.append(
            f"damaged places in the picture that were left out: {faults.errors} ({faults.last})"
        )
    if faults.repaired:
        texts.append(
            f"frames that are damaged in parts and were used as they are: {faults.repaired}"
        )
    if clock.splices:
        texts.append(
            f"jumps in the picture's timestamps, where its parts were joined: {clock.splices}"
        )
    read_s = info.duration_s
    if abs(read_s - end_s) > _TOLERATED * read_s:
        texts.append(
            f"{float(end_s):.2f} s of picture could be decoded, but it has {float(read_s):.2f} s"
        )
    # The header counts the longest stream; the sound may outlast the picture.
    if info.audio is not None and info.video is not None:
        sound_end_s = info.audio.start_s + info.audio.duration_s - info.video.start_s
        read_s = max(read_s, sound_end_s)
    header_s = info.container_duration_s
    if header_s is not None and abs(header_s - read_s) > _TOLERATED * header_s:
        texts.append(
            f"the file states {float(header_s):.2f} s, but its picture and sound end at "
            f"{float(read_s):.2f} s"
        )
    return tuple(texts)


def _pair(value: Fraction) -> tuple[int, int]:
    return value.numerator, value.denominator
