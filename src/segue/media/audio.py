"""Sound on disk: read it, stream it at any rate; `write_wav` is offered here as well.

Decoding goes through PyAV (FFmpeg), resampling through soxr ("HQ", the quality librosa uses). Time
is taken from the time stamps, never counted: a stream that starts late or has a hole is filled with
silence, an overlap is cut, so that sample `n` always belongs to second `n / rate_hz`.

Second 0 is the first frame of the picture when the file has one (sound that starts earlier is cut),
otherwise the first sound in the file. A caller with a better clock passes `origin_s`.

Down-mixing: one channel is the plain mean of two (as in librosa). More than two channels are folded
to two by ITU-R BS.775 (centre and surrounds at -3 dB, no LFE), scaled so that nothing can clip.

Letters: `C` channels, `n` samples. Samples are float32, full scale is +/-1.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from segue.core.errors import MediaError
from segue.media.opening import Faults, decode, open_media
from segue.media.source import picture_stream, sound_stream
from segue.media.wav import write_wav

__all__ = ["Audio", "read_audio", "stream_audio", "write_wav"]

Samples = NDArray[np.float32]
_Raw = tuple[Any, int, tuple[str, ...]]
"""[C, n] of the file's own sample type, its rate in Hz, the names of its channels."""

_TOLERANCE_S = 0.025
"""Time stamps in Matroska are rounded to 1 ms and AVI drifts by a packet: no hole, no overlap."""
_START_TOLERANCE_S = 0.0015
"""The first sample is placed to the rounding of the container."""
_LONGEST_HOLE_S = 3600.0
"""A larger jump is a broken clock, not a pause: the clock is set anew."""
_FAULT_LIMIT = 0.2
"""A stream with more faults than this share of its decoded frames is refused."""
_BATCH = 1 << 14
"""Samples that are joined before they are resampled: fewer calls, but short arrays that need no new
memory from the system."""

