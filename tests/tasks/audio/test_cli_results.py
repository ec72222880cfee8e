"""`segue audio generate` and `evaluate` from the command line: results, mistakes, settings."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest

from segue.core.options import run as run_command
from segue.tasks.audio import players
from segue.tasks.audio.cli_results import evaluate, generate
from tests.tasks.audio.fakes import SineDenoiser, listeners, write_adapter

GROUP = click.Group("audio", commands={"evaluate": evaluate, "generate": generate})
FEW = ["--set", "prompts=2", "--set", "clips=2", "--set", "seconds=0.5", "--set", "steps=2",
       "--set", "best_of=1", "--set", "guidances=[]", "--set", 'kinds=["plain"]']  # fmt: skip


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "run"
    (folder / "listeners").mkdir(parents=True)
    (folder / "nano.json").write_text("{}")
    write_adapter(folder / "tuned" / "a", 2.0)
    monkeypatch.setattr(players, "_load", lambda home, device: SineDenoiser())
    monkeypatch.setattr(players, "open_listeners", lambda place, **_: listeners())
    monkeypatch.setattr("segue.tasks.audio.evaluate.open_listeners", lambda place: listeners())
    return folder


def test_generate(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["generate", "--run", str(model), "--adapter", "a", "--prompt", "a sad organ",
             "--steps", "2", "--seconds", "0.5", "--n", "2", "--seed", "5", "--guidance", "1",
             "--eta", "0", "--negative", "noise"]  # fmt: skip
    assert run_command(GROUP, [*words, "--out", str(tmp_path / "out")]) == 0
    captured = capsys.readouterr()
    assert "seed 6, sounds sad" in captured.out
    assert "like organ" in captured.out
    assert "sines + a played" in captured.err
    assert run_command(GROUP, [*words, "--out", str(tmp_path / "again"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    kept = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert told == kept
    assert [row["seed"] for row in told["clips"]] == [5, 6]
    assert {told["clips"][0][k] for k in ("steps", "guidance", "eta", "negative")} == {
        2, 1.0, 0.0, "noise",
    }  # fmt: skip


def test_evaluate(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(GROUP, ["evaluate", "--run", str(model), *FEW]) == 0
    captured = capsys.readouterr()
    assert "judge mood" in captured.out
    assert "gallery.html" in captured.err
    assert (model / "gallery.html").is_file()
    kept = json.loads((model / "evaluation.json").read_text())
    assert [row["model"] for row in kept["rows"]] == ["base", "a"]


def test_only_scoring(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "clips"
    words = ["generate", "--run", str(model), "--prompt", "an angry violin", "--out", str(out)]
    assert run_command(GROUP, [*words, "--steps", "2", "--seconds", "0.5"]) == 0
    capsys.readouterr()
    assert run_command(GROUP, ["evaluate", "--run", str(model), "--score", str(out)]) == 0
    assert "sim_score" in capsys.readouterr().out
    assert (out / "emo_benchmark.csv").read_text().startswith("path,label,pred\nan-angry-violin")


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["generate", "--prompt", "x"], 2, "'--out'"),
        (["generate", "--out", "x"], 2, "'--prompt'"),
        (["generate", "--run", "a", "--model", "b"], 2, "not both"),
        (["generate", "--run", "no-such", "--prompt", "x", "--out", "y"], 1, "no such folder"),
        (["generate", "--seconds", "0", "--prompt", "x", "--out", "y"], 2, "seconds"),
        (["generate", "--eta", "2", "--prompt", "x", "--out", "y"], 2, "eta"),
        (["evaluate", "--data", "x"], 2, "'--run'"),
        (["evaluate", "--run", "no-such"], 1, "no such folder"),
        (["evaluate", "--run", "x", "--set", "prompt=2"], 2, "prompts"),
    ],
)
def test_mistakes(
    words: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(GROUP, words) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert told in captured.err
    assert captured.err.count("\n") == 1


def test_settings_are_shown_without_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(GROUP, ["evaluate", "--seed", "4", "--print-config"]) == 0
    assert "seed = 4" in capsys.readouterr().out
    assert run_command(GROUP, ["generate", "-n", "3", "--print-config"]) == 0
    assert "n = 3" in capsys.readouterr().out
