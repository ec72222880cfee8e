"""What was generated: the prompt of each piece, the model that played it, and how it fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from segue.score.report.text import html, link, number
from segue.score.report.view import View

__all__ = ["generated"]


def generated(view: View) -> str:
    """Return the section about generated music, or nothing when there is none."""
    made: Sequence[Mapping[str, Any]] = view.result.get("composed") or []
    cues = [cue for cue in made if "prompt" in cue]
    if not cues:
        return ""
    rows = "".join(_cue(cue) for cue in cues)
    first = cues[0]
    adapter = first.get("adapter") or {}
    tuned = f" + {adapter['name']}" if adapter.get("name") else ""
    return f"""<section>
<h2>Generated for this film</h2>
<p class="hint">By {html(f"{first.get('model', '')}{tuned}")}, {html(first.get("steps", ""))} steps,
guidance {number(first.get("guidance"), 1)}; the best of {html(first.get("takes", ""))} takes
of each piece.</p>
<table class="composed">
<thead><tr><th scope="col">Segments</th><th scope="col">Prompt</th><th scope="col">Seed</th>
<th scope="col">Fit, at most 1.80</th><th scope="col">Sound</th></tr></thead>
<tbody>{rows}</tbody></table>
</section>"""


def _cue(cue: Mapping[str, Any]) -> str:
    fits = ", ".join(number(fit, 2) for fit in cue.get("fits") or ())
    sound = str(cue.get("sound", ""))
    inside = ", ".join(str(t) for t in cue.get("segments") or ())
    return (
        f"<tr><td>{html(inside)}</td><td><bdi>{html(cue['prompt'])}</bdi></td>"
        f'<td class="num">{html(cue.get("seed", ""))}</td><td class="num">{fits}</td>'
        f'<td><a href="{link(sound)}">{html(sound)}</a></td></tr>'
    )
