"""Ranks share the middle of ties, whatever form the scores have."""

import numpy as np
import pytest
from scipy import sparse

from segue.tasks.playlist.ranking import mid_ranks, top_tracks
from segue.tasks.playlist.sessions import UNKNOWN, Sessions


def ranks_by_hand(row, heard, target):
    if target == UNKNOWN or target in heard:
        return np.inf
    others = [value for track, value in enumerate(row) if track != target and track not in heard]
    better = sum(value > row[target] for value in others)
    return 1 + better + sum(value == row[target] for value in others) / 2


@pytest.mark.parametrize("repeats", ["allowed", "masked"])
def test_dense_and_sparse_ranks_are_those_counted_by_hand(repeats):
    rng = np.random.default_rng(1)
    scores = rng.integers(0, 4, (200, 9)).astype(np.float32)
    queries = Sessions.from_lists(
        [rng.integers(-1, 9, rng.integers(0, 5)).tolist() for _ in scores]
    )
    targets = rng.integers(-1, 9, 200).astype(np.int32)
    expected = [
        ranks_by_hand(row, set(queries[i].tolist()) if repeats == "masked" else set(), target)
        for i, (row, target) in enumerate(zip(scores, targets, strict=True))
    ]
    assert mid_ranks(scores, queries, targets, repeats=repeats).tolist() == expected
    # A sparse matrix leaves the worst scores out; here those are zeros, so the order is the same.
    thin = sparse.csr_matrix(scores)
    assert mid_ranks(thin, queries, targets, repeats=repeats).tolist() == expected


def test_absent_scores_are_worse_than_negative_ones():
    scores = sparse.csr_matrix(([-3.0, -1.0], ([0, 0], [2, 4])), shape=(1, 6), dtype=np.float32)
    query = Sessions.from_lists([[0]])

    def rank(target):
        return mid_ranks(scores, query, np.asarray([target], np.int32), repeats="allowed")[0]

    assert (rank(4), rank(2)) == (1, 2)
    assert rank(1) == 2 + (4 + 1) / 2  # the middle of places 3 to 6


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_the_best_come_first_and_ties_in_the_order_of_the_vocabulary(form):
    scores = form(np.asarray([[1, 5, 5, 2, 5], [0, 0, 3, 0, 0]], dtype=np.float32))
    queries = Sessions.from_lists([[1], [2]])
    tracks, values = top_tracks(scores, queries, 3, repeats="masked")
    assert tracks[0].tolist() == [2, 4, 3]
    assert values[0].tolist() == [5, 5, 2]
    tracks, _ = top_tracks(scores, queries, 2, repeats="allowed")
    assert tracks[0].tolist() == [1, 2]


def test_what_is_missing_in_a_list_is_said():
    scores = sparse.csr_matrix(([2.0], ([0], [3])), shape=(1, 5), dtype=np.float32)
    tracks, values = top_tracks(scores, Sessions.from_lists([[]]), 3, repeats="allowed")
    assert tracks.tolist() == [[3, -1, -1]]
    assert values[0, 1:].tolist() == [-np.inf, -np.inf]
