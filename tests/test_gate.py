"""The gate and the README say the same thing, and the gate stops where it should."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GATE = ROOT / ".ci" / "run"


def test_the_gate_runs_the_command_of_the_readme() -> None:
    found = re.search(r'^test_command="(.+?)"', GATE.read_text(), re.MULTILINE)
    assert found
    blocks = re.findall(r"```[a-z]*\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    assert found[1] in lines


def gate(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the gate in a folder where every tool is a script that says its name."""
    environment = os.environ | {"CI": "true", "PATH": f"{folder / 'tools'}:{os.environ['PATH']}"}
    return subprocess.run(
        ["sh", folder / ".ci" / "run", *arguments],
        capture_output=True, text=True, env=environment, cwd="/", stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".ci").mkdir()
    shutil.copy(GATE, tmp_path / ".ci" / "run")
    for place in (tmp_path / ".venv" / "bin", tmp_path / "tools"):
        place.mkdir(parents=True)
        for name in ("ruff", "mypy", "lint-imports", "sphinx-build", "make"):
            tool = place / name
            tool.write_text('#!/bin/sh\necho "$(basename "$0") $* [$PYTEST_ADDOPTS]"\n')
            tool.chmod(0o755)
    return tmp_path


def test_all_runs_the_steps_in_order(folder: Path) -> None:
    done = gate(folder)
    assert done.returncode == 0
    passed = re.findall(r"^== (\w+) passed in \d+ s$", done.stdout, re.MULTILINE)
    assert passed == ["setup", "lint", "types", "layers", "tests", "docs"]


def test_it_stops_at_the_first_failure(folder: Path) -> None:
    (folder / ".venv" / "bin" / "mypy").write_text("#!/bin/sh\nexit 3\n")
    done = gate(folder)
    assert done.returncode == 3
    assert "types FAILED" in done.stderr
    assert "lint passed" in done.stdout
    assert "layers" not in done.stdout


def test_the_first_of_two_commands_in_a_step_counts(folder: Path) -> None:
    (folder / ".venv" / "bin" / "ruff").write_text('#!/bin/sh\n[ "$1" != check ]\n')
    assert gate(folder, "lint").returncode == 1


def test_arguments_reach_pytest(folder: Path) -> None:
    assert "make test [-k core -x]" in gate(folder, "tests", "-k", "core", "-x").stdout


def test_wrong_step_is_wrong_use(folder: Path) -> None:
    assert gate(folder, "lnt").returncode == 2
