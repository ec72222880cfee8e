"""Trainings of SASRec in a process that can be killed; see `tests.killed_training`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from segue.tasks.playlist.models.sasrec_config import SASRecConfig
from segue.tasks.playlist.models.sasrec_training import train_sasrec
from segue.tasks.playlist.sessions import Sessions
from tests.killed_training import serve

V = 30


def listening(n: int, seed: int) -> Sessions:
    """Sessions of 2 to 9 tracks."""
    rng = np.random.default_rng(seed)
    return Sessions.from_lists([list(rng.integers(0, V, rng.integers(2, 10))) for _ in range(n)])


def train(job: dict[str, Any]) -> None:
    """Start or continue the run of a job."""
    folder = Path(job["run"])
    resume = (folder / "config.toml").exists()
    config = None if resume else SASRecConfig.parse(job["settings"])
    train_sasrec(
        listening(80, 0), V, config, folder=folder, validation=listening(30, 1), resume=resume
    )


def warm_up() -> None:
    """Load everything that is loaded late."""
    settings = {"dimension": 4, "heads": 2, "epochs": 1, "patience": 3}
    with tempfile.TemporaryDirectory() as folder:
        train({"run": f"{folder}/run", "settings": settings})


if __name__ == "__main__":
    warm_up()
    serve(train)
