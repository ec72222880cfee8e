"""Named terms, their weighted sum, and the balancer."""

from __future__ import annotations

import numpy as np
import pytest

from segue.core.errors import UnknownName, UsageError
from segue.rl.balancer import RewardBalancer
from segue.rl.rewards import WeightedSum, term
from segue.tasks.soundtrack.rewards import extra_reward, soundtrack_reward
from segue.tasks.soundtrack.tables import Weights


@term("ones", low=1.0, high=1.0)
def ones(batch: list[int]) -> np.ndarray:  # type: ignore[type-arg]
    return np.ones(len(batch))


def squares(batch: list[int]) -> np.ndarray:  # type: ignore[type-arg]
    return np.array(batch, dtype=float) ** 2


def test_a_sum_hands_out_every_part() -> None:
    table = {"ones": f"{__name__}:ones"}
    reward = WeightedSum.from_names(table, {"ones": 0.5, f"{__name__}:squares": 2.0})
    total, parts = reward([1, 2, 3])
    assert total.tolist() == [2.5, 8.5, 18.5]
    assert parts["ones"].tolist() == [0.5] * 3
    assert sum(parts.values()).tolist() == total.tolist()


def test_wrong_terms_are_refused() -> None:
    with pytest.raises(UnknownName, match="ones"):
        WeightedSum.from_names({"ones": f"{__name__}:ones"}, {"onse": 1.0})
    with pytest.raises(UsageError, match="not a function"):
        WeightedSum.from_names({}, {"math:pi": 1.0})
    with pytest.raises(UsageError, match="called 'ones'"):
        WeightedSum.from_names({"a": f"{__name__}:ones"}, {"a": 1.0, f"{__name__}:ones": 1.0})
    with pytest.raises(UsageError, match=r"weights\.theme"):
        extra_reward({"segue.tasks.soundtrack.rewards:theme": 1.0})


def test_a_term_of_weight_zero_is_left_out() -> None:
    reward = soundtrack_reward(Weights(theme=0.0))
    assert list(reward.parts) == ["illegal", "same", "alignment", "smoothness", "switch"]


def test_the_balancer_gives_the_steadier_term_more_weight() -> None:
    rng = np.random.default_rng(0)
    balancer = RewardBalancer(["calm", "wild"])
    for _ in range(200):
        last = balancer.update({"calm": rng.normal(), "wild": 10 * rng.normal()})
    assert sum(last.weights.values()) == pytest.approx(1.0)
    assert last.weights["calm"] / last.weights["wild"] == pytest.approx(10.0, rel=0.3)
    with pytest.raises(UsageError, match="softmax"):
        RewardBalancer(["a"], "best")  # type: ignore[arg-type]
