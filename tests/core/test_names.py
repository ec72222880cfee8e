"""Short names, a user's own names, and what a wrong one is told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from segue.core.errors import UnknownName
from segue.core.files import fingerprint
from segue.core.names import late_names, nearest, resolve, unknown

TABLE = {
    "join": "os.path:join",
    "loads": "json:loads",
    "broken": "segue.core.no_such_module:Thing",
}


def test_short_name_and_own_name() -> None:
    import json
    import os.path

    assert resolve(TABLE, "join", "function") is os.path.join
    assert resolve(TABLE, "json:dumps", "function") is json.dumps


def test_own_module_needs_no_registration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_rewards.py").write_text("class Quiet:\n    name = 'quiet'\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert resolve({}, "my_rewards:Quiet", "reward").name == "quiet"
    sys.modules.pop("my_rewards")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("laods", ["unknown function 'laods'", "Did you mean 'loads'?", "broken, join, loads"]),
        ("zzz", ["unknown function 'zzz'", "Known: broken, join, loads"]),
        ("", ["unknown function ''"]),
        ("json:nothing", ["cannot load function 'json:nothing'"]),
        ("no_such_package:thing", ["cannot load", "no_such_package"]),
        (":thing", ["cannot load"]),
        ("json:", ["cannot load"]),
        (".relative:thing", ["cannot load"]),
    ],
)
def test_wrong_names(name: str, words: list[str]) -> None:
    with pytest.raises(UnknownName) as caught:
        resolve(TABLE, name, "function")
    for word in words:
        assert word in str(caught.value)


def test_a_fault_of_our_own_is_not_blamed_on_the_user() -> None:
    with pytest.raises(ModuleNotFoundError):
        resolve(TABLE, "broken", "function")


def test_nearest() -> None:
    assert nearest("PLANER", ["planner", "random"]) == "planner"
    assert nearest("affect", ["Affect", "clap"]) == "Affect"
    assert nearest("xyz", ["planner"]) is None
    assert nearest("a", []) is None


def test_unknown_without_a_near_name_has_no_question() -> None:
    assert "Did you mean" not in str(unknown("agent", "qqq", ["planner"]))


def test_names_that_are_loaded_late() -> None:
    get, names = late_names("segue.core", {"fingerprint": "files", "absent": "files"})
    assert get("fingerprint") is fingerprint
    assert {"fingerprint", "absent", "__name__"} <= set(names())
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        get("nothing")
    with pytest.raises(AttributeError):
        get("absent")
