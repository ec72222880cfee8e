"""One card for each segment: what was chosen, why, and what else could play."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from segue.score.mood import AXES
from segue.score.report.captions import caption_line, captions_hint
from segue.score.report.listener import listener_line
from segue.score.report.parts import bars
from segue.score.report.text import clock, html, number, percent, signed
from segue.score.report.view import View

__all__ = ["segments"]

_NO_TERMS = '<p class="sub">This segment earned no reward of its own.</p>'
_AXIS_END = 2.5
"""Moods are clipped there, in z units."""


def segments(view: View, pictures_left_out: int = 0) -> str:
    """Return the section with a card for each segment."""
    if not view.segments:
        return ""
    terms = [abs(v) for s in view.segments for v in view.terms(s).values()]
    largest = max(terms, default=0.0)
    cards = "\n".join(_card(view, segment, largest) for segment in view.segments)
    note = (
        f'<p class="hint">Pictures left out to keep the page small: {pictures_left_out}.</p>'
        if pictures_left_out
        else ""
    )
    command = (
        f'<p class="hint">To try an alternative, add its lock to the command:</p>'
        f"<pre><code>{html(view.base_command)}</code></pre>"
        if view.base_command and any(s.get("alternatives") for s in view.segments)
        else ""
    )
    return f"""<section>
<h2>Segments</h2>
{captions_hint(view)}{note}{command}<div class="segments">
{cards}
</div>
</section>"""


def _card(view: View, segment: Mapping[str, Any], largest: float) -> str:
    index = int(segment["index"])
    start, end = float(segment["start_s"]), float(segment["end_s"])
    play = (
        f'<button type="button" class="play" data-seek="{start:.3f}">Play from '
        f"{clock(start)}</button>"
        if view.extras.media_file
        else ""
    )
    picture = (
        f'<div class="thumb t{index}" role="img" aria-label="Frame of segment {index}"></div>'
        if index in view.extras.thumbnails
        else '<div class="thumb" aria-hidden="true"></div>'
    )
    words = view.mood_words(segment)
    return f"""<article class="segment {view.colour(segment["track"])}" id="segment-{index}" \
data-start="{start:.3f}" data-end="{end:.3f}">
<div class="seen">{picture}
<h3>Segment {index}</h3>
<p>{clock(start, tenths=True)} – {clock(end, tenths=True)}</p>
{caption_line(segment)}<p class="words">{html(words)}</p>{play}</div>
<div class="heard">{_track(segment)}
<h4>Mood</h4>{_moods(view, segment)}</div>
<div class="why"><h4>Why</h4>{bars(view.terms(segment), largest) or _NO_TERMS}
{listener_line(segment)}{_alternatives(view, segment)}</div>
</article>"""


def _track(segment: Mapping[str, Any]) -> str:
    badges = ""
    if segment.get("continued"):
        badges += ' <span class="badge">continues</span>'
    if segment.get("locked"):
        badges += ' <span class="badge">locked by you</span>'
    if segment.get("composed"):
        made = "generated" if segment.get("generated") else "composed"
        badges += f' <span class="badge">{made}</span>'
    entry = segment.get("track_start_s")
    said = f"from {clock(entry)} of the track" if isinstance(entry, int | float) else ""
    return (
        f'<p class="track"><i class="dot"></i><bdi>{html(segment["track"])}</bdi></p>'
        f'<p class="sub">{said}{badges}</p>'
    )


def _moods(view: View, segment: Mapping[str, Any]) -> str:
    picture, music = view.picture_mood(segment), view.music_mood(segment)
    wanted = view.wanted_mood(segment)
    rows = []
    for axis in AXES:
        if axis not in picture:
            continue
        marks = f'<i class="mark picture" style="left:{_place(picture[axis])}"></i>'
        said = signed(picture[axis], 1)
        if axis in music:
            low, high = sorted((_share(picture[axis]), _share(music[axis])))
            marks = (
                f'<i class="span" style="left:{percent(low)};width:{percent(high - low)}"></i>'
                f'{marks}<i class="mark music" style="left:{_place(music[axis])}"></i>'
            )
            said += f" / {signed(music[axis], 1)}"
        if axis in wanted:
            marks += f'<i class="wish" style="left:{_place(wanted[axis])}"></i>'
        rows.append(
            f'<tr><th scope="row">{axis}</th><td class="mood">{marks}</td>'
            f'<td class="num">{said}</td></tr>'
        )
    if not rows:
        return '<p class="sub">not measured</p>'
    key = '<i class="mark picture"></i>picture'
    key += '<i class="mark music"></i>music' if music else ""
    key += '<i class="wish"></i>asked for, less under speech' if wanted else ""
    table = f'<table class="moods"><tbody>{"".join(rows)}</tbody></table>'
    return f'{table}<span class="key">{key}</span>'


def _alternatives(view: View, segment: Mapping[str, Any]) -> str:
    others = segment.get("alternatives") or []
    if not others:
        return ""
    reward = view.result.get("reward")
    rows = []
    for other in others:
        value = other.get("reward")
        both = isinstance(value, int | float) and isinstance(reward, int | float)
        change = signed(value - reward, 3) if both else number(value, 3)
        lock = view.lock(segment, other.get("track", ""))
        command = view.command_with(segment, other.get("track", ""))
        rows.append(
            f'<li><span class="alt"><bdi>{html(other.get("track", ""))}</bdi> '
            f'<b class="num" title="change of the reward">{change}</b></span>'
            f'<span class="lock"><code>{html(lock)}</code>'
            f'<button type="button" class="copy" data-copy="{html(command)}" '
            f'aria-label="Copy the command with {html(lock)}">Copy</button></span></li>'
        )
    return f'<h4>Instead, with the change of the reward</h4><ul class="alts">{"".join(rows)}</ul>'


def _share(value: float) -> float:
    return (min(max(value, -_AXIS_END), _AXIS_END) + _AXIS_END) / (2 * _AXIS_END)


def _place(value: float) -> str:
    return percent(_share(value))
