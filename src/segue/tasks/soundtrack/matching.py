"""File names that every file system takes, and the file that a title most likely means.

Captions and labels carry titles; files carry names. `safe_name` maps a title to a name,
`closest` finds the file for a title, `assign` does so for many titles without giving one file
to two of them.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Match", "assign", "closest", "safe_name"]

CUTOFF = 0.5
"""Least similarity (difflib ratio) of a match, from the original."""
_LONGEST_STEM = 100
_RESERVED = {"con", "prn", "aux", "nul"} | {f"{d}{n}" for d in ("com", "lpt") for n in range(1, 10)}


@dataclass(frozen=True, slots=True)
class Match:
    """The file found for a title."""

    title: str
    file: str
    score: float
    """difflib ratio of the two, lower-cased, 0..1."""


def safe_name(title: str) -> str:
    """Return a lower-case ASCII file name for `title`; the extension keeps its case.

    The stem is everything before the last dot, without its other dots. An empty stem becomes
    `file`; names that Windows reserves get a leading underscore.
    """
    *parts, extension = title.split(".")
    stem = unicodedata.normalize("NFKD", "".join(parts)).encode("ascii", "ignore").decode()
    stem = re.sub(r"[^\w\s.-]", "", stem, flags=re.ASCII)
    stem = re.sub(r"\s+", "-", stem)[:_LONGEST_STEM].rstrip(" .-") or "file"
    if stem.lower() in _RESERVED:
        stem = f"_{stem}"
    return f"{stem.lower()}.{extension}"


def closest(title: str, files: Iterable[str]) -> str | None:
    """Return the file whose name is closest to `title`, or None when none is close.

    Both sides are lower-cased; of names equal in lower case the last one is returned, as the
    original does.
    """
    by_lower = {file.lower(): file for file in files}
    found = difflib.get_close_matches(title.lower(), by_lower, n=1, cutoff=CUTOFF)
    return by_lower[found[0]] if found else None


def assign(titles: Sequence[str], files: Sequence[str]) -> dict[str, Match]:
    """Give each title at most one file and each file at most one title, best pairs first.

    Returns:
        Matches by title; titles without a file are absent. Ties go to the earlier title, then
        to the earlier file.
    """
    pairs = []
    for t, title in enumerate(titles):
        matcher = difflib.SequenceMatcher(b=title.lower())
        for f, file in enumerate(files):
            matcher.set_seq1(file.lower())
            if matcher.real_quick_ratio() >= CUTOFF and matcher.quick_ratio() >= CUTOFF:
                score = matcher.ratio()
                if score >= CUTOFF:
                    pairs.append((-score, t, f))
    matches: dict[str, Match] = {}
    taken: set[int] = set()
    for score, t, f in sorted(pairs):
        if titles[t] not in matches and f not in taken:
            matches[titles[t]] = Match(titles[t], files[f], -score)
            taken.add(f)
    return matches
