"""Settings that ship, by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from segue.core.errors import UnknownName, UsageError
from segue.core.presets import Presets


@pytest.fixture
def presets(tmp_path: Path) -> Presets:
    return Presets(tmp_path, {"small": "small", "smoke": "tune_smoke"})


def test_a_preset_is_found_by_either_option(presets: Presets, tmp_path: Path) -> None:
    expected = tmp_path / "tune_smoke.toml"
    assert presets.choose("smoke", None) == expected
    assert presets.choose(None, Path("smoke")) == expected
    assert presets.choose(None, None) is None


def test_a_file_goes_before_a_preset_of_its_name(
    presets: Presets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small").touch()
    assert presets.choose(None, Path("small")) == Path("small")
    assert presets.choose(None, Path("mine.toml")) == Path("mine.toml")


def test_an_unknown_name_is_told_the_nearest(presets: Presets) -> None:
    with pytest.raises(UnknownName, match="small"):
        presets.choose("smal", None)


def test_one_of_the_two(presets: Presets) -> None:
    with pytest.raises(UsageError, match="both"):
        presets.choose("small", Path("mine.toml"))
