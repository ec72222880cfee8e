"""The commands of the captioning task: what they print, write and refuse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from segue.cli import root
from segue.core.options import run
from segue.tasks.captioning.models.stored import load_captioner
from segue.tasks.captioning.proposals import load_proposals
from segue.tasks.captioning.results import proposals_of
from tests.tasks.captioning.small_runs import Small


def segue(*arguments: object) -> int:
    return run(root, ["captioning", *map(str, arguments)])


def test_a_captioner_is_trained_tuned_and_evaluated(
    small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    warm, tuned = tmp_path / "warm", tmp_path / "tuned"
    smoke = ("--preset", "smoke", "--set", "epochs=1")
    assert segue("pretrain", "--data", small.folder, "--run", warm, *smoke) == 0
    assert "nats per word after 1 epochs" in capsys.readouterr().out
    kinds = {"visual": "embedded 1", "audio": "embedded 1"}
    assert json.loads((warm / "captioner.json").read_text())["features"]["kinds"] == kinds
    # --config takes the name of a preset, too
    start = ("tune", "--data", small.folder, "--run", tuned)
    assert segue(*start, "--prior", warm, "--config", "smoke", "--seed", 3, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["updates"] == 4
    assert set(found["first"]) == set(found["last"])
    assert segue(*start, "--resume") == 0  # knows its warm start; there is nothing left to do
    capsys.readouterr()
    quick = ("--set", "official=false", "--set", "consensus=0", "--set", "beams=1")
    assert (
        segue("evaluate", "--data", small.folder, "--run", tuned, "--split", "val_2", *quick) == 0
    )
    out, _ = capsys.readouterr()
    assert "warm start" in out
    assert "self-critical" in out
    assert "intervals over 6 videos" in out
    kept = json.loads((tuned / "evaluation.json").read_text())
    assert kept["data"]["n"] == 6
    assert len(json.loads((warm / "captions.json").read_text())["results"]) == 6
    arguments = ("--data", small.folder, "--run", tuned, "--diagnose", "--json")
    assert segue("evaluate", *arguments) == 0
    assert "greedy" in capsys.readouterr().out


def test_captions_are_shown_and_written(
    small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from segue.tasks.captioning.data.folder_features import FolderFeatures

    features = small.data.train.features
    assert isinstance(features, FolderFeatures)
    file = features.index.folders[0] / "v_18_visual.npy"
    out = tmp_path / "out"
    assert segue("caption", file, "--run", small.warm, "--out", out) == 0
    text, err = capsys.readouterr()
    assert text.split()[:2] == ["0.00", "20.00"]
    assert text.split()[2] in ("a", "an")
    assert "by visual and audio" in err
    assert segue("caption", file, "--run", small.warm, "--out", out, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["captions"] == json.loads((out / "v_18.json").read_text())


def test_a_run_learns_to_find_events(
    small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from segue.tasks.captioning.data.folder_features import FolderFeatures

    warm, tuned = tmp_path / "warm", tmp_path / "tuned"
    shutil.copytree(small.warm, warm)
    shutil.copytree(small.tuned, tuned)
    start = ("pretrain", "--proposals", "--data", small.folder, "--run", warm)
    assert segue(*start, "--preset", "smoke", "--set", "train_encoder=false") == 0
    out = capsys.readouterr().out
    assert out.startswith("validation: precision ")
    assert out.endswith("6 films\n")
    assert segue(*start, "--resume", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result == json.loads((warm / "proposals" / "result.json").read_text())
    before = load_captioner(warm).network.encoder.state_dict()
    after = load_proposals(warm / "proposals").network.encoder.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    # a tuned run uses the network of its warm start, until it has its own
    assert proposals_of(tuned) == warm / "proposals"
    features = small.data.train.features
    assert isinstance(features, FolderFeatures)
    file = features.index.folders[0] / "v_18_visual.npy"
    arguments = ("caption", file, "--run", tuned, "--out", tmp_path / "out")
    few = ("--set", "proposals=3", "--set", "overlap=1", "--json")
    assert segue(*arguments, *few) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["segments"] == "proposals"
    rows = features.whole("v_18")
    events = load_proposals(warm / "proposals").propose(rows, 20.0, most=3, overlap=1.0)
    times = [[c["start"], c["end"]] for c in found["captions"]]
    assert times == sorted(events[:, :2].tolist())
    assert segue(*arguments, "--segments", "shots") == 0
    assert "the whole film" in capsys.readouterr().err
    quick = ("--set", "official=false", "--set", "consensus=0", "--set", "beams=1")
    runs = ("--run", tuned, "--run", warm)
    assert segue("evaluate", "--data", small.folder, *runs, *quick, "--proposals", "--json") == 0
    table = json.loads(capsys.readouterr().out)["proposed"]
    models = [row["model"] for row in table["rows"]]
    assert {"warm start", "warm start, 2 equal parts", "self-critical"} <= set(models)
    assert "warm start, tIoU 0.9" in models
    assert segue(*arguments[:2], "--run", small.tuned, *arguments[4:], "--segments",
                 "proposals") == 1  # fmt: skip
    err = capsys.readouterr().err
    assert "pretrain --proposals --data DIR --run" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["pretrain", "--preset", "smal"], 2, "Did you mean 'small'"),
        (["pretrain", "--config", "nothing.toml"], 2, "nothing.toml"),
        (["pretrain", "--preset", "small", "--config", "x.toml"], 2, "Give one of them"),
        (["pretrain", "--run", "x"], 2, "--data"),
        (["pretrain", "--data", "x"], 2, "--run"),
        (["pretrain", "--resume", "--seed", "1"], 2, "keeps its settings"),
        (["pretrain", "--set", "epocs=3"], 2, "Did you mean 'epochs'"),
        (["pretrain", "--data", "nothing", "--run", "x"], 1, "nothing"),
        (["pretrain", "--proposals", "--set", "epocs=3"], 2, "Did you mean 'epochs'"),
        (["pretrain", "--proposals", "--data", "x"], 2, "--run"),
        (["pretrain", "--proposals", "--data", "nothing", "--run", "x"], 1, "nothing"),
        (["tune", "--data", "x", "--run", "y"], 2, "--prior"),
        (["tune", "--preset", "small"], 2, "bmhrl_a"),
        (["tune", "--method", "scst"], 2, "self-critical"),
        (["evaluate", "--data", "x"], 2, "--run"),
        (["evaluate", "--run", "x"], 2, "--data"),
        (["caption", "no.mp4", "--run", "nothing", "--out", "x"], 1, "no captioner here"),
        (["caption", "no.mp4", "--out", "x"], 2, "--run"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str],
    code: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert segue(*arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert words in err
    assert not any(tmp_path.iterdir())


def test_data_of_other_words_is_refused(
    small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "run"
    weights.mkdir()
    facts = json.loads((small.warm / "captioner.json").read_text())
    (weights / "captioner.json").write_text(json.dumps(facts))
    (weights / "captioner.safetensors").write_bytes(b"not what was written")
    assert segue("evaluate", "--data", small.folder, "--run", weights) == 1
    assert "is damaged" in capsys.readouterr().err
    for name in ("captioner.json", "captioner.safetensors"):
        (weights / name).write_bytes((small.warm / name).read_bytes())
    facts["words"][-1] = "zebra"
    (weights / "captioner.json").write_text(json.dumps(facts))
    assert segue("evaluate", "--data", small.folder, "--run", weights) == 1
    assert "Give the data that it was trained on" in capsys.readouterr().err


def test_presets_are_what_they_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert segue("pretrain", "--preset", "paper", "--print-config") == 0
    paper = capsys.readouterr().out
    assert segue("pretrain", "--print-config") == 0
    assert capsys.readouterr().out == paper
    assert segue("tune", "--preset", "bmhrl_b", "--print-config") == 0
    assert 'variant = "b"' in capsys.readouterr().out
