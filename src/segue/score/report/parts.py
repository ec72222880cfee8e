"""The plain parts of the page: head, player, exports, timings, foot."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from segue.core.names import resolve
from segue.score.export import EXPORTERS
from segue.score.report.text import clock, html, link, number, percent, signed
from segue.score.report.view import TERM_LABELS, View

__all__ = ["bars", "exports", "footer", "header", "player", "timings"]

_NOTHING = 5e-4
"""A reward that would be written as zero."""


def header(view: View) -> str:
    """Return the title, the facts, the reward and its terms, and the warnings."""
    result = view.result
    video: Mapping[str, Any] = result.get("video", {})
    facts = [clock(view.duration_s)] if view.segments else []
    if video.get("width") and video.get("height"):
        facts.append(f"{html(video['width'])} × {html(video['height'])}")
    if isinstance(video.get("fps"), int | float):
        facts.append(f"{number(video['fps'], 3).rstrip('0').rstrip('.')} frames/s")
    facts.append("with its own sound" if video.get("has_audio") else "without sound of its own")
    speech_s = sum(end - start for start, end in view.extras.speech)
    if speech_s / view.duration_s >= 0.005:
        facts.append(f"speech {100 * speech_s / view.duration_s:.0f} %")
    return f"""<header>
<p class="brand">Segue <span>score report</span></p>
<h1><bdi>{html(view.film_name)}</bdi></h1>
<p class="facts">{" · ".join(facts)}</p>
{_warnings(result.get("warnings") or [])}<div class="cards">
{_reward_card(view)}
<dl class="card">
{_fact("Music", *_music_facts(view))}
{_fact("Loudness", number(result.get("loudness_lufs"), 1), "LUFS, the whole film")}
{_fact("True peak", number(result.get("true_peak_dbtp"), 1), "dBTP")}
</dl>
</div>
</header>"""


def player(view: View) -> str:
    """Return the player, or nothing when the page has no film beside it."""
    if not view.extras.media_file:
        return ""
    video: Mapping[str, Any] = view.result.get("video", {})
    sides = [video.get("width"), video.get("height")]
    shape = " / ".join(str(side) for side in sides if isinstance(side, int) and side > 0)
    style = f' style="aspect-ratio:{shape}"' if "/" in shape else ""
    still = view.extras.thumbnails.get(0)
    if still:  # what shows until the film is played
        picture = base64.b64encode(still).decode("ascii")
        style += f' poster="data:image/jpeg;base64,{picture}"'
    return f"""<section class="player" aria-label="Player">
<video id="player" controls preload="metadata" src="{link(view.extras.media_file)}"{style}></video>
<p class="hint">Click a segment, a cue or any curve to play from there.
<span id="missing" hidden>The scored film is not beside this page:
<code>{html(view.extras.media_file)}</code>.</span></p>
</section>"""


def exports(view: View) -> str:
    """Return what each export could not carry."""
    lost: Mapping[str, list[str]] = view.result.get("lost") or {}
    if not lost:
        return ""
    rows = []
    for name, sentences in lost.items():
        file_name = _file_name(name)
        said = (
            "<ul>" + "".join(f"<li>{html(s)}</li>" for s in sentences) + "</ul>"
            if sentences
            else '<span class="whole">carries everything</span>'
        )
        shown = f'<a href="{link(file_name)}">{file_name}</a>' if file_name else html(name)
        rows.append(f'<tr><th scope="row">{shown}</th><td>{said}</td></tr>')
    return f"""<section>
<h2>For your editor</h2>
<p class="hint">Each file says what its format could not carry.</p>
<table class="exports">
<thead><tr><th scope="col">File</th><th scope="col">Not in it</th></tr></thead>
<tbody>{"".join(rows)}</tbody></table>
</section>"""


def timings(view: View) -> str:
    """Return how long each step took."""
    values: Mapping[str, float] = view.result.get("timings_s") or {}
    steps = {name: float(v) for name, v in values.items() if name != "total"}
    if not steps:
        return ""
    longest = max(*steps.values(), 1e-9)
    rows = "".join(
        f"<tr><th scope=row>{html(name)}</th><td class=bar><i style='width:"
        f"{percent(max(value, 0) / longest)}'></i></td><td class=num>{number(value, 2)} s</td></tr>"
        for name, value in steps.items()
    )
    total = values.get("total")
    said = f" · {number(total, 1)} s in all" if total is not None else ""
    return f"""<section>
