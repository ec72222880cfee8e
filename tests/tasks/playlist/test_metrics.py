"""Metrics of rankings worked out by hand."""

import numpy as np
import pytest

from segue.tasks.playlist.metrics import coverage, list_metrics, rank_metrics
from segue.tasks.playlist.sessions import Sessions


def test_metrics_of_ranks():
    found = rank_metrics(np.asarray([1.0, 3.0, 5.5, 20.0, np.inf]))
    assert found["hit@5"].tolist() == [1, 1, 0, 0, 0]
    assert found["hit@10"].tolist() == [1, 1, 1, 0, 0]
    assert found["hit@20"].tolist() == [1, 1, 1, 1, 0]
    assert found["ndcg@5"].tolist() == [1, 0.5, 0, 0, 0]
    assert found["ndcg@10"][2] == pytest.approx(1 / np.log2(6.5))
    assert found["mrr"].tolist() == [1, 1 / 3, 1 / 5.5, 0.05, 0]


def test_metrics_of_lists():
    vectors = np.asarray([[2, 0], [0, 1], [1, 0], [0, 0]], dtype=np.float32)
    plays = np.asarray([7, 0, 0, 0])
    lists = np.asarray([[0, 1, -1], [0, 2, -1], [3, -1, -1], [-1, -1, -1]], dtype=np.int32)
    queries = Sessions.from_lists([[1, 1], [3], [], [2]])
    found = list_metrics(lists, queries, vectors, plays)
    assert found["diversity@10"].tolist() == pytest.approx([1, 0, 0, 0])
    assert found["repeats@10"].tolist() == [0.5, 0, 0, 0]
    rare, common = -np.log2(0.5 / 9), -np.log2(7.5 / 9)
    assert found["novelty@10"].tolist() == pytest.approx([(rare + common) / 2] * 2 + [rare, 0])
    assert found["popularity@10"].tolist() == pytest.approx(
        [(1 + 2 / 3) / 2, (1 + 1 / 3) / 2, 0, 0]
    )
    assert coverage(lists, 4) == 1
    assert coverage(lists[:1], 4) == 0.5


def test_diversity_is_the_mean_over_all_pairs():
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(30, 5)).astype(np.float32)
    lists = np.asarray([rng.permutation(30)[:12] for _ in range(4)], dtype=np.int32)
    found = list_metrics(lists, Sessions.from_lists([[]] * 4), vectors, np.ones(30, np.int64))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for i, chosen in enumerate(lists[:, :10]):
        pairs = [1 - unit[a] @ unit[b] for n, a in enumerate(chosen) for b in chosen[n + 1 :]]
        assert found["diversity@10"][i] == pytest.approx(np.mean(pairs), abs=1e-6)
