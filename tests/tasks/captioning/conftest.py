"""One small data set with a warm start and a tuned run, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tasks.captioning.small_runs import Small, small_runs


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    folder: Path = tmp_path_factory.mktemp("captioning")
    return small_runs(folder)
