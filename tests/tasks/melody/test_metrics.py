"""Domain statistics by hand, and the guard against collapse and copying."""

from __future__ import annotations

import numpy as np
import pytest

from segue.tasks.melody.metrics import Tunes, domain_statistics, measure, n_patterns, shares

from .small import scale_tunes


def test_counts_of_a_piece() -> None:
    piece = [14, 16, 18, 1, 14, 21, 28, 15, 0, 14]
    found = domain_statistics([piece])
    counts = {name: int(v[0]) for name, v in found.counts.items()}
    assert counts["notes_not_in_key"] == 1  # 15
    assert counts["num_starting_tonic"] == 1
    assert counts["num_leap_twice"] == 1  # 14 21 28
    assert counts["num_seconds"] == 2
    assert counts["num_octave_jumps"] == 1  # 28 to 15
    assert counts["notes_in_motif"] == 3
    assert counts["num_high_unique"] == 1
    assert counts["num_low_unique"] == 0  # 14 three times
    assert counts["total_notes"] == 10


def test_the_original_forgets_holds_and_some_thirds() -> None:
    piece = [[14, 18, 1, 16, 1, 0]]
    ours, theirs = (domain_statistics(piece, compat=c).counts for c in (False, True))
    assert [c["num_in_key_preferred_intervals"][0] for c in (ours, theirs)] == [1, 0]
    assert [c["num_rest_intervals"][0] for c in (ours, theirs)] == [3, 1]


def test_shares_are_ratios_of_sums() -> None:
    pieces = [[14, 16, 18, 19], [15, 15, 15, 15]]
    found = shares(domain_statistics(pieces))
    assert found["not_in_key"] == 0.5
    assert found["tonic_start"] == 0.5
    assert np.isnan(found["leaps_resolved"])  # there are no leaps
    assert found["autocorrelation_1"] == pytest.approx(3.9375 / 14.75)  # of the first piece alone


def test_a_collapsed_model_has_few_patterns() -> None:
    rng = np.random.default_rng(0)
    varied, same = rng.integers(0, 38, (50, 32)), np.tile(rng.integers(0, 38, 32), (50, 1))
    assert n_patterns(varied) == 50 * 25
    assert n_patterns(same) == 25


def test_rests_at_the_end_of_a_pattern_count() -> None:
    assert n_patterns(np.array([[14, 16, 0, 0, 0, 0, 0, 0], [14, 16, 0, 0, 0, 0, 0, 1]])) == 2


def test_copies_of_sixteen_steps_are_found() -> None:
    tunes = scale_tunes(5)
    guard = Tunes(tunes)
    rng = np.random.default_rng(1)
    pieces = rng.integers(2, 38, (4, 32))
    pieces[1, 9:25] = tunes[3][20:36]
    pieces[2, 9:24] = tunes[3][20:35]  # fifteen are allowed
    pieces[2, 24] = 0
    pieces[3, :] = 1
    assert guard.copied(pieces).tolist() == [False, True, False, False]
    assert Tunes([]).copied(pieces).tolist() == [False] * 4


def test_all_metrics_together() -> None:
    tunes = scale_tunes(4)
    pieces = np.array([t[:32] for t in tunes])
    found = measure(pieces, np.full(4, -1.5), Tunes(tunes))
    assert found["copies"] == 1.0
    assert found["log_p"] == -1.5
    assert found["not_in_key"] == 0
