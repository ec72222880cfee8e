"""Terms, modes, and terms of one's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segue.core.errors import UnknownName, UsageError
from segue.core.names import resolve
from segue.rl.rewards import FunctionTerm
from segue.tasks.melody.composition import Decision, walk
from segue.tasks.melody.rewards import MODES, REWARDS, TheoryReward, mode_weights
from segue.tasks.melody.rules import RULES, RuleSettings, judge


def decisions(n: int = 40, steps: int = 16) -> list[Decision]:
    found = []
    for decision in walk(np.random.default_rng(3).integers(0, 38, (n, steps))):
        decision.extras["log_p"] = np.full(n, -2.0)
        found.append(decision)
    return found


@pytest.mark.parametrize("name", sorted(REWARDS))
def test_every_term_keeps_the_contract(name: str) -> None:
    term = resolve(REWARDS, name, "reward term")
    assert isinstance(term, FunctionTerm)
    assert term.name == name
    for decision in walk(np.random.default_rng(0).integers(0, 38, (300, 12))):
        decision.extras["log_p"] = np.full(300, -2.0)
        values = term(decision)
        assert values.shape == (300,)
        assert values.dtype == np.float64
        assert np.isfinite(values).all()
        assert values.min() >= term.low
        assert values.max() <= term.high


def test_extremes_so_far_add_up_to_the_rule() -> None:
    early = resolve(REWARDS, "extremes_so_far", "reward term")
    total = np.zeros(200)
    pieces = np.random.default_rng(1).integers(0, 38, (200, 12))
    for decision in walk(pieces):
        total += early(decision)
        last = RULES["unique_extremes"](decision, RuleSettings())
    assert total.tolist() == last.tolist()
    assert set(total) == {0.0, 3.0, 6.0}


def test_a_mode_names_its_terms_and_weights_change_or_drop_them() -> None:
    assert list(mode_weights("music_theory_all")) == list(RULES)
    changed = mode_weights("music_theory_basic", {"tonic": 0.0, "motif": 2.0})
    assert changed == {"key": 1.0, "repeat": 1.0, "motif": 2.0}
    for mode in MODES:
        TheoryReward(mode_weights(mode))


def test_the_sum_of_weights_of_one_is_the_sum_of_the_rules() -> None:
    reward = TheoryReward(mode_weights("music_theory_all"))
    for decision in decisions():
        total, parts = reward(decision)
        assert total == pytest.approx(judge(decision, RuleSettings())[0])
        assert list(parts) == list(RULES)


def test_the_key_of_the_settings_reaches_the_terms() -> None:
    reward = TheoryReward({"key": 1.0}, RuleSettings(key="C minor"))
    decision = next(walk([[18], [17]]))  # E and Eb
    assert reward(decision)[0].tolist() == [-1.0, 0.0]


OWN = """
import numpy as np

def low_notes(decision):
    return (decision.action < 14) * 1.0

def whole(decision):
    piece = np.concatenate([decision.notes, decision.action[None]])
    return decision.final * (piece == 14).sum(axis=0) * 1.0

def broken(decision):
    return np.zeros(1)
"""


def test_terms_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_melody_terms.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    names = {"own_melody_terms:low_notes": 2.0, "own_melody_terms:whole": 1.0}
    reward = TheoryReward(names)
    paid = [reward(d)[0].tolist() for d in walk([[14, 2], [14, 14]])]
    assert paid == [[0.0, 0.0], [3.0, 2.0]]
    with pytest.raises(UsageError, match=r"broken.*2 compositions"):
        TheoryReward({"own_melody_terms:broken": 1.0})(next(walk([[1], [2]])))


def test_unknown_terms_and_log_p_are_refused() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'motif'"):
        TheoryReward({"motifs": 1.0})
    with pytest.raises(UsageError, match="log_p has no weight"):
        TheoryReward({"log_p": 1.0})
