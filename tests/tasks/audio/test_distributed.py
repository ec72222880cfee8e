"""Several processes do what one does."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from segue.core.errors import UsageError
from segue.tasks.audio.config import TuneConfig
from segue.tasks.audio.distributed import World, joined
from segue.tasks.audio.players import read_adapter
from segue.tasks.audio.tune import tune
from tests.tasks.audio.toy import PROMPTS, SMALL, Toy, ToyJudge, breaking, toy_reward

SCRIPT = Path(__file__).parent / "tune_process.py"
ENV = {
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join(map(str, sys.path)),
    "PYTHONWARNINGS": "ignore",
    "GLOO_SOCKET_IFNAME": "lo",
}
SETTINGS = SMALL | {
    "epochs": 3,
    "sample": {"prompts": 4, "per_prompt": 4, "steps": 5, "seconds": 0.25, "guidance": 2.0},
    "update": {"batch": 8, "inner_epochs": 2, "base_penalty": 0.1, "learning_rate": 1e-2},
    "advantage": {"mode": "prompt", "least": 4},
}


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What one process does, without a failure."""
    run = tmp_path_factory.mktemp("alone") / "run"
    reward = toy_reward(odd=breaking(10**9))
    tune(Toy(), reward, PROMPTS, run, TuneConfig.parse(SETTINGS), judge=ToyJudge())
    return run


def in_two_processes(run, settings, *more):
    """Tune as `torchrun` would start it."""
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    processes = [
        subprocess.Popen(
            [sys.executable, SCRIPT, str(run), json.dumps(settings), *more],
            env=os.environ | ENV | shared | {"RANK": rank, "LOCAL_RANK": rank},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    ended = [(process.communicate(timeout=300)[1], process.returncode) for process in processes]
    assert all(code == 0 for _, code in ended), ended


def compare(one, two):
    lines = [(run / "metrics.jsonl").read_text().splitlines() for run in (one, two)]
    for a, b in zip(*lines, strict=True):
        first, second = json.loads(a), json.loads(b)
        assert first.keys() == second.keys()
        for name, value in first.items():
            assert second[name] == pytest.approx(value, abs=1e-5), name
    first, second = read_adapter(one).arrays, read_adapter(two).arrays
    for name, value in first.items():
        assert (second[name] - value).abs().max() <= 1e-5, name
        assert value.abs().max() > 1e-4


def test_two_processes_do_what_one_does_and_resume(alone, tmp_path):
    """As `torchrun` starts them; both fail in the third epoch and go on from the second."""
    in_two_processes(tmp_path / "run", SETTINGS)
    compare(alone, tmp_path / "run")


@pytest.mark.slow
def test_accelerate_launches_it(alone, tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2",
         "--num_machines", "1", "--mixed_precision", "no",
         "--dynamo_backend", "no", "--main_process_port", str(free_port()),
         str(SCRIPT), str(tmp_path / "two"), json.dumps(SETTINGS)],
        env=os.environ | ENV, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    compare(alone, tmp_path / "two")


def test_who_owns_what():
    order = np.arange(12).reshape(2, 6)[:, ::-1]
    shares = [World(rank, 3).owned(order) for rank in range(3)]
    assert sorted(np.concatenate(shares, axis=1).ravel()) == list(range(12))
    assert all(share.shape == (2, 2) for share in shares)


def test_one_process_keeps_its_values():
    world = World()
    merged = world.merge(np.array([[1.0], [2.0]]), np.array([2, 0]), 3)
    assert merged.tolist() == [[2.0], [0.0], [1.0]]
    assert world.sums({"a": 1.5}) == {"a": 1.5}
    assert world.any(True)
    assert world.from_first(7) == 7


@pytest.mark.parametrize(
    ("environment", "told"),
    [({"WORLD_SIZE": "2"}, "MASTER_ADDR"), ({"WORLD_SIZE": "two"}, "WORLD_SIZE")],
)
def test_half_an_environment_is_refused(monkeypatch, environment, told):
    for key in ("MASTER_ADDR", "MASTER_PORT", "RANK"):
        monkeypatch.delenv(key, raising=False)
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    with pytest.raises(UsageError, match=told), joined():
        pass
