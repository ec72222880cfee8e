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
from segue.tasks.soundtrack.agents import make_agent
from segue.tasks.soundtrack.config import SoundtrackConfig
from segue.tasks.soundtrack.confusion import Confusion
from segue.tasks.soundtrack.evaluate import play_dataset, tabulate
from segue.tasks.soundtrack.figures import (
    draw_confusion,
    draw_episode,
    draw_learning,
    draw_returns,
    draw_similarities,
)
from segue.tasks.soundtrack.models import WEIGHTS_FOLDER
from segue.tasks.soundtrack.results import divide_runs, save_evaluation
from segue.tasks.soundtrack.similarity_report import Similarities
from tests.synthetic_soundtrack import make_dataset, write_folder
from tests.tasks.soundtrack.agents.small_tables import small_tables


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
    played = play_dataset(make_dataset(n_videos=2), rows, split="all")
    table = tabulate(played)
    figures = save_evaluation(trained, table, played)
    assert [f.name for f in figures] == [
        "returns.png",
        *(f"episode-{i}.png" for i in range(1, 3)),
        "learning.png",
    ]
    for figure in figures:
        assert pixels(figure).std() > 5, "an empty picture"
    text = (trained / "evaluation.json").read_text()
    assert EvaluationTable.from_dict(json.loads(text)) == table
    plans = [json.loads(line) for line in (trained / "plans.jsonl").read_text().splitlines()]
    assert len(plans) == 4 * 2  # agents, videos
    assert all(sum(p["terms"].values()) == pytest.approx(p["return"]) for p in plans)
    assert sum(not s["continued"] for s in plans[-1]["segments"]) == plans[-1]["switches"] + 1
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
    data = write_folder(make_dataset(n_videos=1), tmp_path / "data")
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
    assert (trained / "figures" / "episode-1.png").is_file()
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


def test_a_policy_of_one_library_is_referred_to_its_own_result(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('method = "original"\n')
    with pytest.raises(UsageError, match=r"result\.json"):
        divide_runs([tmp_path])


def test_a_folder_that_was_not_prepared_is_sent_to_prepare(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("videos", "music"):
        (tmp_path / name).mkdir()
    assert command(root, ["soundtrack", "evaluate", "--data", str(tmp_path)]) == 1
    assert f"segue soundtrack prepare {tmp_path}" in capsys.readouterr().err


def test_the_similarity_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = make_dataset(n_videos=2)
    folder = write_folder(dataset, tmp_path / "data")
    words = ["soundtrack", "similarity", "--data", str(folder), "--json"]
    for space in ("picture", "caption"):
        assert command(root, [*words, "--space", space, "--figures", str(tmp_path / "f")]) == 0
        videos = json.loads(capsys.readouterr().out)["videos"]
        assert [len(v["segments"]) for v in videos] == [5, 6]
        for video in videos:
            means = [row["mean"] for row in video["best"] + video["worst"][::-1]]
            assert means == sorted(means, reverse=True)
            assert all(s["min"] <= s["mean"] <= s["max"] for s in video["segments"])
    assert len(list((tmp_path / "f").iterdir())) == 2
    bare = write_folder(make_dataset(text_dimension=None), tmp_path / "bare")
    assert command(root, [*words[:3], str(bare), "--space", "caption"]) == 2
    assert "--space picture" in capsys.readouterr().err


def test_equal_returns_and_many_agents_can_be_drawn(tmp_path: Path) -> None:
    draw_returns(
        tmp_path / "flat.png", {f"agent {i}": np.ones((1, 3)) for i in range(13)}, np.ones((1, 3))
    )
    assert pixels(tmp_path / "flat.png").std() > 0


def test_names_are_drawn_as_they_are_never_as_formulas(tmp_path: Path) -> None:
    odd = ["$\\frac{", "_hidden", "音楽.mp3", "a\nb", "100 %", "{x}"]
    level = np.ones((1, 3))
    draw_returns(tmp_path / "odd.png", {name: level for name in odd}, level)
    matrix = tuple(tuple(float(i == j) for j in range(6)) for i in range(6))
    draw_confusion(tmp_path / "matrix.png", Confusion(names=tuple(odd), matrix=matrix))
    plan = make_agent("greedy").plan(small_tables(0), np.random.default_rng(0))
    draw_episode(tmp_path / "episode.png", odd[0], dict.fromkeys(odd, plan))
    found = Similarities(video=odd[0], values=np.eye(6), tracks=tuple(odd))
    draw_similarities(tmp_path / "similar.png", found)
    assert len(list(tmp_path.iterdir())) == 4


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
