"""Each rule on melodies short enough to check by hand; C4 is class 14, so D4 16, E4 18, G4 21."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.core.errors import ConfigError
from segue.tasks.melody.composition import Compositions, walk
from segue.tasks.melody.rules import RULES, RuleSettings, in_key_classes, judge

C, D, E, F, G, A, B, C5 = 14, 16, 18, 19, 21, 23, 25, 26
REST, HOLD = 0, 1


def paid(rule: str, notes: list[int], length: int | None = None, **changes: object) -> list[float]:
    settings = RuleSettings.model_validate(changes)
    return [float(RULES[rule](d, settings)[0]) for d in walk([notes], length or len(notes))]


def test_notes_outside_the_key_cost() -> None:
    assert paid("key", [C, C + 1, REST, HOLD, F, F + 1]) == [0, -1, 0, 0, 0, -1]
    assert paid("key", [C, E, E - 1], key="C minor") == [0, -1, 0]


def test_the_tonic_is_wanted_first_and_in_the_ending() -> None:
    notes = [C, D, E, F, C, HOLD, HOLD, REST]
    assert paid("tonic", notes) == [3, 0, 0, 0, 3, 3, 3, 3]
    assert paid("tonic", [D, D, D, D, D, REST, C, C]) == [0] * 8
    assert paid("tonic", [A, D, D, D, A, HOLD, HOLD, HOLD], key="A minor")[:1] == [3]


def test_the_sixth_onset_in_a_row_costs() -> None:
    assert paid("repeat", [D] * 6) == [0, 0, 0, 0, 0, -100]
    apart = [D, HOLD, D, D, D, D, D, D, D]  # a hold between: two more are free
    assert paid("repeat", apart) == [*[0] * 8, -100]


def test_a_hold_before_the_run_gives_it_more_room() -> None:
    assert paid("repeat", [6, HOLD, 2, 2, 2, 2, 2, 2]) == [0] * 8
    assert paid("repeat", [6, 2, 2, 2, 2, 2, 2]) == [0] * 6 + [-100]


def test_the_sixth_hold_and_the_third_rest_cost_unless_longer_notes_are_allowed() -> None:
    assert paid("repeat", [C, *[HOLD] * 6]) == [0] * 6 + [-100]
    assert paid("repeat", [C, REST, REST, REST]) == [0, 0, 0, -100]
    assert paid("repeat", [C, *[HOLD] * 9], max_hold=8) == [0] * 8 + [-100] * 2


def test_autocorrelation_by_numpy() -> None:
    rng = np.random.default_rng(0)
    notes = rng.integers(0, 38, size=24)
    found = paid("autocorrelation", notes.tolist())
    for t in range(1, 24):
        s = notes[: t + 1] - notes[: t + 1].mean()
        rho = [(s[k:] * s[:-k]).sum() / (s @ s) if k <= t else 0 for k in (1, 2, 3)]
        wanted = -3 * sum(abs(r) for r in rho if abs(r) > 0.15)
        assert found[t] == pytest.approx(wanted, abs=1e-12)


def test_a_constant_melody_has_no_autocorrelation() -> None:
    assert paid("autocorrelation", [C] * 6) == [0.0] * 6


def test_a_motif_is_eight_steps_with_three_pitches() -> None:
    assert paid("motif", [C, D, E, HOLD, HOLD, HOLD, HOLD, HOLD, HOLD])[6:] == [0, 3, 0]
    assert paid("motif", [C, D, E, F, G, A, B, C5])[7] == pytest.approx(3 + 0.3 * 5)


def test_a_motif_counts_as_repeated_only_without_overlap() -> None:
    motif = [C, D, E, HOLD, C, D, E, HOLD]  # its second half repeats the first: no motif of eight
    assert paid("repeated_motif", [*motif, C, D]) == [0.0] * 10
    assert paid("repeated_motif", motif + motif)[15] == 4
    away = [*motif, F, G, *motif]
    assert paid("repeated_motif", away)[-1] == 4
    assert sum(paid("repeated_motif", away)) == 4


def test_intervals() -> None:
    # C-G: a fifth from the tonic; a third inside the chord; the sixth; rest after the fifth degree
    assert paid("intervals", [C, G, C, E, C, A])[1:] == pytest.approx([0.5, 0.5, 0.75, 0.75, 0.25])
    assert paid("intervals", [C, HOLD, REST, D, HOLD, REST])[1:] == pytest.approx(
        [1.5, 0.75, 0.4, 0.375, 0.25]
    )
    assert paid("intervals", [2, 37])[1] == -5
    assert paid("intervals", [HOLD, REST, C])[2] == 0  # no pitch before


def test_leaps_want_a_leap_back_or_a_return() -> None:
    assert paid("leap", [C, C5, B, A, G, F, E, D, C])[-1] == 5  # came back to where it leapt from
    assert paid("leap", [C, G, C5 + 2])[2] == -5  # twice up
    far = [C, C5, B, C5, B, C5, B, C5, B, D]  # a leap down after more than six notes
    assert paid("leap", far)[-1] == 5
    assert paid("leap", [C, C5, D])[-1] == 0  # too soon: answered, but not paid


def test_extremes_are_judged_at_the_end() -> None:
    assert paid("unique_extremes", [C, D, E, C5, E, D, D, E]) == [0] * 7 + [6]
    assert paid("unique_extremes", [C, C5, C, C5]) == [0] * 4
    assert paid("unique_extremes", [HOLD, HOLD]) == [0, 0]


@given(st.lists(st.integers(0, 37), min_size=1, max_size=24), st.integers(1, 5))
def test_side_by_side_is_the_same_as_alone(notes: list[int], copies: int) -> None:
    other = [37 - n for n in notes]
    together = np.array([notes, other] * copies)
    alone = [judge(d, RuleSettings())[0][0] for d in walk([notes])]
    for i, decision in enumerate(walk(together)):
        total, _ = judge(decision, RuleSettings())
        assert total[::2] == pytest.approx(alone[i])


def test_deciding_changes_nothing() -> None:
    pieces = Compositions(2, 8)
    first = pieces.decide([C, D])
    judge(first, RuleSettings())
    assert pieces.beat == 0
    pieces.append(first)
    assert pieces.notes[0].tolist() == [C, D]
    pieces.clear()
    assert pieces.last_onset.tolist() == [0, 0]


def test_settings_refuse_what_is_no_key() -> None:
    with pytest.raises(ConfigError, match=r"H dur.*not a key"):
        RuleSettings.load(None, ["key=H dur"])
    assert RuleSettings().tonic_class == C
    assert RuleSettings(key="A minor").tonic_class == A
    assert in_key_classes("C major").sum() == 23
