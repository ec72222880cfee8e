"""The report: one self-contained page that shows a scored film and explains every choice.

The page holds everything it needs (styles, script, pictures as data) and loads nothing from the
network; it opens from a disk, in light and dark, on a phone and on paper. The one thing outside it
is the film itself: a player points at the scored file beside the page, and works when it is there.

File names and tags come from strangers. All of them pass through `text.html`, and a content
security policy allows no script but the one whose hash it names.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from segue.core.files import atomic_write
from segue.score.report.charts import timeline
from segue.score.report.composed import composed
from segue.score.report.data import ReportData
from segue.score.report.generated import generated
from segue.score.report.listener import listener
from segue.score.report.parts import exports, footer, header, player, timings
from segue.score.report.segments import segments
from segue.score.report.text import html
from segue.score.report.view import View

__all__ = ["ReportData", "render", "write_report"]

_HERE = Path(__file__).parent
_PAGE_BYTES = 2_900_000
"""A page is to stay below 3 MB: thumbnails get the room that the rest leaves."""


def write_report(result: dict[str, Any], extras: ReportData, path: Path) -> None:
    """Write the report page.

    Args:
        result: the content of `result.json`.
        extras: curves, pictures and sounds that `result.json` does not hold.
        path: where to write; links to the exports and the film are relative to its folder.
    """
    atomic_write(path, render(result, extras))


def render(result: dict[str, Any], extras: ReportData) -> str:
    """Return the page as text."""
    view = View(result, extras)
    script = (_HERE / "page.js").read_text("utf-8")
    style = (_HERE / "page.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"media-src 'self' file:; script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    above = [header(view), player(view), timeline(view)]
    cards = segments(view)
    below = [
        composed(view),
        generated(view),
        listener(view),
        exports(view),
        timings(view),
        footer(view),
    ]
    taken = sum(len(part.encode()) for part in (*above, cards, *below, script, style))
    pictures, left_out = _thumbnails(view, _PAGE_BYTES - taken)
    if left_out:
        cards = segments(view, left_out)
    body = "\n".join(part for part in (*above, cards, *below) if part)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{html(view.film_name)} · Segue</title>
<style>
{style}{pictures}</style>
</head>
<body>
<main>
{body}
</main>
<script>{script}</script>
</body>
</html>
"""


def _thumbnails(view: View, room: int) -> tuple[str, int]:
    """Return a style rule for each picture, and how many were left out for want of `room` bytes.

    A rule serves every place where the picture is shown. Those left out are spread evenly.
    """
    rules = [
        f".t{index:d}{{background-image:url(data:image/jpeg;base64,"
        f"{base64.b64encode(picture).decode('ascii')})}}\n"
        for index, picture in sorted(view.extras.thumbnails.items())
    ]
    needed = sum(map(len, rules))
    if needed <= room or not rules:
        return "".join(rules), 0
    n_kept = max(0, int(len(rules) * room / needed))
    kept = [rules[i * len(rules) // n_kept] for i in range(n_kept)] if n_kept else []
    while kept and sum(map(len, kept)) > room:
        kept.pop()
    return "".join(kept), len(rules) - len(kept)
