"""`segue score` interrupted anywhere: quick, quiet, nothing left, continued to the same bits."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.score.conftest import Sample

LIMIT_S = 60.0
QUICK_S = 2.0

Moment = Callable[["Run"], bool]


class Run:
    """One `segue score` in a session of its own, as from a terminal."""

    def __init__(self, sample: Sample, out: Path, cache: Path) -> None:
        self.out, self.cache = out, cache
        command = [sys.executable, "-m", "segue", "score", str(sample.film)]
        command += ["--library", str(sample.library), "--out", str(out), "--set", "workers=2"]
        command += ["--set", "segments.min_s=2", "--set", "segments.max_s=6"]
        command += ["--set", "compose.segments=1"]
        environment = os.environ | {"XDG_CACHE_HOME": str(cache), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env=environment, start_new_session=True,
        )  # fmt: skip

    def has(self, pattern: str) -> bool:
        return any(self.out.glob(pattern))

    def members(self) -> list[int]:
        """Processes of this session that still run, the first one included."""
        found = []
        for folder in Path("/proc").iterdir():
            try:
                state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            except (OSError, ValueError):
                continue
            if int(session) == self.process.pid and state != "Z":
                found.append(int(folder.name))
        return found

    def interrupt(self, moment: Moment, number: signal.Signals) -> tuple[int, str, float]:
        """Send a signal to the group at a moment; return exit code, stderr and the time it took."""
        ends_s = time.monotonic() + LIMIT_S
        while not moment(self):
            assert self.process.poll() is None, "it ended before that moment"
            assert time.monotonic() < ends_s, "that moment did not come"
            time.sleep(0.001)
        sent_s = time.monotonic()
        os.killpg(self.process.pid, number)
        _, said = self.process.communicate(timeout=LIMIT_S)
        return self.process.returncode, said, time.monotonic() - sent_s


MOMENTS: dict[str, Moment] = {
    "starting": lambda run: run.has("run/config.toml"),
    "listening": lambda run: len(run.members()) > 2,
    "heard a track": lambda run: any(run.cache.glob("segue/tracks/*/*/*.npz")),
    "composing": lambda run: run.has("run/steps/compose/.tmp-*"),
    "mixing": lambda run: run.has("run/steps/mix/.tmp-*/.mix-*"),
    "muxing": lambda run: run.has("run/steps/mux/.tmp-*/.tmp-*"),
}


def digests(out: Path) -> dict[str, str]:
    """Of every product but those that tell times of the clock or where they lie."""
    sounds = [out / "soundtrack.wav", *sorted((out / "stems").iterdir()), out / "scored.mp4"]
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sounds}


def chosen(out: Path) -> list[object]:
    result = json.loads((out / "result.json").read_text())
    return [result["segments"], result["reward"], result["cues"], result["warnings"]]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_interrupted_at_every_stage_and_continued_to_the_same_bits(
    sample: Sample, tmp_path: Path
) -> None:
    out, cache, library = tmp_path / "out", tmp_path / "cache", tmp_path / "library"
    library.mkdir()
    for track in sorted(sample.library.iterdir())[:2]:  # fewer take less time to listen to
        shutil.copy(track, library)
    sample = Sample(sample.film, library)
    for name, moment in MOMENTS.items():
        number = signal.SIGTERM if name == "heard a track" else signal.SIGINT
        run = Run(sample, out, cache)
        code, said, took_s = run.interrupt(moment, number)
        assert code == 128 + number, (name, said)
        assert took_s < QUICK_S, name
        assert said.strip().splitlines() == [
            "segue: interrupted. Run the same command again to continue where it stopped"
        ], name
        ends_s = time.monotonic() + QUICK_S  # a killed worker takes a moment on a busy machine
        while run.members() and time.monotonic() < ends_s:
            time.sleep(0.01)
        assert run.members() == [], name
        assert [p.name for p in out.iterdir()] == ["run"], name
        assert not list(out.glob("run/steps/*/.tmp-*")), name

    assert list(out.glob("run/steps/mix/*/mix.wav")), "what was done is kept"
    for folder in (out, tmp_path / "whole"):
        run = Run(sample, folder, cache)
        _, said = run.process.communicate(timeout=LIMIT_S)
        assert run.process.returncode == 0, said
    assert digests(out) == digests(tmp_path / "whole")
    assert chosen(out) == chosen(tmp_path / "whole")
