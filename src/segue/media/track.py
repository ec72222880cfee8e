"""One track: everything that scoring, mixing and reporting need to know about a piece of music.

Letters: `T` frames of `hop_s` seconds, `B` beats, `W` windows of ten seconds. Levels in dB relative
to full scale. All times in seconds from the first sample.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError, MediaError

__all__ = ["N_PEAKS", "WINDOW_S", "TrackAnalysis", "analyse_track"]

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]

WINDOW_S = 10.0
"""Length of the windows of `window_axes`; arousal is steady over this length, valence is not."""
_WINDOW_STEP_S = 5.0
N_PEAKS = 600
"""Values of the waveform picture."""

_SILENT = 10 ** (-70 / 20)
"""A file that never exceeds -70 dB of full scale is not music."""
_AUDIBLE_BELOW_PEAK = 10 ** (-50 / 20)
_AUDIBLE = 10 ** (-66 / 20)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrackAnalysis:
    """What is known about a piece of music."""

    path: Path
    """Where it was found (not part of the cached content)."""
    sha256: str
    """Of the file's content; empty when the file was analysed directly."""
    duration_s: float
    """By its decoded samples."""
    source_rate_hz: int
    """Sample rate of the file."""
    source_channels: int
    """Channels of the file."""
    tempo_bpm: float
    """Beats per minute, 0 without a pulse; may be half or double of what one taps."""
    beats_s: Doubles
    """[B]."""
    downbeats_s: Doubles
    """First beats of bars: a guess, see `rhythm.py`."""
    beats_per_bar: int
    """3 or 4, 0 without beats."""
    hop_s: float
    """Seconds between frames (512 / 22050)."""
    onset_strength: Floats
    """[T] mean rise of the mel bands in dB."""
    level_db: Floats
    """[T] RMS, at least -100."""
    rms: float
    """Mean of the frames' RMS, linear."""
    centroid_hz: float
    """Mean spectral centroid."""
    mfcc: Doubles
    """[13] means of the mel-frequency cepstral coefficients."""
    chroma: Doubles
    """[12] pitch class profile, C first, largest value 1."""
    key: str
    """For example "F# minor"."""
    mode: float
    """Positive for major, negative for minor; within about .05 of 0 it is open."""
    affect: Doubles
    """[10] in the order of `affect_features.AFFECT`."""
    timbre: Doubles
    """[25] in the order of `affect_features.TIMBRE`."""
    axes: Doubles
    """[5] arousal, valence, tension, pace, brightness of the whole track, -2.5..2.5."""
    window_starts_s: Doubles
    """[W] beginnings of ten-second windows, every five seconds; one for a short track."""
    window_axes: Doubles
    """[W, 5] the axes of each window."""
    active_start_s: float
    """Where it becomes audible."""
    active_end_s: float
    """Where it stops being audible."""
    peaks: Floats
    """[600] largest absolute sample in each 600th of the track: a picture of its waveform."""
    tags: dict[str, str] = field(default_factory=dict)
    """Title, artist, album, licence...; keys in lower case, as the file has them."""
    warnings: tuple[str, ...] = ()
    """What is not quite right with the file."""

    @property
    def title(self) -> str:
        """The title tag, else the name of the file."""
        return self.tags.get("title", "").strip() or self.path.stem

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the analysis without its path, as arrays for an .npz file."""
        arrays: dict[str, NDArray[Any]] = {}
        plain: dict[str, Any] = {}
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if isinstance(value, np.ndarray):
                arrays[item.name] = value
            elif item.name != "path":
                plain[item.name] = value
        text = json.dumps(plain, ensure_ascii=True)
        return arrays | {"plain": np.frombuffer(text.encode(), np.uint8)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]], path: Path) -> Self:
        """Undo `to_arrays`.

        Raises:
            DataError: a field is missing or has the wrong shape or type.
        """
        try:
            values: dict[str, Any] = json.loads(bytes(arrays["plain"]))
            values |= {name: a for name, a in arrays.items() if name != "plain"}
            values["warnings"] = tuple(values["warnings"])
            track = cls(path=path, **values)
            shapes = {"mfcc": (13,), "chroma": (12,), "axes": (5,), "peaks": (N_PEAKS,),
                      "affect": (10,), "timbre": (25,), "level_db": track.onset_strength.shape,
                      "window_axes": (len(track.window_starts_s), 5)}  # fmt: skip
            numbers = [getattr(track, f.name) for f in dataclasses.fields(cls)
                       if f.type in ("Doubles", "Floats")]  # fmt: skip
            if any(getattr(track, name).shape != shape for name, shape in shapes.items()) or any(
                a.dtype.kind != "f" or not np.isfinite(a).all() for a in numbers
            ):
                raise ValueError("wrong shape or not a number")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"not the analysis of a track ({error})", where=path) from None
        return track


def analyse_track(path: str | Path) -> TrackAnalysis:
    """Listen to a whole file once and describe it (about .14 CPU s per minute of music).

    Raises:
        MediaError: the file cannot be opened or decoded, has no sample, or is silent.
    """
    from segue.media import audio, music_features, rhythm
    from segue.media.affect_features import Stretch
    from segue.media.embed.music_axes import music_axes
    from segue.media.key import find_key, pitch_profile
    from segue.media.opening import Faults
    from segue.media.source import probe
    from segue.media.spectrum import HOP_S, RATE_HZ

    path = Path(path)
    where = os.fsdecode(path)
    info = probe(path)
    faults = Faults()
    stream = audio.stream_audio(path, RATE_HZ, 1, faults=faults)
    frames = music_features.measure(block[0] for block in stream)
    if not frames.n_samples:
        raise MediaError("the sound stream holds no sample", where=where)
    loudest = float(frames.peaks.max())
    if loudest < _SILENT:
        raise MediaError("it is silent from beginning to end", where=where)
    stretch = Stretch(frames)
    low = music_features.onset_strength(frames.mel[:, :8])  # below 200 Hz
    found = rhythm.find_rhythm(stretch.onset, low, frames.chroma)
    profile = pitch_profile(frames.chroma, frames.rms)
    key = find_key(profile)
    starts = _window_starts(frames.duration_s)
    spans = [(round(s / HOP_S), round((s + WINDOW_S) / HOP_S)) for s in starts]
    spans = [(a, min(b, len(frames.rms))) for a, b in spans]
    affect, timbre = stretch.affect(), stretch.timbre()
    audible = np.nonzero(frames.peaks >= max(_AUDIBLE, loudest * _AUDIBLE_BELOW_PEAK))[0]
    second = music_features.PEAK_HOP / RATE_HZ
    warnings = []
    if faults.errors:
        warnings.append(f"{faults.errors} damaged packets were left out ({faults.last})")
    promised_s = float(info.container_duration_s or 0)
    if abs(promised_s - frames.duration_s) > max(0.5, 0.02 * frames.duration_s) and promised_s:
        warnings.append(f"plays {frames.duration_s:.1f} s; its header says {promised_s:.1f} s")
    return TrackAnalysis(
        path=path,
        sha256="",
        duration_s=frames.duration_s,
        source_rate_hz=info.audio.rate_hz if info.audio else 0,
        source_channels=info.audio.channels if info.audio else 0,
        tempo_bpm=found.tempo_bpm,
        beats_s=found.beats_s,
        downbeats_s=found.downbeats_s,
        beats_per_bar=found.beats_per_bar,
        hop_s=HOP_S,
        onset_strength=stretch.onset,
        level_db=(20 * np.log10(np.maximum(frames.rms, 1e-5))).astype(np.float32),
        rms=float(frames.rms.mean(dtype=np.float64)),
        centroid_hz=float(frames.centroid_hz.mean(dtype=np.float64)),
        mfcc=timbre[5:18],
        chroma=profile,
        key=key.name,
        mode=key.mode,
        affect=affect,
        timbre=timbre,
        axes=music_axes(affect, timbre),
        window_starts_s=starts,
        window_axes=music_axes(
            np.array([stretch.affect(*span) for span in spans]),
            np.array([stretch.timbre(*span) for span in spans]),
        ),
        active_start_s=float(audible[0] * second),
        active_end_s=float(min((audible[-1] + 1) * second, frames.duration_s)),
        peaks=_picture(frames.peaks),
        tags=info.tags,
        warnings=tuple(warnings),
    )


def _window_starts(duration_s: float) -> Doubles:
    """Return [W] starts every five seconds; the last window ends with the track."""
    last = duration_s - WINDOW_S
    if last <= 0:
        return np.zeros(1)
    starts = np.arange(0, last, _WINDOW_STEP_S)
    # A last step of under a second would repeat its neighbour.
    return np.append(starts[starts < last - 1] if len(starts) > 1 else starts, last)


def _picture(peaks: Floats) -> Floats:
    edges = np.linspace(0, len(peaks), N_PEAKS + 1)
    start = np.minimum(edges[:-1].astype(int), len(peaks) - 1)
    stop = np.maximum(np.ceil(edges[1:]).astype(int), start + 1)
    return np.array([peaks[a:b].max() for a, b in zip(start, stop, strict=True)], np.float32)
