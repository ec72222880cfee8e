"""Pretraining as a whole: listeners, then the base model, in one run."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from segue.core.errors import RunError, UnknownName
from segue.tasks.audio.cli import group
from segue.tasks.audio.players import open_listeners, open_player
from segue.tasks.audio.playing import play, sampling_of
from segue.tasks.audio.pretrain import pretrain
from segue.tasks.audio.pretrain_config import PRETRAIN_PRESETS, PretrainConfig
from tests.killed_training import Trainer, kill_until_done
from tests.tasks.audio.pretrain_process import tiny
from tests.tasks.audio.tiny_clips import make_clips


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrained")
    found = pretrain(make_clips(folder, 16, 8, seconds=1.1), folder / "run", tiny())
    return folder / "run", found


def test_what_it_leaves_can_listen_and_play(run):
    folder, found = run
    assert {"mood_accuracy", "instrument_accuracy"} <= found["listeners"]["judge"].keys()
    assert found["diffusion"]["steps"] == 6
    assert json.loads((folder / "result.json").read_text())["diffusion"] == found["diffusion"]
    player, ears = open_player(folder), open_listeners(folder)
    sound = play(player.denoiser, ["a happy piano"], [0], 1.5, sampling_of(player))
    assert sound.shape == (1, 24000)
    assert ears.judge.probabilities(sound)["mood"].shape == (1, 4)


def test_a_run_of_other_clips_is_refused(run, tmp_path):
    with pytest.raises(RunError, match="belongs to another data"):
        pretrain(make_clips(tmp_path, 17, 8, seconds=1.1), run[0], resume=True)


@pytest.mark.parametrize("name", PRETRAIN_PRESETS.names)
def test_presets_are_settings(name):
    config = PretrainConfig.load(PRETRAIN_PRESETS.file(name))
    if name == "nano":
        assert config == PretrainConfig()


def test_one_seed_is_everybodys(tmp_path):
    told = CliRunner().invoke(group, ["pretrain", "--seed", "3", "--print-config"])
    config = tmp_path / "config.toml"
    config.write_text(told.output)
    found = PretrainConfig.load(config)
    assert (found.listeners.seed, found.diffusion.seed) == (3, 3)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--run", "run"], "Missing option '--data'"),
        (["--data", "data"], "Missing option '--run'"),
        (["--data", "data", "--run", "run", "--resume", "--seed", "1"], "keeps its settings"),
    ],
)
def test_what_is_missing_is_said(words, told):
    done = CliRunner().invoke(group, ["pretrain", *words])
    assert done.exit_code == 2
    assert told in done.output


def test_a_preset_is_found_by_its_name_only():
    with pytest.raises(UnknownName):
        PRETRAIN_PRESETS.file("nanno")


@pytest.fixture(scope="module")
def trainer():
    found = Trainer(Path(__file__).parent / "pretrain_process.py")
    yield found
    found.process.kill()
    found.process.communicate()


def test_a_killed_pretraining_ends_on_the_same_bits(trainer, tmp_path):
    data = str(tmp_path / "data")
    kill_until_done(trainer, tmp_path / "whole/run", tmp_path / "other/run", {}, data, 4)
