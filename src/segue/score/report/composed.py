"""What was composed: key, tempo, bars and instruments of each cue, with its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from segue.score.report.text import html, link, number
from segue.score.report.view import View

__all__ = ["composed"]


def composed(view: View) -> str:
    """Return the section about composed music, or nothing when there is none."""
    made: Sequence[Mapping[str, Any]] = view.result.get("composed") or []
    cues = [cue for cue in made if "prompt" not in cue]  # those are of `generated`
    if not cues:
        return ""
    tables = "\n".join(_cue(cue) for cue in cues)
    return f"""<section>
<h2>Composed for this film</h2>
<p class="hint">Downbeats lie on the cuts. The MIDI files open in any music software.</p>
{tables}
</section>"""


def _cue(cue: Mapping[str, Any]) -> str:
    files = " · ".join(
        f'<a href="{link(str(cue[kind]))}">{html(cue[kind])}</a>'
        for kind in ("midi", "sound")
        if cue.get(kind)
    )
    rows = "".join(
        f"<tr><td>{html(segment)}</td><td>{html(key)}</td>"
        f"<td>{html(bars)} × {html(cue.get('meter', ''))}</td>"
        f'<td class="num">{number(tempo, 0)} bpm</td><td class="num">{number(fit, 2)}</td></tr>'
        for segment, key, bars, tempo, fit in zip(
            *(cue.get(name) or () for name in ("segments", "keys", "bars", "tempos_bpm", "fits")),
            strict=False,
        )
    )
    played = ", ".join(str(name) for name in cue.get("instruments") or ())
    return f"""<h3><bdi>{html(cue.get("title", ""))}</bdi></h3>
<p class="sub">{html(played)} · seed {html(cue.get("seed", ""))} · {files}</p>
<table class="composed">
<thead><tr><th scope="col">Segment</th><th scope="col">Key</th><th scope="col">Bars</th>
<th scope="col">Tempo</th><th scope="col">Fit, at most 1.80</th></tr></thead>
<tbody>{rows}</tbody></table>"""
