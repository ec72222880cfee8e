"""SASRec learns what follows what: sessions that go round in circles.

Forty tracks in eight circles of five; a session starts anywhere and goes round, forwards in half
of the circles and in steps of two in the others. Chance hits 1 of 40 (0.025); the start, where the
newest track's neighbours are answered, hits 0.08: mostly another track of the circle.
"""

from __future__ import annotations

import numpy as np

from segue.tasks.playlist.models.sasrec import SASRec
from segue.tasks.playlist.models.sasrec_config import SASRecConfig
from segue.tasks.playlist.protocol import questions
from segue.tasks.playlist.sessions import Sessions


def circles(n: int, seed: int) -> Sessions:
    rng = np.random.default_rng(seed)
    lists = []
    for _ in range(n):
        circle, start, length = rng.integers(8), rng.integers(5), rng.integers(3, 9)
        lists.append(list(5 * circle + (start + np.arange(length) * (1 + circle % 2)) % 5))
    return Sessions.from_lists(lists)


def hit_at_1(model: SASRec) -> float:
    queries, targets, _ = questions(circles(200, 1), "last")
    return float((model.ranks(queries, targets) == 1).mean())


def test_it_learns_circles() -> None:
    settings = {"dimension": 16, "heads": 2, "negatives": 32, "batch": 256, "learning_rate": 0.01}
    untrained = SASRec(SASRecConfig.parse(settings | {"epochs": 0})).fit(circles(300, 0), 40)
    assert hit_at_1(untrained) < 0.2
    for seed in (0, 1):
        config = SASRecConfig.parse(settings | {"epochs": 15, "seed": seed})
        assert hit_at_1(SASRec(config).fit(circles(300, 0), 40)) >= 0.95
