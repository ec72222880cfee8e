"""Text for the page: everything that a stranger wrote is escaped here."""

from __future__ import annotations

import math
import os
from html import escape
from urllib.parse import quote

from segue.score.export.text import one_line

__all__ = ["clock", "html", "link", "number", "percent", "signed"]

_MISSING = "–"


def html(text: object) -> str:
    """Return `text` as one line of HTML, safe inside an element and inside a quoted attribute."""
    return escape(one_line(str(text)), quote=True)


def link(name: str) -> str:
    """Return the relative URL of a file beside the page; it can never name a scheme or a host."""
    return quote(os.fsencode(name).lstrip(b"/"), safe="/")


def clock(seconds: float, *, tenths: bool = False) -> str:
    """Return `m:ss`, `h:mm:ss` from an hour on, with a tenth of a second if asked."""
    unit = 10 if tenths else 1
    whole, part = divmod(round(max(0.0, float(seconds)) * unit), unit)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
    return f"{text}.{part}" if tenths else text


def number(value: object, digits: int = 2) -> str:
    """Return a number with a true minus sign, or a dash when there is none."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return _MISSING
    return f"{value:.{digits}f}".replace("-", "−")


def signed(value: object, digits: int = 2) -> str:
    """Return a number with its sign, always."""
    text = number(value, digits)
    return text if text.startswith(("−", _MISSING)) else f"+{text}"


def percent(share: float) -> str:
    """Return a length for CSS or SVG."""
    return f"{100 * share:.3f}%"
