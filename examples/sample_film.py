"""Make a short sample film: six drawn scenes of different mood, room sound, and invented speech.

Everything is synthesised; nothing was filmed or recorded. The speech is a buzz through moving
resonances, with the rhythm of syllables but no words: enough to duck the music under.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

__all__ = ["SCENES", "make_film"]

RATE = 24
SOUND_RATE = 48_000
Canvas = ImageDraw.ImageDraw


def dawn(draw: Canvas, w: int, h: int, t: float, cut: int) -> None:
    """Draw a slow, warm sunrise."""
    for y in range(0, h, 4):
        level = y / h
        red, green = int(90 + 20 * t + 60 * level), int(70 + 12 * t + 40 * level)
        draw.rectangle((0, y, w, y + 4), fill=(min(red, 255), min(green, 235), 130))
    x, y = w * 0.6, h * (0.8 - 0.03 * t)
    draw.ellipse((x - h / 8, y - h / 8, x + h / 8, y + h / 8), fill=(255, 226, 150))
    draw.rectangle((0, int(h * 0.8), w, h), fill=(60, 70, 60))


def market(draw: Canvas, w: int, h: int, t: float, cut: int) -> None:
    """Draw bright bouncing balls in the sun."""
    draw.rectangle((0, 0, w, h), fill=(250, 240, 190) if cut % 2 else (180, 225, 250))
    for i in range(14):
        phase = i * 1.7 + cut
        x = w * (0.5 + 0.45 * np.sin(phase + 1.1 * t))
        y = h * (0.75 - 0.4 * abs(np.sin(phase * 1.3 + 2.2 * t)))
        r = h * (0.04 + 0.03 * (i % 3))
        colours = ((230, 60, 70), (40, 150, 90), (250, 150, 30), (60, 90, 220))
        draw.ellipse((x - r, y - r, x + r, y + r), fill=colours[i % 4])


def road(draw: Canvas, w: int, h: int, t: float, cut: int) -> None:
    """Draw a dark road with a few slow lights."""
    draw.rectangle((0, 0, w, h), fill=(8, 10, 16))
    for i in range(5):
        depth = (i / 5 + 0.06 * t) % 1.0
        x, y, r = w * (0.5 + 0.35 * depth), h * (0.5 + 0.3 * depth), 2 + 9 * depth
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(70, 66, 40))
    draw.line((w * 0.5, h * 0.5, w * 0.3, h), fill=(30, 32, 36), width=3)


def chase(draw: Canvas, w: int, h: int, t: float, cut: int) -> None:
    """Draw fast bars in hard colours; every cut turns their direction."""
    draw.rectangle((0, 0, w, h), fill=(20, 10, 24) if cut % 2 else (150, 20, 30))
    for i in range(9):
        shift = (i * 0.13 + t * (1.1 if cut % 2 else -1.4)) % 1.2 - 0.1
        colour = ((250, 80, 40), (240, 230, 60), (70, 160, 250))[i % 3]
        if cut % 3:
            draw.rectangle(
                (w * shift, h * 0.1 * i, w * shift + w * 0.14, h * 0.1 * i + h * 0.08), fill=colour
            )
        else:
            draw.polygon(
                (w * shift, 0, w * shift + 40, 0, w * shift - 60, h, w * shift - 120, h),
                fill=colour,
            )


def wake(draw: Canvas, w: int, h: int, t: float, cut: int) -> None:
    """Draw a grey, still, rainy window."""
    draw.rectangle((0, 0, w, h), fill=(84, 88, 92))
    for i in range(40):
        x = (i * 97) % w
        y = (i * 53 + 60 * t) % h
        draw.line((x, y, x, y + 12), fill=(104, 108, 114))


def home(draw: Canvas, w: int, h: int, t: float, cut: int) -> None:
    """Draw a light room with a slow swinging lamp."""
    draw.rectangle((0, 0, w, h), fill=(244, 226, 200))
    draw.rectangle((0, int(h * 0.75), w, h), fill=(206, 160, 120))
    x = w * (0.5 + 0.05 * np.sin(1.3 * t))
    draw.line((w * 0.5, 0, x, h * 0.35), fill=(120, 90, 60), width=3)
    draw.ellipse((x - 40, h * 0.35, x + 40, h * 0.35 + 60), fill=(255, 244, 180))


SCENES: tuple[
    tuple[str, Callable[[Canvas, int, int, float, int], None], float, float, bool], ...
] = (
    ("dawn", dawn, 9.0, 4.5, False),
    ("market", market, 8.0, 2.0, False),
    ("night road", road, 9.0, 4.5, True),
    ("chase", chase, 9.0, 0.75, False),
    ("rain", wake, 8.0, 4.0, True),
    ("home", home, 9.0, 4.5, False),
)
"""Name, how to draw it, seconds, seconds between cuts, whether somebody speaks."""


def make_film(path: Path, width: int = 854, height: int = 480, shorten: float = 1.0) -> Path:
    """Write the sample film as H.264 and AAC in MP4.

    Args:
        path: the file to write.
        width: picture width, even.
        height: picture height, even.
        shorten: factor on every scene's length (tests use less than 1).
    """
    rng = np.random.default_rng(2026)
    with av.open(str(path), "w") as out:
        out.metadata["title"] = "Sample film (synthesised by Segue)"
        picture = out.add_stream("libx264", rate=RATE)
        picture.width, picture.height, picture.pix_fmt = width, height, "yuv420p"
        picture.options = {"preset": "veryfast", "crf": "26"}
        sound = out.add_stream("aac", rate=SOUND_RATE, layout="stereo")
        speech_s: list[tuple[float, float]] = []
        start_s, frames = 0.0, 0
        for name, draw_scene, seconds, cut_s, speaks in SCENES:
            length = round(seconds * shorten * RATE)
            if speaks:
                speech_s.append((start_s + 1.0 * shorten, start_s + (seconds - 1.5) * shorten))
            for i in range(length):
                t = i / RATE
                image = Image.new("RGB", (width, height))
                draw = ImageDraw.Draw(image)
                draw_scene(draw, width, height, t, int(t / cut_s))
                draw.text(
                    (12, height - 22), f"sample film, synthesised: {name}", fill=(128, 128, 128)
                )
                frame = av.VideoFrame.from_image(image)
                frame.pts, frame.time_base = frames, Fraction(1, RATE)
                frames += 1
                for packet in picture.encode(frame):
                    out.mux(packet)
            start_s += length / RATE
        _encode_sound(out, sound, _sound(start_s, speech_s, rng))
        for packet in picture.encode():
            out.mux(packet)
    return path


def _sound(
    seconds: float, speech_s: list[tuple[float, float]], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return mono sound: a quiet room, and speech in the given intervals."""
    n = round(seconds * SOUND_RATE)
    room = np.cumsum(rng.normal(size=n))
    room -= np.convolve(room, np.ones(2001) / 2001, mode="same")
    samples = 0.004 * room / np.std(room)
    for start_s, end_s in speech_s:
        first, last = round(start_s * SOUND_RATE), round(end_s * SOUND_RATE)
        samples[first:last] += _speech(last - first, rng)
    return samples.astype(np.float32)


