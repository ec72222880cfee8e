"""A small film and a small library, made once, for the tests of the product."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from examples.sample_film import make_film
from examples.sample_library import make_library


class Sample(NamedTuple):
    film: Path
    library: Path


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """A film of 16 seconds in six scenes, and four tracks of 16 seconds."""
    folder = tmp_path_factory.mktemp("sample")
    make_library(folder / "library", seconds=16, count=4)
    return Sample(make_film(folder / "film.mp4", 160, 90, shorten=0.3), folder / "library")
