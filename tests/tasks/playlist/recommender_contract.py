"""What every recommender of the table MODELS must do, as tests to be inherited.

A subclass says how its model is made, small enough to be fitted in a second:

    class TestMine(RecommenderContract):
        @classmethod
        def make(cls) -> Recommender:
            return Mine(MineConfig(...))
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from segue.core.errors import DataError, MissingModel
from segue.core.seeding import generator
from segue.tasks.playlist.models.base import Recommender
from segue.tasks.playlist.ranking import Repeats, mid_ranks, top_tracks
from segue.tasks.playlist.sessions import UNKNOWN, Sessions

N_TRACKS = 60


def listening(n: int, seed: int) -> Sessions:
    """Sessions of 2 to 9 tracks near each other in a circle of 55; five tracks are never heard."""
    rng = generator(seed, "listening")
    lists = []
    for _ in range(n):
        steps = rng.choice([-1, 0, 1, 1, 1, 2, 7], size=rng.integers(2, 10))
        lists.append([int(place) % 55 for place in rng.integers(55) + np.cumsum(steps)])
    return Sessions.from_lists(lists)


def dense(scores: Any) -> np.ndarray:
    """Scores as an array; what a sparse matrix does not hold is worse than all that it does."""
    if not sparse.issparse(scores):
        return np.asarray(scores)
    full = np.full(scores.shape, -np.inf, dtype=np.float32)
    coo = scores.tocoo()
    full[coo.row, coo.col] = coo.data
    return full


class RecommenderContract:
    """Inherit and define `make`."""

    n_train = 150

    @classmethod
    def make(cls) -> Recommender:
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls) -> Recommender:
        return cls.make().fit(listening(cls.n_train, 0), N_TRACKS)

    @pytest.fixture(scope="class")
    @classmethod
    def queries(cls) -> Sessions:
        strange = [[], [UNKNOWN], [3, UNKNOWN, 4], [5, 5, 5], [58], list(range(40))]
        return Sessions.join([listening(20, 1), Sessions.from_lists(strange)])

    def test_scores_have_a_row_for_every_query_even_an_empty_one(self, model, queries):
        scores = model.score(queries)
        assert scores.shape == (len(queries), N_TRACKS)
        assert scores.dtype == np.float32
        assert not np.isnan(dense(scores)).any()
        assert model.score(Sessions.from_lists([])).shape == (0, N_TRACKS)

    @pytest.mark.parametrize("repeats", ["allowed", "masked"])
    def test_lists_are_the_best_scores(self, model, queries, repeats: Repeats):
        tracks, values = model.recommend(queries, 7, repeats=repeats)
        assert tracks.shape == values.shape == (len(queries), 7)
        assert tracks.dtype == np.int32
        assert values.dtype == np.float32
        expected, scores = top_tracks(model.score(queries), queries, 7, repeats=repeats)
        np.testing.assert_allclose(values, scores, rtol=1e-5)
        # Where two scores differ by a rounding either order is right.
        lowest = np.maximum(scores, -1e9)
        clear = np.abs(np.diff(lowest, axis=1, prepend=1e9, append=-2e9)) > 1e-5
        clear = clear[:, :-1] & clear[:, 1:]
        same = tracks == expected
        assert same[clear | (expected < 0)].all()
        for row, query in zip(tracks, queries, strict=True):
            there = row[row >= 0]
            assert len(set(there.tolist())) == len(there)
            if repeats == "masked":
                assert not np.isin(there, query).any()

    @pytest.mark.parametrize("repeats", ["allowed", "masked"])
    def test_ranks_are_the_middle_of_equal_scores(self, model, queries, repeats: Repeats):
        targets = generator(2, "targets").integers(0, N_TRACKS, len(queries)).astype(np.int32)
        targets[0], targets[1] = UNKNOWN, queries[1][0]
        ranks = model.ranks(queries, targets, repeats=repeats)
        expected = mid_ranks(model.score(queries), queries, targets, repeats=repeats)
        np.testing.assert_allclose(ranks, expected)
        assert ranks[0] == np.inf
        assert np.isfinite(ranks[1]) == (repeats == "allowed")
        assert model.ranks(queries.part(0, 0), targets[:0]).shape == (0,)

    def test_more_tracks_than_there_are_leave_gaps_at_the_end(self, model, queries):
        tracks, values = model.recommend(queries.part(0, 3), N_TRACKS + 5)
        assert (tracks[:, -5:] == -1).all()
        np.testing.assert_array_equal(tracks < 0, values == -np.inf)
        assert (np.diff((tracks < 0).astype(int), axis=1) >= 0).all()

    def test_an_answer_does_not_depend_on_the_other_queries(self, model, queries):
        together = dense(model.score(queries))
        for i in range(0, len(queries), 5):
            alone = dense(model.score(queries.part(i, i + 1)))[0]
            np.testing.assert_allclose(alone, together[i], rtol=1e-5, atol=1e-6)

    def test_what_is_saved_is_what_is_loaded(self, model, queries, tmp_path: Path):
        model.save(tmp_path / "model")
        again = type(model).load(tmp_path / "model")
        assert again.n_tracks == N_TRACKS
        assert again.config == model.config
        np.testing.assert_array_equal(dense(again.score(queries)), dense(model.score(queries)))

    def test_a_missing_or_damaged_model_is_an_error(self, model, tmp_path: Path):
        with pytest.raises(MissingModel, match="segue playlist"):
            type(model).load(tmp_path)
        model.save(tmp_path / "model")
        weights = tmp_path / "model" / "model.safetensors"
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        shutil.copytree(tmp_path / "model", tmp_path / "damaged")
        (tmp_path / "damaged" / "model.safetensors").write_bytes(content)
        with pytest.raises(DataError, match="damaged"):
            type(model).load(tmp_path / "damaged")

    def test_the_same_sessions_give_the_same_model(self, model, queries):
        again = self.make().fit(listening(self.n_train, 0), N_TRACKS)
        np.testing.assert_array_equal(dense(again.score(queries)), dense(model.score(queries)))

    def test_a_model_is_better_than_chance(self, model):
        # A random order has the expected reciprocal rank H(60) / 60 = .078 here; popularity, the
        # weakest model, has little to go by on a circle.
        asked = listening(200, 3)
        queries = asked.prefixes(np.arange(200), asked.lengths - 1)
        targets = asked.tracks[asked.offsets[1:] - 1]
        assert (1 / model.ranks(queries, targets)).mean() > self.least_reciprocal_rank

    least_reciprocal_rank = 0.25
