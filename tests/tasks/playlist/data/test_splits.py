"""What each split divides, what the audit finds in it, and what a leak is worth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segue.core.errors import ConfigError, DataError, UsageError
from segue.core.options import run
from segue.tasks.playlist import cli_data
from segue.tasks.playlist.data.audit import audit
from segue.tasks.playlist.data.config import PrepareConfig
from segue.tasks.playlist.data.generate import generate_log
from segue.tasks.playlist.data.inflation import inflation
from segue.tasks.playlist.data.prepare import prepare
from segue.tasks.playlist.data.prepared import PARTS, Prepared, load_prepared
from segue.tasks.playlist.data.splits import divide, random_windows
from segue.tasks.playlist.sessions import Sessions


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20,000 plays of 12 users, half of which follow from the play before."""
    path = tmp_path_factory.mktemp("log") / "log.tsv"
    generate_log(path, rows=20_000, users=12, tracks=800, power=1.5)
    return path


def prepared(log: Path, out: Path, split: str, **settings: Any) -> Prepared:
    prepare(log, out, PrepareConfig(split=split, **settings))  # type: ignore[arg-type]
    return load_prepared(out)


def split_of(sessions: Sessions, **settings: Any) -> dict[str, Sessions]:
    divided = divide(
        sessions, PrepareConfig(**settings), source=Path("log"), has_clock=True, given=None
    )
    return divided.parts


def test_time_is_cut_once_for_all_users() -> None:
    lists = [[i, i + 1] for i in range(20)]
    times = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 16, 16, 18, 19]
    sessions = Sessions.from_flat(np.array(lists).ravel(), [2] * 20, times=times)
    parts = split_of(sessions, split="time", validation_share=0.2, test_share=0.2)
    assert {name: len(part) for name, part in parts.items()} == {
        "train": 12,
        "validation": 3,
        "test": 5,  # four were asked for, but starts of the same second stay together
    }
    assert parts["validation"].times.tolist() == [12, 13, 14]
    days = split_of(
        sessions,
        split="time",
        validation_from="1970-01-01T00:00:10",
        test_from="1970-01-01 00:00:17Z",
    )
    assert {name: len(part) for name, part in days.items()} == {
        "train": 10,
        "validation": 8,
        "test": 2,
    }
    with pytest.raises(ConfigError, match="not a day"):
        split_of(sessions, split="time", validation_from="May", test_from="June")
    with pytest.raises(ConfigError, match="not before"):
        split_of(sessions, split="time", validation_from="1970-01-02", test_from="1970-01-01")
    with pytest.raises(DataError, match="test part of split time is empty"):
        split_of(
            sessions, split="time", validation_from="1970-01-01T00:00:05", test_from="1980-01-01"
        )
    with pytest.raises(UsageError, match="no split of its own"):
        split_of(sessions, split="given")


def test_last_plays_of_each_user() -> None:
    lists = [[1, 2, 3], [4, 5, 6, 7], [1, 1], [8, 9]]
    sessions = Sessions.from_lists(lists, users=[0, 1, 0, 2])
    with pytest.raises(DataError, match="empty"):  # user 0's newest has two plays
        split_of(Sessions.from_lists([[1, 2]], users=[0]), split="last")
    parts = split_of(sessions, split="last")
    assert [parts["train"][i].tolist() for i in range(4)] == [[1, 2, 3], [4, 5], [1, 1], [8, 9]]
    assert parts["validation"][0].tolist() == [4, 5, 6]
    assert parts["test"][0].tolist() == [4, 5, 6, 7]
    assert parts["validation"].first_targets.tolist() == [2]
    assert parts["test"].first_targets.tolist() == [3]
    alone = split_of(Sessions.from_lists([[1, 2, 3], [4, 5], [6, 7, 8]]), split="last")
    assert len(alone["test"]) == 2  # without users every session is a user


def test_every_play_is_before_the_test_once(log: Path, tmp_path: Path) -> None:
    for split in ("time", "last", "session"):
        data = prepared(log, tmp_path / split, split, keep_unseen=True)
        asked = (
            data.test.lengths - data.test.first_targets if split == "last" else data.test.lengths
        )
        assert len(data.before_test.tracks) + asked.sum() == data.facts["plays"]
        assert (np.diff(data.before_test.times) >= 0).all() or split == "session"


def test_windows_are_the_originals() -> None:
    sessions = Sessions.from_lists([[1, 2, 3, 4], list(range(10, 17)), [5] * 5])
    windows, owners = random_windows(sessions, PrepareConfig(window=6), 5)
    found = [windows[i].tolist() for i in range(len(windows))]
    ten = list(range(10, 17))
    assert found == [ten[:5], ten[:6], ten[1:7], [5] * 5]
    assert owners.tolist() == [1, 1, 1, 2]
    assert windows.first_targets.tolist() == [4, 5, 5, 4]


