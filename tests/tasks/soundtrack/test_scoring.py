from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from segue.tasks.soundtrack.scoring import TERMS, score, theme_of
from segue.tasks.soundtrack.tables import Tables, Weights


def by_hand() -> Tables:
    """Three segments of 10 s; track 0 lasts 15 s, track 1 lasts 100 s."""
    return Tables(
        lengths_s=np.array([10.0, 10.0, 10.0]),
        durations_s=np.array([15.0, 100.0]),
        alignment=np.array([[1.0, 0.5], [0.2, 0.8], [0.4, 0.6]]),
        transition=np.array([[1.0, 0.25], [0.5, 0.75]]),
        gate=np.array([1.0, 0.5, 0.1]),
        embeddings=np.array([[2.0, 0.0], [0.0, 2.0]]),
        target_values=np.array([1]),
        target_probabilities=np.ones(1),
        weights=Weights(silence=1.0),
        fade_per_s=0.01,
    )


def test_every_term_of_a_short_episode_by_hand() -> None:
    outcome = score(by_hand(), [0, 2, 1])
    faded = np.exp(-0.1)
    expected = {
        "alignment": [1.0, 0.2 * faded, 0.6],
        "smoothness": [0.0, 0.5 * 0.5 * 1.0, 0.5 * 0.1 * 0.5],
        "same": [0.0, 0.0, 0.0],
        "illegal": [0.0, 0.0, 0.0],
        "silence": [0.0, -0.5, 0.0],
        "switch": [0.0, 0.0, 0.0],
        "theme": [0.0, 0.0, 0.3 * (2 * 2 + 1) / 3 / np.sqrt(5)],
    }
    assert set(expected) == set(TERMS)
    for name, values in expected.items():
        np.testing.assert_allclose(outcome.step_terms[name], values, atol=1e-12, err_msg=name)
    assert outcome.return_ == pytest.approx(sum(map(sum, expected.values())))
    assert outcome.tracks.tolist() == [0, 0, 1]
    assert outcome.offsets_s.tolist() == [0.0, 10.0, 0.0]
    assert (outcome.switches, outcome.complete) == (1, True)


@pytest.mark.parametrize(
    ("actions", "same"),
    [([1, 1, 1], -5.0), ([0, 1, 0], -1.0), ([1, 2, 1], -2.0), ([0, 2, 1], 0.0)],
)
def test_a_restart_costs_two_and_every_earlier_start_one(actions: list[int], same: float) -> None:
    assert score(by_hand(), actions).terms["same"] == same


def test_an_illegal_continue_ends_the_episode_and_is_scored_with_track_0() -> None:
    first = score(by_hand(), [2, 0, 1])
    assert (first.complete, first.tracks.tolist(), first.terms["illegal"]) == (False, [0], -5.0)
    late = score(by_hand(), [0, 2, 2])
    assert (late.complete, late.tracks.tolist()) == (False, [0, 0, 0])
    # The offset does not move: the alignment fades by the 10 s before the last legal segment.
    assert late.step_terms["alignment"][2] == pytest.approx(0.4 * np.exp(-0.1))


def test_a_continue_is_legal_until_the_track_has_ended_exactly() -> None:
    tables = replace(by_hand(), durations_s=np.array([20.0, 20.1]))
    assert not score(tables, [0, 2, 2]).complete
    assert score(tables, [1, 2, 2]).complete


@pytest.mark.parametrize("actions", [[0, 1], [0, 1, 3], [-1, 0, 0]])
def test_actions_that_do_not_fit_are_refused(actions: list[int]) -> None:
    with pytest.raises(ValueError, match="actions"):
        score(by_hand(), actions)


def test_the_theme_of_opposite_and_of_silent_tracks_is_zero() -> None:
    tables = replace(by_hand(), embeddings=np.array([[1.0, 0.0], [-1.0, 0.0]]))
    assert theme_of(tables, [0, 1]) == 0.0
    assert theme_of(replace(tables, embeddings=np.zeros((2, 2))), [0, 1]) == 0.0
