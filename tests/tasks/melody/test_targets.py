"""The targets on a problem of two states and two actions, worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from segue.tasks.melody.targets import ALGORITHMS, pays_log_p, state_value, trace_targets

SCORES = torch.tensor([[math.log(2.0), math.log(6.0)], [0.0, 0.0]])
LOG_P = torch.log(torch.tensor([[0.75, 0.25], [0.5, 0.5]]))


def test_state_values() -> None:
    assert state_value("q", SCORES).tolist() == pytest.approx([math.log(6), 0.0])
    assert state_value("pure_rl", SCORES).tolist() == pytest.approx([math.log(6), 0.0])
    assert state_value("psi", SCORES).tolist() == pytest.approx([math.log(8), math.log(2)])
    # sum of p exp(score): .75 * 2 + .25 * 6 = 3, and 1
    assert state_value("g", SCORES, LOG_P).tolist() == pytest.approx([math.log(3), 0.0], abs=1e-6)


def test_only_q_and_psi_are_paid_by_the_prior() -> None:
    assert [pays_log_p(a) for a in ALGORITHMS] == [True, True, False, False]


def test_one_step_targets() -> None:
    r, v = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[10.0], [20.0], [0.0]])
    zero = torch.zeros(3, 1)
    assert trace_targets(r, v, zero, zero, 0.5).flatten().tolist() == [6.0, 12.0, 3.0]


def test_full_traces_are_returns() -> None:
    """With c = 1 and V = Q of the action, what is left is the discounted sum of rewards."""
    r = torch.tensor([[1.0], [2.0], [3.0]])
    q = torch.tensor([[7.0], [8.0], [9.0]])
    v = torch.tensor([[8.0], [9.0], [0.0]])  # V after step t = Q of the next action
    found = trace_targets(r, v, q, torch.ones(3, 1), 0.5).flatten().tolist()
    assert found == [1 + 0.5 * (2 + 0.5 * 3), 2 + 0.5 * 3, 3.0]


def test_a_partial_trace_by_hand() -> None:
    r, v = torch.tensor([[1.0], [2.0]]), torch.tensor([[4.0], [0.0]])
    q, c = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [0.25]])
    # y1 = 2; y0 = 1 + .5 (4 + .25 (2 - 1))
    assert trace_targets(r, v, q, c, 0.5).flatten().tolist() == [3.125, 2.0]
