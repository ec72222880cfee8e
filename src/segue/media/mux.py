"""Put a mix under a picture without touching the picture.

The packets of the picture are copied as they are, with their distances in time, rotation, pixel
aspect and colour description; only the sound is encoded. The first shown frame and the first sample
of the mix are both moved to zero, so that sources that start late (MPEG-TS) or early (edit lists,
B-frames) come out in sync.

The finished file is opened again and checked before it takes its name: the number and times of the
frames, the length of the sound, their offset, and the true peak of the decoded sound. A lossy
encoder moves peaks; where it pushed one over the ceiling, the mix is limited a little more and
encoded again.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from segue.core.errors import MediaError
from segue.core.files import atomic_path
from segue.core.progress import Advance, silent
from segue.media.audio import stream_audio
from segue.media.containers import ContainerChoice, choose_container
from segue.media.limiter import limiter_gains
from segue.media.loudness import Meter
from segue.media.matroska import write_pixel_aspect
from segue.media.opening import decoding, open_media
from segue.media.packets import Copied, copied_packets, stream_like
from segue.media.source import picture_stream, probe, sound_stream

__all__ = ["MuxResult", "mux"]

Blocks = Callable[[], Iterator[np.ndarray]]

_ATTEMPTS = 3
_MARGIN_DB = 0.05  # further down than the overshoot itself, for the next encode overshoots anew
_LEAD_S = Fraction(1, 2)
"""The sound is written this far ahead of the picture, so that players need no long buffer."""
_NOT_TAGS = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MuxResult:
    """The finished film and what was checked in it."""

    path: Path
    container: str
    """FFmpeg's name of the format."""
    reason: str
    """Why this container."""
    audio_codec: str
    n_frames: int
    """Packets of the picture, the same number as in the source."""
    duration_s: float
    """Of the picture, from the first shown frame to the end of the last one."""
    sync_error_s: float
    """Start of the sound minus start of the picture."""
    loudness_lufs: float | None
    """Of the decoded sound."""
    true_peak_dbtp: float | None
    """Of the decoded sound."""
    not_carried: list[str]
    """Streams of the source that are not in the result."""
    warnings: list[str]


def mux(
    picture: Path,
    mix: Path,
    out: Path,
    true_peak_dbtp: float = -1.0,
    advance: Advance = silent,
) -> MuxResult:
    """Write the picture of one file with the sound of another.

    Args:
        picture: the film.
        mix: its new sound as WAV, on the picture's clock.
        out: where to write; its suffix is replaced by that of the chosen container.
        true_peak_dbtp: ceiling for the decoded sound.
        advance: called with the seconds of picture that were copied.

    Returns:
        what was written, with its path.

    Raises:
        MediaError: there is no picture, a file cannot be read or written, or the result does not
            hold what it should.
    """
    info = probe(picture)
    if info.video is None:
        raise MediaError("no picture in this file", where=os.fsdecode(picture))
    with open_media(picture) as container:
        stream = picture_stream(container)
        choice = choose_container(Path(picture), container.format.name, stream)
        left = _left_behind(container, stream)
    target = out.with_suffix(choice.suffix)
    frame_s = 1 / info.video.rate
    limit_db: float | None = None
    with atomic_path(target) as temporary:
        for attempt in range(_ATTEMPTS):
            copied = _write(
                picture,
                info.video.start_s,
                _sound(mix, limit_db),
                temporary,
                choice,
                advance if attempt == 0 else silent,
            )
            aspect = info.video.pixel_aspect
            if choice.muxer in ("webm", "matroska") and aspect != 1:
                write_pixel_aspect(temporary, aspect)
            checked = _check(temporary, target, copied, choice, frame_s)
            peak = checked.true_peak_dbtp
            if peak is None or peak <= true_peak_dbtp:
                break
            over_db = peak - true_peak_dbtp
            limit_db = (limit_db if limit_db is not None else peak) - over_db - _MARGIN_DB
        else:
            checked.warnings.append(
                f"true peak {peak:.2f} dBTP after encoding, {true_peak_dbtp:g} was wanted"
            )
    return MuxResult(
        path=target,
        container=choice.muxer,
        reason=choice.reason,
        audio_codec=choice.audio_codec,
        n_frames=len(copied.times_s),
        duration_s=float(info.video.duration_s),
        sync_error_s=checked.sync_error_s,
        loudness_lufs=checked.loudness_lufs,
        true_peak_dbtp=peak,
        not_carried=left,
        warnings=_complaints(copied) + checked.warnings,
    )


def _complaints(copied: Copied) -> list[str]:
    found = []
    if copied.n_left_out:
        found.append(f"{copied.n_left_out} frames without a usable time were left out")
    if copied.damage:
        found.append(f"the picture's file is damaged, copied up to there ({copied.damage})")
    return found


def _sound(mix: Path, limit_db: float | None) -> Blocks:
    def blocks() -> Iterator[np.ndarray]:
        if limit_db is None:
            yield from stream_audio(mix)
            return
        wide = (block.astype(np.float64) for block in stream_audio(mix))
        for samples, gains in limiter_gains(wide, limit_db):
            yield (samples * gains).astype(np.float32)

    return blocks