@pytest.mark.parametrize("split", ["time", "last", "session"])
def test_honest_splits_pass_the_audit(split: str, log: Path, tmp_path: Path) -> None:
    prepared(log, tmp_path / "out", split)
    found = audit(tmp_path / "out")
    found.check()
    validation, test = found.findings
    assert (validation.part, test.part) == ("validation", "test")
    assert validation.answers_seen == test.answers_seen == 0
    assert validation.sessions_seen == test.sessions_seen == (1.0 if split == "last" else 0.0)
    later = test.later_of_user
    assert later == 0 if split in ("time", "last") else later > 0.9
    assert test.later_of_others == 0 if split == "time" else test.later_of_others > 0.9


def test_random_windows_fail_the_audit(log: Path, tmp_path: Path) -> None:
    data = prepared(log, tmp_path / "out", "windows_leaky")
    assert data.facts["leaks"] is True
    found = audit(tmp_path / "out")
    test = found.findings[1]
    # Nine windows in ten are known, and longer ones of the session hold the whole of this one: all
    # but the longest of each session, and those whose longer ones are not drawn.
    assert test.answers_seen > 0.9
    assert test.sessions_seen > test.answers_seen
    with pytest.raises(DataError, match=r"windows_leaky leaks: the answers of 9\d\.\d% of the"):
        found.check()


def test_a_part_of_leaking_sessions_is_measured(tmp_path: Path) -> None:
    """Three of thirty test sessions are in training once more, one play longer."""
    path = tmp_path / "sessions.tsv"
    random = np.random.default_rng(0)
    lists = [random.integers(500, size=8).tolist() for _ in range(300)]
    rows = [("train" if i < 270 else "test", i, tracks) for i, tracks in enumerate(lists)]
    rows += [("train", 297 + i, [*lists[297 + i], 7]) for i in range(3)]
    text = [f"{part}\t{i}\t{' '.join(map(str, tracks))}" for part, i, tracks in rows]
    path.write_text("\n".join(["split\ttime\ttrack_ids", *text]))
    prepare(path, tmp_path / "out", PrepareConfig())
    found = audit(tmp_path / "out")
    assert found.findings[1].answers_seen == pytest.approx(0.1)
    assert found.findings[0].answers_seen == 0
    assert found.leaks


def test_the_leak_inflates_what_is_measured(log: Path, tmp_path: Path) -> None:
    data = prepared(log, tmp_path / "out", "time")
    windows, session, time = inflation(data)
    assert [row.split for row in (windows, session, time)] == ["windows_leaky", "session", "time"]
    # A window finds itself, one play longer, among 36,000; chance is 10 / 800 tracks.
    assert windows.ndcg_10 > 1.5 * time.ndcg_10
    assert time.hit_10 > 0.1
    assert session.questions > 1000
    assert inflation(data) == [windows, session, time]
    leaky = prepared(log, tmp_path / "leaky", "windows_leaky")
    with pytest.raises(DataError, match="windows, not sessions"):
        inflation(leaky)


def test_commands(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    assert run(cli_data.prepare, [str(log), "--out", out, "--set", "min_length=6"]) == 0
    shown = capsys.readouterr()
    assert "20,000 rows read" in shown.out
    assert "session of fewer than 6 plays" in shown.out
    assert "is ready" in shown.err
    assert (
        run(cli_data.prepare, [str(log), "--out", out, "--split", "windows_leaky", "--json"]) == 0
    )
    facts = json.loads(capsys.readouterr().out)
    assert facts["leaks"] is True
    assert run(cli_data.audit, ["--data", out]) == 1
    shown = capsys.readouterr()
    assert "answers in training" in shown.out
    assert "leaks" in shown.err
    assert run(cli_data.prepare, [str(log), "--out", out, "--seed", "3"]) == 0
    capsys.readouterr()
    assert run(cli_data.audit, ["--data", out, "--inflation", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["leaks"] is False
    assert [row["split"] for row in found["inflation"]] == ["windows_leaky", "session", "time"]
    assert set(PARTS) == set(facts["parts"])


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["prepare"], 2, "Usage"),
        (["prepare", "log.tsv"], 2, "--out"),
        (["prepare", "nothing.tsv", "--out", "x"], 1, "no such file"),
        (["prepare", "nothing.tsv", "--out", "x", "--split", "windows"], 2, "windows_leaky"),
        (["prepare", "nothing.tsv", "--out", "x", "--set", "min_play=3"], 2, "min_plays"),
        (["audit", "--json"], 2, "--data"),
        (["audit", "--data", "nowhere"], 1, "no such prepared folder"),
    ],
)
def test_wrong_commands(
    arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = {"prepare": cli_data.prepare, "audit": cli_data.audit}[arguments[0]]
    assert run(command, arguments[1:]) == code
    assert words in capsys.readouterr().err


def test_settings_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli_data.prepare, ["--print-config", "--set", "gap_minutes=inf"]) == 0
    assert "gap_minutes = inf" in capsys.readouterr().out
