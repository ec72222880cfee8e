"""Popularity, Item-CF, User-CF, session-kNN and Markov on cases that can be worked out by hand."""

import numpy as np
import pytest
from scipy import sparse

from segue.tasks.playlist.models.item_cf import ItemCF, ItemCFConfig
from segue.tasks.playlist.models.kernels import keep_best
from segue.tasks.playlist.models.markov import Markov, MarkovConfig
from segue.tasks.playlist.models.popularity import Popularity
from segue.tasks.playlist.models.user_cf import SessionKNN, SessionKNNConfig, UserCF, UserCFConfig
from segue.tasks.playlist.sessions import Sessions


def checkerboard(size: int) -> Sessions:
    """Even listeners heard the even tracks, odd ones the odd, each all but their own."""
    return Sessions.from_lists(
        [[t for t in range(size) if t % 2 == u % 2 and t != u] for u in range(size)]
    )


def one(*tracks: int) -> Sessions:
    return Sessions.from_lists([tracks])


def row(model, *tracks: int) -> list[float]:
    return np.asarray(model.score(one(*tracks)).todense())[0].tolist()


@pytest.mark.parametrize(
    "model", [ItemCF(ItemCFConfig(keep_self=False)), UserCF(), SessionKNN()], ids=lambda m: m.name
)
def test_on_a_checkerboard_the_missing_track_is_found(model):
    sessions = checkerboard(20)
    model.fit(sessions, 20)
    tracks, _ = model.recommend(sessions, 1, repeats="masked")
    np.testing.assert_array_equal(tracks[:, 0], np.arange(20))
    everything = [row(model, *sessions[u]) for u in range(20)]
    for u, scores in enumerate(everything):
        assert not any(scores[t] for t in range(20) if t % 2 != u % 2)


def test_popularity_counts_plays_and_shares_ranks():
    model = Popularity().fit(Sessions.from_lists([[2, 2, 0], [2, 1, -1]]), 5)
    assert model.score(one(2))[0].tolist() == [1, 1, 3, 0, 0]
    asked = Sessions.from_lists([[2], [2], [0, 3], [0], [4]])
    targets = np.array([2, 0, 4, -1, 4], dtype=np.int32)
    assert model.ranks(asked, targets).tolist() == [1, 2.5, 4.5, np.inf, 4.5]
    masked = model.ranks(asked, targets, repeats="masked")
    assert masked.tolist() == [np.inf, 1.5, 3, np.inf, np.inf]
    assert model.recommend(one(2, 2), 3, repeats="masked")[0].tolist() == [[0, 1, 3]]


def test_item_cf_is_the_cosine_of_columns():
    sessions = Sessions.from_lists([[0, 1, 1], [0, 1, 2], [0], [2, 3]])
    model = ItemCF(ItemCFConfig(decay=0.5)).fit(sessions, 4)
    # Sessions with a track: 3, 2, 2, 1; with 0 and 1: 2, with 0 and 2: 1, with 1 and 2: 1.
    assert row(model, 0) == pytest.approx([1, 2 / 6**0.5, 1 / 6**0.5, 0])
    assert row(model, 3, 0) == pytest.approx(
        [1, 2 / 6**0.5, 1 / 6**0.5 + 0.5 / 2**0.5, 0.5], abs=1e-6
    )
    assert model.similar(3)[0].tolist() == [3, 2]
    alone = ItemCF(ItemCFConfig(keep_self=False, neighbours=1)).fit(sessions, 4)
    assert row(alone, 0) == pytest.approx([0, 2 / 6**0.5, 0, 0])


