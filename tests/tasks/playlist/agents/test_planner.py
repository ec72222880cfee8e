from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from segue.core.errors import RunError, UnknownName
from segue.core.seeding import generator, seed_everything
from segue.tasks.playlist.agents.blocks import ask_next, ask_playlists
from segue.tasks.playlist.agents.plan_network import (
    PlanNetwork,
    critic_loss,
    expected_loss,
    plan_arrays,
)
from segue.tasks.playlist.agents.plan_policy import NumpyPlanPolicy, PlanInputs, plan_inputs
from segue.tasks.playlist.agents.planner import choose_strength, greedy_lists, softmax, top_lists
from segue.tasks.playlist.agents.questions import Questions, newest_tracks
from segue.tasks.playlist.agents.scorer import Scaling
from segue.tasks.playlist.candidates import Candidates
from segue.tasks.playlist.sessions import Sessions
from tests.tasks.playlist.agents.planted import list_earnings, planted

WEIGHTS = {"hit": 1.0, "diversity": 0.3, "near_3": -0.1}


def _one() -> Questions:
    """Tracks 5, 7, 9, 11 for a listener who heard 9, 3, 5 and went on to 7, 20, 11, 21."""
    candidates = Candidates(
        tracks=np.array([[5, 7, 9, 11, -1]], dtype=np.int32),
        numbers=np.zeros((1, 5, 1), dtype=np.float32),
        state=np.zeros((1, 1), dtype=np.float32),
        prior=np.array([[0.0, -1.0, -2.0, -3.0, -1e9]], dtype=np.float32),
    )
    queries, hidden = ask_playlists(Sessions.from_lists([[9, 3, 5, 7, 20, 11, 21]]), 4, 5)
    return Questions.of(candidates, queries, hidden)


def test_questions_know_what_was_wanted_and_what_was_just_heard() -> None:
    one = _one()
    assert one.hits.tolist() == [[False, True, False, True, False]]
    assert one.ago.tolist() == [[1, 0, 3, 0, 0]]
    assert one.answerable().tolist() == [0]
    joined = Questions.join([one, one.take(np.array([0]))])
    assert len(joined) == 2
    assert joined.hits.tolist() == one.hits.tolist() * 2


def test_sessions_too_short_ask_nothing() -> None:
    sessions = Sessions.from_lists([[1, 2], [1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]])
    queries, hidden = ask_playlists(sessions, 4, 5)
    assert [list(q) for q in (queries[0], queries[1])] == [[1], [6, 7]]
    assert hidden.tolist() == [[2, 3, 4, 5], [8, 9, 10, 11]]
    assert newest_tracks(sessions, 3).tolist() == [[-1, 1, 2], [3, 4, 5], [9, 10, 11]]
    assert ask_playlists(sessions, 4, 6)[1].tolist() == [[8, 9, 10, 11]]


def test_earlier_stretches_are_asked_for_once_each() -> None:
    sessions = Sessions.from_lists([[1, 2], [1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]])
    queries, hidden = ask_playlists(sessions, 3, 4, earlier=5)
    asked = [(queries[i].tolist(), hidden[i].tolist()) for i in range(len(queries))]
    assert sorted(asked) == [
        ([1], [2, 3, 4]),
        ([1, 2], [3, 4, 5]),
        ([6], [7, 8, 9]),
        ([6, 7], [8, 9, 10]),
        ([6, 7, 8], [9, 10, 11]),
    ]
    known = Sessions.from_flat([1, 2, 3, 4, 5], [5], first_targets=[3])  # 1, 2, 3 are history
    queries, hidden = ask_next(known, 9, 0)
    assert sorted(hidden[:, 0].tolist()) == [4, 5]
    assert len(ask_playlists(known, 3, 4)[1]) == 0


