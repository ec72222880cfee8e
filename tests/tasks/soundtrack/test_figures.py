"""Figures are written whole; an evaluation leaves its table, figures and card in the run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segue.cli import root
from segue.core.card import write_card
from segue.core.errors import DataError, RunError, UsageError
from segue.core.options import run as command
from segue.core.run import Run
from segue.core.tables import EvaluationTable
from segue.tasks.soundtrack.config import SoundtrackConfig
from segue.tasks.soundtrack.evaluate import play_dataset, tabulate
from segue.tasks.soundtrack.figures import draw_learning, draw_returns
from segue.tasks.soundtrack.models import WEIGHTS_FOLDER
from segue.tasks.soundtrack.results import divide_runs, save_evaluation
from tests.synthetic_soundtrack import make_dataset, write_folder


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A run folder with the shipped weights in it."""
    folder = tmp_path / "runs" / "mine"
    with Run.create(folder, SoundtrackConfig(), command=["segue", "soundtrack", "tune"]) as run:
        for step in range(1, 4):
            run.log(step, loss=1.0 / step, note="text", reward=float(step))
        run.save(3, {"a": {"b": np.zeros(2)}})
        run.finish({}, limits=["It was stopped early."])
    for name in ("policy.json", "policy.safetensors"):
        (folder / name).write_bytes((WEIGHTS_FOLDER / name).read_bytes())
    return folder


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))


def test_an_evaluation_is_kept_in_the_run_and_named_in_its_card(trained: Path) -> None:
    rows = {"random": "random", "prior": "prior", "greedy": "greedy", "mine": f"policy/{trained}"}
    played = play_dataset(make_dataset(), rows, split="all")
    table = tabulate(played)
    figures = save_evaluation(trained, table, played)
    assert [f.name for f in figures] == ["returns.png", "episode.png", "learning.png"]
    for figure in figures:
        assert pixels(figure).std() > 5, "an empty picture"
    text = (trained / "evaluation.json").read_text()
    assert EvaluationTable.from_dict(json.loads(text)) == table
    card = (trained / "README.md").read_text()
    for part in ("](figures/returns.png)", "](figures/learning.png)", "| mine | tuned |",
                 "- It was stopped early.", "segue soundtrack tune"):  # fmt: skip
        assert part in card
    save_evaluation(trained, table, played)
    assert (trained / "README.md").read_text() == card  # nothing is said twice


def test_a_run_in_use_is_left_alone(trained: Path) -> None:
    played = play_dataset(make_dataset(), ["random"], split="all")
    with Run.open(trained, SoundtrackConfig), pytest.raises(RunError):
        save_evaluation(trained, tabulate(played), played)
    assert not (trained / "figures").exists()


def test_the_command_evaluates_a_run(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_folder(make_dataset(), tmp_path / "data")
    words = ["soundtrack", "evaluate", "--data", str(data), "--run", str(trained), "--split", "all"]
    assert command(root, [*words, "--agents", "random,greedy,policy,policy-beam/2", "--json"]) == 0
    rows = {r["model"]: r["role"] for r in json.loads(capsys.readouterr().out)["rows"]}
    assert rows == {
        "random": "random",
        "greedy": "baseline",
        "mine": "tuned",
        "mine + beam/2": "tuned",
        "upper bound": "bound",
    }
    assert (trained / "figures" / "episode.png").is_file()
    assert command(root, ["soundtrack", "evaluate", "--data", str(data), "--render"]) == 2
    assert "--run" in capsys.readouterr().err
    assert command(root, [*words, "--agents", "policy", "--render"]) == 1
    assert "no such file" in capsys.readouterr().err


def test_runs_with_a_policy_and_runs_with_a_prior(trained: Path, tmp_path: Path) -> None:
    assert divide_runs([]) == ([], None)
    assert divide_runs([trained, trained]) == ([trained, trained], None)
    with pytest.raises(RunError):
        divide_runs([tmp_path / "nothing"])
    with pytest.raises(UsageError, match="both hold a prior"):
        divide_runs([tmp_path / "a", tmp_path / "b"])


def test_equal_returns_and_many_agents_can_be_drawn(tmp_path: Path) -> None:
    draw_returns(tmp_path / "flat.png", {f"agent {i}": np.ones((1, 3)) for i in range(13)})
    assert pixels(tmp_path / "flat.png").std() > 0


def test_a_log_without_numbers_draws_nothing_and_a_broken_one_is_named(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    log.write_text('{"step": 1, "note": "x", "flag": true, "bad": "nan"}\n')
    assert not draw_learning(tmp_path / "a.png", log)
    assert not (tmp_path / "a.png").exists()
    log.write_text('{"step": 1, "loss": 1}\nnot json\n')
    with pytest.raises(DataError, match="line 2"):
        draw_learning(tmp_path / "a.png", log)


def test_a_card_keeps_the_limits_stated_before(trained: Path) -> None:
    write_card(trained, limits=["Another."])
    write_card(trained, figures={"a.png": "what it shows"})
    card = (trained / "README.md").read_text()
    assert card.count("- It was stopped early.") == card.count("- Another.") == 1
    assert "![what it shows](a.png)" in card
