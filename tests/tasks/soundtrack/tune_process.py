"""Trainings of `tune` in a process that can be killed; see `tests.killed_training`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

from segue.core.config import Config
from segue.tasks.soundtrack.tune import GENERATOR, TuneConfig, tune
from tests.killed_training import serve


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


if __name__ == "__main__":
    torch.set_num_threads(1)
    assert issubclass(TuneConfig, Config)
    warm_up()
    serve(train)
