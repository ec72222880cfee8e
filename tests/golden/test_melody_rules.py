"""RL Tuner's rules and domain metrics, against the answers of the original program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from segue.tasks.melody.composition import walk
from segue.tasks.melody.rules import RULES, RuleSettings, interval_codes, judge

from .conftest import Compared

Golden = Callable[[str], Any]
DEFAULTS = RuleSettings()
TOLERANCE = 1e-9
TIE = 0.45  # three times the threshold: what one lag costs at the threshold itself


@pytest.fixture
def data(golden: Golden) -> Any:
    return golden("melody_rewards.json")


def column(values: Any, steps: int) -> np.ndarray:
    return np.zeros(steps) if np.isscalar(values) else np.array(values, dtype=float)


def test_every_rule_at_every_step(data: Any, compared: Compared) -> None:
    ties = {tuple(pair) for pair in data["autocorrelation_ties"]["trajectories"]}
    count = 0
    for i, piece in enumerate(data["trajectories"]):
        steps = len(piece["events"])
        wanted = {
            ours: column(piece["rules"][theirs], steps)
            for ours, theirs in zip(RULES, data["rules"], strict=True)
        }
        total = column(piece["total"], steps)
        codes = column(piece["interval"], steps)
        for t, decision in enumerate(walk([piece["events"]], piece["num_notes"])):
            found, parts = judge(decision, DEFAULTS)
            slack = TOLERANCE + 3 * TIE * ((i, t) in ties)
            for name, part in parts.items():
                room = slack if name == "autocorrelation" else TOLERANCE
                assert abs(part[0] - wanted[name][t]) <= room, (piece["tag"], t, name)
            assert abs(found[0] - total[t]) <= slack, (piece["tag"], t)
            code = interval_codes("C major")[decision.compositions.last_onset[0],
                                             decision.action[0]]  # fmt: skip
            assert code == codes[t], (piece["tag"], t)
            leap = decision.leap
            left = int(leap.left[0]) or None
            assert [leap.direction[0], left, leap.steps[0]] == piece["leap_state"][t]
            count += len(parts) + 5
    compared("melody rewards", count)
