"""The timeline: picture, music, sound and mood over one axis of time.

Shapes are SVG stretched to the width of the page (lines keep their thickness); words are HTML on
top, so that they stay readable on a phone. Heights are 0..100 from the top.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from segue.score.mood import AXES, WORDS
from segue.score.report.data import Floats
from segue.score.report.text import clock, html, number, percent
from segue.score.report.view import View

__all__ = ["timeline"]

_WIDTH = 1000
_MOST_POINTS = 900
"""Points of a curve: more than a screen shows would only make the page heavy."""
_AXIS_END = 2.5
_DEEPEST_DUCK_DB = 24.0
_TICK_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
_SHOWN_AXES = ("arousal", "tension")
"""Mood curves that are on when the page opens."""


def timeline(view: View) -> str:
    """Return the section with all lanes, or nothing for a film without segments."""
    if not view.segments:
        return ""
    toggles = "".join(
        f'<input type="checkbox" id="m-{axis}"{" checked" if axis in _SHOWN_AXES else ""}>'
        f'<label class="toggle a-{axis}" for="m-{axis}">{axis} '
        f"<small>{WORDS[axis][0]} – {WORDS[axis][1]}</small></label>"
        for axis in AXES
    )
    mood = _moods(view)
    has_sound = len(view.extras.mix_peaks) or len(view.extras.music_peaks)
    lanes = [
        _ruler(view),
        _lane("Picture", "film", _film(view)),
        _lane("Music", "music", _music(view)) if view.extras.cues else "",
        _lane("Sound", "wave", _sound(view), _sound_key(view)) if has_sound else "",
        _lane("Mood", "mood", mood, "solid: picture · dashed: music") if mood else "",
    ]
    return f"""<section class="timeline" aria-label="Timeline">
