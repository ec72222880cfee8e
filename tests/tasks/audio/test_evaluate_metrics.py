"""Realism, variety and intervals, against numbers worked out in other ways."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import linalg

from segue.core.errors import DataError
from segue.tasks.audio.evaluate_metrics import (
    frechet_distance,
    jackknifed,
    loudness_lufs,
    mean_distance,
    two_way_interval,
    vendi_score,
)


def test_the_frechet_distance_equals_its_formula_and_is_zero_for_the_same() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(50, 6)) @ rng.normal(size=(6, 6))
    b = rng.normal(1.0, 2.0, size=(70, 6))
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = linalg.sqrtm(first @ second).real
    formula = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(first + second - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(formula, rel=1e-9)
    assert frechet_distance(b, a) == pytest.approx(formula, rel=1e-9)
    assert frechet_distance(a, a) == pytest.approx(0.0, abs=1e-8)
    assert frechet_distance(a, a + 2.0) == pytest.approx(6 * 4.0)  # only the mean has moved


def test_a_frechet_distance_of_fewer_clips_than_features_is_finite() -> None:
    rng = np.random.default_rng(0)
    assert 0 < frechet_distance(rng.normal(size=(3, 8)), rng.normal(size=(9, 8))) < 100


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (np.zeros((1, 3)), np.zeros((5, 3)), "two of each"),
        (np.zeros((5, 2)), np.zeros((5, 3)), "width 2 and 3"),
        (np.zeros((0, 3)), np.zeros((5, 3)), "no embeddings"),
        (np.full((5, 3), np.nan), np.zeros((5, 3)), "not finite"),
    ],
)
def test_what_has_no_frechet_distance(a: np.ndarray, b: np.ndarray, words: str) -> None:
    with pytest.raises(DataError, match=words):
        frechet_distance(a, b)


def test_the_vendi_score_counts_what_differs() -> None:
    assert vendi_score(np.ones((5, 3))) == pytest.approx(1.0)
    assert vendi_score(np.eye(4)) == pytest.approx(4.0)
    twice = np.eye(4)[[0, 0, 1, 1]]
    assert vendi_score(twice) == pytest.approx(2.0)
    assert vendi_score(np.eye(4)[[0, 0, 0, 1]]) == pytest.approx(
        math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    )
    far = np.eye(3) + 100.0  # alike from the origin, not from their own centre
    assert vendi_score(far) < 1.01
    assert vendi_score(far, centre=np.full(3, 100.0)) == pytest.approx(3.0)


def test_mean_distance() -> None:
    corners = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    assert mean_distance(corners) == pytest.approx((3 + 4 + 5) / 3)
    assert mean_distance(corners[:1]) == 0.0


def test_loudness_of_silence_and_of_a_tone() -> None:
    times = np.arange(16_000) / 16_000
    tone = np.sin(2 * np.pi * 997 * times)
    found = loudness_lufs(np.stack([tone, 0.1 * tone, 0 * tone]).astype(np.float32), 16_000)
    assert found[0] == pytest.approx(
        -3.0, abs=0.3
    )  # BS.1770: a full-scale 997 Hz sine, one channel
    assert found[0] - found[1] == pytest.approx(20.0, abs=0.1)
    assert found[2] == -math.inf


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    values = np.random.default_rng(1).normal(size=50)
    found = jackknifed(lambda index: float(values[index].mean()), 50)
    error = values.std(ddof=1) / np.sqrt(50)
    assert found.value == values.mean()
    assert found.low == pytest.approx(values.mean() - 1.96 * error)
    assert found.high == pytest.approx(values.mean() + 1.96 * error)
    assert jackknifed(lambda index: 1.0, 2).low is None


def test_intervals_over_runs_are_wider_than_over_items_alone() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(5, 1)) + rng.normal(size=(5, 40))
    both = two_way_interval(table, np.random.default_rng(0))
    items = two_way_interval(table.mean(axis=0, keepdims=True), np.random.default_rng(0))
    assert both.value == pytest.approx(float(table.mean()))
    assert both.low is not None
    assert both.high is not None
    assert items.low is not None
    assert items.high is not None
    assert both.high - both.low > 1.5 * (items.high - items.low)
    with pytest.raises(DataError):
        two_way_interval(np.full((2, 3), np.nan), rng)
