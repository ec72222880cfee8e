"""`segue audio tune` from the command line, on random models that are small and quick."""

import json
import shutil

import click
import numpy as np
import pytest
import torch

from segue.core.options import run as run_command
from segue.tasks.audio.cli_train import tune
from segue.tasks.audio.config import TuneConfig
from segue.tasks.audio.launch import rewards_from, tuned_folder
from segue.tasks.audio.listeners.clap import Clap
from segue.tasks.audio.listeners.config import ClapConfig, EmotionConfig, JudgeConfig
from segue.tasks.audio.listeners.emotion import Emotion
from segue.tasks.audio.listeners.judge import Judge
from segue.tasks.audio.listeners.stored import save_clap, save_emotion, save_judge
from segue.tasks.audio.models.stored import save_nano
from segue.tasks.audio.models.text import Tokenizer
from segue.tasks.audio.players import open_player, read_adapter
from tests.tasks.audio.tiny_nano import tiny_nano

QUICK = [
    "epochs=2", "sample.prompts=2", "sample.per_prompt=2", "sample.steps=3", "sample.seconds=0.64",
    "update.batch=4", "update.skip_last=1", "look.every=1", "look.prompts=2", "look.per_prompt=2",
    "prompts.instruments=['piano','violin']", "adapter.rank=2",
]  # fmt: skip
SETTINGS = [part for text in QUICK for part in ("--set", text)]


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audio") / "run"
    torch.manual_seed(0)
    save_nano(folder, tiny_nano(), {})
    words = Tokenizer.from_texts(["a recording of a happy piano solo, high quality"])
    listeners = folder / "listeners"
    save_clap(listeners, Clap(words, ClapConfig(channels=(4, 8, 8))).eval(), {})
    save_emotion(listeners, Emotion(EmotionConfig(channels=(4, 4), hidden=8)).eval(), {})
    save_judge(listeners, Judge(JudgeConfig(width=8, recurrent=4, embedding=16)).eval(), {})
    return folder


@pytest.fixture
def run(pretrained, tmp_path):
    return shutil.copytree(pretrained, tmp_path / "run")


def call(*arguments):
    return run_command(tune, [str(each) for each in arguments])


def test_a_run_is_tuned_and_played(run, capsys):
    assert (
        call("--run", run, "--reward", "emotion", "--reward", "clap=0.5", *SETTINGS, "--json") == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert found["epochs"] == 2
    assert {"mood_accuracy", "instrument_probability", "diversity"} <= found["first"].keys()
    folder = run / "tuned/emotion-clap"
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert all(line["first_deviation"] <= 1e-5 for line in lines[1:])
    assert {"reward_emotion", "reward_clap"} <= lines[1].keys()
    assert open_player(folder).adapter.rank == 2
    assert "model" not in read_adapter(folder).facts  # it lies beside its model
    assert call("--run", run, "--resume", "--name", "emotion-clap", "--json") == 0
    assert json.loads(capsys.readouterr().out) == found


def test_a_model_of_its_own_is_noted_and_tuned_by_what_needs_no_listener(
    run, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    shutil.rmtree(run / "listeners")
    assert call("--model", run, "--reward", "silence", "--seed", "3", *SETTINGS) == 0
    folder = tmp_path / "runs/audio/silence-3"
    assert str(folder.relative_to(tmp_path)) in capsys.readouterr().out
    assert open_player(folder).home.resolve() == run.resolve()


def test_drift_from_real_clips_is_watched(run, tmp_path, monkeypatch, capsys):
    class Real:
        def features(self, split):
            assert split == "val"
            return np.random.default_rng(0).normal(size=(70, 40, 64)).astype(np.float16)

    monkeypatch.setattr("segue.tasks.audio.data.prepared.Prepared.open", lambda folder: Real())
    assert call("--run", run, "--data", tmp_path, "--reward", "emotion", *SETTINGS, "--json") == 0
    assert json.loads(capsys.readouterr().out)["first"]["distance"] > 0


def test_presets_and_settings_are_shown(capsys):
    assert (
        call("--config", "seed", "--set", "epochs=3", "--reward", "tempo=2", "--print-config") == 0
    )
    shown = capsys.readouterr().out
    for line in ("epochs = 3", "tempo = 2.0", "guidance = 3.5", 'mode = "prompt"'):
        assert line in shown
    assert "clap" not in shown


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "--run"),
        (["--reward", "emotin"], "emotion"),
        (["--reward", "emotion=much"], "much"),
        (["--reward", "emotion,emotion"], "twice"),
        (["--set", "sample.eta=0"], "eta is 0"),
        (["--set", "sample.guidance=-1"], "guidance"),
        (["--set", "update.batch=3"], "divided"),
        (["--set", "sample.seconds=0"], "seconds"),
        (["--set", "prompts.file='none.txt'"], "none.txt"),
        (["--set", "device=cuda"], "cuda"),
        (["--name", "../up"], "name"),
        (["--config", "nanno"], "nanno"),
        (["--resume"], "which tuning"),
        (["--resume", "--name", "never"], "no tuning"),
        (["--resume", "--seed", "1"], "keeps its settings"),
        (["--clap", "nowhere", "--reward", "clap"], "nowhere"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(run, capsys, arguments, told):
    if "device=cuda" in arguments and torch.cuda.is_available():
        pytest.skip("there is one")
    place = ["--run", run] if arguments else ["--reward", "emotion"]
    assert call(*place, *SETTINGS * ("--resume" not in arguments), *arguments) in (1, 2)
    error = capsys.readouterr().err
    assert told in error
    assert len(error.strip().splitlines()) == 1
    assert "unexpected failure" not in error
    assert not (run / "tuned").exists()


def test_the_adapter_of_another_model_is_refused(run, tmp_path, capsys):
    assert call("--run", run, "--reward", "emotion", *SETTINGS) == 0
    other = tmp_path / "other"
    save_nano(other, tiny_nano(seed=1), {})
    shutil.move(run / "tuned", other / "tuned")
    assert call("--model", other / "tuned/emotion", "--reward", "silence", *SETTINGS) == 1
    assert "another model" in capsys.readouterr().err


def test_a_tuned_model_is_not_tuned_again(run, capsys):
    assert call("--run", run, "--reward", "emotion", *SETTINGS) == 0
    assert call("--model", run / "tuned/emotion", "--reward", "silence", *SETTINGS) == 2
    assert "tuned already" in capsys.readouterr().err


def test_names_of_tunings(tmp_path):
    config = TuneConfig.parse({"reward": {"my.module:warmth": 1.0, "clap": 1.0}, "seed": 4})
    assert tuned_folder(tmp_path, None, config, resume=False) == tmp_path / "tuned/warmth-clap-4"
    assert tuned_folder(tmp_path, "b", config, resume=False) == tmp_path / "tuned/b"
    (tmp_path / "tuned/open").mkdir(parents=True)
    (tmp_path / "tuned/open/config.toml").touch()
    assert tuned_folder(tmp_path, None, None, resume=True) == tmp_path / "tuned/open"
    assert rewards_from(["a=2, b", "c"]) == {"a": 2.0, "b": 1.0, "c": 1.0}
    assert rewards_from([]) is None


def test_the_command_has_ten_options_of_its_own_at_most():
    own = [option for option in tune.params if isinstance(option, click.Option)]
    assert len(own) <= 10 + 4