<h2>Timeline</h2>
<div class="toggles">{toggles if mood else ""}
<div class="scroll" tabindex="0" aria-label="Timeline, scrolls sideways">
<div class="lanes" id="lanes" data-duration="{view.duration_s:.3f}" \
style="--segments:{len(view.segments)}">
{"".join(lanes)}
<div class="playhead" id="playhead" hidden></div>
</div></div></div>
</section>"""


def _lane(title: str, kind: str, content: str, key: str = "") -> str:
    note = f"<small>{key}</small>" if key else ""
    return f'<p class="name">{title}{note}</p><div class="lane {kind}">{content}</div>\n'


def _ruler(view: View) -> str:
    # Each segment is at least 46 px wide, a mark about 40.
    most = max(10, len(view.segments))
    step = next((s for s in _TICK_STEPS_S if view.duration_s / s <= most), 7200)
    marks = (
        f'<span style="left:{percent(view.x(at))}">{clock(at)}</span>'
        for at in range(0, math.ceil(view.duration_s), step)
        if view.x(at) < 0.97
    )
    return f'<div class="ruler" aria-hidden="true">{"".join(marks)}</div>\n'


def _film(view: View) -> str:
    parts = []
    for segment in view.segments:
        index = int(segment["index"])
        start, end = float(segment["start_s"]), float(segment["end_s"])
        words = view.mood_words(segment)
        label = f"Segment {index}, {clock(start)} to {clock(end)}, {words}"
        parts.append(
            f'<a class="part thumb t{index}" href="#segment-{index}" data-seek="{start:.3f}" '
            f'data-start="{start:.3f}" data-end="{end:.3f}" '
            f'style="left:{percent(view.x(start))};width:{percent(view.x(end) - view.x(start))}" '
            f'aria-label="{html(label)}" title="{html(label)}"><b>{index}</b></a>'
        )
    return "".join(parts)


def _music(view: View) -> str:
    shapes, labels = [], []
    tracks = {int(s["index"]): s["track"] for s in view.segments}
    for inside, title, start, end, fade_in, fade_out in view.extras.cues:
        track = next((tracks[i] for i in inside if i in tracks), title)
        colour = view.colour(track)
        x0, x1, x2, x3 = (_WIDTH * view.x(t) for t in (start, start + fade_in, end - fade_out, end))
        points = f"{x0:.2f},100 {x1:.2f},0 {max(x1, x2):.2f},0 {x3:.2f},100"
        shapes.append(f'<polygon class="{colour}" points="{points}"/>')
        # The label stays out of the crossfades, where it would lie on its neighbour's.
        left, right = view.x(start + fade_in / 2), view.x(end - fade_out / 2)
        said = f"{title}, {clock(start, tenths=True)} to {clock(end, tenths=True)}"
        labels.append(
            f'<span class="cue {colour}" title="{html(said)}" '
            f'style="left:{percent(left)};width:{percent(max(right - left, 0))}">'
            f"<bdi>{html(title)}</bdi></span>"
        )
    return _svg("".join(shapes), "Music cues with their fades") + "".join(labels)


def _sound(view: View) -> str:
    speech = "".join(
        f'<rect class="speech" x="{_WIDTH * view.x(a):.2f}" y="0" height="100" '
        f'width="{_WIDTH * (view.x(b) - view.x(a)):.2f}"/>'
        for a, b in view.extras.speech
    )
    waves = "".join(
        f'<path class="{kind}" d="{_wave(peaks)}"/>'
        for kind, peaks in (("mix", view.extras.mix_peaks), ("own", view.extras.music_peaks))
        if len(peaks)
    )
    duck = ""
    if any(abs(gain) > 0.05 for _, gain in view.extras.duck):
        points = _thinned(view.extras.duck)
        line = " ".join(f"{_WIDTH * view.x(t):.2f},{_duck_y(g):.2f}" for t, g in points)
        first, last = _duck_y(points[0][1]), _duck_y(points[-1][1])
        duck = (
            f'<polyline class="duck" points="0,{first:.2f} {line} {_WIDTH},{last:.2f}" '
            'vector-effect="non-scaling-stroke"/>'
        )
    return _svg(speech + waves + duck, "Loudness of the mix and the music, speech and ducking")


def _sound_key(view: View) -> str:
    key = ['<i class="swatch mix"></i>mix', '<i class="swatch own"></i>music']
    if view.extras.speech:
        key.append('<i class="swatch speech"></i>speech')
    deepest = min((gain for _, gain in view.extras.duck), default=0.0)
    if deepest < -0.05:
        key.append(f'<i class="swatch duck"></i>ducking, down to {number(deepest, 0)} dB')
    return " ".join(key)


def _moods(view: View) -> str:
    curves = (
        ("picture", view.extras.picture_times_s, view.extras.picture_axes),
        ("heard", view.extras.music_times_s, view.extras.music_axes),
    )
    lines = []
    for kind, times, axes in curves:
        for column, axis in enumerate(AXES):
            if len(times) and len(axes) == len(times):
                values = np.asarray(axes, dtype=float)[:, column]
                path = _curve(view, np.asarray(times, dtype=float), values)
                lines.append(
                    f'<path class="{kind} m-{axis} a-{axis}" d="{path}" '
                    'vector-effect="non-scaling-stroke"/>'
                )
    if not lines:
        return ""
    middle = '<line class="middle" x1="0" x2="1000" y1="50" y2="50"/>'
    ends = '<span class="end top">high</span><span class="end bottom">low</span>'
    return _svg(middle + "".join(lines), "Mood of the picture and of the chosen music") + ends


def _svg(shapes: str, label: str) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} 100" preserveAspectRatio="none" role="img" '
        f'aria-label="{label}">{shapes}</svg>'
    )


def _wave(peaks: Floats) -> str:
    """Return a shape as tall as the sound is loud, mirrored at the middle."""
    heights = np.clip(np.nan_to_num(np.asarray(peaks, dtype=float)), 0.0, 1.0)
    heights = np.array([bucket.max() for bucket in _buckets(heights, _MOST_POINTS)])
    xs = (np.arange(len(heights)) + 0.5) * _WIDTH / len(heights)
    top = [f"{x:.1f} {50 - 48 * h:.1f}" for x, h in zip(xs, heights, strict=True)]
    bottom = [f"{x:.1f} {50 + 48 * h:.1f}" for x, h in zip(xs, heights, strict=True)]
    return f"M0 50L{'L'.join(top)}L{_WIDTH} 50L{'L'.join(reversed(bottom))}Z"


def _curve(view: View, times: NDArray[np.float64], values: NDArray[np.float64]) -> str:
    """Return a line that breaks where there is no value."""
    pieces: list[list[str]] = [[]]
    for t, v in zip(_buckets(times, _MOST_POINTS), _buckets(values, _MOST_POINTS), strict=True):
        value = float(v.mean())
        if not math.isfinite(value):
            pieces.append([])
            continue
        y = 50 - 48 * min(max(value, -_AXIS_END), _AXIS_END) / _AXIS_END
        pieces[-1].append(f"{_WIDTH * view.x(float(t.mean())):.1f} {y:.1f}")
    return "".join(f"M{'L'.join(piece)}" for piece in pieces if piece)


def _buckets(values: NDArray[np.float64], most: int) -> Iterator[NDArray[np.float64]]:
    # Even along the whole length: `array_split` would put all the longer buckets first.
    count = min(len(values), most)
    edges = np.arange(count + 1) * len(values) // max(count, 1)
    yield from (values[a:b] for a, b in pairwise(edges))


def _thinned(points: Iterable[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    kept = list(points)
    return kept[:: max(1, len(kept) // (2 * _MOST_POINTS))]


def _duck_y(gain_db: float) -> float:
    return 4 + 92 * min(max(-gain_db, 0.0), _DEEPEST_DUCK_DB) / _DEEPEST_DUCK_DB