def _speech(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return invented speech: harmonics of a moving voice under the formants of random vowels."""
    syllable = round(0.19 * SOUND_RATE)
    count = n // syllable + 1
    vowels = np.array([[700, 1200, 2600], [300, 2300, 3000], [500, 900, 2500], [400, 1900, 2600]])
    formants = vowels[rng.integers(0, 4, count)]
    pitch = 115 + 25 * np.sin(np.arange(count)) + rng.normal(0, 6, count)
    gain = np.where(rng.random(count) < 0.16, 0.0, 1.0)  # pauses between phrases
    t = np.arange(n) / syllable
    knots = np.arange(count)
    f0 = np.interp(t, knots, pitch)
    phase = 2 * np.pi * np.cumsum(f0) / SOUND_RATE
    voice = np.zeros(n)
    for k in range(1, 26):
        level = sum(
            a / (1 + ((k * f0 - np.interp(t, knots, formants[:, j])) / width) ** 2)
            for j, (a, width) in enumerate(((1.0, 90.0), (0.5, 120.0), (0.2, 180.0)))
        )
        voice += level * np.sin(k * phase) * (k * f0 < 6000)
    envelope = np.interp(t, knots, gain) * np.clip(np.sin(np.pi * (t % 1.0)) ** 0.6, 0, 1)
    return 0.11 * voice * envelope


def _encode_sound(out: av.container.OutputContainer, stream: av.AudioStream, mono: NDArray) -> None:
    block = 1024
    for start in range(0, len(mono), block):
        part = np.repeat(mono[None, start : start + block], 2, axis=0)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), "fltp", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, start, Fraction(1, SOUND_RATE)
        for packet in stream.encode(frame):
            out.mux(packet)
    for packet in stream.encode():
        out.mux(packet)
