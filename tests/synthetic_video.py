"""Small generated videos with known cuts, clocks, shapes and sound.

    write_video(path, [(1.0, "red"), (1.0, "noise")])

writes two shots of one second. Every shot moves a little, so that no two frames are equal, and its
content depends on its name alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

COLOURS = {  # all differ in luma, which is what shot detection looks at
    "red": (200, 30, 30),
    "green": (30, 160, 40),
    "blue": (20, 30, 160),
    "yellow": (220, 200, 40),
    "grey": (150, 150, 150),
    "white": (250, 250, 250),
    "black": (0, 0, 0),
}
SOUND_RATE_HZ = 48_000


def picture(name: str, index: int, width: int, height: int) -> NDArray[np.uint8]:
    """Return frame `index` of a kind of shot, as RGB [height, width, 3].

    Kinds: a name of COLOURS (a flat field with a small moving square; "black" and "white" are
    exactly flat), "still" (a textured field that does not move), "pan" (the field slides by a
    fiftieth of the width each frame), "noise" (new noise in each frame), "corner" (white quarter at
    the top left of a grey field: shows the orientation).
    """
    if name in ("black", "white"):
        return np.full((height, width, 3), COLOURS[name], np.uint8)
    if name == "corner":
        image = np.full((height, width, 3), 60, np.uint8)
        image[: height // 2, : width // 2] = 240
        return image
    if name == "noise":
        noise = np.random.default_rng([7, index]).integers(0, 256, (height, width), np.uint8)
        return np.repeat(noise[:, :, None], 3, axis=2)
    if name in ("still", "pan"):
        y, x = np.mgrid[:height, :width]
        shift = index * width / 50 if name == "pan" else 0.0
        u, v = (x + shift) / width * 2 * np.pi, y / height * 2 * np.pi
        wave = np.sin(5 * u) * np.cos(4 * v) + 0.5 * np.sin(13 * u + 7 * v)
        grey = (128 + 70 * wave).clip(0, 255).astype(np.uint8)
        return np.stack([grey, grey, (grey * 0.8).astype(np.uint8)], axis=2)
    image = np.empty((height, width, 3), np.uint8)
    image[:] = COLOURS[name]
    size = max(1, min(width, height) // 6)
    left = (index * 3 + zlib.crc32(name.encode()) % width) % max(1, width - size)
    image[height // 3 : height // 3 + size, left : left + size] = 255 - image[0, 0]
    return image


def write_video(
    path: Path,
    shots: Sequence[tuple[float, str]],
    *,
    rate: Fraction | int = 24,
    size: tuple[int, int] = (96, 64),
    codec: str = "mpeg4",
    pixel_format: str = "yuv420p",
    audio: str | None = None,
    times_s: Sequence[Fraction] | None = None,
    start_s: Fraction | int = 0,
    rotation: int = 0,
    pixel_aspect: Fraction | int = 1,
    timecode: str = "",
    tags: dict[str, str] | None = None,
) -> Path:
    """Write a video file; returns its path. The container follows from the suffix.

    Args:
        path: the file.
        shots: (seconds, kind of `picture`) in order.
        rate: frames per second.
        size: coded width and height.
        codec: FFmpeg encoder. mpeg4 is fast; "libx264" and "ffv1" take odd sizes with yuv444p.
        pixel_format: of the encoder.
        audio: None, "tone" (220 Hz), "silence", or "bursts" (a tone in every other shot).
        times_s: start of each frame, for variable frame rate; default is index / rate.
        start_s: container time of the first frame (and of the sound).
        rotation: display rotation in degrees clockwise (mp4 and mov).
        pixel_aspect: width of a pixel over its height.
        timecode: start timecode (mov).
        tags: tags of the container.
    """
    rate = Fraction(rate)
    width, height = size
    counts = [max(1, round(seconds * rate)) for seconds, _ in shots]
    with av.open(str(path), "w") as container:
        container.metadata.update(tags or {})
        video = container.add_stream(codec, rate=rate)
        video.width, video.height, video.pix_fmt = width, height, pixel_format
        video.codec_context.gop_size = 12
        video.codec_context.max_b_frames = 0
        video.codec_context.bit_rate = 2_000_000
        video.codec_context.sample_aspect_ratio = Fraction(pixel_aspect)
        regular = times_s is None and (start_s * rate).denominator == 1
        video.codec_context.time_base = 1 / rate if regular else Fraction(1, 60_000)
        if rotation:
            video.set_display_rotation(-rotation)
        if timecode:
            video.metadata["timecode"] = timecode
        sound = _add_sound(container, path) if audio else None
        index = 0
        for (_, name), count in zip(shots, counts, strict=True):
            for i in range(count):
                if times_s is not None and index >= len(times_s):
                    break
                time_s = start_s + (times_s[index] if times_s is not None else index / rate)
                frame = av.VideoFrame.from_ndarray(picture(name, i, width, height), format="rgb24")
                frame = frame.reformat(format=pixel_format)
                frame.time_base = video.codec_context.time_base
                frame.pts = round(time_s / frame.time_base)
                container.mux(video.encode(frame))
                index += 1
        container.mux(video.encode(None))
        if sound is not None:
            spans = [float(count / rate) for count in counts]
            _write_sound(container, sound, _samples(audio or "", spans), start_s)
    return path


def write_sound(path: Path, seconds: float, kind: str = "tone") -> Path:
    """Write a file without a picture."""
    with av.open(str(path), "w") as container:
        _write_sound(container, _add_sound(container, path), _samples(kind, [seconds]), 0)
    return path


def _add_sound(container: av.container.OutputContainer, path: Path) -> av.AudioStream:
    codec = {".webm": "libopus", ".avi": "mp3", ".wav": "pcm_s16le", ".mp3": "mp3"}
    return container.add_stream(codec.get(path.suffix, "aac"), rate=SOUND_RATE_HZ, layout="stereo")


def _samples(kind: str, spans: Sequence[float]) -> NDArray[np.float32]:
    """Return mono samples that cover the spans."""
    parts = []
    for i, seconds in enumerate(spans):
        t = np.arange(round(seconds * SOUND_RATE_HZ)) / SOUND_RATE_HZ
        loud = kind == "tone" or (kind == "bursts" and i % 2 == 0)
        parts.append(0.3 * np.sin(2 * np.pi * 220 * t) * loud)
    return np.concatenate(parts).astype(np.float32)


def _write_sound(
    container: av.container.OutputContainer,
    stream: av.AudioStream,
    samples: NDArray[np.float32],
    start_s: Fraction | int,
) -> None:
    resampler = av.AudioResampler(stream.codec_context.format, "stereo", SOUND_RATE_HZ)
    block = 1024
    for begin in range(0, len(samples), block):
        part = np.stack([samples[begin : begin + block]] * 2)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), "fltp", "stereo")
        frame.sample_rate = SOUND_RATE_HZ
        frame.time_base = Fraction(1, SOUND_RATE_HZ)
        frame.pts = begin + round(start_s * SOUND_RATE_HZ)
        for converted in resampler.resample(frame):
            container.mux(stream.encode(converted))
    container.mux(stream.encode(None))