_FOLD = {  # channel -> (gain into left, gain into right)
    "FL": (1.0, 0.0), "FR": (0.0, 1.0), "FC": (0.7071, 0.7071), "LFE": (0.0, 0.0),
    "BL": (0.7071, 0.0), "BR": (0.0, 0.7071), "SL": (0.7071, 0.0), "SR": (0.0, 0.7071),
    "BC": (0.5, 0.5), "FLC": (0.7071, 0.0), "FRC": (0.0, 0.7071),
    "DL": (1.0, 0.0), "DR": (0.0, 1.0),
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Audio:
    """Sound in memory."""

    samples: Samples
    """[C, n] float32, full scale +/-1."""
    rate_hz: int
    """Samples per second and channel."""
    damaged_packets: int = 0
    """Packets that could not be decoded; silence stands in their place."""

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return float(self.samples.shape[1] / self.rate_hz)


def read_audio(
    path: Path,
    rate_hz: int | None = None,
    *,
    mono: bool = False,
    start_s: float = 0.0,
    duration_s: float | None = None,
    origin_s: Fraction | None = None,
) -> Audio:
    """Read the first sound stream of a file into memory.

    Args:
        path: any file that FFmpeg decodes and that is not a playlist.
        rate_hz: rate of the result; None keeps the file's own.
        mono: one channel instead of the file's own number.
        start_s: where to begin.
        duration_s: how much to read at most; None reads to the end.
        origin_s: container time that counts as second 0; None: as told in the module's docstring.

    Raises:
        MediaError: the file cannot be opened or decoded, has no sound or none in the wanted range,
            or holds values that are not numbers.
    """
    faults = Faults()
    source = _Source(path, rate_hz, 1 if mono else None, faults, origin_s)
    parts: list[Samples] = []
    position = 0
    for block in source.blocks():
        first = max(round(start_s * source.rate_hz) - position, 0)
        last = block.shape[1]
        if duration_s is not None:
            last = min(last, round((start_s + duration_s) * source.rate_hz) - position)
        position += block.shape[1]
        if first < last:
            parts.append(block[:, first:last])
        if last < block.shape[1]:
            break
    if not parts:
        raise MediaError(
            f"no sound after {start_s:g} s" if start_s else "the sound stream holds no sample",
            where=os.fsdecode(path),
            advice="Give a file with sound in it",
        )
    return Audio(np.concatenate(parts, axis=1), source.rate_hz, faults.errors)


def stream_audio(
    path: Path,
    rate_hz: int | None = None,
    channels: int | None = None,
    block: int = 1 << 16,
    *,
    origin_s: Fraction | None = None,
    faults: Faults | None = None,
) -> Iterator[Samples]:
    """Yield the sound of a file in constant memory.

    Args:
        path: any file that FFmpeg decodes and that is not a playlist.
        rate_hz: rate of the result; None keeps the file's own.
        channels: 1, 2, or None for the file's own number.
        block: samples of each yielded array; the last one may be shorter.
        origin_s: as for `read_audio`.
        faults: counts the packets that could not be decoded; silence stands in their place.

    Yields:
        [C, block] float32.

    Raises:
        MediaError: as for `read_audio`; a stream without any sample yields nothing.
    """
    waiting: list[Samples] = []
    n_waiting = 0
    for part in _Source(path, rate_hz, channels, faults or Faults(), origin_s).blocks():
        waiting.append(part)
        n_waiting += part.shape[1]
        if n_waiting >= block:
            whole = np.concatenate(waiting, axis=1)
            n_full = n_waiting - n_waiting % block
            for start in range(0, n_full, block):
                yield whole[:, start : start + block]
            waiting, n_waiting = [whole[:, n_full:]], n_waiting - n_full
    if n_waiting:
        yield np.concatenate(waiting, axis=1)


class _Source:
    """One pass over the sound stream of a file: decode, place in time, fold, resample."""

    def __init__(
        self,
        path: Path,
        rate_hz: int | None,
        channels: int | None,
        faults: Faults,
        origin_s: Fraction | None,
    ) -> None:
        self.path = path
        self.rate_hz = rate_hz or 0
        self._channels = channels or 0
        self._faults = faults
        self._origin_s = origin_s

    def blocks(self) -> Iterator[Samples]:
        """Yield [C, any] at the wanted rate."""
        import soxr

        resampler: Any = None
        source_hz = 0
        for raw, rate_hz, names in self._timed():
            samples = self._folded(raw, names)
            self.rate_hz = self.rate_hz or rate_hz
            if rate_hz != source_hz:  # the first block, or a stream that changes its rate
                if resampler is not None:
                    yield _resampled(resampler, samples[:, :0], last=True)
                source_hz, resampler = rate_hz, None
                if rate_hz != self.rate_hz:
                    resampler = soxr.ResampleStream(
                        rate_hz, self.rate_hz, samples.shape[0], dtype="float32", quality="HQ"
                    )
            yield samples if resampler is None else _resampled(resampler, samples)
        if resampler is not None:
            yield _resampled(resampler, np.zeros((self._channels, 0), np.float32), last=True)

    def _timed(self) -> Iterator[_Raw]:
        """Yield runs of decoded sound at the file's own rate, holes filled and overlaps cut."""
        clock = rate_hz = origin = 0  # in samples at the file's own rate
        tolerance_s = _START_TOLERANCE_S
        per_tick = (1, 1)  # samples in one unit of the time stamps
        kind: Any = None
        run = _Run(self.path, ())
        for frame in self._frames():
            if (frame.sample_rate, frame.format.name, frame.layout) != kind:
                yield from run.drained(rate_hz)
                kind = (frame.sample_rate, frame.format.name, frame.layout)
                clock = clock * frame.sample_rate // max(rate_hz, 1)
                rate_hz = frame.sample_rate
                per_tick = (Fraction(frame.time_base or 1) * rate_hz).as_integer_ratio()
                origin = round((self._origin_s or 0) * rate_hz)
                run = _Run(self.path, tuple(channel.name for channel in frame.layout.channels))
            n_late = 0
            if (pts := frame.pts) is not None:
                begins = pts * per_tick[0] // per_tick[1]
                if self._origin_s is None:
                    self._origin_s, origin = Fraction(pts * frame.time_base), begins
                ahead = begins - origin - clock
                if abs(ahead) > _LONGEST_HOLE_S * rate_hz:
                    origin += ahead  # a broken clock: carry on where we are
                elif ahead > tolerance_s * rate_hz:
                    yield from run.drained(rate_hz)
                    clock += ahead
                    for start in range(0, ahead, _BATCH):
                        width = min(_BATCH, ahead - start)
                        yield np.zeros((len(run.names), width), np.float32), rate_hz, run.names
                elif ahead < -tolerance_s * rate_hz:
                    yield from run.drained(rate_hz)
                    n_late = min(-ahead, frame.samples)
            if n_late < frame.samples:
                tolerance_s = _TOLERANCE_S
                clock += frame.samples - n_late
                if run.add(frame, n_late) >= _BATCH:
                    yield from run.drained(rate_hz)
        yield from run.drained(rate_hz)

    def _folded(self, samples: Any, names: tuple[str, ...]) -> Samples:
        """Return [C, n] float32 with the wanted number of channels."""
        if samples.dtype == np.uint8:
            samples = (samples.astype(np.float32) - 128) / 128
        elif samples.dtype.kind == "i":
            samples = samples.astype(np.float32) / -float(np.iinfo(samples.dtype).min)
        samples = samples.astype(np.float32, copy=False)
        self._channels = self._channels or len(names)
        folded = _fold(samples, names, self._channels)
        if not np.isfinite(folded).all():  # in no way of folding is such a value lost
            raise MediaError(
                "sound with values that are not finite numbers (NaN or infinity)",
                where=os.fsdecode(self.path),
                advice="Write the file again from its source",
            )
        return folded

    def _frames(self) -> Iterator[Any]:
        n_frames = 0
        with open_media(self.path) as container:
            stream = sound_stream(container)
            if stream is None:
                raise MediaError("no sound in this file", where=os.fsdecode(self.path))
            picture = picture_stream(container)
            if self._origin_s is None and picture is not None and picture.start_time is not None:
                self._origin_s = picture.start_time * Fraction(picture.time_base)
            for frame in decode(container, stream, self._faults):
                n_frames += 1
                yield frame
        if self._faults.errors > max(2, _FAULT_LIMIT * n_frames):
            raise MediaError(
                f"{self._faults.errors} faults in {n_frames} sound frames ({self._faults.last})",
                where=os.fsdecode(self.path),
                advice="The file is damaged; get a fresh copy",
            )


class _Run:
    """Frames of one kind that follow each other without a gap, on their way to one array.

    FFmpeg joins them: many codecs have a thousand samples in a frame or fewer, and a few calls of
    numpy for each would cost more than decoding.
    """

    def __init__(self, path: Path, names: tuple[str, ...]) -> None:
        self.names = names
        self._path = path
        self._fifo = av.AudioFifo()
        self._n_late = 0

    def add(self, frame: Any, n_late: int) -> int:
        """Append a frame; returns how many samples wait.

        Args:
            frame: of the same kind as those before.
            n_late: leave out so many samples at its start; only when nothing waits.
        """
        frame.pts = None  # or the queue checks the time stamps itself
        try:
            self._fifo.write(frame)
        except Exception as error:
            raise self._failed(error) from error
        self._n_late = self._n_late or n_late
        return int(self._fifo.samples)

    def drained(self, rate_hz: int) -> Iterator[_Raw]:
        """Yield what waits, [C, n] in its own sample type."""
        if not self._fifo.samples:
            return
        try:
            raw = self._fifo.read().to_ndarray()
        except Exception as error:
            raise self._failed(error) from error
        planar = raw if len(raw) == len(self.names) else raw.reshape(-1, len(self.names)).T
        n_late, self._n_late = self._n_late, 0
        yield planar[:, n_late:], rate_hz, self.names

    def _failed(self, error: Exception) -> MediaError:
        return MediaError(f"cannot decode its sound ({error})", where=os.fsdecode(self._path))


def _fold(samples: Samples, names: tuple[str, ...], wanted: int) -> Samples:
    """Return [wanted, n] from [len(names), n]."""
    if wanted == len(names):
        return samples
    if len(names) == 1:
        return np.repeat(samples, wanted, axis=0)
    if len(names) > 2 and all(name in _FOLD for name in names):
        gains = np.array([_FOLD[name] for name in names], np.float32).T  # [2, C]
        samples = (gains / gains.sum(axis=1).max()) @ samples
    if samples.shape[0] == wanted:
        return samples
    if len(samples) == 2:
        return np.asarray((samples[:1] + samples[1:]) * np.float32(0.5))
    mean = samples.mean(axis=0, dtype=np.float32, keepdims=True)
    return np.repeat(mean, wanted, axis=0)


def _resampled(resampler: Any, samples: Samples, *, last: bool = False) -> Samples:
    out = resampler.resample_chunk(np.ascontiguousarray(samples.T), last=last)
    return np.asarray(out.T, np.float32)
