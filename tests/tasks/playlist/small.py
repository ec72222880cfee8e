"""A small log of listening with a plain pattern, prepared as a user would prepare it.

Thirty artists of four tracks each; a session walks through one artist's tracks in order and starts
again, so the next track follows from the last one. Every tenth step jumps to the most played track.
"""

import csv
from pathlib import Path

import numpy as np

from segue.tasks.playlist.data.config import PrepareConfig
from segue.tasks.playlist.data.prepare import prepare
from segue.tasks.playlist.data.prepared import Prepared, load_prepared

ARTISTS, TRACKS = 30, 4


def write_log(path: Path, sessions: int = 400, seed: int = 0) -> None:
    """Write a CSV of user, time, artist and track."""
    rng = np.random.default_rng(seed)
    time = 1_600_000_000
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["user", "time", "artist", "track"])
        for _ in range(sessions):
            user, artist = rng.integers(20), rng.integers(ARTISTS)
            at = int(rng.integers(TRACKS))
            time += 7200
            for step in range(rng.integers(6, 12)):
                jump = rng.random() < 0.1
                name = (0, 0) if jump else (artist, (at + step) % TRACKS)
                writer.writerow(
                    [f"u{user}", time + 200 * step, f"Artist {name[0]}", f"Song {name[1]}"]
                )


def small_data(folder: Path) -> Prepared:
    """Return the log as prepared data."""
    write_log(folder / "log.csv")
    prepare(folder / "log.csv", folder / "data", PrepareConfig(min_plays=1, split="time"))
    return load_prepared(folder / "data")
