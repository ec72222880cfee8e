from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from segue.core.errors import RunError
from segue.core.seeding import seed_everything
from segue.tasks.playlist.agents.learning import Schedule, ScorerTraining, logits_of
from segue.tasks.playlist.agents.objectives import Objective, cross_entropy, list_gradient
from segue.tasks.playlist.agents.scorer import NumpyScorer, Scaling, make_scorer, scorer_arrays
from tests.tasks.playlist.agents.planted import planted


def _training(objective: Objective, n: int = 96, epochs: int = 2, seed: int = 0) -> ScorerTraining:
    seed_everything(seed)
    questions, _ = planted(n, 1)
    scaling = Scaling.of(questions.candidates)
    schedule = Schedule(n, epochs, 32, 5e-3, seed)
    return ScorerTraining(make_scorer(4, 2, 16), scaling, questions, objective, schedule)


def test_an_untrained_scorer_is_its_prior_exactly() -> None:
    training = _training(cross_entropy)
    candidates = training.questions.candidates
    found = logits_of(training.network, training.scaling, candidates)
    np.testing.assert_array_equal(found, candidates.prior)


def test_without_torch_the_same_comes_out() -> None:
    training = _training(cross_entropy)
    for _ in range(6):
        training.update()
    candidates = training.questions.candidates
    short = dataclasses.replace(candidates, tracks=candidates.tracks.copy())
    short.tracks[3, 20:] = -1  # fewer candidates
    short.tracks[4] = -1  # none at all
    expected = logits_of(training.network, training.scaling, short)
    scorer = NumpyScorer(scorer_arrays(training.network, training.scaling))
    np.testing.assert_allclose(scorer(short), expected, atol=2e-5)
    assert (scorer(short)[3, 20:] == -1e9).all()
    assert (scorer(short)[4] == -1e9).all()
    assert np.abs(expected[:3] - candidates.prior[:3]).max() > 0.01  # it has learned something


def test_other_numbers_are_refused() -> None:
    training = _training(cross_entropy)
    arrays = scorer_arrays(training.network, training.scaling)
    candidates = training.questions.candidates
    other = dataclasses.replace(candidates, numbers=candidates.numbers[..., :3])
    with pytest.raises(RunError, match="have 3 and queries 2 numbers; this network"):
        NumpyScorer(arrays)(other)
    del arrays["query.mean"]
    with pytest.raises(RunError, match=r"query\.mean missing"):
        NumpyScorer(arrays)


@pytest.mark.parametrize("objective", [cross_entropy, list_gradient(4, 10)])
def test_a_training_goes_on_to_the_same_bits(objective: Objective) -> None:
    whole = _training(objective)
    for _ in range(whole.schedule.updates):
        whole.update()
    first = _training(objective)
    for _ in range(2):
        first.update()
    second = _training(objective, seed=9)
    second.schedule = first.schedule
    second.restore(*first.state())
    for _ in range(second.schedule.updates - 2):
        second.update()
    ours, theirs = whole.network.state_dict(), second.network.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_every_question_is_met_once_an_epoch() -> None:
    schedule = Schedule(100, 2, 32, 1.0, 0)
    assert schedule.updates == 8
    first = np.concatenate([schedule.rows(i) for i in range(4)])
    assert sorted(first) == list(range(100))
    assert set(schedule.rows(0)) != set(schedule.rows(4))
    rates = [schedule.rate_of(i) for i in range(8)]
    assert rates[0] == 1.0
    assert rates == sorted(rates, reverse=True)
    assert 0 < rates[-1] < 0.05


def test_numbers_are_centred_and_scaled_and_constants_fall_silent() -> None:
    questions, _ = planted(300, 2)
    numbers = questions.candidates.numbers * 5 + 3
    numbers[..., 3] = 7.0
    candidates = dataclasses.replace(questions.candidates, numbers=numbers.astype(np.float16))
    scaled, state = Scaling.of(candidates)(candidates)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled[..., :3].mean(axis=(0, 1)), 0, atol=1e-2)
    np.testing.assert_allclose(scaled[..., :3].std(axis=(0, 1)), 1, atol=1e-2)
    assert (scaled[..., 3] == 0).all()
    np.testing.assert_allclose(state.std(axis=0), 1, atol=1e-3)
