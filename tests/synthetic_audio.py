"""Sound made by rule, so that the right answer is known: tones, clicks, chords, files of any codec.

All samples are float32 in +/-1, [n] for one channel and [C, n] for several; rates in Hz.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

Samples = NDArray[np.float32]

MAJOR = (0, 4, 7)
MINOR = (0, 3, 7)


def tone(
    frequency_hz: float, duration_s: float, rate_hz: int = 22050, level: float = 0.5
) -> Samples:
    """A sine."""
    time_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    return (level * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.float32)


def note(pitch: float, duration_s: float, rate_hz: int = 22050, level: float = 0.2) -> Samples:
    """Five harmonics of a MIDI pitch with a short attack and an exponential decay."""
    time_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    frequency_hz = 440 * 2 ** ((pitch - 69) / 12)
    harmonics = [0.6**h * np.sin(2 * np.pi * (h + 1) * frequency_hz * time_s) for h in range(5)]
    envelope = np.minimum(time_s / 0.01, 1) * np.exp(-1.5 * time_s / duration_s)
    envelope *= np.minimum((duration_s - time_s) / 0.01, 1)
    return (level * envelope * np.sum(harmonics, axis=0)).astype(np.float32)


def clicks(
    bpm: float,
    duration_s: float,
    rate_hz: int = 22050,
    offset_s: float = 0.0,
    accent_every: int = 0,
) -> Samples:
    """A short 1 kHz burst on every beat; every `accent_every`-th is lower and twice as loud."""
    out = np.zeros(round(duration_s * rate_hz), np.float32)
    time_s = np.arange(round(0.03 * rate_hz)) / rate_hz
    fade = np.exp(-time_s / 0.006)
    for index, start_s in enumerate(np.arange(offset_s, duration_s, 60 / bpm)):
        accent = accent_every and index % accent_every == 0
        burst = (0.8 if accent else 0.35) * np.sin(2 * np.pi * (220 if accent else 1000) * time_s)
        start = round(start_s * rate_hz)
        part = (burst * fade)[: len(out) - start]
        out[start : start + len(part)] += part
    return out


def chords(
    roots: Sequence[int],
    kind: Sequence[int] | Sequence[Sequence[int]],
    chord_s: float = 1.0,
    rate_hz: int = 22050,
) -> Samples:
    """One triad after another.

    Args:
        roots: MIDI pitch of each root.
        kind: intervals of the chord (MAJOR, MINOR), for all or one per root.
        chord_s: length of each.
        rate_hz: sample rate.
    """
    kinds = kind if isinstance(kind[0], Sequence) else [kind] * len(roots)
    return np.concatenate(
        [
            np.sum([note(root + step, chord_s, rate_hz) for step in steps], axis=0)
            for root, steps in zip(roots, kinds, strict=True)
        ]
    )


def cadence(tonic: int, minor: bool, bars: int = 4, chord_s: float = 1.0) -> Samples:
    """I-IV-V-I in major, i-iv-V-i in (harmonic) minor, `bars` times."""
    own = MINOR if minor else MAJOR
    roots = [tonic, tonic + 5, tonic + 7, tonic] * bars
    return chords(roots, [own, own, MAJOR, own] * bars, chord_s)


def noise(duration_s: float, seed: int, rate_hz: int = 22050, level: float = 0.1) -> Samples:
    """White noise."""
    generator = np.random.default_rng(seed)
    return (level * generator.standard_normal(round(duration_s * rate_hz))).astype(np.float32)


def write_audio(
    path: Path,
    samples: Samples,
    rate_hz: int,
    codec: str,
    layout: str | None = None,
    start_s: float = 0.0,
    tags: dict[str, str] | None = None,
    sample_format: str | None = None,
) -> Path:
    """Encode a file with PyAV; the container follows the suffix of the path.

    Args:
        path: where to.
        samples: [n] or [C, n].
        rate_hz: sample rate.
        codec: for example pcm_s16le, pcm_u8, flac, libmp3lame, aac; "vorbis" is written by
            soundfile, since PyAV has no encoder for it.
        layout: mono, stereo, 5.1 ...; default by the number of channels.
        start_s: time stamp of the first sample.
        tags: container tags.
        sample_format: what the encoder gets; None takes its first choice.
    """
    samples = np.atleast_2d(samples).astype(np.float32)
    if codec == "vorbis":
        soundfile.write(path, samples.T, rate_hz, format="OGG", subtype="VORBIS")
        return path
    layout = layout or {1: "mono", 2: "stereo", 6: "5.1"}[samples.shape[0]]
    with av.open(str(path), "w") as container:
        container.metadata.update(tags or {})
        stream = container.add_stream(codec, rate=rate_hz, layout=layout)
        if sample_format:
            stream.codec_context.format = sample_format
        resampler = av.AudioResampler(format=stream.codec_context.format, layout=layout)
        size = stream.codec_context.frame_size or 1024
        for start in range(0, samples.shape[1], size):
            block = np.ascontiguousarray(samples[:, start : start + size])
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
            frame.sample_rate = rate_hz
            frame.time_base = Fraction(1, rate_hz)
            frame.pts = start + round(start_s * rate_hz)
            for ready in resampler.resample(frame):
                container.mux(stream.encode(ready))
        container.mux(stream.encode(None))
    return path
