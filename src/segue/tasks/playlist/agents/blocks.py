"""Questions to learn from, described by models that have not seen their answers.

Sessions are cut by time. The questions of each block are described by a fused ranker that was
fitted on everything before the block: a number from a model that knows the session would promise
more than it holds later. All weights of the ranker stay those that were chosen on validation
sessions.

Letters: `B` questions, `N` candidates, `K` hidden tracks.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError
from segue.core.progress import Advance, silent
from segue.core.seeding import generator
from segue.tasks.playlist.agents.questions import Questions, newest_tracks
from segue.tasks.playlist.models.features import make_candidates
from segue.tasks.playlist.models.fused import Fused
from segue.tasks.playlist.sessions import UNKNOWN, Sessions

__all__ = ["Asking", "ask_next", "ask_playlists", "describe", "question_blocks"]

Asking = Callable[[Sessions], tuple[Sessions, NDArray[np.int32]]]
"""Takes sessions; returns queries [B] and hidden tracks [B, K]."""

_BATCH = 1024


def ask_next(sessions: Sessions, earlier: int, seed: int) -> tuple[Sessions, NDArray[np.int32]]:
    """Ask for the last track of each session, and for `earlier` others of it, drawn at random.

    Places before `first_targets` are known history and are not asked for.
    """
    return _ask(sessions, np.maximum(sessions.first_targets + 1, 2), 1, earlier, seed)


def ask_playlists(
    sessions: Sessions, length: int, least: int, earlier: int = 0, seed: int = 0
) -> tuple[Sessions, NDArray[np.int32]]:
    """Ask for the last `length` tracks of each session of at least `least` tracks.

    With `earlier` so many earlier stretches of each session are asked for, too, drawn at random.
    """
    shortest = np.maximum(sessions.first_targets + length, max(least, length + 1))
    return _ask(sessions, shortest, length, earlier, seed)


def _ask(
    sessions: Sessions, shortest: NDArray[Any], hidden: int, earlier: int, seed: int
) -> tuple[Sessions, NDArray[np.int32]]:
    """Hide the last tracks of each session, and of beginnings of it of `shortest` [S] or more."""
    lengths = sessions.lengths
    asked = np.flatnonzero(lengths >= shortest)
    which, ends = [asked], [lengths[asked]]
    rng = generator(seed, "earlier places")
    draw = rng.random((len(sessions), max(int((lengths - shortest).max(initial=0)), 1)))
    places = np.arange(draw.shape[1]) + np.asarray(shortest, dtype=np.int64)[:, None]
    draw[places >= lengths[:, None]] = np.inf  # the whole session is asked for anyway
    order = np.argsort(draw, axis=1)[:, :earlier]
    for column in range(order.shape[1]):
        there = np.isfinite(np.take_along_axis(draw, order[:, column, None], axis=1))[:, 0]
        which.append(np.flatnonzero(there))
        ends.append(places[there, order[there, column]])
    whole, until = np.concatenate(which), np.concatenate(ends)
    by_session = np.argsort(whole, kind="stable")
    shown = sessions.prefixes(whole[by_session], until[by_session])
    return shown.prefixes(np.arange(len(shown)), shown.lengths - hidden), newest_tracks(
        shown, hidden
    )


def describe(
    fused: Fused,
    queries: Sessions,
    hidden: NDArray[np.int32],
    n: int,
    *,
    answerable: bool = False,
    half: bool = False,
) -> Questions:
    """Return the questions with their best `n` candidates.

    Args:
        fused: fitted on sessions before the questions.
        queries: [B].
        hidden: [B, K].
        n: N.
        answerable: keep those alone that have an answer among the candidates.
        half: keep the numbers in half precision, which halves the memory.
    """
    parts = []
    for low in range(0, max(len(queries), 1), _BATCH):
        high = min(low + _BATCH, len(queries))
        part = queries.part(low, high)
        found = Questions.of(make_candidates(fused, part, n), part, hidden[low:high])
        found = found.take(found.answerable()) if answerable else found
        if half:
            numbers: Any = np.clip(found.candidates.numbers, -6e4, 6e4).astype(np.float16)
            found = replace(found, candidates=replace(found.candidates, numbers=numbers))
        parts.append(found)
    return Questions.join(parts)


def question_blocks(
    fused: Fused,
    sessions: Sessions,
    cuts: Sequence[int],
    asking: Asking,
    n: int,
    *,
    answerable: bool = True,
    advance: Advance = silent,
) -> list[Questions]:
    """Return the questions of every block.

    Args:
        fused: its settings and weights are taken; what it was fitted on is not.
        sessions: [S], in order of time.
        cuts: numbers of sessions, rising; n of them make n - 1 blocks.
        asking: makes questions of the sessions of a block.
        n: candidates of a question, N.
        answerable: keep those alone that have an answer among the candidates.
        advance: told the share of the work that is done.

    Raises:
        DataError: no block has a question to learn from.
    """
    found = []
    for start, stop in itertools.pairwise(cuts):
        earlier = Fused(fused.config)
        earlier.weights, earlier.factor_weights = fused.weights, fused.factor_weights
        earlier.fit(sessions.part(0, start), fused.n_tracks)
        queries, hidden = asking(sessions.part(start, stop))
        known = (hidden != UNKNOWN).any(axis=1)
        queries, hidden = queries.take(known), hidden[known]
        found.append(describe(earlier, queries, hidden, n, answerable=answerable, half=True))
        advance(1 / (len(cuts) - 1))
    if not sum(map(len, found)):
        raise DataError(
            "no question to learn from: of no session that is long enough is a later track among "
            "the candidates",
            advice="Prepare more sessions, or raise the number of candidates",
        )
    return found
