"""Trainings of `tune` in a process that can be killed.

Called by test_tune.py: `python tune_process.py` reads lines of JSON `{"run", "data", "settings",
"kill_s"}` on stdin and answers each with the exit code of a fork that creates or resumes that run.
A fork is killed after `kill_s` seconds unless that is negative. Everything is imported once, so a
kill costs milliseconds.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from segue.core.config import Config
from segue.tasks.soundtrack.tune import GENERATOR, TuneConfig, tune


def train(job: dict[str, Any]) -> None:
    folder = Path(job["run"])
    if (folder / "config.toml").exists():
        tune(job["data"], folder, resume=True)
    else:
        tune(job["data"], folder, TuneConfig.parse(job["settings"]))


def warm_up() -> None:
    """Load everything that is loaded late."""
    settings: dict[str, Any] = {
        "method": "ppo",
        "drawn": {"libraries": 1, "videos": 1, "validation_libraries": 1, "validation_videos": 1},
        "ppo": {"timesteps": 8, "episodes": 2, "steps": 4, "minibatch": 4, "start": "shipped"},
    }
    with tempfile.TemporaryDirectory() as folder:
        train({"run": f"{folder}/run", "data": GENERATOR, "settings": settings})


def serve() -> None:
    torch.set_num_threads(1)
    assert issubclass(TuneConfig, Config)
    warm_up()
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                train(job)
                code = 0
            finally:
                sys.stderr.flush()
                os._exit(code)
        if job["kill_s"] >= 0:
            time.sleep(job["kill_s"])
            os.kill(child, signal.SIGKILL)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)  # noqa: T201


if __name__ == "__main__":
    serve()
