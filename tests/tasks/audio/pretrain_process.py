"""Pretrainings in a process that can be killed; see `tests.killed_training`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

from segue.tasks.audio.data.prepared import Prepared
from segue.tasks.audio.pretrain import pretrain
from segue.tasks.audio.pretrain_config import PRETRAIN_PRESETS, PretrainConfig
from tests.killed_training import serve
from tests.tasks.audio.tiny_clips import make_clips

TINY = ("diffusion.steps=6", "diffusion.validate_every=2", "diffusion.batch=4")


def tiny() -> PretrainConfig:
    """Return the smallest settings with checkpoints in every stage."""
    return PretrainConfig.load(PRETRAIN_PRESETS.file("smoke"), TINY)


def train(job: dict[str, Any]) -> None:
    """Pretrain, or go on."""
    folder, clips = Path(job["run"]), _clips(Path(job["data"]))
    resume = (folder / "config.toml").exists()
    pretrain(clips, folder, None if resume else tiny(), resume=resume)


def _clips(folder: Path) -> Prepared:
    folder.mkdir(exist_ok=True)
    return make_clips(folder, 16, 8, seconds=1.1)


if __name__ == "__main__":
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        train({"run": f"{name}/run", "data": f"{name}/data"})
    serve(train)
