"""The root command: help everywhere, nearest names, exit codes, one line for each failure."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from segue.cli import COMMANDS, root
from segue.core.options import run


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(command, click.Group):
        return [path]
    context = click.Context(command)
    found = []
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        assert child is not None, name
        found += leaves(child, (*path, name))
    return found


@pytest.mark.parametrize("path", leaves(root), ids=" ".join)
def test_every_command_explains_itself(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(root, [*path, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("Usage: segue")
    assert "--help" in text


# A new named option is a decision: everything else is a setting for --set.
FLAGS = {
    "score": {
        "--library", "--out", "--compose", "--policy", "--embedder", "--loudness", "--duck",
        "--crossfade", "--lock", "--overwrite", "--listener", "--captions", "--generate",
        "--config", "--set", "--print-config", "--json", "--debug",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", FLAGS)
def test_the_list_of_flags_is_deliberate(name: str) -> None:
    command = root.get_command(click.Context(root), name)
    assert command is not None
    options = {o for p in command.params if isinstance(p, click.Option) for o in p.opts}
    assert options == FLAGS[name]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["scoer"], 2, ["unknown command 'scoer'", "'score'"]),
        (["score", "a.mp4", "--librari", "x"], 2, ["--librari", "--library"]),
        (["score", "a.mp4", "--library", "x", "--out", "y", "--duck", "much"], 2, ["much"]),
        (["score"], 2, ["Usage"]),
        (
            ["score", "a.mp4", "--library", "x", "--out", "y", "--set", "mix.duk_db=3"],
            2,
            ["unknown setting 'mix.duk_db'", "mix.duck_db"],
        ),
        (
            ["score", "a.mp4", "--library", "x", "--out", "y", "--set", "duck_db=3"],
            2,
            ["'duck_db'", "mix.duck_db"],
        ),
        (["score", "a.mp4", "--library", "x", "--out", "y", "--loudness", "3"], 2, ["loudness"]),
        (["score", "a.mp4", "--library", "x", "--out", "y", "--policy", "gredy"], 2, ["greedy"]),
        (["score", "a.mp4", "--library", "x", "--out", "y", "--embedder", "clop"], 2, ["clap"]),
        (["score", "a.mp4", "--library", "x", "--out", "y", "--config", "no.toml"], 2, ["no.toml"]),
        (["score", "a.mp4", "--library", "x", "--out", "y", "--set", "exports=pdf"], 2, ["pdf"]),
        (["score", "a.mp4", "--library", "x", "--out", "y", "--lock", "calm"], 2, ["calm"]),
        (["score", "no-such-film.mp4", "--library", "x", "--out", "y"], 1, ["no-such-film.mp4"]),
    ],
)
def test_mistakes_get_one_line_and_the_right_code(
    arguments: list[str], code: int, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(root, arguments) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    if words != ["Usage"]:
        assert captured.err.count("\n") == 1
    for word in words:
        assert word in captured.err


def test_the_resolved_settings_can_be_shown_and_read_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["score", "a.mp4", "--library", "x", "--out", "y"]
    assert run(root, [*arguments, "--duck", "20", "--print-config"]) == 0
    text = capsys.readouterr().out
    assert "duck_db = 20.0" in text
    file = tmp_path / "mine.toml"
    file.write_text(text)
    assert run(root, [*arguments, "--config", str(file), "--print-config"]) == 0
    assert capsys.readouterr().out == text


def test_settings_are_shown_without_files_which_are_needed_again_after(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(root, ["score", "--print-config"]) == 0
    assert "embedder" in capsys.readouterr().out
    assert run(root, ["score", "--duck", "3"]) == 2
    assert "Missing argument 'VIDEO'" in capsys.readouterr().err
    assert run(root, ["score", "--print-config", "--duck", "loud"]) == 2


def test_a_fault_of_ours_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def broken() -> None:
        raise ZeroDivisionError("on purpose")

    assert run(broken, []) == 1
    assert "--debug" in capsys.readouterr().err
    assert run(broken, ["--debug"]) != 0


def test_the_table_of_commands_is_sorted_by_use_and_described() -> None:
    assert next(iter(COMMANDS)) == "score"
    assert all(line.endswith(".") and target.count(":") == 1 for target, line in COMMANDS.values())
