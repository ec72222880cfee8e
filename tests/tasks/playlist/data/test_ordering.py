"""The order of listening against a slow telling of it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.tasks.playlist.data.ordering import listening_order

ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6)), min_size=1, max_size=40)


def slowly(rows: list[tuple[int, int]]) -> list[int]:
    order: list[int] = []
    for user in range(4):
        own = [i for i, row in enumerate(rows) if row[0] == user]
        steps = [rows[b][1] - rows[a][1] for a, b in pairwise(own)]
        back = sum(step < 0 for step in steps) > sum(step > 0 for step in steps)
        order += sorted(reversed(own) if back else own, key=lambda i: rows[i][1])
    return order


@settings(deadline=None, max_examples=200)
@given(ROWS)
def test_order(rows: list[tuple[int, int]]) -> None:
    users, times = (np.array(column) for column in zip(*rows, strict=True))
    found = listening_order(users.astype(np.int32), times.astype(np.int64), 4)
    assert found.tolist() == slowly(rows)


def test_equal_stamps_come_out_as_they_were_heard() -> None:
    users = np.zeros(5, dtype=np.int32)
    newest_first = np.array([9, 7, 7, 7, 1])
    assert listening_order(users, newest_first, 1).tolist() == [4, 3, 2, 1, 0]
    assert listening_order(users, newest_first[::-1].copy(), 1).tolist() == [0, 1, 2, 3, 4]
    assert listening_order(users, np.full(5, 7), 1).tolist() == [0, 1, 2, 3, 4]
