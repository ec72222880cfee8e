"""`audit`: does a split tell models the answers of its test?

A question is a place of a test session: what was played before, and the track to guess. Its answer
leaks when training data hold another copy of the same session that goes on past the question, so
that the question with its answer stands in it. Random windows do that for most questions; a
session's own beginning, which a split by last plays puts into training, does not count.

Weaker than a leak, and told apart: training data that are later than the question. A model that is
fitted on them knows what became popular, and in the product nobody does.

For validation, training is the training part; for the test it is everything before the test.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError
from segue.core.seeding import generator
from segue.tasks.playlist.data.prepared import Prepared, load_prepared
from segue.tasks.playlist.protocol import questions
from segue.tasks.playlist.sessions import UNKNOWN, Sessions

__all__ = ["Audit", "Finding", "audit", "examine"]

_TAIL = 25
"""Plays of a question that must stand in training data for its answer to be told."""
_MOST = 20_000
"""Questions looked at one by one; of more, this many are drawn."""
_ALLOWED = 0.005
"""Share of answers in training that may be chance: data that hold a session twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What training data know of one part; shares of its questions."""

    part: str
    questions: int
    answers_seen: float
    """Training data hold the question with its answer, in another copy of its session."""
    sessions_seen: float
    """Training data hold plays of its session, which may be its history."""
    same_content: float
    """A session of at least five plays that is in training, too, play by play."""
    later_of_user: float
    """Training data hold later sessions of the same user."""
    later_of_others: float
    """Training data hold later sessions of anybody; 0 where there is no common clock."""
    unknown: float
    """The track to guess does not occur in training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What was found in a prepared folder."""

    name: str
    split: str
    fingerprint: str
    findings: tuple[Finding, ...]

    @property
    def leaks(self) -> bool:
        """Whether more answers are in the training data than chance explains."""
        return any(finding.answers_seen > _ALLOWED for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**asdict(self), "findings": [asdict(f) for f in self.findings], "leaks": self.leaks}

    def check(self) -> None:
        """Raise when the split leaks.

        Raises:
            DataError: it does.
        """
        worst = max(self.findings, key=lambda finding: finding.answers_seen)
        if self.leaks:
            raise DataError(
                f"split {self.split} leaks: the answers of {worst.answers_seen:.1%} of the "
                f"{worst.part} questions are in the training data",
                where=self.name,
                advice="Prepare it with --split time; what is measured on this one is worthless",
            )


def audit(folder: Path) -> Audit:
    """Examine a prepared folder.

    Raises:
        DataError: it is missing or damaged.
    """
    return examine(load_prepared(folder))


def examine(data: Prepared, *, seed: int = 0) -> Audit:
    """Examine prepared data.

    Args:
        data: what to look at.
        seed: of the draw where there are too many questions to look at all.
    """
    clock = bool(data.facts.get("clock", True))
    pairs = (
        ("validation", data.validation, data.train),
        ("test", data.test, data.before_test),
    )
    return Audit(
        name=data.name,
        split=str(data.facts.get("split", "")),
        fingerprint=data.fingerprint,
        findings=tuple(_find(name, part, known, clock, seed) for name, part, known in pairs),
    )


def _find(name: str, part: Sessions, known: Sessions, clock: bool, seed: int) -> Finding:
    asked, targets, which = questions(part, "prefixes")
    places = asked.lengths
    n = len(which)
    copies = _copies(part, known)
    has_copy = np.array([bool(copies[i]) for i in range(len(part))], dtype=np.bool_)
    close = np.flatnonzero(has_copy[which])
    looked = close
    if len(close) > _MOST:
        looked = np.sort(generator(seed, "audit", name).choice(close, _MOST, replace=False))
    seen = sum(
        _is_told(part[which[q]], int(places[q]), [known[c] for c in copies[int(which[q])]])
        for q in looked.tolist()
    )
    share = seen / len(looked) if len(looked) else 0.0
    newest_of = _newest(known)
    later_user = np.array(
        [
            u != UNKNOWN and newest_of.get(u, t) > t
            for u, t in zip(part.users.tolist(), part.times.tolist(), strict=True)
        ],
        dtype=np.bool_,
    )
    newest = int(known.times.max()) if len(known) else 0
    heard = np.unique(known.tracks)
    return Finding(
        part=name,
        questions=n,
        answers_seen=share * len(close) / n,
        sessions_seen=len(close) / n,
        same_content=float(_same(part, known)[which].mean()),
        later_of_user=float(later_user[which].mean()),
        later_of_others=float((part.times < newest)[which].mean()) if clock else 0.0,
        unknown=float((~np.isin(targets, heard)).mean()),
    )


def _copies(part: Sessions, known: Sessions) -> list[list[int]]:
    """Return the training sessions with the user and start of each session of `part`."""
    wanted = set(zip(part.users.tolist(), part.times.tolist(), strict=True))
    found: dict[tuple[int, int], list[int]] = defaultdict(list)
    for i, key in enumerate(zip(known.users.tolist(), known.times.tolist(), strict=True)):
        if key in wanted:
            found[key].append(i)
    keys = zip(part.users.tolist(), part.times.tolist(), strict=True)
    return [found.get(key, []) for key in keys]


def _is_told(session: NDArray[np.int32], place: int, copies: list[NDArray[np.int32]]) -> bool:
    """Return whether a copy of the session holds the question at `place` with its answer."""
    tail = session[max(0, place + 1 - _TAIL) : place + 1].tobytes()
    for copy in copies:
        if len(copy) <= place and np.array_equal(copy, session[: len(copy)]):
            continue  # the history of this very question
        text, at = copy.tobytes(), -1
        while (at := text.find(tail, at + 1)) >= 0:
            if at % copy.itemsize == 0:
                return True
    return False


def _newest(known: Sessions) -> dict[int, int]:
    """Return the start of the newest session of each user."""
    order = np.argsort(known.times, kind="stable")
    return dict(zip(known.users[order].tolist(), known.times[order].tolist(), strict=True))


def _same(part: Sessions, known: Sessions) -> NDArray[np.bool_]:
    lengths = part.lengths
    wanted = {part[i].tobytes() for i in np.flatnonzero(lengths >= 5).tolist()}
    there = {text for i in range(len(known)) if (text := known[i].tobytes()) in wanted}
    return np.array(
        [n >= 5 and part[i].tobytes() in there for i, n in enumerate(lengths.tolist())],
        dtype=np.bool_,
    )