<h2>Time taken<small>{said}</small></h2>
<table class="timings"><tbody>{rows}</tbody></table>
</section>"""


def footer(view: View) -> str:
    """Return the command that made the page."""
    command = view.extras.command
    made = f"<p>Made by</p><pre><code>{html(command)}</code></pre>" if command else ""
    return f"<footer>{made}</footer>"


def bars(terms: Mapping[str, float], largest: float) -> str:
    """Return reward terms as bars to either side of zero."""
    rows = []
    for name, value in terms.items():
        if abs(value) < _NOTHING:
            continue
        share = min(abs(value) / largest, 1.0) / 2 if largest > 0 else 0.0
        left = 0.5 if value >= 0 else 0.5 - share
        kind = "plus" if value >= 0 else "minus"
        rows.append(
            f'<tr><th scope="row" title="{html(name)}">{html(TERM_LABELS.get(name, name))}</th>'
            f'<td class="bar zero"><i class="{kind}" '
            f'style="left:{percent(left)};width:{percent(share)}"></i></td>'
            f'<td class="num">{signed(value, 3)}</td></tr>'
        )
    return f'<table class="terms"><tbody>{"".join(rows)}</tbody></table>' if rows else ""


def _reward_card(view: View) -> str:
    reward, bound = view.result.get("reward"), view.result.get("upper_bound")
    policy = html(view.result.get("policy") or "an unknown policy")
    said, meter = f"chosen by {policy}", ""
    if isinstance(reward, int | float) and isinstance(bound, int | float):
        if bound > 0 and reward >= 0:
            share = min(reward / bound, 1.0)
            said = (
                f"{100 * share:.1f} % of {number(bound, 3)}, the most possible · chosen by {policy}"
            )
            meter = f'<div class="meter"><i style="width:{percent(share)}"></i></div>'
        else:
            said = f"{number(bound - reward, 3)} below the most possible · chosen by {policy}"
    terms = view.total_terms
    largest = max((abs(v) for v in terms.values()), default=0.0)
    return (
        f'<div class="card reward"><div><h2>Reward</h2><p class="big">{number(reward, 3)}</p>'
        f"{meter}<p>{said}</p></div>{bars(terms, largest)}</div>"
    )


def _music_facts(view: View) -> tuple[str, str]:
    switches = view.result.get("switches")
    n_tracks = len(view.colours)
    tracks = f"{n_tracks} track{'' if n_tracks == 1 else 's'}"
    if not isinstance(switches, int):
        return tracks, f"{len(view.segments)} segments"
    times = "no hand-over" if switches == 0 else f"{switches} hand-over{'s' * (switches != 1)}"
    n_segments = len(view.segments)
    return tracks, f"{times} in {n_segments} segment{'s' * (n_segments != 1)}"


def _fact(title: str, value: str, said: str) -> str:
    return f'<div><dt>{title}</dt><dd><b class="big">{value}</b> {said}</dd></div>'


def _warnings(warnings: list[str]) -> str:
    if not warnings:
        return ""
    lines = "".join(f"<li>{html(line)}</li>" for line in warnings)
    count = f"{len(warnings)} warnings" if len(warnings) > 1 else "Warning"
    return f'<div class="warnings" role="note"><h2>{count}</h2><ul>{lines}</ul></div>\n'


def _file_name(exporter: str) -> str:
    """Return the file of an exporter of ours; one of the user's own is shown by its name."""
    # A name outside the table is not resolved: a result file must not decide what is imported.
    if exporter not in EXPORTERS:
        return ""
    return str(resolve(EXPORTERS, exporter, "exporter").file_name)
