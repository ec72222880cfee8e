"""The run folder: what is in it, what it refuses, and what it repairs."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import Field

from segue.core.config import Config
from segue.core.errors import ConfigError, RunError, UsageError
from segue.core.run import Run, new_folder
from segue.core.tables import Data, EvaluationTable


class Settings(Config):
    rate: float = Field(default=0.1, description="learning rate")
    name: str | None = Field(default=None, description="free text")


def start(folder: Path, n_steps: int = 4) -> None:
    with Run.create(folder, Settings(), data_hash="d", command=["segue", "x"]) as run:
        for step in range(1, n_steps + 1):
            run.log(step, loss=1 / step)
            if step % 2 == 0:
                run.save(step, {"model": {"w": np.full(3, step)}}, {"best": step})


def resume(folder: Path, **options: str) -> Run[Settings]:
    return Run.open(folder, Settings, **{"data_hash": "d", **options})


def test_folder_holds_what_it_promises(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "toy" / "first"
    start(folder)
    with resume(folder) as run:
        table = EvaluationTable.from_scores(
            "toy",
            Data(name="numbers", n=3, fingerprint="sha256:1"),
            {"new": {"score": [1, 2, 3]}, "old": {"score": [1, 1, 2]}},
            {"new": "tuned", "old": "prior"},
        )
        run.finish({"score": 2.0}, table=table, limits=["It knows three numbers only."])
    names = {path.name for path in folder.iterdir()}
    assert names >= {
        "config.toml", "versions.json", "metrics.jsonl", "checkpoints", "result.json", "README.md"
    }  # fmt: skip
    assert (folder / "config.toml").read_text() == "rate = 0.1\n"
    versions = json.loads((folder / "versions.json").read_text())
    assert versions["command"] == "segue x"
    assert {"segue", "python", "numpy", "torch"} <= set(versions)
    card = (folder / "README.md").read_text()
    for text in ("# first", "segue x", "numbers: 3 items", "| new | tuned |", "three numbers only"):
        assert text in card
    assert json.loads((folder / "result.json").read_text()) == {"score": 2.0}


def test_card_without_a_table_says_so(tmp_path: Path) -> None:
    with Run.create(tmp_path / "a", Settings()) as run:
        run.finish({})
    card = (tmp_path / "a" / "README.md").read_text()
    assert "Not evaluated" in card
    assert "None were stated" in card


def test_resume_gives_back_arrays_state_and_generators(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    with Run.create(tmp_path / "a", Settings()) as run:
        run.save(3, {"model": {"w": np.arange(3.0)}}, {"k": [1]}, generators={"g": generator})
    expected = generator.random(4)
    with Run.open(tmp_path / "a", Settings) as run:
        assert run.checkpoint is not None
        assert (run.step, run.state, run.warnings) == (3, {"k": [1]}, [])
        assert run.checkpoint.arrays["model"]["w"].tolist() == [0, 1, 2]
        other = np.random.default_rng(99)
        run.restore_random({"g": other})
        assert (other.random(4) == expected).all()
        with pytest.raises(RunError, match="generators"):
            run.restore_random({"h": other})


def test_metrics_after_the_checkpoint_are_cut(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    start(folder, 5)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')  # a line torn by a kill
    with resume(folder) as run:
        assert [line["step"] for line in run.metrics()] == [1, 2, 3, 4]
        run.log(5, loss=0.0)
        with pytest.raises(ValueError, match="step 5"):
            run.log(5, other=1.0)
        assert [line["step"] for line in run.metrics()] == [1, 2, 3, 4, 5]


def test_without_a_checkpoint_it_starts_again(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    start(folder, 1)
    with resume(folder) as run:
        assert (run.step, run.checkpoint, run.metrics()) == (0, None, [])


def test_lost_lines_are_reported(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    start(folder)
    (folder / "metrics.jsonl").write_bytes(b"")
    with resume(folder) as run:
        assert "lines are lost" in run.warnings[0]


def test_numbers_that_are_not_finite_are_logged_as_valid_json(tmp_path: Path) -> None:
    with Run.create(tmp_path / "a", Settings()) as run:
        run.log(1, a=math.nan, b=-math.inf, c=np.float32(0.5), d=True, e=None, f=np.int64(3))
        text = (tmp_path / "a" / "metrics.jsonl").read_text()
    assert text == '{"step": 1, "a": "nan", "b": "-inf", "c": 0.5, "d": true, "e": null, "f": 3}\n'


def test_folder_with_content_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("x")
    with pytest.raises(RunError, match=r"not empty.*--resume"):
        Run.create(tmp_path, Settings())
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


@pytest.mark.parametrize("content", [None, {}, {"result.json": "{}"}])
def test_folder_without_a_run_is_refused(tmp_path: Path, content: dict[str, str] | None) -> None:
    folder = tmp_path / "a"
    if content is not None:
        folder.mkdir()
        for name, text in content.items():
            (folder / name).write_text(text)
    with pytest.raises(RunError, match="no run in this folder"):
        Run.open(folder, Settings)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(RunError, match="cannot make this run"):
        Run.create(tmp_path / "a", Settings())
    tmp_path.chmod(0o700)


def test_file_in_the_way_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot make this run"):
        Run.create(tmp_path / "file" / "a", Settings())


def test_full_disk_while_logging_is_one_line(tmp_path: Path) -> None:
    with Run.create(tmp_path / "a", Settings()) as run:
        run._metrics.close()
        run._metrics = Path("/dev/full").open("ab", buffering=0)  # noqa: SIM115
        with pytest.raises(RunError, match="cannot log: No space left"):
            run.log(1, loss=0.0)


def test_two_writers_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    with Run.create(folder, Settings()):
        with pytest.raises(RunError, match=rf"another process \({os.getpid()}\) writes"):
            Run.open(folder, Settings)
        code = (
            "import sys\nfrom pathlib import Path\nfrom segue.core.lock import FolderLock\n"
            "FolderLock(Path(sys.argv[1]))"
        )
        other = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True)
        assert "another process" in other.stderr
    Run.open(folder, Settings).close()


def test_changed_configuration_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    start(folder)
    (folder / "config.toml").write_text("rate = 0.2\n")
    with pytest.raises(RunError, match="another configuration"):
        resume(folder)
    (folder / "config.toml").write_text("rat = 0.2\n")
    with pytest.raises(ConfigError, match="rate"):
        resume(folder)


def test_changed_data_is_refused(tmp_path: Path) -> None:
    start(tmp_path / "a")
    with pytest.raises(RunError, match="another data"):
        resume(tmp_path / "a", data_hash="e")
    resume(tmp_path / "a").close()  # the refusal did not leave the folder locked


def test_other_versions_are_a_warning(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    start(folder)
    versions = json.loads((folder / "versions.json").read_text())
    (folder / "versions.json").write_text(json.dumps(versions | {"numpy": "1.0"}))
    with resume(folder) as run:
        assert "numpy 1.0 is now" in run.warnings[0]


def test_names_of_runs_are_readable(tmp_path: Path) -> None:
    first = new_folder("melody", "jazz", tmp_path)
    assert first == tmp_path / "melody" / "jazz"
    start(first)
    assert new_folder("melody", "jazz", tmp_path).name == "jazz-2"
    for bad in ("", "..", "a/b", "x" * 101, "-rf", "a\n"):
        with pytest.raises(UsageError, match="cannot be the name of a run"):
            new_folder("melody", bad, tmp_path)
