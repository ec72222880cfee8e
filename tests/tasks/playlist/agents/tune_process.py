"""Trainings of `tune` in a process that can be killed; see `tests.killed_training`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

from segue.tasks.playlist.agents.config import TuneConfig
from segue.tasks.playlist.tune import tune
from tests.killed_training import serve
from tests.tasks.playlist.agents.small import PLAYLIST, small_data, small_run


def train(job: dict[str, Any]) -> None:
    """Train in RUN/agents/<agent>-<seed>, which is the folder that is compared."""
    folder = Path(job["run"])
    config = TuneConfig.parse(job["settings"])
    resume = (folder / "config.toml").exists()
    tune(small_data(), folder.parent.parent, config, resume=resume)


def warm_up() -> None:
    """Load and compile everything that is loaded or compiled late."""
    with tempfile.TemporaryDirectory() as place:
        run = small_run(Path(place))
        settings = {"agent": "playlist", "settings": PLAYLIST}
        train({"run": str(run / "agents" / "playlist-0"), "settings": settings})


if __name__ == "__main__":
    torch.set_num_threads(1)
    warm_up()
    serve(train)
