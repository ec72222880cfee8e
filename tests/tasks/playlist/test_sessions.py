"""Sessions in one flat array: slices, selections and prefixes are those of lists."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.core.errors import DataError
from segue.tasks.playlist.protocol import questions
from segue.tasks.playlist.sessions import Sessions

LISTS = st.lists(st.lists(st.integers(-1, 9), max_size=6), max_size=8)


def lists_of(sessions: Sessions) -> list[list[int]]:
    return [sessions[i].tolist() for i in range(len(sessions))]


@given(LISTS, st.integers(0, 5), st.data())
def test_every_way_to_cut_sessions_is_the_way_lists_are_cut(lists, n, data):
    sessions = Sessions.from_lists(lists)
    assert lists_of(sessions) == lists
    assert lists_of(sessions.newest(n)) == [s[len(s) - min(n, len(s)) :] for s in lists]
    chosen = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=5)) if lists else []
    assert lists_of(sessions.take(chosen)) == [lists[i] for i in chosen]
    flags = np.arange(len(lists)) % 2 == 0
    assert lists_of(sessions.take(flags)) == lists[::2]
    start = len(lists) // 2
    assert lists_of(sessions.part(start, len(lists))) == lists[start:]
    assert sessions.owners().tolist() == [i for i, s in enumerate(lists) for _ in s]
    assert lists_of(Sessions.join([sessions, sessions])) == lists + lists


def test_prefixes_keep_who_listened_and_when():
    sessions = Sessions.from_flat(
        [5, 6, 7, 8], [3, 1], users=[4, 9], times=[100, 200], skipped=[True, False, True, False]
    )
    cut = sessions.prefixes([1, 0, 0], [1, 0, 2])
    assert lists_of(cut) == [[8], [], [5, 6]]
    assert cut.users.tolist() == [9, 4, 4]
    assert cut.times.tolist() == [200, 100, 100]
    assert cut.skipped.tolist() == [False, True, False]


def test_the_newest_tracks_keep_the_place_that_is_asked_for():
    sessions = Sessions.from_flat([1, 2, 3, 4, 5], [5], first_targets=[4])
    assert sessions.newest(3).first_targets.tolist() == [2]
    queries, targets, _ = questions(sessions.newest(3), "prefixes")
    assert (lists_of(queries), targets.tolist()) == ([[3, 4]], [5])


def test_questions_ask_for_the_last_track_or_for_every_one():
    sessions = Sessions.from_lists([[1, 2, 3], [4], [5, 6]])
    queries, targets, which = questions(sessions, "last")
    assert lists_of(queries) == [[1, 2], [5]]
    assert (targets.tolist(), which.tolist()) == ([3, 6], [0, 2])
    queries, targets, which = questions(sessions, "prefixes")
    assert lists_of(queries) == [[1], [1, 2], [5]]
    assert (targets.tolist(), which.tolist()) == ([2, 3, 6], [0, 0, 2])


def test_sessions_of_one_track_give_no_question():
    with pytest.raises(DataError, match="no session is long enough"):
        questions(Sessions.from_lists([[1], []]), "last")
