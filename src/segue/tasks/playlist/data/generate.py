"""Write logs of any size in the raw formats, for tests and benchmarks.

Tracks stand on albums of ten; how often an album is begun follows a power law. A user's listening
is a chain of sessions: an album is begun somewhere and goes on in order, until the next is begun.
So the next track can be told from the last in `follow` of all cases, and nothing else can be
learned. Names include what readers stumble over: "NA", "null", quotes that are not closed, commas,
signs of many scripts, spaces at the ends. As in Last.fm-1K, a user's plays run from the newest to
the oldest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from segue.core.seeding import generator

__all__ = ["ODD_TITLES", "generate_log"]

ODD_TITLES = (
    "NA", "null", "nan", "None", "N/A", "-", "0", "1e5", '12" Mix', '"Heroes"', 'Say "Yes', "It's",
    "Don't, Stop; Go|On", "back\\slash", "\\N", " leading", "trailing ", "Ænima", "東京", "Привет",
    "🎵🎶", "e\u0301tude", "\u202eright to left", "true", "#1", "=1+1",
)  # fmt: skip
"""Titles that readers take for something else."""

_ALBUM = 10
_BLOCK = 100_000
_START = 1_108_000_000  # February 2005, as in Last.fm-1K
_SECONDS_MEDIAN = 230
_PAUSE_SHARE = 0.06
_PAUSE_HOURS = 20


def generate_log(
    out: Path,
    *,
    rows: int,
    users: int,
    tracks: int | None = None,
    seed: int = 0,
    kind: Literal["lastfm", "listenbrainz"] = "lastfm",
    follow: float = 0.5,
    power: float = 3.0,
) -> int:
    """Write a log of `rows` plays to `out`, and return the number of different tracks played.

    Args:
        out: file to write; what is there is replaced.
        rows: number of plays.
        users: number of users; earlier ones play more.
        tracks: number of tracks there are to play (default: a twelfth of `rows`).
        seed: one seed, one log.
        kind: `lastfm` (tab-separated text) or `listenbrainz` (JSON lines).
        follow: share of plays that are the next track of the album.
        power: 1 makes all albums equally likely; the higher, the fewer make most of the plays.
    """
    n_tracks = max(tracks or rows // 12, _ALBUM)
    n_albums = -(-n_tracks // _ALBUM)
    shares = 1 / np.arange(1, users + 1) ** 0.5
    edges = np.round(np.concatenate([[0], np.cumsum(shares)]) / shares.sum() * rows)
    ends = _endings(n_albums * _ALBUM, seed, kind)
    seen = np.zeros(n_albums * _ALBUM, dtype=np.bool_)
    with out.open("w", encoding="utf-8", newline="") as file:
        for user in range(users):
            n = int(edges[user + 1] - edges[user])
            played, times = _listening(generator(seed, "log", user), n, n_albums, follow, power)
            seen[played] = True
            for lines in _lines(f"user_{user + 1:06d}", played[::-1], times[::-1], ends, kind):
                file.write(lines)
    return int(seen.sum())


def _listening(
    random: np.random.Generator, n: int, n_albums: int, follow: float, power: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the tracks and times of one user, oldest first, [n] each."""
    begins = random.random(n) >= follow
    pauses = random.random(n) < _PAUSE_SHARE
    begins |= pauses
    begins[:1] = True
    album = np.floor(n_albums * random.random(n) ** power).astype(np.int64)
    place = random.integers(_ALBUM, size=n)
    last = np.maximum.accumulate(np.where(begins, np.arange(n), 0))
    played = album[last] * _ALBUM + (place[last] + np.arange(n) - last) % _ALBUM
    steps = random.gamma(8.0, _SECONDS_MEDIAN / 8, size=n)
    steps += np.where(pauses, 1800 + random.exponential(_PAUSE_HOURS * 3600, size=n), 0)
    times = _START + int(random.integers(86_400 * 200)) + np.cumsum(steps).astype(np.int64)
    return played, times


def _endings(n_tracks: int, seed: int, kind: str) -> list[str]:
    """Return what a line has of each track."""
    random = generator(seed, "mbid")
    digits = random.bytes(32 * n_tracks).hex()
    endings = []
    for track in range(n_tracks):
        album = track // _ALBUM
        artist = f"Artist {album // 3}" if album % 11 else f'The "Band & {ODD_TITLES[album % 26]}'
        title = f"Song {track % 1000} of {album}"
        if track % 13 == 0:
            title = f"{ODD_TITLES[track // 13 % 26]}" + (f" {track}" if track > 13 * 26 else "")
        a, b = (_mbid(digits[64 * track + k : 64 * track + k + 32]) for k in (0, 32))
        if track % 17 == 0:
            b = ""
        if kind == "lastfm":
            endings.append(f"\t{a}\t{artist}\t{b}\t{title}\n")
        else:
            fields: dict[str, object] = {"artist_name": artist, "track_name": title}
            if b:
                fields["additional_info"] = {"recording_mbid": b}
            text = json.dumps(fields, ensure_ascii=track % 2 == 0)
            endings.append(f', "track_metadata": {text}}}\n')
    return endings


def _mbid(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _lines(
    user: str, played: NDArray[np.int64], times: NDArray[np.int64], endings: list[str], kind: str
) -> Iterator[str]:
    for start in range(0, len(played), _BLOCK):
        which = played[start : start + _BLOCK].tolist()
        block = times[start : start + _BLOCK]
        if kind == "lastfm":
            clock = np.datetime_as_string(block.astype("datetime64[s]")).tolist()
            pairs = zip(clock, which, strict=True)
            yield "".join([f"{user}\t{time}Z{endings[track]}" for time, track in pairs])
        else:
            head = f'{{"user_name": "{user}", "listened_at": '
            pairs = zip(block.tolist(), which, strict=True)
            yield "".join([f"{head}{time}{endings[track]}" for time, track in pairs])
