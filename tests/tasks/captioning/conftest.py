"""One small data set with a warm start and a tuned run, made once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.killed_training import Trainer
from tests.tasks.captioning.small_runs import Small, small_runs


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    folder: Path = tmp_path_factory.mktemp("captioning")
    return small_runs(folder)


@pytest.fixture(scope="session")
def trainer() -> Iterator[Trainer]:
    """A process whose trainings can be killed."""
    found = Trainer(Path(__file__).with_name("train_process.py"))
    yield found
    found.process.kill()
    found.process.communicate()
