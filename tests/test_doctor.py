"""The doctor finds what is there, names what is not, and never falls over."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import av.filter
import pytest
from click.testing import CliRunner

from segue import doctor
from segue.core.files import cache_dir
from segue.core.versions import LIBRARIES
from segue.doctor import ENCODERS, FILTERS, Check, command, examine
from segue.music.synth import bank

MEDIA = Path(doctor.__file__).parent / "media"


def checks() -> dict[str, Check]:
    return {f"{check.group}/{check.name}": check for check in examine()}


def test_a_working_installation_has_nothing_broken() -> None:
    found = checks()
    assert [check for check in found.values() if check.state == "broken"] == []
    assert found["libraries/av"].detail[0].isdigit()
    assert found["ffmpeg/filters"].state == found["ffmpeg/encoders"].state == "ok"
    for group in ("program", "libraries", "ffmpeg", "music", "extras", "models", "machine"):
        assert any(name.startswith(group) for name in found)


def test_every_missing_thing_has_one_line_of_advice() -> None:
    for check in examine():
        assert (check.state == "ok") == (check.advice == "")
        assert "\n" not in check.detail + check.advice


def test_json_and_text() -> None:
    result = CliRunner().invoke(command, ["--json"], standalone_mode=False)
    assert result.return_value == 0
    values = json.loads(result.stdout)
    assert values["ok"] is True
    assert {"group", "name", "state", "detail", "advice"} == set(values["checks"][0])
    text = CliRunner().invoke(command, [], standalone_mode=False).stdout
    assert "libavfilter" in text
    assert str(cache_dir() / "models" / "clap") in text
    assert "pip install 'segue[" in text or "extras" in text


def test_a_model_in_its_folder_is_found() -> None:
    folder = cache_dir() / "models" / "clap"
    assert checks()["models/clap"].state == "missing"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    try:
        assert checks()["models/clap"] == Check(
            group="models", name="clap", state="ok", detail=f"found in {folder}"
        )
    finally:
        (folder / "config.json").unlink()
        folder.rmdir()


def test_missing_filter_encoder_and_library_are_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(av.filter, "filters_available", {"scale"})
    monkeypatch.setattr(doctor, "ENCODERS", ("aac", "no_such_encoder"))
    monkeypatch.setattr(doctor, "LIBRARIES", ("numpy", "no-such-library"))
    found = checks()
    assert "ebur128" in found["ffmpeg/filters"].detail
    assert found["ffmpeg/encoders"].detail == "without no_such_encoder"
    assert found["libraries/no-such-library"].state == "broken"
    result = CliRunner().invoke(command, [], standalone_mode=False)
    assert result.return_value == 1
    assert "3 broken" in result.stdout


def test_what_plays_music_is_named() -> None:
    found = checks()
    assert found["music/synthesiser"].detail.startswith("soundfont (tinysoundfont ")
    assert re.search(r"TimGM6mb\.sf2, 136 presets$", found["music/bank"].detail)
    assert found["music/symusic"].state == "ok"


def test_missing_music_is_advised_about(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    version = doctor.library_version
    monkeypatch.setattr(
        doctor, "library_version", lambda name: None if name == "music21" else version(name)
    )
    monkeypatch.setitem(sys.modules, "tinysoundfont._tinysoundfont", None)
    monkeypatch.setitem(sys.modules, "symusic", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(bank, "default_bank", lambda: tmp_path / "none.sf2")
    found = {name: check for name, check in checks().items() if name.startswith("music/")}
    assert [check.state for check in found.values()] == ["missing", "missing", "broken", "missing"]
    assert found["music/synthesiser"].detail == "additive"
    assert "pip install --no-deps tinysoundfont" in found["music/synthesiser"].advice
    assert "pretty_midi" in found["music/bank"].advice
    assert "segue[corpus]" in found["music/music21"].advice


def test_a_check_that_fails_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("odd\nmachine")

    monkeypatch.setattr(doctor, "_cores", fail)
    found = checks()["machine/machine"]
    assert found.state == "broken"
    assert found.detail == "RuntimeError: odd\\nmachine"


def test_it_works_without_a_locale_a_terminal_or_a_usual_home(tmp_path: Path) -> None:
    """Also with assertions off and warnings as errors."""
    done = subprocess.run(
        [sys.executable, "-O", "-W", "error", "-m", "segue", "doctor"],
        capture_output=True, env={"LC_ALL": "C", "COLUMNS": "40", "HOME": str(tmp_path / "hömé")},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"0 broken" in done.stdout or b"Everything" in done.stdout


def test_extras_are_those_of_the_project() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
    assert {c.name for c in examine() if c.group == "extras"} == set(
        project["project"]["optional-dependencies"]
    )


def test_a_plain_installation_has_every_library_that_must_be_there() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
    names = {re.split(r"[<>=\[]", line)[0] for line in project["project"]["dependencies"]}
    assert set(LIBRARIES) <= names


def test_lists_match_what_the_media_modules_use() -> None:
    words = set()
    for path in MEDIA.rglob("*.py"):
        words |= set(re.findall(r'"([a-z0-9_]+)"', path.read_text(encoding="utf-8")))
    used = words & set(av.filter.filters_available) - NOT_FILTERS
    assert used == set(FILTERS)
    assert set(ENCODERS) <= words


NOT_FILTERS = {"entropy", "loop"}
"""Words in the media modules that are also the name of a filter that they do not use."""
