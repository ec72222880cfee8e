"""How much a leak is worth: one model, the same sessions, divided in three ways.

The model is the original's Item-CF: cosine similarity, 30 neighbours without the track itself, no
recency, and each window of a session a listener of its own. Its questions are the original's, too:
the last track of every window, with the window's tracks left out of the answer. Only the division
differs: windows at random, whole sessions at random, and sessions by time. For the last, all these
sessions are for fitting, and the questions are windows of the test part, where that is later;
without a later test part the newest tenth is asked.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from segue.core.errors import DataError
from segue.core.progress import Advance, silent
from segue.core.seeding import generator
from segue.tasks.playlist.data.config import PrepareConfig
from segue.tasks.playlist.data.prepared import Prepared
from segue.tasks.playlist.data.splits import random_windows
from segue.tasks.playlist.protocol import questions
from segue.tasks.playlist.sessions import Sessions

__all__ = ["Inflation", "inflation"]

_SHORTEST = 5
_TEST_SHARE = 0.1
_LATER = ("given", "time")
"""Splits whose test is later than everything else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inflation:
    """What the model reaches on the same sessions in one division."""

    split: str
    questions: int
    hit_10: float
    ndcg_10: float
    mrr_20: float

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def inflation(
    data: Prepared,
    *,
    newest: int = 40_000,
    most_questions: int = 20_000,
    seed: int = 0,
    advance: Advance = silent,
) -> list[Inflation]:
    """Measure Item-CF on windows at random, sessions at random, and sessions by time.

    Args:
        data: sessions with a split of their own.
        newest: number of sessions; the newest ones that have five plays are taken from them.
        most_questions: of more, this many are drawn.
        seed: of divisions and draws.
        advance: is told the share of the work that has been done.

    Raises:
        DataError: the data hold windows instead of sessions, or too few sessions.
    """
    if data.facts.get("split") == "windows_leaky":
        raise DataError(
            "these are windows, not sessions, so that they cannot be divided in another way",
            where=data.name,
            advice="Prepare the source with --split time, and audit that with --inflation",
        )
    sessions = data.before_test
    sessions = sessions.part(max(0, len(sessions) - newest), len(sessions))
    sessions = sessions.take(sessions.lengths >= _SHORTEST)
    if len(sessions) < 100:
        raise DataError(
            f"only {len(sessions)} sessions have {_SHORTEST} plays; 100 are needed",
            where=data.name,
        )
    found = []
    for split in ("windows_leaky", "session", "time"):
        train, test = _divide(sessions, split, seed)
        if split == "time" and data.facts.get("split") in _LATER:
            later = data.test.take(data.test.lengths >= _SHORTEST)
            train = random_windows(sessions, PrepareConfig(), _SHORTEST)[0]
            test = random_windows(later, PrepareConfig(), _SHORTEST)[0]
        if len(test) > most_questions:
            drawn = generator(seed, "inflation", "questions", split).choice(
                len(test), most_questions, replace=False
            )
            test = test.take(np.sort(drawn))
        found.append(_measure(split, train, test, len(data.vocabulary)))
        advance(1 / 3)
    return found


def _divide(sessions: Sessions, split: str, seed: int) -> tuple[Sessions, Sessions]:
    """Return the windows to fit on, and those to ask."""
    windows, owners = random_windows(sessions, PrepareConfig(), _SHORTEST)
    random = generator(seed, "inflation", split)
    if split == "windows_leaky":
        order, n = random.permutation(len(windows)), len(windows)
        # 80 % to fit on, 10 % to choose with, 10 % to ask
        return windows.take(order[: round(0.8 * n)]), windows.take(order[round(0.9 * n) :])
    n = len(sessions)
    place = random.permutation(n) if split == "session" else np.arange(n)
    asked = place[owners] >= round(n * (1 - _TEST_SHARE))
    return windows.take(~asked), windows.take(asked)


def _measure(split: str, train: Sessions, test: Sessions, n_tracks: int) -> Inflation:
    from segue.tasks.playlist.models.item_cf import ItemCF, ItemCFConfig

    model = ItemCF(ItemCFConfig(neighbours=30, keep_self=False, decay=1.0))
    model.fit(train, n_tracks)
    queries, targets, _ = questions(test, "last")
    ranks = model.ranks(queries, targets, repeats="masked")
    found = ranks <= 20
    return Inflation(
        split=split,
        questions=len(targets),
        hit_10=float((ranks <= 10).mean()),
        ndcg_10=float(np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0).mean()),
        mrr_20=float(np.where(found, 1 / ranks, 0).mean()),
    )
