"""Tunings that are killed at any moment end on the bits of one that was not."""

from pathlib import Path

import pytest

from tests.killed_training import Trainer, kill_until_done
from tests.tasks.audio.toy import SMALL


@pytest.fixture(scope="module")
def trainer():
    found = Trainer(Path(__file__).parent / "tune_process.py")
    yield found
    found.process.kill()
    found.process.communicate()


@pytest.mark.parametrize("mode", ["group", "prompt"])
def test_a_killed_tuning_ends_on_the_same_bits(trainer, tmp_path, mode):
    settings = SMALL | {"epochs": 10, "save_every": 1, "advantage": {"mode": mode, "least": 2}}
    kill_until_done(trainer, tmp_path / "whole/run", tmp_path / "other/run", settings, "", 3)
