"""The environment: Gymnasium's checker, what is paid, and many melodies against one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from segue.core.errors import UsageError
from segue.tasks.melody.acting import annealed, choose, sample
from segue.tasks.melody.env import BatchedMelody, MelodyEnv
from segue.tasks.melody.lstm import log_softmax
from segue.tasks.melody.rewards import TheoryReward, mode_weights

from .small import small_model

REWARD = TheoryReward(mode_weights("music_theory_all"))


@pytest.fixture
def prior(tmp_path: Path):  # type: ignore[no-untyped-def]
    return small_model(tmp_path / "prior").player()


def test_gymnasium_accepts_it(prior) -> None:  # type: ignore[no-untyped-def]
    check_env(MelodyEnv(prior, REWARD, n_notes=8), skip_render_check=True)


def test_one_melody_is_paid_as_one_of_many(prior) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    notes = rng.integers(0, 38, (16, 5))
    first = rng.integers(0, 38, (1, 5))
    many = BatchedMelody(prior, REWARD, 5, 16, scaler=0.5)
    many.reset(first)
    paid = [many.step(row) for row in notes]
    for i in range(5):
        env = MelodyEnv(prior, REWARD, 16, scaler=0.5)
        seen, _ = env.reset(options={"primer": first[:, i].tolist()})
        assert seen["note"] == first[0, i]
        for t, row in enumerate(notes):
            seen, reward, ended, truncated, info = env.step(row[i])
            assert reward == pytest.approx(paid[t].theory[i] + paid[t].log_p[i], abs=1e-6)
            assert info["motif"] == paid[t].parts["motif"][i]
            assert (ended, truncated) == (t == 15, False)
            assert seen["beat"] == t + 1


def test_log_p_is_the_priors(prior) -> None:  # type: ignore[no-untyped-def]
    env = BatchedMelody(prior, REWARD, 2, 8)
    env.reset(np.array([[3, 30], [14, 14]]))
    state = prior.begin(2)
    for row in ([3, 30], [14, 14]):
        scores, state = prior.step(state, np.array(row))
    np.testing.assert_allclose(env.log_p, log_softmax(scores), atol=1e-6)
    np.testing.assert_allclose(np.exp(env.log_p).sum(axis=1), 1, atol=1e-5)
    assert env.step(np.array([5, 6])).log_p.tolist() == pytest.approx(
        log_softmax(scores)[[0, 1], [5, 6]].tolist()
    )


@pytest.mark.parametrize("primer", [[], [38], [-1], [[1]], [1.5, "x"]])
def test_a_primer_must_be_classes(prior, primer: object) -> None:  # type: ignore[no-untyped-def]
    env = MelodyEnv(prior, REWARD)
    with pytest.raises((UsageError, ValueError)):
        env.reset(options={"primer": primer})


def test_sampling_follows_the_probabilities() -> None:
    rng = np.random.default_rng(0)
    p = np.tile(np.array([0.5, 0.0, 0.3, 0.2], dtype=np.float32), (40_000, 1))
    counts = np.bincount(sample(p, rng), minlength=4) / 40_000
    assert counts[1] == 0
    np.testing.assert_allclose(counts, [0.5, 0, 0.3, 0.2], atol=0.01)


def test_choosing_tells_with_what_probability() -> None:
    scores = np.log(np.tile(np.array([0.1, 0.2, 0.7], dtype=np.float32), (30_000, 1)))
    rng = np.random.default_rng(1)
    greedy, p = choose(scores, rng, greedy=True)
    assert set(greedy) == {2}
    assert set(p) == {1.0}
    actions, p = choose(scores, rng, epsilon=0.3, n_random=3)
    for a, mine in enumerate([0.1, 0.2, 0.7]):
        wanted = 0.7 * mine + 0.1
        assert np.mean(actions == a) == pytest.approx(wanted, abs=0.012)
        assert p[actions == a] == pytest.approx(wanted, abs=1e-5)
    cold, _ = choose(scores, rng, temperature=0.1)
    assert np.mean(cold == 2) > 0.99


def test_annealing() -> None:
    assert [annealed(n, 100, 0.1) for n in (0, 50, 100, 500)] == pytest.approx([1, 0.55, 0.1, 0.1])
    assert annealed(5, 0, 0.1) == 0.1
