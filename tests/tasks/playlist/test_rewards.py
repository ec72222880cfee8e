"""Terms of a playlist: their contract, the figures that they add up to, and the original's sums."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segue.core.errors import UnknownName, UsageError
from segue.core.names import resolve
from segue.rl.rewards import FunctionTerm
from segue.tasks.playlist.rewards import (
    PRESETS,
    REWARDS,
    Decisions,
    playlist_reward,
    surprisals,
)


def random_decisions(n: int = 500, length: int = 5, seed: int = 0) -> Decisions:
    rng = np.random.default_rng(seed)
    places = rng.integers(0, length, n)
    return Decisions.make(
        tracks=rng.integers(0, 40, n),
        hits=rng.random(n) < 0.3,
        length=length,
        places=places,
        wanted=rng.integers(1, 9, n),
        heard=rng.integers(0, 3, n),
        ago=rng.integers(0, 13, n),
        apart=rng.uniform(0, 2, n) * places,
        surprisal=rng.random(n),
        skipped=rng.random(n) < 0.4,
        queries=rng.integers(0, 7, n),
    )


@pytest.mark.parametrize("length", [1, 5])
@pytest.mark.parametrize("name", sorted(REWARDS))
def test_every_term_keeps_the_contract(name: str, length: int) -> None:
    term = resolve(REWARDS, name, "reward term")
    assert isinstance(term, FunctionTerm)
    assert term.name == name
    decisions = random_decisions(length=length)
    values = term(decisions)
    assert values.shape == (500,)
    assert values.dtype == np.float64
    assert np.isfinite(values).all()
    assert values.min() >= term.low
    assert values.max() <= term.high
    np.testing.assert_array_equal(values, term(decisions))
    alone = np.concatenate([term(decisions.take([i])) for i in range(500)])
    np.testing.assert_array_equal(values, alone)


def test_the_payments_of_a_list_add_up_to_the_figures_of_the_list() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(4, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    apart = 1 - vectors @ vectors.T
    hits = np.array([True, False, True, False])
    decisions = Decisions.make(
        tracks=np.arange(4),
        hits=hits,
        length=4,
        places=np.arange(4),
        wanted=3,
        heard=[0, 5, 1, 1],
        ago=[0, 3, 4, 1],
        apart=[apart[i, :i].sum() for i in range(4)],
        skipped=[True, False, False, False],
    )

    def paid(name: str) -> float:
        return float(resolve(REWARDS, name, "term")(decisions).sum())

    assert paid("hit") == 0.5
    best = 1 + 1 / np.log2(3) + 1 / np.log2(4)
    assert paid("ndcg") == pytest.approx((1 + 1 / np.log2(4)) / best)
    assert paid("diversity") == pytest.approx(apart[np.triu_indices(4, 1)].mean())
    assert paid("familiarity") == 0.75
    assert paid("near_3") == 0.5
    assert paid("near_5") == paid("near_10") == 0.75
    assert paid("nearness") == pytest.approx((1 / 3 + 1 / 4 + 1) / 4)
    assert paid("skip") == 0.25
    total, parts = playlist_reward()(decisions)
    assert total.sum() == pytest.approx(0.5 + 0.1 * paid("diversity") - 0.05)
    assert set(parts) == set(PRESETS["playlist"])


@pytest.mark.parametrize(
    ("hit", "heard", "ago", "paid"),
    [
        (True, 1, 1, 1.0),
        (False, 1, 0, 0.45),  # familiar and not heard lately: paid without any hit
        (False, 1, 11, 0.45),
        (False, 1, 10, 0.35),
        (False, 1, 5, 0.25),
        (False, 1, 3, 0.05),
        (False, 0, 0, 0.05),
        (False, 0, 2, -0.35),
    ],
)
def test_the_original_pays_what_it_paid(hit: bool, heard: int, ago: int, paid: float) -> None:
    one = Decisions.make(tracks=[3], hits=[hit], heard=[heard], ago=[ago])
    assert playlist_reward("original")(one)[0][0] == pytest.approx(paid, abs=1e-12)


def test_rare_tracks_surprise() -> None:
    found = surprisals([0, 1, 3, 92])
    assert found[0] == 1.0
    assert (np.diff(found) < 0).all()
    assert found[3] == pytest.approx(np.log(100 / 93) / np.log(100))
    assert surprisals([7]).tolist() == [0.0]


def half(decisions: Decisions) -> Any:
    return np.full(len(decisions.tracks), 0.5)


def test_weights_choose_terms_and_one_s_own_is_a_name() -> None:
    decisions = random_decisions()
    total, parts = playlist_reward({"hit": 2.0, "skip": 0.0, f"{__name__}:half": -1.0})(decisions)
    assert list(parts) == ["hit", f"{__name__}:half"]
    np.testing.assert_allclose(total, 2.0 * decisions.hits / 5 - 0.5)
    with pytest.raises(UnknownName, match="Did you mean 'familiarity'"):
        playlist_reward({"familarity": 1.0})
    with pytest.raises(UnknownName, match=r"preset 'orignal'.*Did you mean 'original'"):
        playlist_reward("orignal")
    with pytest.raises(UsageError, match="no term with a weight"):
        playlist_reward({"hit": 0.0})
