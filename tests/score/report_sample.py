"""A made-up but plausible result: a film of two and a half minutes in eight segments."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import numpy as np

from segue.score.mood import AXES, describe
from segue.score.report import ReportData

EDGES_S = (0.0, 14.2, 31.96, 52.4, 68.0, 91.32, 112.64, 131.0, 148.44)
MOODS = (
    (-1.1, 0.4, -0.6, -0.9, 0.8),
    (-0.4, -0.2, 0.3, -0.5, 0.2),
    (0.9, -0.8, 1.5, 0.7, -0.9),
    (1.8, -1.1, 2.1, 1.6, -0.4),
    (1.3, -0.6, 1.2, 1.1, -0.7),
    (-0.7, -1.3, 0.4, -0.8, -1.7),
    (-0.2, 0.7, -0.5, -0.1, 0.4),
    (0.6, 1.2, -0.9, 0.5, 1.1),
)
TRACKS = (
    "calm/morning_light.ogg", "calm/morning_light.ogg", "tension/undertow (loop).mp3",
    "battle/iron_gate.ogg", "battle/iron_gate.ogg", "sad/empty_rooms.flac",
    "calm/morning_light.ogg", "finale/homeward.ogg",
)  # fmt: skip
LIBRARY = (*dict.fromkeys(TRACKS), "tension/clockwork.ogg", "calm/lake.ogg", "finale/parade.mp3")


def picture(hue: int) -> bytes:
    """A small JPEG: a gradient."""
    y, x = np.mgrid[0:96, 0:168]
    pixels = np.stack([(x + 20 * hue) % 256, (y * 2 + 9 * hue) % 256, 255 - (x + y) // 2], axis=-1)
    frame = av.VideoFrame.from_ndarray(pixels.astype(np.uint8), format="rgb24")
    codec = av.CodecContext.create("mjpeg", "w")
    codec.width, codec.height, codec.pix_fmt = 168, 96, "yuvj420p"
    codec.time_base = Fraction(1, 25)
    return b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode(None)])


def sample_result() -> dict[str, Any]:
    """The content of a `result.json`."""
    rng = np.random.default_rng(7)
    segments = []
    for i, track in enumerate(TRACKS):
        others = [t for t in LIBRARY if t != track]
        continued = i > 0 and TRACKS[i - 1] == track
        terms = {
            "alignment": round(float(rng.uniform(0.25, 0.95)), 4),
            "smoothness": 0.0 if continued or i == 0 else round(float(rng.uniform(-0.1, 0.4)), 4),
            "switch": -0.12 if i == len(TRACKS) - 1 else 0.0,
            "theme": 0.214 if i == len(TRACKS) - 1 else 0.0,
            "silence": 0.0,
        }
        segments.append(
            {
                "index": i, "start_s": EDGES_S[i], "end_s": EDGES_S[i + 1], "track": track,
                "track_start_s": 0.0 if not continued else 14.2, "continued": continued,
                "locked": i == 3, "terms": terms,
                "wanted": {"arousal": min(MOODS[i][0], 0.0), "pace": min(MOODS[i][3], 0.0)}
                if i == 4 else dict(zip(AXES, MOODS[i], strict=True)),
                "mood": dict(zip(AXES, MOODS[i], strict=True)) | {"words": describe(MOODS[i])},
                "alternatives": [
                    {"track": t, "reward": round(5.31 - 0.02 * (k + 1) ** 2 - 0.003 * i, 4)}
                    for k, t in enumerate(rng.permutation(others)[:3].tolist())
                ],
            }
        )  # fmt: skip
    return {
        "video": {
            "path": "/films/The Long Way Home (final cut).mp4", "duration_s": EDGES_S[-1],
            "fps": 24000 / 1001, "width": 1920, "height": 800, "has_audio": True,
        },
        "composed": [
            {
                "segments": [5], "title": "Segue: underscore 5 (D minor, 66 bpm)",
                "keys": ["D minor"], "meter": "4/4", "tempos_bpm": [66.05], "bars": [6],
                "instruments": ["cello", "vibraphone", "contrabass"], "fits": [1.52],
                "sound": "composed/underscore-5.wav", "midi": "midi/underscore-5.mid", "seed": 0,
            }
        ],
        "segments": segments, "policy": "planner", "reward": 5.31, "upper_bound": 5.342,
        "switches": 5, "loudness_lufs": -14.02, "true_peak_dbtp": -1.21,
        "lost": {
            "otio": ["OTIO has no volume: the gain of each cue is kept as metadata only"],
            "xml": ["fades are the editor's own constant-power curves"],
            "fcpxml": ["connected clips have no transitions: a crossfade is a fade-out and a "
                       "fade-in on two lanes", "fades are Final Cut Pro's own curves"],
            "edl": ["the frame rate: tell the editor that the list counts 23.976 frames a second",
                    "levels and ducking: the list has none, the music stem has both",
                    "the stems are not in the list"],
            "cues": [],
        },
        "timings_s": {"understand": 9.41, "listen": 14.83, "choose": 0.42, "mix": 6.2, "mux": 0.71,
                      "timeline": 0.05, "total": 31.9},
        "warnings": ["2 of 52 library files could not be read and were skipped: broken.mp3, x.wav"],
    }  # fmt: skip


def sample_extras(**changes: Any) -> ReportData:
    """The curves, pictures and sounds of the same film."""
    rng = np.random.default_rng(11)
    times = np.arange(0.0, EDGES_S[-1], 0.25)
    part = np.clip(np.searchsorted(EDGES_S, times, side="right") - 1, 0, len(MOODS) - 1)
    moods = np.array(MOODS)
    noise = np.cumsum(rng.normal(0, 0.06, (len(times), 5)), axis=0)
    noise -= np.linspace(noise[0], noise[-1], len(times))
    smooth = np.ones(9) / 9
    shown = np.stack([np.convolve(moods[part, a], smooth, "same") for a in range(5)], axis=1)
    music = moods[part] * 0.7 + 0.25 * np.sin(times / 5)[:, None] + 0.1
    speech = ((16.0, 22.4), (24.1, 29.8), (93.0, 99.5), (101.2, 110.0), (133.0, 138.2))
    duck = [(0.0, 0.0)]
    for a, b in speech:
        duck += [(a - 0.2, 0.0), (a, -12.0), (b, -12.0), (b + 0.8, 0.0)]
    loud = 0.35 + 0.2 * moods[part, 0] / 2 + rng.uniform(-0.1, 0.1, len(times))
    spoken = np.array([any(a <= t < b for a, b in speech) for t in times])
    own = np.clip(loud, 0.05, 0.9) * np.where(spoken, 0.25, 0.8)
    mix = np.clip(own + rng.uniform(0.02, 0.25, len(times)) + 0.25 * spoken, 0, 0.87)
    cues, first = [], 0
    for i in range(1, len(TRACKS) + 1):
        if i == len(TRACKS) or TRACKS[i] != TRACKS[first]:
            title = TRACKS[first].rpartition("/")[2].rpartition(".")[0].replace("_", " ").title()
            start = EDGES_S[first] - (0.5 if first else 0.0)
            end = EDGES_S[i] + (0.5 if i < len(TRACKS) else 0.0)
            cues.append((tuple(range(first, i)), title, start, end, 1.0, 1.0 if end < 148 else 2.5))
            first = i
    values: dict[str, Any] = {
        "film_name": "The Long Way Home (final cut).mp4",
        "media_file": "scored.mp4",
        "command": "segue score 'The Long Way Home (final cut).mp4' --library music --out scored "
                   "--lock '3=battle/iron_gate.ogg'",
        "thumbnails": {i: picture(i) for i in range(len(TRACKS))},
        "picture_times_s": times, "picture_axes": shown + noise,
        "music_times_s": times, "music_axes": music,
        "mix_peaks": mix, "music_peaks": own,
        "speech": speech, "duck": tuple(duck), "cues": tuple(cues),
    }  # fmt: skip
    return ReportData(**{**values, **changes})
