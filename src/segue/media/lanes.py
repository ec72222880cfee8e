"""Lay clips of music out on the picture's clock, exact to the sample, with their fades.

Clips that overlap cannot share a track, so they are dealt to *lanes*, as on an editor's A and B
tracks: each clip goes to the first lane that is free. Two lanes are enough where only neighbours
overlap.

A fade follows a quarter of a sine: sin(pi/2 u) in, cos(pi/2 u) out. Where one clip fades out while
the next one fades in over the same time, the powers add up to one at every moment (equal power).
The sound of all clips is decoded once, into one scratch file, so that any part can be read at any
time and each clip's true length and loudness are known before it is placed.

All positions are whole samples at 48 kHz: round(start_s * 48000) for a start,
round((start_s + duration_s) * 48000) for an end. Times may be `Fraction`s.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from segue.core.errors import MediaError
from segue.core.progress import Advance, silent
from segue.media.audio import stream_audio
from segue.media.graph import Samples64
from segue.media.layout import Part
from segue.media.loudness import RATE_HZ, Meter
from segue.media.opening import Faults

__all__ = ["Lanes", "MixClip", "Placed"]

Seconds = float | Fraction

_SHORTEST_FADE_S = 0.01
"""A clip that begins or ends without a fade gets this one: a hard edge is a click."""
_FRAME_BYTES = 8  # one stereo sample of float32


@dataclass(frozen=True, slots=True)
class MixClip:
    """A piece of music and its place in the film."""

    path: Path
    start_s: Seconds
    """Where it begins on the picture's clock."""
    duration_s: Seconds
    source_start_s: Seconds = 0.0
    """What part of the file is heard: from here on."""
    fade_in_s: Seconds = 0.0
    fade_out_s: Seconds = 0.0
    gain_db: float = 0.0

    @classmethod
    def of(cls, part: Part, path: Path) -> MixClip:
        """Return the clip that plays a part of a layout; `path` is the part's track."""
        return cls(
            path=path,
            start_s=part.start_s,
            duration_s=part.end_s - part.start_s,
            source_start_s=part.source_start_s,
            fade_in_s=part.fade_in_s,
            fade_out_s=part.fade_out_s,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A clip in samples at 48 kHz, as it will sound."""

    clip: MixClip
    start: int
    """First sample on the picture's clock."""
    n_wanted: int
    n: int
    """Samples that the file really has there; less than `n_wanted` when it ends early."""
    fade_in: int
    fade_out: int
    offset: int
    """First sample in the scratch file."""
    lane: int
    loudness_lufs: float | None
    """Of the used part, before fades and gain."""
    gain_db: float

    @property
    def end(self) -> int:
        """One after the last sample that sounds."""
        return self.start + self.n


class Lanes:
    """Clips, decoded and placed, to be read as lanes block by block."""

    def __init__(
        self,
        clips: Sequence[MixClip],
        n_samples: int,
        scratch: Path,
        level_match: float = 0.0,
        advance: Advance = silent,
    ) -> None:
        """Decode every clip into `scratch`.

        Args:
            clips: in any order.
            n_samples: length of the film; what lies outside is cut.
            scratch: file to write, 8 bytes per sample.
            level_match: share of the tracks' distance from their mean loudness that is taken away.
            advance: called with the seconds of film that were prepared.

        Raises:
            MediaError: a clip cannot be read, has a negative time, or lies outside the film.
        """
        self.n_samples = n_samples
        self.damaged: dict[Path, int] = {}
        """Files with packets that could not be decoded, and how many."""
        self._scratch = scratch
        placed_clips: list[Placed] = []
        free_from: list[int] = []
        offset = 0
        with scratch.open("wb") as file:
            for clip in sorted(clips, key=lambda c: (c.start_s, c.duration_s)):
                placed = _place(clip, n_samples, free_from, offset)
                meter = Meter(true_peak=False)
                faults = Faults()
                n_read = 0
                for block in _part(clip, placed.n_wanted, faults):
                    file.write(np.ascontiguousarray(block.T).tobytes())
                    meter.push(block)
                    n_read += block.shape[1]
                if faults.errors:
                    self.damaged[clip.path] = self.damaged.get(clip.path, 0) + faults.errors
                lufs = meter.result().integrated_lufs
                placed_clips.append(_shortened(placed, n_read, lufs))
                offset += n_read
                advance(placed.n_wanted / RATE_HZ)
        self.n_lanes = len(free_from)
        self.placed = _matched(placed_clips, level_match)

    def blocks(self, size: int) -> Iterator[list[Samples64]]:
        """Yield for each block of the film the samples [2, size] of every lane."""
        with self._scratch.open("rb") as file:
            for start in range(0, self.n_samples, size):
                stop = min(start + size, self.n_samples)
                lanes = [np.zeros((2, stop - start)) for _ in range(max(self.n_lanes, 1))]
                for placed in self.placed:
                    first, last = max(start, placed.start), min(stop, placed.end)
                    if first >= last:
                        continue
                    file.seek(_FRAME_BYTES * (placed.offset + first - placed.start))
                    raw = np.frombuffer(file.read(_FRAME_BYTES * (last - first)), np.float32)
                    sound = raw.reshape(-1, 2).T * _envelope(placed, first, last)
                    lanes[placed.lane][:, first - start : last - start] += sound
                yield lanes


def _place(clip: MixClip, n_samples: int, free_from: list[int], offset: int) -> Placed:
    where = os.fsdecode(clip.path)
    if min(clip.start_s, clip.source_start_s, clip.fade_in_s, clip.fade_out_s) < 0:
        raise MediaError("a music clip with a negative time", where=where)
    start = round(Fraction(clip.start_s) * RATE_HZ)
    end = min(round((Fraction(clip.start_s) + Fraction(clip.duration_s)) * RATE_HZ), n_samples)
    if end <= start:
        raise MediaError(
            f"a music clip of {float(clip.duration_s):g} s at {float(clip.start_s):g} s is outside"
            f" the film, which lasts {n_samples / RATE_HZ:g} s",
            where=where,
        )
    lane = next((i for i, free in enumerate(free_from) if free <= start), len(free_from))
    free_from[lane : lane + 1] = [end]
    shortest = round(_SHORTEST_FADE_S * RATE_HZ)
    return Placed(
        clip=clip,
        start=start,
        n_wanted=end - start,
        n=end - start,
        fade_in=max(round(Fraction(clip.fade_in_s) * RATE_HZ), shortest),
        fade_out=max(round(Fraction(clip.fade_out_s) * RATE_HZ), shortest),
        offset=offset,
        lane=lane,
        loudness_lufs=None,
        gain_db=clip.gain_db,
    )


def _shortened(placed: Placed, n_read: int, lufs: float | None) -> Placed:
    fade_in, fade_out = min(placed.fade_in, n_read), min(placed.fade_out, n_read)
    return replace(placed, n=n_read, fade_in=fade_in, fade_out=fade_out, loudness_lufs=lufs)


def _matched(clips: list[Placed], share: float) -> list[Placed]:
    """Bring the loudness of the tracks together; all clips of one track get the same gain."""
    power: dict[Path, float] = {}
    length: dict[Path, int] = {}
    for placed in clips:
        if placed.loudness_lufs is not None:
            path, n = placed.clip.path, placed.n
            power[path] = power.get(path, 0.0) + n * 10 ** (placed.loudness_lufs / 10)
            length[path] = length.get(path, 0) + n
    if not power:
        return clips
    lufs_of = {path: 10 * math.log10(power[path] / length[path]) for path in power}
    mean = sum(lufs_of[path] * length[path] for path in power) / sum(length.values())
    return [
        replace(p, gain_db=p.gain_db + share * (mean - lufs_of.get(p.clip.path, mean)))
        for p in clips
    ]


def _part(clip: MixClip, n_wanted: int, faults: Faults) -> Iterator[np.ndarray]:
    """Yield the wanted part of a file, [2, n] float32."""
    skip, left = round(Fraction(clip.source_start_s) * RATE_HZ), n_wanted
    for block in stream_audio(clip.path, RATE_HZ, 2, faults=faults):
        used = block[:, skip : skip + left]
        skip = max(skip - block.shape[1], 0)
        left -= used.shape[1]
        if used.shape[1]:
            yield used
        if left <= 0:
            return


def _envelope(placed: Placed, first: int, last: int) -> Samples64:
    """Return the gain [last - first] of a clip's samples, fades included."""
    gain = np.full(last - first, 10 ** (placed.gain_db / 20))
    if first < placed.start + placed.fade_in:
        gain *= _ramp(np.arange(first, last) - placed.start, placed.fade_in)
    if last > placed.end - placed.fade_out:
        # The mirror image of a fade in, so that two equal fades meet at the same sample.
        gain *= _ramp(placed.end - 1 - np.arange(first, last), placed.fade_out)
    return gain


def _ramp(position: np.ndarray, length: int) -> Samples64:
    """Return sin(pi/2 u) at the middle of each sample: u = (position + 1/2) / length."""
    ramp: Samples64 = np.sin(np.pi / 2 * np.clip((position + 0.5) / max(length, 1), 0.0, 1.0))
    return ramp
