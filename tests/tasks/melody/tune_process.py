"""Trainings of the melody task in a process that can be killed; see `tests.killed_training`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

from segue.tasks.melody.config import TuneConfig
from segue.tasks.melody.models import load_model
from segue.tasks.melody.pretrain import PretrainConfig, pretrain
from segue.tasks.melody.tune import tune
from tests.killed_training import serve
from tests.tasks.melody.small import small_model


def train(job: dict[str, Any]) -> None:
    """Pretrain where the data are tunes, tune where they are a prior."""
    folder, data = Path(job["run"]), Path(job["data"])
    resume = (folder / "config.toml").exists()
    if (data / "model.json").exists():
        config = None if resume else TuneConfig.parse(job["settings"])
        tune(load_model(data), folder, config, resume=resume)
    else:
        start = None if resume else PretrainConfig.parse(job["settings"])
        pretrain(data, folder, start, resume=resume)


def warm_up() -> None:
    """Load everything that is loaded late."""
    settings = {"steps": 64, "n_notes": 8, "environments": 4, "capacity": 1000, "batch": 2}
    with tempfile.TemporaryDirectory() as folder:
        small_model(Path(folder) / "prior")
        train({"run": f"{folder}/run", "data": f"{folder}/prior", "settings": settings})


if __name__ == "__main__":
    torch.set_num_threads(1)
    warm_up()
    serve(train)
