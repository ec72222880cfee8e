"""Trainings of the captioning task in a process that can be killed; see `tests.killed_training`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from segue.tasks.captioning.config import PretrainConfig, TuneConfig
from segue.tasks.captioning.data.folder import load_prepared
from segue.tasks.captioning.models.stored import load_captioner
from segue.tasks.captioning.pretrain import pretrain
from segue.tasks.captioning.tune import tune
from tests.killed_training import serve
from tests.tasks.captioning.small_runs import small_data


def train(job: dict[str, Any]) -> None:
    """Pretrain, or tune the run that the settings name as `warm`."""
    folder, data = Path(job["run"]), load_prepared(Path(job["data"]))
    settings = dict(job["settings"])
    warm = settings.pop("warm", None)
    resume = (folder / "config.toml").exists()
    if warm is None:
        pretrain(data, folder, None if resume else PretrainConfig.parse(settings), resume=resume)
    else:
        config = None if resume else TuneConfig.parse(settings)
        tune(load_captioner(Path(warm)), data, folder, config, resume=resume)


def warm_up() -> None:
    """Load everything that is loaded late, and compile the metrics."""
    network = {
        "words": 8, "attention": 8, "layers": 1, "goal": 4, "visual_width": 8, "audio_width": 8,
        "critic": {"lstm": 4, "gru": 4, "lstm_layers": 1, "gru_layers": 1},
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small_data(folder)
        job = {"run": folder / "warm", "data": folder / "data", "settings": {}}
        settings = {"epochs": 1, "longest": 12, "network": network, "critic": {"epochs": 1}}
        train(job | {"settings": settings})
        tuned = {"updates": 1, "batch": 4, "samples": 2, "limit": 8, "evaluate_n": 10}
        train(job | {"run": folder / "tuned", "settings": tuned | {"warm": str(folder / "warm")}})


if __name__ == "__main__":
    torch.set_num_threads(1)
    warm_up()
    sys.stderr.flush()
    serve(train)
