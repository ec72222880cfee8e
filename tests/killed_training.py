"""Trainings that are killed again and again must end on the bits of one that was not.

A script of its own process calls `serve`; it imports everything once and forks for every training,
so a kill costs milliseconds. `Trainer` is the other end, `kill_until_done` the comparison.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from segue.core.checkpoint import load_checkpoint


def serve(train: Callable[[dict[str, Any]], None]) -> None:
    """Read lines of JSON `{"run", "data", "settings", "kill_s"}` and answer with exit codes.

    Each line is a fork that creates or resumes that run, killed after `kill_s` seconds unless that
    is negative.
    """
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                train(job)
                code = 0
            finally:
                sys.stderr.flush()
                os._exit(code)
        end_s = time.monotonic() + job["kill_s"]
        ended, status = 0, 0
        while job["kill_s"] >= 0 and not ended and time.monotonic() < end_s:
            time.sleep(0.002)
            ended, status = os.waitpid(child, os.WNOHANG)
        if not ended:
            if job["kill_s"] >= 0:
                os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201


class Trainer:
    """A process that trains: a script that calls `serve`.

    Args:
        script: its file.
    """

    def __init__(self, script: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ
            | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(map(str, sys.path))},
        )

    def run(self, run: Path, settings: dict[str, Any], data: Any, kill_s: float = -1.0) -> int:
        assert self.process.stdin
        assert self.process.stdout
        job = {"run": str(run), "settings": settings, "data": str(data), "kill_s": kill_s}
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


def content(folder: Path) -> dict[str, bytes]:
    """Every file of the run itself but the lock and what a kill while writing leaves beside it.

    Checkpoints are compared by their seals: how many old ones lie there depends on the kills.
    """
    return {
        path.name: path.read_bytes()
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name != ".lock" and not path.name.startswith(".tmp-")
    }


def kill_until_done(
    trainer: Trainer, whole: Path, other: Path, settings: dict[str, Any], data: Any, most: int
) -> None:
    """Run once without interruption and once with kills; both must leave the same bytes."""
    began_s = time.monotonic()
    assert trainer.run(whole, settings, data) == 0
    # Three stretches, each longer by 1.4, cannot reach the end, even where the first run took twice
    # as long as the others will: 1/12 + 1.4/12 + 1.96/12 < 1/2.
    longest_s = min(0.1, (time.monotonic() - began_s) / 12)
    rng, kills, steps = np.random.default_rng(), 0, {0}
    for _ in range(60):
        code = trainer.run(other, settings, data, float(rng.uniform(0.0, longest_s)))
        kills += code == -signal.SIGKILL
        found = load_checkpoint(other / "checkpoints")
        step = found.step if found else 0
        longest_s *= 1.4 if step in steps else 1.0  # a slow machine needs more time
        steps.add(step)
        if code == 0 and (kills < 3 or len(steps) < 2):
            # The first run had been slowed down by something else, so this one was killed too late.
            shutil.rmtree(other)
            longest_s, kills, steps = longest_s / 4, 0, {0}
        elif code == 0 or (kills >= most and len(steps) > 1):
            break
    assert trainer.run(other, settings, data) == 0
    assert kills >= 3
    assert len(steps) >= 2  # it was resumed in the middle at least once
    first, second = load_checkpoint(whole / "checkpoints"), load_checkpoint(other / "checkpoints")
    assert first is not None
    assert second is not None
    assert first.seal == second.seal  # weights, optimiser, environment, all generators
    assert content(whole) == content(other)
