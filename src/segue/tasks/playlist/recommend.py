"""`recommend`: what to play after a history, from the run alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from segue.core.errors import DataError, SegueError, UsageError
from segue.tasks.playlist.data.prepared import Vocabulary
from segue.tasks.playlist.history import Heard, history_of
from segue.tasks.playlist.matching import TrackIndex
from segue.tasks.playlist.models.base import Recommender
from segue.tasks.playlist.ranking import Repeats
from segue.tasks.playlist.run_folder import (
    load_model,
    read_vocabulary,
    stored_agents,
    stored_models,
)
from segue.tasks.playlist.sessions import Sessions

__all__ = ["Recommendation", "Recommended", "Suggester", "answer_batch"]


@dataclass(frozen=True, slots=True)
class Recommended:
    """One track of a list."""

    place: int
    artist: str
    title: str
    score: float
    heard: bool
    """Whether it is in the history."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """What to play after one history."""

    model: str
    tracks: tuple[Recommended, ...]
    known: int
    """Plays of the history that the run knows."""
    unknown: tuple[str, ...]
    """Tracks of the history that it does not know, as they were given."""
    ambiguous: tuple[str, ...]
    """Tracks whose spelling fits several that the run knows; the most played was taken."""

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-like values."""
        return asdict(self)


class Suggester:
    """A model of a run that answers histories.

    Args:
        run: folder of `pretrain`, perhaps with agents of `tune`.
        model: name of a model or agent of the run; "" takes the best that there is.

    Raises:
        MissingModel: the run has no models.
        UnknownName: it has no such model.
    """

    def __init__(self, run: Path, model: str = "") -> None:
        self.vocabulary: Vocabulary = read_vocabulary(run)
        self._index = TrackIndex(self.vocabulary)
        self.name = model or _best(run)
        self.model: Recommender = load_model(run, self.name)

    def __call__(
        self, heard: Sequence[Heard], n: int, *, repeats: Repeats = "allowed"
    ) -> Recommendation:
        """Return the `n` best tracks after what was `heard`, oldest first.

        Raises:
            UsageError: the run knows no track of the history.
        """
        found = self._index.match(heard)
        numbers, unknown = found.tracks, found.unknown
        if not len(numbers):
            raise UsageError(
                f"none of the {len(heard)} tracks of the history is known to this run",
                where=unknown[0] if unknown else "",
                advice="Write them as in the data that the run was made from: 'artist - title'",
            )
        query = Sessions.from_lists([list(numbers)])
        tracks, scores = self.model.recommend(query, n, repeats=repeats)
        before = set(numbers.tolist())
        chosen = [
            Recommended(
                place=place,
                artist=self.vocabulary.artists[track],
                title=self.vocabulary.titles[track],
                score=float(score),
                heard=int(track) in before,
            )
            for place, (track, score) in enumerate(zip(tracks[0], scores[0], strict=True), start=1)
            if track >= 0 and np.isfinite(score)
        ]
        return Recommendation(
            model=self.name,
            tracks=tuple(chosen),
            known=len(numbers),
            unknown=tuple(unknown),
            ambiguous=tuple(found.ambiguous),
        )


def answer_batch(suggester: Suggester, path: Path, n: int, repeats: Repeats, out: TextIO) -> int:
    """Answer a file of JSON lines `{"id": ..., "history": ["artist - title", ...]}`.

    Writes one JSON line an answer, with the same id; a history that cannot be answered gives its
    `error` in the place of tracks.

    Args:
        suggester: who answers.
        path: the file.
        n: tracks of each answer.
        repeats: whether heard tracks may come again.
        out: where the lines go.

    Returns:
        Number of lines that could not be answered.

    Raises:
        DataError: the file cannot be read.
    """
    failed = 0
    try:
        with path.open(encoding="utf-8", errors="strict") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                answer: dict[str, Any] = {"id": number}
                try:
                    asked = _request(line, f"{path}, line {number}")
                    answer["id"] = asked.get("id", number)
                    heard = history_of(asked["history"])
                    answer |= suggester(heard, n, repeats=repeats).to_dict()
                except SegueError as error:
                    failed += 1
                    answer["error"] = str(error)
                out.write(json.dumps(answer, ensure_ascii=True) + "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read this file: {error}", where=path) from None
    return failed


def _request(line: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise DataError(f"this is not JSON: {error}", where=where) from None
    history = value.get("history") if isinstance(value, dict) else None
    if not isinstance(history, list) or not all(isinstance(part, str) for part in history):
        raise DataError(
            "there is no list of texts called 'history'",
            where=where,
            advice='Write {"id": 1, "history": ["artist - title"]}',
        )
    return dict(value)


def _best(run: Path) -> str:
    """Return the name of the strongest kind of model in `run`."""
    stored = stored_models(run) | stored_agents(run)
    order = ("playlist", "actor-critic", "reranker", "next-track", "fused", "sasrec", "item-cf")
    return next((name for name in order if name in stored), next(iter(stored)))
