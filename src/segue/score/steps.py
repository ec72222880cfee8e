"""Numbered steps whose results are kept, so that a changed option re-runs only what depends on it.

A step's identity is a fingerprint of its inputs: the settings it reads, the content of the files it
reads, and the fingerprints of the steps before it. Its products live in
`steps/<name>/<fingerprint>/`, a folder that appears by one atomic rename when the step is complete;
a killed run leaves no half-written step behind and continues after the last complete one.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segue.core.files import fingerprint, read_json, sync_directory, write_json
from segue.core.interrupt import undisturbed

__all__ = ["Done", "Steps"]

KEPT = 3
"""Results kept of each step: going back to an earlier option is free."""


@dataclass(frozen=True, slots=True)
class Done:
    """A complete step."""

    folder: Path
    """Where its files are."""
    value: Any
    """Its JSON-like result."""
    key: str
    """Fingerprint of its inputs, to be an input of later steps."""


@dataclass(slots=True)
class Steps:
    """The steps of one run folder."""

    folder: Path
    kept: int = KEPT
    """Results kept of each step; 0 keeps all."""
    timings_s: dict[str, float] = field(default_factory=dict)
    """Seconds that each step took in this call; a step taken from the cache costs next to none."""
    reused: list[str] = field(default_factory=list)
    """Names of the steps that were taken from the cache."""

    def run(self, name: str, inputs: Any, build: Callable[[Path], Any]) -> Done:
        """Return the step's result, building it only when its inputs have changed.

        Args:
            name: name of the step and of its folder.
            inputs: JSON-like description of everything that the result depends on.
            build: called with an empty folder to write files to; returns a JSON-like value.
        """
        started = time.perf_counter()
        key = fingerprint([name, inputs])
        home = self.folder / name / key
        if (home / "done.json").is_file():
            self.reused.append(name)
            os.utime(home)
        else:
            home.parent.mkdir(parents=True, exist_ok=True)
            self._clear_unfinished(home.parent)
            partial: Path | None = None
            try:
                with undisturbed():  # a folder whose name is not known yet could not be removed
                    partial = Path(tempfile.mkdtemp(prefix=".tmp-", dir=home.parent))
                write_json(partial / "done.json", build(partial))
                if home.exists():
                    shutil.rmtree(home)
                partial.chmod(0o755)
                partial.rename(home)
                sync_directory(home.parent)
            except BaseException:
                if partial is not None:
                    shutil.rmtree(partial, ignore_errors=True)
                raise
            self._forget_old(home.parent)
        value = read_json(home / "done.json")
        self.timings_s[name] = self.timings_s.get(name, 0.0) + time.perf_counter() - started
        return Done(home, value, key)

    def _clear_unfinished(self, folder: Path) -> None:
        for leftover in folder.glob(".tmp-*"):
            shutil.rmtree(leftover, ignore_errors=True)

    def _forget_old(self, folder: Path) -> None:
        complete = sorted(
            (p for p in folder.iterdir() if (p / "done.json").is_file()),
            key=lambda p: p.stat().st_mtime_ns,
        )
        for old in complete[: -self.kept] if self.kept else ():
            shutil.rmtree(old, ignore_errors=True)
