from __future__ import annotations

import pytest

from segue.core.errors import UsageError
from segue.music.theory import (
    C_MAJOR,
    METERS,
    MODES,
    Key,
    Meter,
    major_key_of,
    parse_key,
    parse_meter,
    pitch_name,
)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("C", Key(0, "major")), ("Am", Key(9, "minor")), ("F# minor", Key(6, "minor")),
        ("Eb-dorian", Key(3, "dorian")), ("d moll", Key(2, "minor")), ("Bb dur", Key(10, "major")),
        ("c_mix", Key(0, "mixolydian")), ("H", None), ("", None), ("C foo", None), ("C##", None),
    ],
)  # fmt: skip
def test_keys_as_text(text: str, key: Key | None) -> None:
    if key is None:
        with pytest.raises(UsageError, match="is not a key"):
            parse_key(text)
    else:
        assert parse_key(text) == key


def test_a_mode_has_the_notes_of_its_relative_major() -> None:
    for mode in MODES:
        for tonic in range(12):
            key = Key(tonic, mode)
            assert set(key.pitch_classes) == set(Key(key.relative_major).pitch_classes)
    assert Key(9, "minor").relative_major == 0
    assert Key(2, "dorian").relative_major == 0


def test_a_key_holds_pitches_of_all_octaves() -> None:
    assert [p for p in range(60, 72) if p in C_MAJOR] == [60, 62, 64, 65, 67, 69, 71]
    assert 42 in Key(7)
    assert "G" not in C_MAJOR


@pytest.mark.parametrize(
    ("meter", "steps", "pulse"),
    [(Meter(4, 4), 16, 1), (Meter(3, 4), 12, 1), (Meter(6, 8), 12, 1.5), (Meter(2, 2), 16, 2)],
)
def test_meters(meter: Meter, steps: int, pulse: float) -> None:
    assert meter.steps_per_bar() == steps
    assert meter.pulse_quarters == pulse


def test_a_bar_is_a_whole_number_of_steps() -> None:
    with pytest.raises(UsageError, match="5/32"):
        Meter(5, 32).steps_per_bar()


def test_meters_as_text() -> None:
    assert [parse_meter(name) for name in METERS] == list(METERS.values())
    with pytest.raises(UsageError, match="'5/4'"):
        parse_meter("5/4")


def test_the_major_key_holds_most_notes_and_the_lowest_wins_ties() -> None:
    assert major_key_of([62, 64, 66, 67, 69, 71, 73]) == 2
    assert major_key_of([60]) == 0  # C belongs to seven keys; C is the lowest of them
    assert major_key_of([61]) == 1
    assert major_key_of([66, 66, 65]) == 1  # both belong to Db and Gb


def test_pitch_names() -> None:
    assert [pitch_name(p) for p in (0, 48, 60, 83)] == ["C-1", "C3", "C4", "B5"]
