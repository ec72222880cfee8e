from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from segue.core.seeding import generator
from segue.rl.lists import draw_lists, leave_one_out, place_log_probabilities, rewards_to_go


def _probability(weights: np.ndarray, order: tuple[int, ...]) -> float:
    left, result = weights.sum(), 1.0
    for choice in order:
        result *= weights[choice] / left
        left -= weights[choice]
    return float(result)


def test_lists_are_drawn_as_often_as_their_probability_says() -> None:
    logits = torch.tensor([[0.0, 1.0, -1.0, 0.5]])
    drawn = draw_lists(logits, 60_000, 2, generator(0, "lists"))[0].numpy()
    weights = np.exp(logits[0].numpy().astype(float))
    for order in itertools.permutations(range(4), 2):
        share = (drawn == order).all(axis=1).mean()
        expected = _probability(weights, order)
        assert share == pytest.approx(expected, abs=4 * np.sqrt(expected / 60_000))


def test_log_probabilities_are_those_of_plackett_and_luce() -> None:
    logits = torch.tensor([[0.3, -0.7, 1.1], [0.0, 0.0, 0.0]], dtype=torch.float64)
    orders = list(itertools.permutations(range(3)))
    lists = torch.tensor([orders, orders])
    found = place_log_probabilities(logits, lists).sum(dim=2).exp()
    for row in range(2):
        weights = np.exp(logits[row].numpy())
        expected = [_probability(weights, order) for order in orders]
        np.testing.assert_allclose(found[row].numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(found.sum(dim=1).numpy(), 1.0, rtol=1e-12)
    places = place_log_probabilities(logits, lists)
    assert places[..., -1].abs().max() < 1e-12  # nothing else is left for the last place
    free = logits.clone().requires_grad_()
    place_log_probabilities(free, lists).sum().backward()  # type: ignore[no-untyped-call]
    assert free.grad is not None
    assert free.grad.sum(dim=1).abs().max() < 1e-9  # a shift of all logits changes nothing


def test_a_sure_policy_loses_no_digits() -> None:
    logits = torch.tensor([[60.0, 0.0, -1.0, -1e9]])
    log_p = place_log_probabilities(logits, torch.tensor([[[0, 1, 2]]]))[0, 0]
    expected = [0.0, -np.log1p(np.exp(-1.0)), 0.0]
    np.testing.assert_allclose(log_p.numpy(), expected, atol=1e-6)


def test_forbidden_candidates_come_last() -> None:
    logits = torch.tensor([[-1e9, 0.0, -1e9, 0.0]]).expand(50, 4)
    lists = draw_lists(logits, 8, 3, generator(1, "lists"))
    assert set(lists[..., :2].unique().tolist()) == {1, 3}
    assert set(lists[..., 2].unique().tolist()) <= {0, 2}


def test_the_gradient_of_the_drawn_lists_is_that_of_the_expectation() -> None:
    """Reward: 1 over the place of candidate 2; both gradients are known in closed form."""
    start = torch.tensor([[0.2, -0.4, 0.1, 0.6]], dtype=torch.float64)
    gains = torch.tensor([1.0, 0.5], dtype=torch.float64)

    exact = start.clone().requires_grad_()
    orders = torch.tensor([list(itertools.permutations(range(4), 2))])
    probability = place_log_probabilities(exact, orders).sum(dim=2).exp()
    ((orders == 2) * gains * probability[..., None]).sum().backward()  # type: ignore[no-untyped-call]

    n = 4000
    logits = start.expand(n, 4).clone().requires_grad_()
    lists = draw_lists(logits, 8, 2, generator(2, "lists"))
    to_go = rewards_to_go((lists == 2) * gains)
    log_p = place_log_probabilities(logits, lists)
    surrogate = (leave_one_out(to_go) * log_p).sum(dim=2).mean(dim=1).sum()
    surrogate.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert exact.grad is not None
    error = logits.grad.std(dim=0) / np.sqrt(n)
    assert ((logits.grad.mean(dim=0) - exact.grad[0]).abs() < 4 * error).all()
    assert (exact.grad[0].abs() > 10 * error).any()  # the test could tell it from nothing


def test_leave_one_out_takes_the_mean_of_the_others() -> None:
    values = torch.tensor([[1.0, 2.0, 6.0]])
    expected = [[1 - 4, 2 - 3.5, 6 - 1.5]]
    np.testing.assert_allclose(leave_one_out(values).numpy(), expected, rtol=1e-6)
    assert leave_one_out(torch.tensor([[3.0]])).tolist() == [[0.0]]


def test_rewards_to_go_are_discounted_sums() -> None:
    rewards = torch.tensor([[1.0, 0.0, 2.0]])
    assert rewards_to_go(rewards).tolist() == [[3.0, 2.0, 2.0]]
    assert rewards_to_go(rewards, 0.5).tolist() == [[1.5, 1.0, 2.0]]
