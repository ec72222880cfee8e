"""Bring plays into the order in which they were listened to, user by user.

Plays of one user that start in the same second keep the order of listening. Logs such as Last.fm's
run from the newest play to the oldest; where more neighbours in a user's rows go back in time than
forward, the order of the file is turned round for that user. Most logs then stand in order, so that
it is enough to check: only the users whose plays do not are sorted.

`P` plays, `U` users.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["listening_order"]


def listening_order(
    users: NDArray[np.int32], times: NDArray[np.int64], n_users: int
) -> NDArray[np.int64]:
    """Return the places [P] of plays by user, then time, then order of listening.

    Args:
        users: [P], in the order of the file.
        times: [P].
        n_users: U.
    """
    order, edges, in_order = _by_user(users, times, n_users)
    for user in np.flatnonzero(~in_order).tolist():
        own = order[edges[user] : edges[user + 1]]
        own[:] = own[np.argsort(times[own], kind="stable")]
    found: NDArray[np.int64] = order
    return found


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _by_user(users: Any, times: Any, n_users: int) -> Any:
    """Return the places by user, where each user begins, and whose plays are in order of time."""
    n = len(users)
    last = np.full(n_users, -1, dtype=np.int64)
    edges = np.zeros(n_users + 1, dtype=np.int64)
    steps = np.zeros(n_users, dtype=np.int64)  # forward less back
    for i in range(n):
        user = users[i]
        edges[user + 1] += 1
        before = last[user]
        if before >= 0:
            if times[i] > times[before]:
                steps[user] += 1
            elif times[i] < times[before]:
                steps[user] -= 1
        last[user] = i
    for user in range(n_users):
        edges[user + 1] += edges[user]
    order = np.empty(n, dtype=np.int64)
    free = edges[:-1].copy()
    for user in range(n_users):
        if steps[user] < 0:
            free[user] = edges[user + 1] - 1
    for i in range(n):
        user = users[i]
        order[free[user]] = i
        free[user] += 1 if steps[user] >= 0 else -1
    in_order = np.ones(n_users, dtype=np.bool_)
    for user in range(n_users):
        for k in range(edges[user] + 1, edges[user + 1]):
            if times[order[k]] < times[order[k - 1]]:
                in_order[user] = False
                break
    return order, edges, in_order