def test_a_list_earns_what_the_terms_say_by_hand() -> None:
    one, earnings = _one(), list_earnings(WEIGHTS)
    lists = np.array([[[1, 0, 3, 2]]])
    total, parts = earnings.of(one, lists)
    vectors = earnings.vectors[[7, 5, 11, 9]].astype(float)
    pairs = [1 - vectors[i] @ vectors[j] for i, j in itertools.combinations(range(4), 2)]
    assert parts["hit"][0, 0] == pytest.approx(2 / 4)
    assert parts["diversity"][0, 0] == pytest.approx(0.3 * np.mean(pairs), rel=1e-6)
    assert parts["near_3"][0, 0] == pytest.approx(-0.1 * 2 / 4)
    assert total.sum() == pytest.approx(sum(p[0, 0] for p in parts.values()), rel=1e-6)
    assert total[0, 0, 0] == pytest.approx(0.25)  # a hit, nothing to be apart from
    known = earnings.known(one)
    np.testing.assert_allclose(known.gains, 0.25)
    np.testing.assert_allclose(known.base[0, :4], [-0.025, 0, -0.025, 0], atol=1e-7)
    np.testing.assert_allclose(known.slope, 0.3 / 6, rtol=1e-6)


def test_a_place_that_pays_more_is_known_to() -> None:
    gains = list_earnings({"ndcg": 1.0}).known(_one()).gains
    assert gains.sum() == pytest.approx(1.0)
    assert gains[0] / gains[3] == pytest.approx(np.log2(5))


def test_an_unknown_term_is_refused() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'diversity'"):
        list_earnings({"divrsity": 1.0})


def test_every_step_of_the_planner_is_the_best_there_is() -> None:
    questions, _ = planted(40, 3, n_candidates=9, hidden=4)
    logits, earnings = questions.candidates.prior, list_earnings(WEIGHTS)
    lists = greedy_lists(logits, questions, earnings, 0.7)
    p = softmax(logits)
    for row in range(40):
        tracks = questions.candidates.tracks[row]
        vectors = earnings.vectors[tracks].astype(float)
        near = (questions.ago[row] >= 1) & (questions.ago[row] <= 3)
        for place in range(4):
            made = lists[row, :place]
            scores = [
                -np.inf
                if n in made
                else p[row, n] / 4
                + 0.7 * (0.3 / 6 * sum(1 - vectors[n] @ vectors[m] for m in made))
                - 0.7 * 0.1 / 4 * near[n]
                for n in range(9)
            ]
            assert scores[lists[row, place]] == pytest.approx(max(scores), abs=1e-6)


def test_without_a_known_part_the_planner_takes_the_likeliest() -> None:
    questions, _ = planted(30, 4, hidden=4)
    logits = questions.candidates.prior
    planned = greedy_lists(logits, questions, list_earnings({"hit": 1.0}), 1.0)
    np.testing.assert_array_equal(planned, top_lists(logits, 4))


def test_the_strength_that_earns_most_is_chosen() -> None:
    questions, _ = planted(400, 5, hidden=4)
    logits, earnings = questions.candidates.prior, list_earnings(WEIGHTS)
    strength, tried = choose_strength(logits, questions, earnings)
    assert tried[strength] == max(tried.values())
    assert min(tried) < strength < max(tried)
    top = earnings.of(questions, top_lists(logits, 4)[:, None])[0].sum(axis=2).mean()
    assert tried[strength] > top + 0.03


def _policy(width: int = 8, trust: float = 0.0) -> tuple[PlanNetwork, PlanInputs, Questions]:
    seed_everything(0)
    questions, _ = planted(60, 6, hidden=4)
    questions.candidates.tracks[3, 12:] = -1
    earnings = list_earnings(WEIGHTS)
    network = PlanNetwork(
        candidates=4, state=2, length=4, width=width, strength=0.3, sharpness=40.0, trust=trust
    )
    logits = np.where(questions.candidates.mask, questions.candidates.prior, np.float32(-1e9))
    inputs = plan_inputs(logits, questions, earnings, Scaling.of(questions.candidates))
    return network, inputs, questions


def test_an_untrained_policy_plays_the_planners_lists() -> None:
    network, inputs, questions = _policy()
    logits = np.where(questions.candidates.mask, questions.candidates.prior, np.float32(-1e9))
    expected = greedy_lists(logits, questions, list_earnings(WEIGHTS), 0.3)
    drawn = network.draw(inputs, 1, None)
    np.testing.assert_array_equal(drawn.lists[:, 0], expected)
    assert float(drawn.divergence.abs().max()) < 1e-5


