"""Tunings of the toy in processes that can be killed, or that share the work.

As a script without arguments it answers `tests.killed_training`; with the arguments RUN and
SETTINGS (JSON) it is one of the processes that a launcher starts, which fail and go on once. A
third argument, `audioldm2`, has them tune a tiny AudioLDM2 in place of the toy.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

from segue.core.errors import RunError
from segue.tasks.audio.config import TuneConfig
from segue.tasks.audio.distributed import joined
from segue.tasks.audio.tune import tune
from tests.killed_training import serve
from tests.tasks.audio.toy import PROMPTS, Toy, ToyJudge, breaking, toy_reward


def train(job: dict[str, Any]) -> None:
    folder = Path(job["run"])
    resume = (folder / "config.toml").exists()
    config = None if resume else TuneConfig.parse(job["settings"])
    with joined() as world:
        judge, reward = ToyJudge(), toy_reward()
        tune(Toy(), reward, PROMPTS, folder, config, judge=judge, resume=resume, world=world)


def tuned(name: str) -> tuple[Any, Any]:
    """Return a model, always the same, and its prompts."""
    if name == "toy":
        return Toy(), PROMPTS
    from tests.tasks.audio import heard_audioldm2, tiny_audioldm2

    return heard_audioldm2.Heard(tiny_audioldm2.components()), heard_audioldm2.SAID


def fail_and_go_on(folder: Path, settings: dict[str, Any], name: str = "toy") -> None:
    """Tune with a reward that breaks in the third epoch, then with one that does not."""
    with joined() as world:
        for calls, resume in ((4, False), (10**9, True)):
            config = None if resume else TuneConfig.parse(settings)
            reward, judge = toy_reward(odd=breaking(calls)), ToyJudge()
            model, said = tuned(name)
            fails = pytest.raises(RunError, match="'odd' of epoch 3")
            with contextlib.nullcontext() if resume else fails:
                tune(model, reward, said, folder, config, judge=judge, resume=resume, world=world)


def warm_up() -> None:
    """Load everything that is loaded late."""
    settings = {
        "epochs": 1, "reward": {"toy": 1.0},
        "sample": {"prompts": 2, "per_prompt": 2, "steps": 3, "seconds": 0.25},
        "update": {"batch": 4, "skip_last": 0}, "look": {"every": 1, "per_prompt": 2},
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        train({"run": f"{folder}/run", "settings": settings})


if __name__ == "__main__":
    torch.set_num_threads(1)
    if len(sys.argv) > 1:
        fail_and_go_on(Path(sys.argv[1]), json.loads(sys.argv[2]), *sys.argv[3:])
    else:
        warm_up()
        serve(train)
