"""Keys stay near each other, and lift where the picture does."""

from __future__ import annotations

from segue.music.theory import Key
from segue.score.compose.keys import choose_keys


def test_the_tonic_stays_while_nothing_asks_for_another() -> None:
    keys = choose_keys(["dorian", "minor", "dorian", "mixolydian"], [0, 0.3, -0.2, 0.1], 3)
    assert len({k.tonic for k in keys}) == 1
    assert [k.mode for k in keys] == ["dorian", "minor", "dorian", "mixolydian"]


def test_a_rise_of_arousal_lifts_the_tonic_and_a_fall_lowers_it() -> None:
    up = choose_keys(["minor", "minor"], [-0.5, 1.0], 0)
    down = choose_keys(["minor", "minor"], [1.0, -0.5], 0)
    assert (up[1].tonic - up[0].tonic) % 12 in (2, 3, 5)
    assert (down[0].tonic - down[1].tonic) % 12 in (2, 3, 5)


def test_a_far_mode_is_reached_by_few_new_notes() -> None:
    for seed in range(6):
        before, after = choose_keys(["lydian", "phrygian"], [0, 0], seed)
        new = set(after.pitch_classes) - set(before.pitch_classes)
        assert len(new) <= 3  # on the same tonic it would be five


def test_seeds_decide_the_first_tonic() -> None:
    first = [choose_keys(["major"], [0], seed)[0] for seed in range(30)]
    assert first == [choose_keys(["major"], [0], seed)[0] for seed in range(30)]
    assert len(set(first)) >= 4
    assert all(isinstance(key, Key) for key in first)