def test_without_torch_the_same_lists_are_made() -> None:
    network, inputs, questions = _policy(trust=0.5)
    with torch.no_grad():
        for value in network.parameters():
            value += 0.3 * torch.randn(value.shape)
        drawn = network.draw(inputs, 1, None)
    policy = NumpyPlanPolicy(plan_arrays(network), 0.3)
    logits = np.where(questions.candidates.mask, questions.candidates.prior, np.float32(-1e9))
    scaling = Scaling.of(questions.candidates)
    found = policy.lists(logits, questions, list_earnings(WEIGHTS), scaling)
    np.testing.assert_array_equal(found, drawn.lists[:, 0])
    assert float(drawn.divergence.max()) > 0.01  # these are not the planner's probabilities
    with pytest.raises(RunError, match=r"plan\.score"):
        NumpyPlanPolicy({k: v for k, v in plan_arrays(network).items() if k != "plan.score"}, 1.0)


def test_drawn_lists_hold_nothing_twice_and_nothing_that_is_not_there() -> None:
    network, inputs, _ = _policy()
    lists = network.draw(inputs, 16, generator(0, "lists")).lists
    assert all(len(set(one)) == 4 for one in lists.reshape(-1, 4).tolist())
    assert lists[3].max() < 12
    assert len({tuple(one) for one in lists[5].tolist()}) > 1


def test_a_critic_moves_a_choice_by_what_was_still_to_come() -> None:
    network, inputs, _ = _policy()
    rollout = network.draw(inputs, 2, generator(1, "lists"))
    rewards = torch.zeros(60, 2, 4)
    rewards[:, 0, 1] = 1.0  # the first list of each query earns 1 at its second place
    rollout.log_p.retain_grad()
    loss, facts = critic_loss(rollout, rewards, 0.0)
    loss.backward()  # type: ignore[no-untyped-call]
    gradient = rollout.log_p.grad
    assert gradient is not None
    expected = rewards.flip(2).cumsum(2).flip(2) - rollout.values.detach()
    assert torch.allclose(gradient * -(60 * 2), expected, atol=1e-6)
    assert facts["critic_error"] > 0
    assert facts["drawn_return"] == pytest.approx(0.5)


def test_means_over_the_policy_are_means_of_what_drawn_lists_earn() -> None:
    network, _, questions = _policy()
    questions = questions.take(np.arange(12))
    earnings, scaling = list_earnings(WEIGHTS), Scaling.of(questions.candidates)
    logits = np.where(questions.candidates.mask, questions.candidates.prior, np.float32(-1e9))
    inputs = plan_inputs(logits, questions, earnings, scaling)
    rollout = network.draw(inputs, 500, generator(2, "lists"), questions.hits)
    earned, _ = earnings.of(questions, rollout.lists)
    found, means = earned.mean(axis=1), rollout.means.detach().numpy().mean(axis=1)
    error = earned.std(axis=1) / np.sqrt(500)
    assert (np.abs(found - means) < 5 * error + 1e-6).all()
    assert found.std() > 5 * error.mean()  # queries differ by more than chance


def test_the_gradient_that_knows_the_answers_is_that_of_the_return() -> None:
    """Against finite differences of the mean return of many drawn lists, the same luck each."""
    network, _, questions = _policy(width=2, trust=0.2)
    one = np.arange(1, 2)
    few = plan_inputs(
        questions.candidates.prior[one],
        questions.take(one),
        list_earnings(WEIGHTS),
        Scaling.of(questions.candidates),
    )
    hits = questions.hits[one]
    rollout = network.draw(few, 1_500, generator(3, "lists"), hits)
    loss, _ = expected_loss(rollout, 0.0)
    loss.backward()  # type: ignore[no-untyped-call]
    for parameter in (network.trust, network.log_sharpness):
        assert parameter.grad is not None
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter += sign * 0.1
                drawn = network.draw(few, 1_500, generator(4, "lists"), hits)
                parameter -= sign * 0.1
            ends.append(float(drawn.means.sum(dim=2).mean()))
        slope = (ends[0] - ends[1]) / 0.2
        assert -float(parameter.grad) == pytest.approx(slope, rel=0.2, abs=5e-4)
        assert abs(slope) > 5e-3