@pytest.mark.filterwarnings("ignore:Method expects CSR input")  # said of its own conversion
@pytest.mark.parametrize("keep_self", [True, False])
def test_item_cf_has_the_neighbours_of_implicit(keep_self: bool):
    implicit = pytest.importorskip("implicit.nearest_neighbours")
    rng = np.random.default_rng(0)
    lists = [rng.zipf(1.3, rng.integers(2, 15)) % 150 for _ in range(400)]
    sessions = Sessions.from_lists(lists)
    cells = np.zeros((400, 150), dtype=np.float32)
    cells[sessions.owners(), sessions.tracks] = 1
    peer = implicit.CosineRecommender(K=20 + (not keep_self), num_threads=1)
    peer.fit(sparse.csr_matrix(cells), show_progress=False)
    theirs = np.asarray(peer.similarity.todense())
    if not keep_self:
        np.fill_diagonal(theirs, 0)
    ours = ItemCF(ItemCFConfig(neighbours=20, keep_self=keep_self)).fit(sessions, 150)
    mine = np.zeros((150, 150))
    for track in range(150):
        tracks, values = ours.similar(track)
        mine[track, tracks] = values
    for own, other in zip(mine, theirs, strict=True):
        # Whatever ties with the last that is kept may be one or the other.
        np.testing.assert_allclose(np.sort(own)[::-1][:20], np.sort(other)[::-1][:20], atol=1e-6)
        sure = own > np.sort(own)[::-1][19] + 1e-6
        np.testing.assert_allclose(own[sure], other[sure], atol=1e-6)


def test_user_cf_adds_the_cosines_of_the_nearest_profiles():
    sessions = Sessions.from_lists([[0, 1, 1], [0, 2, 3], [4]])
    model = UserCF().fit(sessions, 5)
    near, far = 1 / (2**0.5 * 2**0.5), 1 / (2**0.5 * 3**0.5)  # the query 0, 4 against each
    assert row(model, 0, 4) == pytest.approx([near + far, near, far, far, 1 / 2**0.5])
    nearest = UserCF(UserCFConfig(neighbours=1)).fit(sessions, 5)
    assert row(nearest, 0, 4) == pytest.approx([0, 0, 0, 0, 1 / 2**0.5])


def test_session_knn_lets_newer_tracks_weigh_more_and_newer_sessions_win_ties():
    sessions = Sessions.from_lists([[0, 1], [0, 2], [3, 4]])
    model = SessionKNN(SessionKNNConfig(decay=0.5)).fit(sessions, 5)
    length = (1 + 0.25) ** 0.5 * 2**0.5
    assert row(model, 0, 3) == pytest.approx(
        [1 / length, 0.5 / length, 0.5 / length, 1 / length, 1 / length]
    )
    newest = SessionKNN(SessionKNNConfig(neighbours=1)).fit(sessions, 5)
    assert row(newest, 0) == pytest.approx([1 / 2**0.5, 0, 1 / 2**0.5, 0, 0])


def test_markov_counts_successors():
    model = Markov(MarkovConfig(smoothing=1)).fit(Sessions.from_lists([[0, 1, 0, 2], [0, 1]]), 3)
    assert row(model, 2, 0) == pytest.approx([0, 2 / 4, 1 / 4])
    assert row(model, 2) == [0, 0, 0]  # nothing ever followed it
    assert model.score(one()).nnz == 0


def test_markov_learns_a_circle():
    circle = [list(range(start, 30)) + list(range(start)) for start in range(0, 30, 7)]
    model = Markov().fit(Sessions.from_lists(circle), 30)
    asked = Sessions.from_lists([[i] for i in range(30)])
    tracks, _ = model.recommend(asked, 1)
    np.testing.assert_array_equal(tracks[:, 0], (np.arange(30) + 1) % 30)


def test_unknown_tracks_do_not_move_the_weights_of_the_others():
    sessions = Sessions.from_lists([[0, 1], [1, 2], [-1, 0, -1, 2]])
    for model in (ItemCF(), SessionKNN(), Markov()):
        model.fit(sessions, 3)
        assert row(model, -1, 0, -1, 2, -1) == row(model, 0, 2)
        assert row(model, 0, 2) != row(model, 2, 0)


def test_the_best_of_a_heap_are_those_of_a_sort():
    rng = np.random.default_rng(0)
    for n, n_best in ((1, 1), (50, 7), (50, 50), (200, 64), (10, 20)):
        keys = rng.permutation(n).astype(np.int32)
        values = rng.integers(0, 9, n).astype(np.float64)  # many ties: the larger key is kept
        expected = sorted(zip(values, keys, strict=True))[::-1][:n_best]
        kept = keep_best(keys, values, n, n_best)
        assert sorted(zip(values[:kept], keys[:kept], strict=True))[::-1] == expected
