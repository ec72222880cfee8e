"""Golden vectors: where they are, and how many of them were compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

DEFAULT = Path(__file__).parents[3] / "shared" / "golden"

Compared = Callable[[str, int], None]


@lru_cache(maxsize=4)
def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def golden_folder(request: pytest.FixtureRequest) -> Path:
    """The folder given with --golden, else the default one; skipped without it."""
    given = request.config.getoption("--golden")
    folder = Path(given) if given else DEFAULT
    if not folder.is_dir():
        if given:
            pytest.fail(f"--golden {given}: no such folder")
        pytest.skip(f"no golden vectors in {folder}; give --golden DIR")
    return folder


@pytest.fixture(scope="session")
def golden(golden_folder: Path) -> Callable[[str], Any]:
    """A function from a file name to its content; a missing file skips the test, named."""

    def load(name: str) -> Any:
        path = golden_folder / name
        if not path.is_file():
            pytest.skip(f"{path} is missing")
        return _read(path)

    return load


@pytest.fixture
def compared(record_property: Callable[[str, object], None]) -> Compared:
    """Call with (what, how many) after a comparison; the sum is printed at the end of the run."""

    def note(what: str, count: int) -> None:
        assert count > 0, f"no {what} to compare"
        record_property(f"golden:{what}", count)

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many vectors were compared, by kind."""
    counts: dict[str, int] = {}
    for report in terminalreporter.stats.get("passed", []):
        for name, value in getattr(report, "user_properties", []):
            if name.startswith("golden:") and report.when == "call":
                kind = name.removeprefix("golden:")
                counts[kind] = counts.get(kind, 0) + value
    if counts:
        terminalreporter.write_sep("-", "golden vectors compared")
        for kind in sorted(counts):
            terminalreporter.write_line(f"{counts[kind]:7d}  {kind}")
        terminalreporter.write_line(f"{sum(counts.values()):7d}  in all")
