"""How fast notes are judged, played and learned from, on one thread.

    OMP_NUM_THREADS=1 python benchmarks/melody_speed.py [--repeats 5]

| what | goal | the original (TensorFlow 2.15, same kind of machine) |
|---|---|---|
| nine rules | 1,000,000 notes / CPU s | 13,500 |
| rules, prior and policy | 100,000 notes / CPU s | about 2,000 |
| tuning, 256-sample updates of single steps | 10,000 notes / CPU s | 1,200 |
| tuning, whole compositions (the default) | 10,000 notes / CPU s | not in the original |

Tuning learns from 6.4 samples for every note, as the original does. The original cannot be put
beside a current Python; its figures are those of its own measurement on a machine of this kind.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from segue.tasks.melody.composition import walk
from segue.tasks.melody.config import TuneConfig
from segue.tasks.melody.models import shipped
from segue.tasks.melody.play import Composer, random_primers
from segue.tasks.melody.rewards import TheoryReward, mode_weights
from segue.tasks.melody.rules import RuleSettings, judge
from segue.tasks.melody.tune import tune

N_NOTES = 32


def rules(batch: int) -> int:
    """Judge pieces side by side; return the number of notes."""
    pieces = np.random.default_rng(0).integers(0, 38, size=(batch, N_NOTES))
    for decision in walk(pieces):
        judge(decision, RuleSettings())
    return pieces.size


def rollout(batch: int) -> int:
    """Compose with policy, prior and rules; return the number of notes."""
    composer = Composer(
        shipped("psi").player(),
        shipped("prior").player(),
        TheoryReward(mode_weights("music_theory_all")),
    )
    rng = np.random.default_rng(0)
    return composer.compose(random_primers(batch, rng), N_NOTES, rng).pieces.size


def training(changes: dict[str, object], steps: int) -> int:
    """Tune for some notes; return their number."""
    settings = {"steps": steps, "evaluate_every": 10 * steps, "evaluate_n": 10, **changes}
    with tempfile.TemporaryDirectory() as folder:
        result = tune(shipped("prior"), Path(folder) / "run", TuneConfig.parse(settings))
    return int(result["notes"])


STEPS = {
    "replay": "steps", "echoes": [], "batch": 256, "discount": 0.5, "terminal": False,
    "algorithm": "q",
}  # fmt: skip


def main() -> None:
    """Print notes per CPU second: median, lowest and highest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    work: dict[str, Callable[[], int]] = {
        "nine rules, 1 piece at a time": lambda: rules(1),
        "nine rules, 64 side by side": lambda: rules(64),
        "nine rules, 1024 side by side": lambda: rules(1024),
        "nine rules, 8192 side by side": lambda: rules(8192),
        "rules, prior and policy, 128": lambda: rollout(128),
        "rules, prior and policy, 1024": lambda: rollout(1024),
        "tuning, single steps (q)": lambda: training(STEPS, 131_072),
        "tuning, compositions (psi)": lambda: training({}, 131_072),
        "tuning, compositions (g)": lambda: training({"algorithm": "g"}, 131_072),
    }
    for name, run in work.items():
        run()
        rates = []
        for _ in range(options.repeats):
            started = time.process_time()
            count = run()
            rates.append(count / (time.process_time() - started))
        low, middle, high = min(rates), statistics.median(rates), max(rates)
        print(f"{name:34s} {middle:12,.0f} notes / CPU s   ({low:,.0f} to {high:,.0f})")


if __name__ == "__main__":
    main()
