"""The original's agent: its state, its candidates, its rewards, and what it is worth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segue.core.errors import DataError
from segue.tasks.playlist.agents.original import Original, OriginalConfig, _Windows
from segue.tasks.playlist.config import PretrainConfig
from segue.tasks.playlist.models.item_cf import ItemCF
from segue.tasks.playlist.protocol import questions
from segue.tasks.playlist.sessions import Sessions

SMALL = OriginalConfig(
    episodes=150, candidates=20, from_similar=10, from_history=4, from_popular=3, popular=15
)


def listening(n: int = 60, seed: int = 0) -> Sessions:
    """Sessions of 8 tracks of 40, most of them from one of four groups of ten; 12 listeners."""
    rng = np.random.default_rng(seed)
    group = rng.integers(4, size=(n, 1))
    tracks = np.where(rng.random((n, 8)) < 0.8, group * 10, rng.integers(4, size=(n, 8)) * 10)
    flat = (tracks + rng.integers(10, size=(n, 8))).reshape(-1)
    return Sessions.from_flat(flat, np.full(n, 8), users=rng.integers(12, size=n))


@pytest.fixture(scope="module")
def agent() -> Original:
    return Original(SMALL).fit(listening(), 40)


def test_a_state_is_the_mean_of_ten_tracks_without_their_names(agent: Original) -> None:
    queries = Sessions.from_lists([[1, 2, 3, 11, 12, 13, 21, 22, 23, 31, 32, 33], [], [7]])
    states = agent.states(queries)
    weights = np.exp(np.linspace(-1, 0, 10))
    expected = (
        weights / weights.sum() @ agent.vectors(np.array([3, 11, 12, 13, 21, 22, 23, 31, 32, 33]))
    )
    np.testing.assert_allclose(states[0], expected, atol=1e-6)
    assert not states[1].any()
    row = agent.item_cf.neighbours
    low, high = row.indptr[7], row.indptr[8]
    np.testing.assert_array_equal(states[2, : high - low], row.values[low:high])
    assert not states[2, high - low :].any()
    assert not agent.vectors(np.array([-1])).any()


def test_it_orders_the_candidates_of_item_cf_and_no_others(agent: Original) -> None:
    queries, _, _ = questions(listening(20, 1), "last")
    item_cf = agent.item_cf.recommend(queries, 20, repeats="masked")[0]
    table = agent.table(queries)
    for i in range(20):
        mine = set(table.indices[table.indptr[i] : table.indptr[i + 1]].tolist())
        assert mine == {t for t in item_cf[i].tolist() if t >= 0}
        assert not mine & set(queries[i].tolist())
    assert (agent.recommend(queries, 5)[0] != item_cf[:, :5]).any()


def test_the_truth_is_offered_in_training_or_not() -> None:
    sessions = listening()
    for offered in (True, False):
        config = SMALL.model_copy(update={"truth_offered": offered, "candidates": 15})
        model = Original(config)
        model.n_tracks = 40
        model.item_cf = ItemCF().fit(sessions, 40)
        windows, rng = _Windows(model, sessions), np.random.default_rng(0)
        inside = 0
        for _ in range(60):
            window, truth, heard = windows.draw(rng)
            assert 4 <= len(window[0]) <= 7
            assert truth in heard
            found = windows.candidates(window, truth, heard, rng)
            assert len(set(found.tolist())) == len(found) <= 15
            inside += truth in found
        assert inside == 60 if offered else 5 < inside < 60


def test_every_place_is_drawn_alike() -> None:
    sessions = Sessions.from_lists([[1, 2, 3], [0, 1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11]])
    model = Original(SMALL)
    model.n_tracks = 12
    windows, rng = _Windows(model, sessions), np.random.default_rng(0)
    truths = [windows.draw(rng)[1] for _ in range(800)]
    assert sorted(set(truths)) == [4, 5, 6, 11]
    assert min(np.bincount(truths)[[4, 5, 6, 11]]) > 150


def test_a_seed_is_a_result_and_the_file_keeps_it(agent: Original, tmp_path: Path) -> None:
    queries, _, _ = questions(listening(10, 1), "last")
    again = Original(SMALL).fit(listening(), 40)
    other = Original(SMALL.model_copy(update={"seed": 1})).fit(listening(), 40)
    for name, value in agent.weights.items():
        np.testing.assert_array_equal(value, again.weights[name])
    assert any((agent.weights[n] != other.weights[n]).any() for n in agent.weights)
    agent.save(tmp_path)
    loaded = Original.load(tmp_path)
    np.testing.assert_array_equal(loaded.table(queries).values, agent.table(queries).values)


def test_it_learns_from_its_reward() -> None:
    """Of 20 candidates one is right: random choices earn .101 and hit .027, trained .205, .120."""
    rng = np.random.default_rng(0)
    tracks = np.where(rng.random((60, 8)) < 0.8, rng.integers(10, size=(60, 8)), 0)
    tracks = np.where(tracks > 0, tracks, rng.integers(10, 40, size=(60, 8)))
    sessions = Sessions.from_flat(tracks.reshape(-1), np.full(60, 8))
    config = SMALL.model_copy(update={"episodes": 600, "actor_rate": 3e-3, "popular": 40})
    trained = Original(config).fit(sessions, 40).history
    still = config.model_copy(update={"actor_rate": 1e-12})
    untrained = Original(still).fit(sessions, 40).history
    print(trained, untrained)  # noqa: T201
    assert trained["reward"] > untrained["reward"] + 0.05


def test_the_preset_names_what_there_is() -> None:
    from importlib.resources import files

    preset = files("segue.tasks.playlist") / "presets" / "original.toml"
    config = PretrainConfig.load(Path(str(preset)))
    assert "original" in config.models
    assert config.settings["item-cf"] == {"neighbours": 30, "keep_self": False, "decay": 1.0}
    assert OriginalConfig.parse(config.settings["original"]) == OriginalConfig()


def test_sessions_that_are_too_short_are_refused() -> None:
    with pytest.raises(DataError, match="no session has a window of 4 tracks"):
        Original(SMALL).fit(Sessions.from_lists([[1, 2, 3, 4]]), 5)