def _write(
    picture: Path,
    start_s: Fraction,
    sound: Blocks,
    out: Path,
    choice: ContainerChoice,
    advance: Advance,
) -> Copied:
    """Copy the picture's packets and encode the sound between them."""
    copied = Copied()
    options = {"movflags": "+faststart"} if choice.muxer in ("mp4", "mov") else {}
    with (
        open_media(picture) as source,
        decoding(out, "write"),
        # "file:" keeps FFmpeg from reading a protocol out of the folder's name
        av.open("file:" + os.path.abspath(out), "w", format=choice.muxer, options=options) as film,  # noqa: PTH100
    ):
        stream: Any = picture_stream(source)
        video = stream_like(film, stream)
        film.metadata.update(
            {k: v for k, v in source.metadata.items() if k.lower() not in _NOT_TAGS}
        )
        chapters = source.chapters()
        if chapters:
            film.set_chapters([_moved(chapter, start_s) for chapter in chapters])
        encoder = _Encoder(film, choice, sound())
        previous_s = Fraction(0)
        for packet in copied_packets(source, stream, start_s, copied):
            time_s = packet.pts * packet.time_base
            encoder.write_until(packet.dts * packet.time_base + _LEAD_S)
            packet.stream = video
            film.mux(packet)
            advance(max(float(time_s - previous_s), 0.0))
            previous_s = max(previous_s, time_s)
        encoder.write_until(None)
    if not copied.times_s:
        raise MediaError("no frame of the picture can be read", where=os.fsdecode(picture))
    return copied


class _Encoder:
    """Encodes the sound step by step, in time with the picture."""

    def __init__(self, film: Any, choice: ContainerChoice, blocks: Iterator[np.ndarray]) -> None:
        self._film = film
        self._blocks = blocks
        self._first = next(blocks, None)
        if self._first is None:
            raise MediaError("the mix holds no sample")
        self._rate_hz = 48_000
        self._stream = film.add_stream(choice.audio_codec, rate=self._rate_hz, layout="stereo")
        if choice.bit_rate:
            self._stream.bit_rate = choice.bit_rate
        self._position = 0

    def write_until(self, time_s: Fraction | None) -> None:
        """Encode up to a time, or everything when it is None."""
        while time_s is None or Fraction(self._position, self._rate_hz) < time_s:
            block = self._first if self._first is not None else next(self._blocks, None)
            self._first = None
            if block is None:
                break
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(block), format="fltp", layout="stereo"
            )
            frame.sample_rate = self._rate_hz
            frame.time_base = Fraction(1, self._rate_hz)
            frame.pts = self._position
            self._position += block.shape[1]
            self._film.mux(self._stream.encode(frame))
        if time_s is None:
            self._film.mux(self._stream.encode(None))


@dataclass(slots=True)
class _Checked:
    sync_error_s: float
    loudness_lufs: float | None
    true_peak_dbtp: float | None
    warnings: list[str]


def _check(
    path: Path, target: Path, copied: Copied, choice: ContainerChoice, frame_s: Fraction
) -> _Checked:
    """Read the result back: frames, times, sound.

    Raises:
        MediaError: frames are missing, or their times are not those of the source.
    """
    times_s: array[float] = array("d")
    meter: Meter | None = None
    sound_start_s: Fraction | None = None
    n_samples = rate_hz = 0
    with open_media(path) as film, decoding(target, "read back"):
        video, audio = picture_stream(film), sound_stream(film)
        for packet in film.demux(video, audio):
            if packet.stream is video:
                if packet.size:
                    at = packet.pts if packet.pts is not None else packet.dts
                    times_s.append(float(at * packet.time_base))
                continue
            for frame in packet.decode():
                if sound_start_s is None:
                    sound_start_s = frame.pts * frame.time_base
                samples = _planar(frame)
                rate_hz, n_samples = frame.sample_rate, n_samples + samples.shape[1]
                meter = meter or Meter(rate_hz, samples.shape[0])
                meter.push(samples)
    if len(times_s) != len(copied.times_s) or meter is None or sound_start_s is None:
        raise MediaError(
            f"{len(times_s)} frames were written instead of {len(copied.times_s)}",
            where=os.fsdecode(target),
            advice=f"{choice.muxer} does not take this picture as it is",
        )
    before, after = np.asarray(copied.times_s), np.asarray(times_s)
    shown = int(np.argmin(np.abs(before)))  # the first shown frame is at zero
    drift_s = float(np.abs((after - after[shown]) - (before - before[shown])).max())
    if drift_s > frame_s / 2:
        raise MediaError(
            f"the times of the frames changed by up to {drift_s:.3f} s",
            where=os.fsdecode(target),
        )
    warnings = []
    sync_error_s = float(sound_start_s) - float(after[shown])
    if abs(sync_error_s) > 1.01 * frame_s:  # AVI with B-frames is off by one frame
        warnings.append(f"the sound starts {sync_error_s:.3f} s after the picture")
    loudness = meter.result()
    return _Checked(
        round(sync_error_s, 6), loudness.integrated_lufs, loudness.true_peak_dbtp, warnings
    )


def _planar(frame: Any) -> np.ndarray:
    raw = frame.to_ndarray()
    planar = frame.format.is_planar
    samples: np.ndarray = raw if planar else raw.reshape(-1, frame.layout.nb_channels).T
    if samples.dtype.kind == "i":
        return samples / -float(np.iinfo(samples.dtype).min)
    return samples


def _left_behind(container: Any, picture: Any) -> list[str]:
    """Name the streams that are not copied; the first sound is in the mix."""
    sound = sound_stream(container)
    names = []
    for stream in container.streams:
        if stream is picture or stream is sound:
            continue
        codec = stream.codec_context.name if stream.codec_context else "unknown codec"
        language = stream.metadata.get("language", "")
        where = f", {language}" if language not in ("", "und") else ""
        names.append(f"{stream.type} stream {stream.index} ({codec}{where})")
    return names


def _moved(chapter: Any, start_s: Fraction) -> Any:
    shift = round(start_s / chapter["time_base"])
    return {
        **chapter,
        "start": max(chapter["start"] - shift, 0),
        "end": max(chapter["end"] - shift, 0),
    }
