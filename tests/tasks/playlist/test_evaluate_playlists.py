"""Playlists of an agent and of planners on the same candidates, through the commands."""

import json

import numpy as np
import pytest

from segue.cli import root
from segue.core.errors import MissingModel
from segue.core.options import run as run_command
from segue.tasks.playlist.agents.blocks import ask_playlists
from segue.tasks.playlist.config import EvaluateConfig, PretrainConfig
from segue.tasks.playlist.evaluate import evaluate
from segue.tasks.playlist.pretrain import pretrain
from segue.tasks.playlist.run_folder import load_model
from tests.tasks.playlist.small import small_data


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("playlists")


@pytest.fixture(scope="module")
def data(folder):
    return small_data(folder)


@pytest.fixture(scope="module")
def run(folder, data):
    target = folder / "run"
    quick = {"fused": {"search": {"searches": 0}}}
    pretrain(data, target, PretrainConfig(models=("fused",), settings=quick))
    with pytest.raises(MissingModel, match="no agent of this run makes playlists"):
        evaluate(target, data, EvaluateConfig(protocol="playlists"))
    tune = ["playlist", "tune", "--data", str(folder / "data"), "--run", str(target)]
    settings = {"epochs": 1, "scorer_epochs": 1, "n_candidates": 20, "length": 3, "least": 5}
    chosen = [x for k, v in settings.items() for x in ("--set", f"settings.{k}={v}")]
    for seed in ("0", "1"):
        assert run_command(root, [*tune, "--seed", seed, *chosen]) == 0
    return target


def test_rows_roles_and_metrics(run, data):
    config = EvaluateConfig(protocol="playlists", resamples=200)
    table = evaluate(run, data, config)
    roles = {row.model: row.role for row in table.rows}
    assert roles == {
        "fused": "prior",
        "fused + planner": "baseline",
        "supervised": "baseline",
        "supervised + planner": "baseline",
        "playlist": "tuned",
    }
    assert table.seeds == (0, 1)
    assert set(table.metric_names) == {"return", "precision@3", "diversity", "near_3"}
    for row in table.rows:
        value = {name: cell.value for name, cell in row.metrics.items()}
        assert 0 <= value["precision@3"] <= 1
        # The reward is its terms: hits of a list of three, and two weighted terms of it.
        paid = value["precision@3"] + 0.1 * value["diversity"] - 0.1 * value["near_3"]
        assert value["return"] == pytest.approx(paid, abs=1e-5)
    compared = {(c.b, c.metric) for c in table.comparisons if c.a == "playlist"}
    assert {("fused", "return"), ("fused", "precision@3")} <= compared
    assert evaluate(run, data, config) == table


def test_lists_have_no_track_twice_and_masking_leaves_out_what_was_heard(run, data):
    agent = load_model(run, "playlist")
    queries, _ = ask_playlists(data.test, 3, 5)
    for repeats in ("allowed", "masked"):
        lists, scores = agent.recommend(queries, 6, repeats=repeats)
        for i, chosen in enumerate(lists):
            there = chosen[chosen >= 0]
            assert len(np.unique(there)) == len(there)
            assert (np.diff(scores[i][: len(there)]) < 0).all()
            if repeats == "masked":
                assert not set(there.tolist()) & set(queries[i][-10:].tolist())


def test_the_command_prints_and_keeps_the_table(folder, run, capsys):
    asked = ["playlist", "evaluate", "--data", str(folder / "data"), "--run", str(run)]
    assert run_command(root, [*asked, "--protocol", "playlists", "--limit", "10", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["data"]["n"] == 10
    assert json.loads((run / "evaluation-playlists.json").read_text()) == shown
    assert (run / "figures" / "playlists.png").is_file()
    assert (run / "figures" / "learning.png").is_file()
