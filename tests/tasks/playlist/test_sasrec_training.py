"""Training SASRec: the same bits from the same seed, also after kills; what it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segue.core.errors import ConfigError, DataError, RunError
from segue.tasks.playlist.models.sasrec import SASRec
from segue.tasks.playlist.models.sasrec_config import SASRecConfig
from segue.tasks.playlist.models.sasrec_training import TrainedSASRec, train_sasrec
from segue.tasks.playlist.sessions import Sessions
from tests.killed_training import Trainer, kill_until_done

from .sasrec_process import V, listening

SMALL: dict[str, Any] = {"dimension": 8, "heads": 2, "negatives": 16, "epochs": 3, "batch": 64}


@pytest.fixture(scope="module")
def trainer() -> Iterator[Trainer]:
    trainer = Trainer(Path(__file__).with_name("sasrec_process.py"))
    yield trainer
    trainer.process.communicate(timeout=20)


def trained(validation: bool = False, **changes: Any) -> TrainedSASRec:
    return train_sasrec(
        listening(80, 0),
        V,
        SASRecConfig.parse(SMALL | changes),
        validation=listening(30, 1) if validation else None,
    )


def same(first: TrainedSASRec, second: TrainedSASRec) -> bool:
    return all(np.array_equal(first.arrays[k], second.arrays[k]) for k in first.arrays)


@pytest.mark.parametrize(
    "changes",
    [{}, {"loss": "gbce", "shared": False, "patience": 2, "positions": "learned"}],
    ids=["ours", "early stop"],
)
def test_a_killed_training_ends_on_the_same_bits(
    trainer: Trainer, tmp_path: Path, changes: dict[str, Any]
) -> None:
    settings = SMALL | {"epochs": 12, "attention_dropout": 0.1} | changes
    kill_until_done(trainer, tmp_path / "a" / "run", tmp_path / "run", settings, "", 4)


def test_one_seed_gives_one_result_and_leaves_the_world_alone() -> None:
    torch.manual_seed(5)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    first, second, other = trained(), trained(), trained(seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    assert same(first, second)
    assert first.curve == second.curve
    assert not same(first, other)


def test_a_run_folder_holds_the_model_and_its_curve(tmp_path: Path) -> None:
    done: list[float] = []
    found = train_sasrec(
        listening(80, 0), V, SASRecConfig.parse(SMALL), folder=tmp_path / "run",
        validation=listening(30, 1), advance=done.append,
    )  # fmt: skip
    assert sum(done) == pytest.approx(1)
    assert same(found, trained())  # validation changes nothing but what is known
    lines = [json.loads(x) for x in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert all(0 <= line["ndcg_at_10"] <= 1 for line in lines)
    model = SASRec.load(tmp_path / "run")
    np.testing.assert_array_equal(model.arrays()["vectors"], found.arrays["vectors"])
    with pytest.raises(RunError, match="not empty"):
        train_sasrec(listening(80, 0), V, folder=tmp_path / "run")
    with pytest.raises(RunError, match="data"):
        train_sasrec(listening(81, 0), V, folder=tmp_path / "run", resume=True)


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    model = SASRec(SASRecConfig.parse(SMALL))
    model.workspace = tmp_path / "run"
    first = model.fit(listening(80, 0), V).arrays()
    done: list[float] = []
    second = model.fit(listening(80, 0), V, advance=done.append).arrays()
    assert not done
    assert all(np.array_equal(first[k], second[k]) for k in first)


def test_it_stops_early_and_keeps_the_best() -> None:
    # Random sessions have nothing to learn, so validation soon gets no better.
    found = trained(validation=True, epochs=60, patience=2, learning_rate=0.02)
    scores = [line["ndcg_at_10"] for line in found.curve]
    assert len(scores) < 60
    assert int(np.argmax(scores)) == len(scores) - 3
    model = SASRec(SASRecConfig.parse(SMALL))
    model.n_tracks = V
    model.restore(found.arrays)
    asked = listening(30, 1)
    targets = np.array([asked[i][-1] for i in range(30)], dtype=np.int32)
    ranks = model.ranks(asked.prefixes(np.arange(30), asked.lengths - 1), targets)
    kept = np.where(ranks <= 10, 1 / np.log2(ranks + 1), 0).mean()
    assert kept == pytest.approx(max(scores))


def test_it_is_fitted_again_for_as_many_epochs_as_were_best(tmp_path: Path) -> None:
    config = SASRecConfig.parse(SMALL | {"epochs": 60, "patience": 2, "learning_rate": 0.02})
    model = SASRec(config)
    assert model.chooses
    assert not SASRec().chooses
    model.workspace = tmp_path / "training"
    whole = Sessions.join([listening(80, 0), listening(30, 1)])
    again = model.fit(listening(80, 0), V, validation=listening(30, 1)).refit(whole).arrays()
    best = trained(validation=True, epochs=60, patience=2, learning_rate=0.02).epochs
    assert 0 < best < 60
    plain = config.model_copy(update={"epochs": best, "patience": 0})
    wanted = train_sasrec(whole, V, plain).arrays
    assert all(np.array_equal(again[k], wanted[k]) for k in wanted)


@pytest.mark.parametrize("changes", [{"patience": 2}, {"schedule": "plateau"}])
def test_what_needs_validation_is_refused_without(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="need validation sessions"):
        trained(**changes)


@pytest.mark.parametrize("loss", ["softmax", "sampled_softmax", "bce", "gbce"])
@pytest.mark.parametrize("shared", [True, False])
def test_every_loss_falls(loss: str, shared: bool) -> None:
    pairs = Sessions.from_lists([[i, i + 1, i, i + 1] for i in range(0, V, 2)] * 4)
    config = SASRecConfig.parse(
        SMALL | {"loss": loss, "shared": shared, "epochs": 12, "schedule": "constant",
                 "learning_rate": 0.01}
    )  # fmt: skip
    curve = train_sasrec(pairs, V, config).curve
    assert curve[-1]["loss"] < 0.8 * curve[0]["loss"]


def test_repeats_are_learned_and_the_newest_track_is_not() -> None:
    # A session is three tracks and then its first one again. Without competition of the session's
    # own tracks a sampled loss hardly sees them: 16 draws of 30.
    rng = np.random.default_rng(0)
    lists = [list(rng.choice(V, 3, replace=False)) for _ in range(600)]
    sessions = Sessions.from_lists([[*tracks, tracks[0]] for tracks in lists])
    queries = Sessions.from_lists([list(rng.choice(V, 3, replace=False)) for _ in range(200)])
    targets = np.array([queries[i][0] for i in range(200)], dtype=np.int32)
    config = SASRecConfig.parse(SMALL | {"epochs": 12, "learning_rate": 0.02, "negatives": 4})
    hits = {}
    for again in (True, False):
        model = SASRec(config.model_copy(update={"again": again})).fit(sessions, V)
        hits[again] = float((model.ranks(queries, targets) == 1).mean())
    assert hits[True] >= 0.9  # by chance 1 of 30
    assert hits[False] < 0.5


def test_the_plateau_schedule_halves_the_rate() -> None:
    steady = trained(validation=True, epochs=9, learning_rate=0.02, schedule="constant")
    halved = trained(validation=True, epochs=9, learning_rate=0.02, schedule="plateau")
    scores = [line["ndcg_at_10"] for line in steady.curve]
    best = np.maximum.accumulate(scores)
    assert any(best[i] == best[i + 2] for i in range(7))  # there was a plateau
    assert steady.curve[0] == halved.curve[0]
    assert not same(steady, halved)


def test_sessions_without_a_second_track_teach_nothing() -> None:
    for sessions in ([], [[1]], [[2, -1], [-1, -1, 3]]):
        with pytest.raises(DataError, match="two known tracks"):
            train_sasrec(Sessions.from_lists(sessions), V, SASRecConfig.parse(SMALL))


def test_a_vocabulary_of_one_is_learned() -> None:
    found = train_sasrec(Sessions.from_lists([[0, 0, 0]]), 1, SASRecConfig.parse(SMALL))
    assert np.isfinite(found.curve[-1]["loss"])
    assert np.isfinite(found.arrays["vectors"]).all()


def test_unknown_tracks_are_left_out_of_sessions() -> None:
    sessions = listening(80, 0)
    lists = [list(sessions[i]) for i in range(len(sessions))]
    holes = Sessions.from_lists([[-1, *tracks[:1], -1, *tracks[1:]] for tracks in lists])
    config = SASRecConfig.parse(SMALL | {"start": "random"})
    assert same(train_sasrec(holes, V, config), train_sasrec(sessions, V, config))
