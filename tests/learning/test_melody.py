"""Does tuning teach the note RNN theory without its forgetting the tunes?

60,000 notes (6 % of a full tuning), pieces of 16 steps, the shipped prior. Rules per note:

    uniform classes about -.5    prior -6    tuned about 1.7

and log p per note: uniform classes below -6, prior -.9, tuned about -2.5.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from segue.tasks.melody.config import TuneConfig
from segue.tasks.melody.models import shipped
from segue.tasks.melody.tune import tune

SETTINGS: dict[str, Any] = {
    "steps": 60_000, "n_notes": 16, "environments": 64, "batch": 16, "capacity": 20_000,
    "evaluate_every": 60_000, "evaluate_n": 500, "echoes": [], "learning_rate": 4e-3,
}  # fmt: skip


@pytest.mark.parametrize("algorithm", ["psi", "g"])
def test_it_learns_the_rules_and_keeps_the_tunes(algorithm: str, tmp_path: Path) -> None:
    config = TuneConfig.parse(SETTINGS | {"algorithm": algorithm})
    result = tune(shipped("prior"), tmp_path / "run", config)
    first, last = result["first"], result["last"]
    assert first["eval_rule_sum"] < -4
    assert last["eval_rule_sum"] > 1.2
    assert last["eval_log_p"] > -3.0
    assert last["eval_excess_repeats"] < 0.01 < first["eval_excess_repeats"]
    assert last["eval_tonic_start"] > 0.6
    assert first["eval_tonic_start"] < 0.05
