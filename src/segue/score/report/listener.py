"""What the listener's history said: what it knew of the library, and what it changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from segue.score.report.text import html, number, signed
from segue.score.report.view import View

__all__ = ["listener", "listener_line"]

_KNOWN = (
    ("by_track", "heard"),
    ("by_artist", "by artists heard"),
    ("by_genre", "of genres heard"),
    ("not_in_history", "not in the history"),
    ("without_name", "without artist and title"),
    ("by_file_name", "named by the file's name alone"),
)


def listener_line(segment: Mapping[str, Any]) -> str:
    """Return why the listener may like the track of a segment, or nothing."""
    said: Mapping[str, Any] | None = segment.get("listener")
    if not said:
        return ""
    return (
        f'<p class="sub">Listener: {number(said.get("score"), 2)} of 1, '
        f"<bdi>{html(said.get('reason', ''))}</bdi></p>"
    )


def listener(view: View) -> str:
    """Return the section about the listener, or nothing when there was none."""
    facts: Mapping[str, Any] = view.result.get("listener") or {}
    if not facts:
        return ""
    library: Mapping[str, Any] = facts.get("library") or {}
    known = ", ".join(f"{html(library[key])} {said}" for key, said in _KNOWN if library.get(key))
    unreadable = (
        f", {html(facts['unreadable'])} of {html(facts.get('lines', ''))} lines unreadable "
        f"(the first: {html(facts.get('first_unreadable', ''))})"
        if facts.get("unreadable")
        else ""
    )
    chosen = {str(s.get("track")): s["listener"] for s in view.segments if s.get("listener")}
    rows = [_row(track, said, "chosen") for track, said in chosen.items()]
    rows += [
        _row(str(said.get("track")), said, "not chosen")
        for said in facts.get("favourites") or ()
        if str(said.get("track")) not in chosen
    ]
    return f"""<section>
<h2>The listener</h2>
<p class="hint">{html(facts.get("history", ""))}: {html(facts.get("plays", ""))} plays{unreadable}.
Of {html(library.get("tracks", ""))} tracks in the library: {known or "none known"}.</p>
<table class="composed">
<thead><tr><th scope="col">Track</th><th scope="col">Liked, 0 to 1</th><th scope="col">Why</th>
<th scope="col"></th></tr></thead>
<tbody>{"".join(rows)}</tbody></table>
{_changes(facts)}
</section>"""


def _row(track: str, said: Mapping[str, Any], chosen: str) -> str:
    return (
        f"<tr><td><bdi>{html(track)}</bdi></td>"
        f'<td class="num">{number(said.get("score"), 2)}</td>'
        f"<td><bdi>{html(said.get('reason', ''))}</bdi></td><td>{chosen}</td></tr>"
    )


def _changes(facts: Mapping[str, Any]) -> str:
    changed: Sequence[Mapping[str, Any]] = facts.get("changed") or []
    if not changed:
        return '<p class="sub">The choice is the same as without the history.</p>'
    rows = "".join(
        f"<li>Segment {html(c.get('segment', ''))}: <bdi>{html(c.get('track', ''))}</bdi> in place "
        f"of <bdi>{html(c.get('without', ''))}</bdi></li>"
        for c in changed
    )
    now, before = facts.get("fit"), facts.get("fit_without")
    fit = ""
    if isinstance(now, int | float) and isinstance(before, int | float):
        fit = f" The fit to the picture changed by {signed(now - before, 3)}."
    return f'<p class="sub">Changed by the history:{fit}</p><ul>{rows}</ul>'
