"""Errors have three parts, one line, and survive processes."""

from __future__ import annotations

import inspect
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.core import errors
from segue.core.errors import ConfigError, MediaError, SegueError, UnknownName, printable

KINDS = [
    kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, SegueError)
]


def test_the_three_parts() -> None:
    error = MediaError("cannot decode at 3.2 s", where="film.mp4", advice="Re-encode it.")
    assert str(error) == "film.mp4: cannot decode at 3.2 s. Re-encode it."
    assert str(MediaError("no sound")) == "no sound"
    assert (error.what, error.where, error.advice) == (
        "cannot decode at 3.2 s", "film.mp4", "Re-encode it."
    )  # fmt: skip


def test_exit_codes() -> None:
    codes = {kind.__name__: kind.exit_code for kind in KINDS}
    assert {name for name, code in codes.items() if code == 2} == {
        "UsageError", "ConfigError", "UnknownName"
    }  # fmt: skip
    assert set(codes.values()) == {1, 2}


def test_the_tree_in_the_docstring_is_complete() -> None:
    assert errors.__doc__
    for kind in KINDS:
        assert kind.__name__ in errors.__doc__
        assert kind.__name__ in errors.__all__


@pytest.mark.parametrize("kind", KINDS)
def test_errors_cross_processes(kind: type[SegueError]) -> None:
    error = kind("what\n", where="a: b", advice="do")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert (str(copy), copy.where, copy.advice) == (str(error), error.where, error.advice)


@settings(deadline=None)
@given(st.text())
def test_printable_is_one_encodable_line(text: str) -> None:
    line = printable(text)
    line.encode("utf-8")
    assert len(line.splitlines()) <= 1
    assert line.isprintable()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("naïve 🎬", "naïve 🎬"),
        ("a\nb\x1b[31m", "a\\nb\\x1b[31m"),
        ("bad\udcff.mp4", "bad\\udcff.mp4"),
        ("", ""),
    ],
)
def test_printable(text: str, expected: str) -> None:
    assert printable(text) == expected


def test_an_unknown_name_is_a_wrong_use() -> None:
    assert issubclass(UnknownName, SegueError)
    assert UnknownName("x").exit_code == ConfigError("x").exit_code == 2
