"""What is asked in an evaluation: which places of which sessions, and with what masked.

*last*: one question a session, its last track. *prefixes*: one question for every place from
`first_targets` on, each with everything before it as the history.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError
from segue.tasks.playlist.sessions import Sessions

__all__ = ["Protocol", "questions"]

Protocol = Literal["last", "prefixes"]


def questions(
    sessions: Sessions, protocol: Protocol
) -> tuple[Sessions, NDArray[np.int32], NDArray[np.int64]]:
    """Return queries [B], targets [B], and the number of the session of each, [B].

    Sessions without a place to ask for give no question.

    Raises:
        DataError: there is no question at all.
    """
    lengths = sessions.lengths
    first = np.maximum(sessions.first_targets.astype(np.int64), 1)  # an empty history tells nothing
    counts = np.maximum(lengths - first, 0)
    if protocol == "last":
        which = np.flatnonzero(counts > 0)
        places = lengths[which] - 1
    else:
        which = np.repeat(np.arange(len(sessions)), counts)
        before = np.repeat(np.cumsum(counts) - counts, counts)
        places = np.arange(len(which)) - before + first[which]
    if not len(which):
        raise DataError("no session is long enough to ask for a next track")
    targets = sessions.tracks[sessions.offsets[which] + places]
    return sessions.prefixes(which, places), targets, which
