"""Who says what becomes of a chosen track: the log of a real session, or a simulated person.

A listener is asked for many episodes at once. What it carries along in an episode (which tracks are
still hidden, how bored it is) is in `minds`, arrays by name with one row an episode, so that an
episode can be stopped, kept and continued. Letters: `Q` queries, `B` episodes, `H` hidden tracks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from segue.tasks.playlist.sessions import UNKNOWN, Sessions

__all__ = ["Listener", "LoggedListener", "Minds", "Response"]

Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]
Minds = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Response:
    """What became of one track in each episode, [B] each."""

    hits: Flags
    """The listener wanted it."""
    skipped: Flags
    """It was broken off; False where the data does not say."""
    leaves: Flags
    """The listener goes away; the list ends here."""


class Listener(Protocol):
    """What responds to choices."""

    answers: bool
    """Whether a policy may see the responses: a person's yes, those of a log no. A log knows only
    what was played, so its hits would tell the policy what is hidden."""

    def begin(self, queries: Indices, noise: Indices) -> Minds:
        """Return the minds of episodes that begin, [B, ...] each.

        Args:
            queries: numbers of the queries, [B].
            noise: numbers that decide all chances of an episode, [B].
        """
        ...

    def respond(
        self, queries: Indices, noise: Indices, places: Indices, minds: Minds, tracks: Indices
    ) -> Response:
        """Respond to `tracks` [B] at `places` [B] of their lists, and change `minds`."""
        ...

    def wanted(self, queries: Indices) -> Indices:
        """Return how many tracks a list could hit, [B]."""
        ...


class LoggedListener:
    """Hidden continuations of logged sessions: a track is wanted if it was played there.

    Every hidden play can be hit once, in any order. Nobody leaves.

    Args:
        hidden: what followed each history, [Q] sessions.
    """

    answers = False

    def __init__(self, hidden: Sessions) -> None:
        longest = int(hidden.lengths.max(initial=1))
        at = np.arange(longest)[None, :]
        inside = at < hidden.lengths[:, None]
        places = np.where(inside, hidden.offsets[:-1, None] + at, 0)
        none = np.zeros(1, dtype=np.int32)  # when no session hides anything
        tracks = hidden.tracks if len(hidden.tracks) else none
        self.hidden = np.where(inside, tracks[places], UNKNOWN)
        """[Q, H]; -1 where there are fewer."""
        broken = hidden.skipped
        self._broken = None if broken is None or not len(broken) else broken[places] & inside

    def begin(self, queries: Indices, noise: Indices) -> Minds:
        """Hide everything."""
        return {"hidden": self.hidden[queries] >= 0}

    def respond(
        self, queries: Indices, noise: Indices, places: Indices, minds: Minds, tracks: Indices
    ) -> Response:
        """Compare with what is still hidden."""
        rows = np.arange(len(queries))
        found = (self.hidden[queries] == tracks[:, None]) & minds["hidden"]
        hits = found.any(axis=1)
        where = found.argmax(axis=1)
        minds["hidden"][rows[hits], where[hits]] = False
        skipped = np.zeros(len(rows), dtype=np.bool_)
        if self._broken is not None:
            skipped = hits & self._broken[queries, where]
        return Response(hits=hits, skipped=skipped, leaves=np.zeros(len(rows), dtype=np.bool_))

    def wanted(self, queries: Indices) -> Indices:
        """Return how many plays are hidden."""
        return np.asarray((self.hidden[queries] >= 0).sum(axis=1), dtype=np.int64)
