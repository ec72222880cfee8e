"""A small run: sessions of tracks in circles, a fused ranker, settings that take a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from segue.core.seeding import generator
from segue.tasks.playlist.data.prepared import Prepared, Vocabulary
from segue.tasks.playlist.models.fused import Fused
from segue.tasks.playlist.sessions import Sessions

N_TRACKS = 60
PLAYLIST: dict[str, Any] = {
    "n_candidates": 20,
    "length": 3,
    "least": 5,
    "scorer_epochs": 1,
    "scorer_width": 8,
    "epochs": 2,
    "width": 4,
    "lists": 2,
    "batch": 16,
}
NEXT: dict[str, Any] = {
    "n_candidates": 20,
    "earlier_places": 1,
    "width": 8,
    "epochs": 2,
    "lists": 2,
    "length": 5,
}


def circles(n: int, seed: int) -> Sessions:
    """Sessions of 4 to 9 tracks that go round one of six circles of ten, with some jumps."""
    rng = generator(seed, "circles")
    lists = []
    for _ in range(n):
        start, circle = rng.integers(10), rng.integers(6)
        steps = rng.choice([1, 2, 5], size=rng.integers(4, 10), p=[0.7, 0.2, 0.1])
        lists.append([int(10 * circle + (start + s) % 10) for s in np.cumsum(steps)])
    return Sessions.from_lists(lists)


def small_data() -> Prepared:
    """180 sessions to learn from, 45 to choose by, 30 to test."""
    whole = circles(255, 0)
    train, validation, test = whole.part(0, 180), whole.part(180, 225), whole.part(225, 255)
    names = tuple(f"track {i}" for i in range(N_TRACKS))
    plays = np.bincount(train.tracks, minlength=N_TRACKS)
    return Prepared(
        name="circles",
        fingerprint="sha256:circles",
        vocabulary=Vocabulary(artists=names, titles=names, plays=plays),
        train=train,
        validation=validation,
        test=test,
        facts={},
    )


def small_run(folder: Path) -> Path:
    """A run that holds nothing but a fused ranker with weights as they come."""
    data = small_data()
    Fused().fit(Sessions.join([data.train, data.validation]), N_TRACKS).save(
        folder / "models" / "fused"
    )
    return folder
