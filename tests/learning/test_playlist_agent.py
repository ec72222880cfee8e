"""Agents find a planted preference that their prior does not know."""

from __future__ import annotations

import pytest
import torch

from segue.core.seeding import generator, seed_everything
from segue.tasks.playlist.agents.learning import Schedule, ScorerTraining, logits_of
from segue.tasks.playlist.agents.objectives import Objective, cross_entropy, list_gradient
from segue.tasks.playlist.agents.scorer import Scaling, make_scorer
from tests.tasks.playlist.agents.planted import ndcg_at_10, planted


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
