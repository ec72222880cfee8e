import numpy as np
import pytest

from segue.tasks.playlist.models.track_vectors import neighbour_information, track_vectors
from segue.tasks.playlist.sessions import Sessions


def test_information_of_two_pairs_by_hand():
    # Pairs 0-1 and 2-3, each heard once: p(0, 1) = 1/4 in each direction, p(0) = p(1) = 1/4.
    information = neighbour_information(Sessions.from_lists([[0, 1], [2, 3]]), 5).toarray()
    assert information[0, 1] == pytest.approx(np.log(4), abs=1e-6)
    assert information[3, 2] == pytest.approx(np.log(4), abs=1e-6)
    assert np.count_nonzero(information) == 4


def test_information_weighs_lags_and_forgets_unknown_tracks_and_itself():
    information = neighbour_information(Sessions.from_lists([[0, -1, 0, 1, 2]]), 3).toarray()
    weights = {(0, 1): 1 + 3**-0.5, (0, 2): 2**-0.5 + 4**-0.5, (1, 2): 1.0}
    sums = [weights[0, 1] + weights[0, 2], weights[0, 1] + 1, weights[0, 2] + 1]
    for (i, j), weight in weights.items():
        expected = max(0.0, np.log(weight * sum(sums) / (sums[i] * sums[j])))
        assert information[i, j] == pytest.approx(expected, abs=1e-6)
        assert information[j, i] == pytest.approx(information[i, j], abs=1e-6)
    assert not information.diagonal().any()


def test_tracks_of_one_circle_are_nearer_than_those_of_another():
    rng = np.random.default_rng(0)
    circles = rng.permutation(60).reshape(3, 20)
    lists = [rng.permutation(circles[rng.integers(3)])[:8].tolist() for _ in range(400)]
    vectors = track_vectors(Sessions.from_lists(lists), 61, dimension=8, seed=1)
    assert vectors.shape == (61, 8)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors[:60], axis=1), 1, atol=1e-5)
    assert not vectors[60].any()  # never heard
    cosine = vectors @ vectors.T
    inside = np.mean([cosine[np.ix_(c, c)].mean() for c in circles])
    outside = cosine[np.ix_(circles[0], circles[1])].mean()
    assert inside > 0.7
    assert abs(outside) < 0.15


def test_one_seed_gives_one_result_and_few_tracks_leave_zero_directions():
    sessions = Sessions.from_lists([[0, 1, 2], [2, 3]])
    first = track_vectors(sessions, 4, dimension=16, seed=3)
    np.testing.assert_array_equal(first, track_vectors(sessions, 4, dimension=16, seed=3))
    assert not first[:, 4:].any()
    assert not track_vectors(Sessions.from_lists([[0], [1]]), 4, dimension=2).any()
