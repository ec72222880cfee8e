"""A run that is killed again and again ends on the bits of one that never was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from segue.core.checkpoint import list_checkpoints, load_checkpoint
from segue.core.checkpoint_format import Checkpoint

N_STEPS = 90


class Trainer:
    """The process of toy_training.py."""

    def __init__(self) -> None:
        program = Path(__file__).with_name("toy_training.py")
        self.process = subprocess.Popen(
            [sys.executable, program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        assert self.process.stdin
        assert self.process.stdout
        self.stdin, self.stdout = self.process.stdin, self.process.stdout

    def start(self, folder: Path, pause_s: float = 0.0, kill_s: float = -1.0) -> int:
        self.stdin.write(f"{folder} {N_STEPS} {pause_s} {kill_s}\n")
        self.stdin.flush()
        return int(self.stdout.readline())

    def wait(self) -> int:
        return int(self.stdout.readline())

    def run(self, folder: Path) -> int:
        self.start(folder)
        return self.wait()


@pytest.fixture(scope="module")
def trainer() -> Iterator[Trainer]:
    trainer = Trainer()
    yield trainer
    trainer.process.communicate(timeout=20)


@pytest.fixture(scope="module")
def whole(trainer: Trainer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run without interruption."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert trainer.run(folder) == 0
    return folder


def content(folder: Path) -> dict[str, bytes]:
    """Every file that a run leaves, except the lock."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def last(folder: Path) -> Checkpoint:
    found = load_checkpoint(folder / "checkpoints")
    assert found is not None
    return found


def test_the_toy_really_has_hidden_state(whole: Path) -> None:
    """The generators, the optimiser and the sampler matter: a run that loses one would differ."""
    lines = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, N_STEPS + 1))
    assert len({line["draw"] for line in lines}) == N_STEPS
    first = np.mean([line["loss"] for line in lines[:10]])
    final = np.mean([line["loss"] for line in lines[-10:]])
    assert final < 0.7 * first  # it learns: 1.3 without training
    layout = json.dumps(last(whole).state["run"]["layout"])
    assert "exp_avg" in layout
    assert "last_epoch" in layout


def test_kill_9_at_many_points_then_resume_gives_the_same_bits(
    trainer: Trainer, whole: Path, tmp_path: Path
) -> None:
    """Kills at random times, from before the folder exists to the last step."""
    folder = tmp_path / "run"
    generator = np.random.default_rng()
    kills, longest_s, resumed_from = 0, 0.05, {0}
    for _ in range(300):
        # the pause makes sure that no fork gets to the end before it can be killed
        trainer.start(folder, pause_s=0.014, kill_s=float(generator.uniform(0.0, longest_s)))
        kills += (code := trainer.wait()) == -signal.SIGKILL
        found = load_checkpoint(folder / "checkpoints")
        assert found is None or found.warnings == ()
        step = found.step if found else 0
        longest_s *= 1.1 if step in resumed_from else 1.0  # a slow machine needs more time
        resumed_from.add(step)
        if code == 0 or kills == 50:
            break
    assert trainer.run(folder) == 0
    assert kills >= 5
    assert len(resumed_from) >= 4
    print(f"{kills} kills, resumed from {sorted(resumed_from)}")  # noqa: T201
    assert last(folder).seal == last(whole).seal  # weights, optimiser, sampler, all generators
    assert content(folder) == content(whole)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_first_signal_writes_a_checkpoint_and_the_run_can_go_on(
    trainer: Trainer, whole: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    folder = tmp_path / "run"
    process = trainer.start(folder, pause_s=0.01)
    _until_logged(folder, 6)
    asked = time.monotonic()
    os.kill(process, number)
    assert trainer.wait() == code
    assert time.monotonic() - asked < 10
    stopped = last(folder).step
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert 6 <= stopped < N_STEPS
    assert len(lines) == stopped  # the step in progress was finished and is in the checkpoint
    assert trainer.run(folder) == 0
    for name in ("metrics.jsonl", "result.json"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()
    first, second = last(folder), last(whole)
    assert first.state == second.state
    for group, named in first.arrays.items():
        for name, array in named.items():
            assert array.tobytes() == second.arrays[group][name].tobytes()


def test_second_signal_ends_at_once(trainer: Trainer, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = trainer.start(folder, pause_s=3.0)
    _until_logged(folder, 1)
    time.sleep(0.05)  # now it sleeps, so the first signal cannot be served for 3 s
    asked = time.monotonic()
    os.kill(process, signal.SIGINT)
    time.sleep(0.1)
    os.kill(process, signal.SIGINT)
    assert trainer.wait() == 130
    assert time.monotonic() - asked < 2
    assert not list_checkpoints(folder / "checkpoints")


def test_damaged_last_checkpoint_costs_time_but_no_bits(
    trainer: Trainer, whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    assert trainer.run(folder) == 0
    path = folder / "checkpoints" / f"step-{N_STEPS:06d}" / "torch.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert trainer.run(folder) == 0
    assert content(folder) == content(whole)


def _until_logged(folder: Path, n_lines: int) -> None:
    deadline = time.monotonic() + 20
    metrics = folder / "metrics.jsonl"
    while time.monotonic() < deadline:
        if metrics.exists() and len(metrics.read_text().splitlines()) >= n_lines:
            return
        time.sleep(0.005)
    raise AssertionError("the training did not start")
