"""Small logs for the tests, and what must come of them, told plainly and slowly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from segue.tasks.playlist.data.account import Account
from segue.tasks.playlist.data.plays import Layout, Plays, read_plays
from segue.tasks.playlist.data.prepared import Prepared
from segue.tasks.playlist.sessions import Sessions

Event = tuple[str, int, str, str]
"""User, seconds, artist, title."""

LAST_FM = {"user": 0, "time": 1, "artist": 3, "mbid": 4, "title": 5}
START = 1_200_000_000


def clock(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def lastfm_line(event: Event) -> str:
    user, seconds, artist, title = event
    return f"{user}\t{clock(seconds)}\t\t{artist}\t\t{title}"


def write_lastfm(path: Path, events: Sequence[Event]) -> Path:
    path.write_text("".join(lastfm_line(e) + "\n" for e in events), encoding="utf-8", newline="")
    return path


def read_text(
    text: bytes, folder: Path, layout: Layout | None = None, *, threads: int = 1, cut: int = 1 << 20
) -> tuple[Plays, Account]:
    """Read `text` in blocks of `cut` bytes."""
    folder.mkdir(exist_ok=True)
    account = Account(source=folder / "log")
    blocks = [text[i : i + cut] for i in range(0, len(text), cut)]
    layout = layout or Layout(columns=LAST_FM, n_columns=6)
    return read_plays(blocks, layout, account, folder, threads=threads), account


def labels(plays: Plays) -> list[tuple[str, str]]:
    """Artist and title of every play."""
    artists, titles = plays.labels(np.arange(plays.n_tracks))
    return [(artists[i], titles[i]) for i in plays.tracks.tolist()]


def expected_sessions(
    newest_first: Sequence[Event], *, min_plays: int = 5, min_length: int = 5, gap: int = 1800
) -> list[tuple[str, int, tuple[tuple[str, str], ...]]]:
    """User, start and tracks of each session: the rules of `cutting`, step by step."""
    counts = Counter(event[2:] for event in newest_first)
    found = []
    for user in dict.fromkeys(event[0] for event in newest_first):
        own = [e for e in reversed(newest_first) if e[0] == user and counts[e[2:]] >= min_plays]
        own.sort(key=lambda event: event[1])  # stable
        current: list[Event] = []
        for event in own:
            if current and event[1] - current[-1][1] > gap:
                found.append(current)
                current = []
            current.append(event)
        found.append(current)
    return sorted(
        (s[0][0], s[0][1], tuple(e[2:] for e in s)) for s in found if len(s) >= min_length
    )


def told(data: Prepared, part: Sessions) -> list[tuple[int, tuple[tuple[str, str], ...]]]:
    """Start and tracks of each session of a part."""
    names = list(zip(data.vocabulary.artists, data.vocabulary.titles, strict=True))
    names.append(("", "?"))  # UNKNOWN
    return [
        (int(part.times[i]), tuple(names[t] for t in part[i].tolist())) for i in range(len(part))
    ]
