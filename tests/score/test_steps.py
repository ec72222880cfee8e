"""Steps run once per input, leave nothing half-done behind, and forget old results."""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path

import pytest

from segue.score.steps import Steps


def test_a_step_runs_again_only_when_its_inputs_change(tmp_path: Path) -> None:
    calls: list[int] = []

    def build(folder: Path) -> dict:
        calls.append(1)
        (folder / "data.txt").write_text("made")
        return {"n": len(calls)}

    first = Steps(tmp_path).run("mix", {"duck": 12}, build)
    again = Steps(tmp_path).run("mix", {"duck": 12}, build)
    other = Steps(tmp_path).run("mix", {"duck": 18}, build)
    back = Steps(tmp_path).run("mix", {"duck": 12}, build)
    assert (first.value, again.value, other.value, back.value) == (
        {"n": 1}, {"n": 1}, {"n": 2}, {"n": 1},
    )  # fmt: skip
    assert (first.folder / "data.txt").read_text() == "made"
    assert first.key != other.key


def test_a_failed_step_leaves_nothing_and_runs_again(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half.txt").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Steps(tmp_path).run("mix", 1, fail)
    assert list((tmp_path / "mix").iterdir()) == []
    assert Steps(tmp_path).run("mix", 1, lambda folder: "whole").value == "whole"


def test_an_interrupt_while_the_folder_is_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = tempfile.mkdtemp

    def interrupted(**options: object) -> str:
        made = make(**options)  # type: ignore[call-overload]
        signal.raise_signal(signal.SIGINT)
        return str(made)

    monkeypatch.setattr(tempfile, "mkdtemp", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Steps(tmp_path).run("look", 1, lambda folder: None)
    assert not list(tmp_path.glob("*/.tmp-*"))


def test_a_killed_steps_leftovers_are_cleared(tmp_path: Path) -> None:
    leftover = tmp_path / "mix" / ".tmp-killed"
    leftover.mkdir(parents=True)
    Steps(tmp_path).run("mix", 1, lambda folder: None)
    assert not leftover.exists()


def test_old_results_are_forgotten(tmp_path: Path) -> None:
    for i in range(6):
        Steps(tmp_path, kept=2).run("mix", i, lambda folder: None)
    assert len(list((tmp_path / "mix").iterdir())) == 2
