"""Search among many tracks: exact, and with a bound that no plan over the library exceeds."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.core.errors import DataError, UsageError
from segue.tasks.soundtrack.agents.planner import Planner
from segue.tasks.soundtrack.agents.returns import returns
from segue.tasks.soundtrack.data import Dataset
from segue.tasks.soundtrack.prior import fit_prior
from segue.tasks.soundtrack.search import VectorIndex, build_index
from segue.tasks.soundtrack.shortlist import N_FACTS, plan_shortlist, shortlist, track_rows
from segue.tasks.soundtrack.tables import Weights, build_tables
from tests.synthetic_soundtrack import make_dataset

WEIGHTS = Weights(silence=1.0)


def index_of(vectors: np.ndarray, folder: Path, block: int = 700) -> VectorIndex:
    parts = [vectors[i : i + block] for i in range(0, len(vectors), block)]
    facts = [np.zeros((len(part), 1)) for part in parts]
    return build_index(
        folder, zip(parts, facts, strict=True), len(vectors), vectors.shape[1], n_facts=1
    )


def library_index(dataset: Dataset, folder: Path) -> VectorIndex:
    vectors, facts = track_rows(dataset)
    return build_index(folder, [(vectors, facts)], len(vectors), vectors.shape[1], N_FACTS)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1, 5, 40, 3000]), st.sampled_from([0.0, 1e-6, 3.0]))
def test_the_answer_is_that_of_the_full_product(
    tmp_path_factory: pytest.TempPathFactory, seed: int, m: int, outlier: float
) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(2000, 24)).astype(np.float32)
    vectors[::7] = vectors[1]  # equal rows
    vectors[5] = 0.0
    vectors[6, 0] += outlier * 1e4  # one number that takes the whole range of the codes
    queries = rng.normal(size=(4, 24))
    queries[3] = 0.0
    found = index_of(vectors, tmp_path_factory.mktemp("index") / "i").top(queries, m)
    scores = vectors.astype(np.float64) @ queries.T
    for q in range(4):
        order = np.argsort(-scores[:, q], kind="stable")[:m]
        np.testing.assert_allclose(found.scores[q], scores[order, q], rtol=1e-12, atol=1e-9)
        own = scores[found.indices[q], q]
        np.testing.assert_allclose(own, found.scores[q], rtol=1e-12, atol=1e-9)
        assert len(set(found.indices[q].tolist())) == min(m, 2000)


def test_blocks_larger_than_the_scan_and_odd_sizes_are_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segue.tasks.soundtrack.search._BLOCK", 129)
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(1001, 8)).astype(np.float32)
    queries = rng.normal(size=(2, 8))
    found = index_of(vectors, tmp_path / "i").top(queries, 10)
    wanted = -np.sort(-(vectors.astype(np.float64) @ queries.T), axis=0)[:10].T
    np.testing.assert_allclose(found.scores, wanted)
    assert found.n_scored < 200  # not everything was scored exactly


@pytest.mark.parametrize("text_dimension", [None, 6])
@pytest.mark.parametrize("mode", ["train", "test"])
def test_with_all_tracks_the_shortlist_is_the_library(
    tmp_path: Path, text_dimension: int | None, mode: str
) -> None:
    dataset = make_dataset(n_tracks=9, text_dimension=text_dimension)
    prior = fit_prior(dataset)
    short = shortlist(
        library_index(dataset, tmp_path / "i"), dataset.videos[0], prior, 9, weights=WEIGHTS,
        mode=mode, target=2,
    )  # fmt: skip
    wanted = build_tables(dataset, prior, 0, WEIGHTS, mode, 2)
    assert short.tracks.tolist() == list(range(9))
    assert not np.isfinite(short.ceiling).any()
    for name in ("alignment", "transition", "gate", "lengths_s", "durations_s"):
        np.testing.assert_allclose(
            getattr(short.tables, name), getattr(wanted, name), rtol=1e-5, atol=1e-5, err_msg=name
        )


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("m", [1, 2])
def test_no_plan_over_the_whole_library_beats_the_certificate(
    tmp_path: Path, seed: int, m: int
) -> None:
    dataset = make_dataset(n_tracks=9, n_videos=1, n_segments=4, seed=seed, shortest_s=8.0)
    prior = fit_prior(dataset)
    index = library_index(dataset, tmp_path / "i")
    target = int(np.random.default_rng(seed).integers(4))
    for mode in ("train", "test"):
        short = shortlist(
            index, dataset.videos[0], prior, m, weights=WEIGHTS, mode=mode, target=target
        )
        plan = plan_shortlist(short)
        whole = build_tables(dataset, prior, 0, WEIGHTS, mode, target)
        outside = np.setdiff1d(np.arange(9), short.tracks)
        assert outside.size
        assert (whole.alignment[:, outside] <= short.ceiling[:, None]).all()
        best = float(returns(whole, np.array(list(product(range(10), repeat=4)))).max())
        assert plan.upper_bound is not None
        assert plan.return_ <= best + 1e-5
        assert best <= plan.upper_bound + 1e-5


def test_a_longer_shortlist_proves_more(tmp_path: Path) -> None:
    dataset = make_dataset(n_tracks=400, n_videos=1, n_segments=10, dimension=16, seed=3)
    prior = fit_prior(dataset)
    index, gaps = library_index(dataset, tmp_path / "i"), []
    best = Planner().plan(build_tables(dataset, prior, 0), np.random.default_rng(0))
    for m in (2, 10, 40, 400):
        plan = plan_shortlist(shortlist(index, dataset.videos[0], prior, m))
        assert plan.upper_bound is not None
        assert best.return_ <= plan.upper_bound + 1e-4
        gaps.append(plan.upper_bound - plan.return_)
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[2] < 0.35 * gaps[0]
    assert gaps[3] == pytest.approx((best.upper_bound or 0) - best.return_, abs=1e-3)


def test_misuse_and_damage_are_refused(tmp_path: Path) -> None:
    dataset = make_dataset(n_tracks=9)
    prior = fit_prior(dataset)
    folder = tmp_path / "i"
    index = library_index(dataset, folder)
    with pytest.raises(UsageError, match="rows of 14 numbers"):
        index.top(np.zeros((1, 3)), 2)
    with pytest.raises(UsageError, match="m = 0"):
        index.top(np.zeros((1, 14)), 0)
    with pytest.raises(UsageError, match="finite"):
        index.top(np.full((1, 14), np.nan), 2)
    other = make_dataset(dimension=5)
    with pytest.raises(UsageError, match="same embedder"):
        shortlist(index, other.videos[0], fit_prior(other), 2)
    with pytest.raises(UsageError, match="1 facts"):
        shortlist(index_of(np.ones((3, 14)), tmp_path / "j"), dataset.videos[0], prior, 2)
    with pytest.raises(DataError, match="no index"):
        VectorIndex.open(tmp_path)
    with pytest.raises(DataError, match="4 rows came, 5"):
        build_index(tmp_path / "k", [(np.ones((4, 2)), np.ones((4, 1)))], 5, 2, 1)
    with pytest.raises(DataError, match="not finite"):
        build_index(tmp_path / "k", [(np.full((4, 2), np.inf), np.ones((4, 1)))], 4, 2, 1)
    assert not list(tmp_path.glob(".tmp-*"))
    assert not (tmp_path / "k").exists()
    codes = folder / "codes.npy"
    codes.write_bytes(codes.read_bytes()[:-3])
    with pytest.raises(DataError, match=r"no index that can be read|ends too early"):
        VectorIndex.open(folder).top(np.ones((1, 14)), 2)


def test_a_library_of_zeros_has_an_answer(tmp_path: Path) -> None:
    dataset = make_dataset(n_tracks=4, text_dimension=None)
    silent = tuple(replace(t, embedding=np.zeros(8)) for t in dataset.tracks)
    dataset = Dataset(tracks=silent, videos=dataset.videos)
    index = library_index(dataset, tmp_path / "i")
    plan = plan_shortlist(shortlist(index, dataset.videos[0], fit_prior(dataset), 2))
    assert np.isfinite(plan.return_)
    assert plan.upper_bound is not None
    assert np.isfinite(plan.upper_bound)
