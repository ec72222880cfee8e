"""What happens in the film: the caption of each segment, and what captions did for the choice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from segue.score.report.text import html, number
from segue.score.report.view import View

__all__ = ["caption_line", "captions_hint"]


def caption_line(segment: Mapping[str, Any]) -> str:
    """Return the caption of a segment, or nothing when there is none."""
    text = (segment.get("caption") or {}).get("text")
    return f"<p><q><bdi>{html(text)}</bdi></q></p>" if text else ""


def captions_hint(view: View) -> str:
    """Return how segments are described, and what captions are worth to the choice."""
    facts: Mapping[str, Any] = view.result.get("captions") or {}
    if not facts:
        return (
            '<p class="hint">Segments are described by the mood of their pictures. Captions, given '
            "with <code>--captions</code>, tell what happens in them.</p>"
        )
    given = html(facts.get("given", ""))
    source = "from" if facts.get("kind") == "file" else "made by"
    paid = (
        f"likeness of captions and tags of music counts {number(facts.get('weight'), 2)}"
        if facts.get("encoder")
        else "they choose nothing, as no sentence encoder was given"
    )
    return (
        f'<p class="hint">Captions {source} <bdi>{given}</bdi>; {paid}. Words without quotation '
        "marks tell the mood of the picture.</p>"
    )
