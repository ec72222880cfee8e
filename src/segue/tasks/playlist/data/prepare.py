"""`prepare`: a log of listening -> sessions, a vocabulary, and a split.

1. read the source; every row that cannot be used is counted by its reason;
2. leave out rare tracks, and cut what each user played into sessions (logs only);
3. divide the sessions into training, validation and test;
4. number the tracks by falling count of plays before the test;
5. write the folder, all of it or nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.progress import Advance, silent
from segue.tasks.playlist.data import logs
from segue.tasks.playlist.data.account import Account
from segue.tasks.playlist.data.config import PrepareConfig
from segue.tasks.playlist.data.cutting import cut, trim
from segue.tasks.playlist.data.formats import find_source
from segue.tasks.playlist.data.plays import first_places
from segue.tasks.playlist.data.prepared import PARTS, Vocabulary, fingerprint_of, join_known
from segue.tasks.playlist.data.sequences import read_sequences
from segue.tasks.playlist.data.splits import divide
from segue.tasks.playlist.data.writing import check_target, new_folder, write_prepared
from segue.tasks.playlist.sessions import UNKNOWN, Sessions

__all__ = ["prepare"]

_READING, _NUMBERING = 0.7, 0.1
"""Shares of the work, about."""


def prepare(
    source: Path,
    out: Path,
    config: PrepareConfig | None = None,
    *,
    advance: Advance = silent,
) -> dict[str, Any]:
    """Make a prepared folder out of `source`, and return its facts (prepared.json).

    Args:
        source: a file, or a folder that holds one.
        out: folder to write; a new or empty one, or an earlier result, which is replaced.
        config: what is taken, and the split.
        advance: is told the share of the work that has been done since the last call.

    Raises:
        DataError: the source cannot be read, or nothing in it can be used.
        UsageError: `out` holds something else, or the source cannot be divided as asked.
    """
    config = config or PrepareConfig()
    check_target(out)
    path, kind = find_source(source, config.format)
    account = Account(source=path, strict=config.strict)
    with new_folder(out) as folder:
        if kind in ("sessions", "sequences"):
            found = _ready_made(path, config, account)
            advance(_READING)
        else:
            found = _log(path, kind, config, account, folder / ".work", advance)
        divided = divide(
            found.sessions, config, source=path, has_clock=found.has_clock, given=found.parts
        )
        parts, vocabulary, unknown = _number(divided.parts, divided.split, found, config)
        advance(_NUMBERING)
        fingerprint = fingerprint_of(parts.values(), vocabulary)
        facts = {
            "name": config.name or path.name.split(".")[0],
            "fingerprint": fingerprint,
            "source": path.name,
            "format": kind,
            "settings": _plain(config),
            "split": divided.split,
            "leaks": divided.split == "windows_leaky",
            "cut": divided.facts,
            "clock": found.has_clock,
            "rows": {"read": found.n_rows, "used": found.n_used},
            "dropped": account.to_dict(),
            **found.facts,
            "tracks": len(vocabulary),
            "users": len(np.unique(found.sessions.users[found.sessions.users != UNKNOWN])),
            "sessions": len(found.sessions),
            "plays": len(found.sessions.tracks),
            "parts": {name: _count(part) for name, part in parts.items()},
            "unknown": unknown,
            "skipped": all(part.skipped is not None for part in parts.values()),
        }
        write_prepared(folder, parts, vocabulary, facts, config)
        advance(1 - _READING - _NUMBERING)
    return facts


@dataclass(slots=True, kw_only=True, eq=False)
class _Found:
    """Sessions in order of time, whose tracks have the numbers of the source."""

    sessions: Sessions
    labels: Callable[[NDArray[np.int64]], tuple[list[str], list[str]]]
    """Artists and titles of tracks."""
    n_tracks: int
    has_clock: bool
    parts: NDArray[np.int8] | None = None
    n_rows: int
    n_used: int
    """Rows of which something is kept."""
    facts: dict[str, Any]


def _log(
    path: Path, kind: str, config: PrepareConfig, account: Account, work: Path, advance: Advance
) -> _Found:
    read = {
        "lastfm": logs.read_lastfm,
        "csv": logs.read_csv,
        "listenbrainz": logs.read_listenbrainz,
        "parquet": logs.read_parquet,
    }[kind]
    plays = read(path, config, account, work, advance=lambda part: advance(_READING * part))
    sessions, facts = cut(plays, config, account)
    return _Found(
        sessions=sessions,
        labels=plays.labels,
        n_tracks=plays.n_tracks,
        has_clock=True,
        n_rows=plays.n_rows,
        n_used=len(sessions.tracks),
        facts=facts,
    )


def _ready_made(path: Path, config: PrepareConfig, account: Account) -> _Found:
    read = read_sequences(path, account)
    sessions, chosen, facts = trim(read, config, account)

    def labels(tracks: NDArray[np.int64]) -> tuple[list[str], list[str]]:
        return [""] * len(tracks), [read.names[i] for i in tracks.tolist()]

    return _Found(
        sessions=sessions,
        labels=labels,
        n_tracks=len(read.names),
        has_clock=read.has_clock,
        parts=None if read.parts is None else read.parts[chosen],
        n_rows=read.n_rows,
        n_used=read.n_rows - account.total,
        facts=facts,
    )


def _number(
    parts: dict[str, Sessions], split: str, found: _Found, config: PrepareConfig
) -> tuple[dict[str, Sessions], Vocabulary, dict[str, int]]:
    """Give the tracks their numbers; return parts, vocabulary, and what has none in each part."""
    n = found.n_tracks
    heard = join_known(parts["train"], parts["validation"], split).tracks
    plays = np.bincount(heard, minlength=n)
    order_of = np.concatenate([heard, parts["test"].tracks]) if config.keep_unseen else heard
    first = first_places(order_of, n)
    kept = first < len(order_of)
    order = np.lexsort((first, -plays))
    order = order[kept[order]]
    numbers = np.full(n, UNKNOWN, dtype=np.int32)
    numbers[order] = np.arange(len(order), dtype=np.int32)
    artists, titles = found.labels(order)
    vocabulary = Vocabulary(
        artists=tuple(artists), titles=tuple(titles), plays=plays[order].astype(np.int64)
    )
    numbered = {name: _with_tracks(parts[name], numbers[parts[name].tracks]) for name in PARTS}
    unknown = {name: int((part.tracks == UNKNOWN).sum()) for name, part in numbered.items()}
    return numbered, vocabulary, unknown


def _with_tracks(sessions: Sessions, tracks: NDArray[np.int32]) -> Sessions:
    return Sessions(
        tracks=tracks,
        offsets=sessions.offsets,
        users=sessions.users,
        times=sessions.times,
        first_targets=sessions.first_targets,
        skipped=sessions.skipped,
    )


def _count(part: Sessions) -> dict[str, int]:
    asked = np.maximum(part.lengths - np.maximum(part.first_targets, 1), 0)
    return {"sessions": len(part), "plays": len(part.tracks), "questions": int(asked.sum())}


def _plain(config: PrepareConfig) -> dict[str, Any]:
    """Return the settings as JSON values; infinity is written as the text `inf`."""
    values = config.model_dump(mode="json")
    if math.isinf(config.gap_minutes):
        values["gap_minutes"] = "inf"
    return values
