"""Agents find a planted preference that their prior does not know."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from segue.core.seeding import generator, seed_everything
from segue.tasks.playlist.agents.learning import Schedule, ScorerTraining, logits_of
from segue.tasks.playlist.agents.objectives import Objective, cross_entropy, list_gradient
from segue.tasks.playlist.agents.plan_network import (
    PlanNetwork,
    critic_loss,
    expected_loss,
    plan_arrays,
)
from segue.tasks.playlist.agents.plan_policy import NumpyPlanPolicy, plan_inputs
from segue.tasks.playlist.agents.planner import choose_strength, greedy_lists, top_lists
from segue.tasks.playlist.agents.scorer import Scaling, make_scorer
from tests.tasks.playlist.agents.planted import list_earnings, ndcg_at_10, planted


@pytest.mark.parametrize(
    ("objective", "least"), [(cross_entropy, 0.60), (list_gradient(16, 10), 0.57)]
)
def test_a_scorer_learns_what_the_listener_wants(objective: Objective, least: float) -> None:
    torch.set_num_threads(1)
    seed_everything(0)
    questions, _ = planted(1500, 0)
    unseen, wish = planted(1000, 1)
    scaling = Scaling.of(questions.candidates)
    network = make_scorer(4, 2, 32)
    schedule = Schedule(len(questions), 4, 32, 5e-3, 0)
    training = ScorerTraining(network, scaling, questions, objective, schedule)
    for _ in range(schedule.updates):
        training.update()
    chance = ndcg_at_10(generator(0, "chance").random(wish.shape), unseen.hits)
    prior = ndcg_at_10(unseen.candidates.prior, unseen.hits)
    best = ndcg_at_10(wish, unseen.hits)
    found = ndcg_at_10(logits_of(network, scaling, unseen.candidates), unseen.hits)
    assert 0.10 < chance < 0.20
    assert 0.30 < prior < 0.36
    assert 0.62 < best < 0.65  # the logits that the listener's choices were drawn from
    assert found >= least


@pytest.mark.parametrize("critic", [False, True])
def test_a_planning_agent_learns_more_than_its_planner_knows(critic: bool) -> None:
    """The planner trusts a prior that knows half of the wishes; the agent is told by rewards."""
    torch.set_num_threads(1)
    seed_everything(0)
    earnings = list_earnings({"hit": 1.0, "diversity": 0.3, "near_3": -0.1})
    questions, _ = planted(1000, 0, hidden=4)
    unseen, wish = planted(600, 1, hidden=4)
    scaling = Scaling.of(questions.candidates)
    strength, _ = choose_strength(questions.candidates.prior, questions, earnings)
    network = PlanNetwork(
        candidates=4, state=2, length=4, width=16, strength=strength, sharpness=40.0, trust=0.0
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    schedule = Schedule(len(questions), 3, 50, 1e-2, 0)
    for update in range(schedule.updates):
        part = questions.take(schedule.rows(update))
        inputs = plan_inputs(part.candidates.prior, part, earnings, scaling)
        rollout = network.draw(inputs, 8, generator(0, "update", update), part.hits)
        rewards = torch.from_numpy(earnings.of(part, rollout.lists)[0])
        loss, _ = critic_loss(rollout, rewards, 0.0) if critic else expected_loss(rollout, 0.0)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    def returns(lists: NDArray[np.int64]) -> float:
        return float(earnings.of(unseen, lists[:, None])[0].sum(axis=2).mean())

    prior = unseen.candidates.prior
    random = np.argsort(generator(0, "chance").random(prior.shape), axis=1)[:, :4]
    assert 0.41 < returns(random) < 0.45
    assert 0.56 < returns(top_lists(prior, 4)) < 0.60  # the prior's likeliest
    planner = returns(greedy_lists(prior, unseen, earnings, strength))
    assert 0.61 < planner < 0.64
    known, _ = choose_strength(wish, unseen, earnings)
    assert returns(greedy_lists(wish, unseen, earnings, known)) > 0.89  # all wishes known
    policy = NumpyPlanPolicy(plan_arrays(network), strength)
    assert returns(policy.lists(prior, unseen, earnings, scaling)) > planner + 0.12
