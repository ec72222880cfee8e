"""From a log to a folder: the rules step by step, the accounts, the folder whole or not at all."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segue.core.errors import ConfigError, DataError, UsageError
from segue.core.seeding import generator
from segue.tasks.playlist.data import writing
from segue.tasks.playlist.data.config import PrepareConfig
from segue.tasks.playlist.data.generate import generate_log
from segue.tasks.playlist.data.prepare import prepare
from segue.tasks.playlist.data.prepared import PARTS, load_prepared
from segue.tasks.playlist.sessions import UNKNOWN
from tests.tasks.playlist.data.logs import (
    START,
    Event,
    clock,
    expected_sessions,
    lastfm_line,
    told,
    write_lastfm,
)


def random_events(seed: int, n: int = 1500) -> list[Event]:
    """A log of three users, newest first, with equal stamps and pauses of just the gap."""
    random = generator(seed, "events")
    events: list[Event] = []
    for user in ("zoe", "al", "mo"):
        steps = random.choice([0, 200, 1800, 1801, 9000], p=[0.2, 0.5, 0.1, 0.1, 0.1], size=n // 3)
        times = START + np.cumsum(steps)
        tracks = random.zipf(1.5, size=n // 3) % 200
        own = [(user, int(t), f"A{k % 7}", f"T{k}") for t, k in zip(times, tracks, strict=True)]
        events += reversed(own)
    return events


def accounted(facts: dict[str, Any]) -> bool:
    """Whether every row was used or has a reason."""
    left_out = sum(found["count"] for found in facts["dropped"].values())
    return bool(facts["rows"]["read"] == facts["rows"]["used"] + left_out)


@pytest.mark.parametrize("order", ["newest first", "oldest first", "mixed"])
def test_sessions_are_those_of_the_rules(order: str, tmp_path: Path) -> None:
    events = random_events(0)
    expected = expected_sessions(events)
    # the file may run either way, or run one way for some users
    turned = {"newest first": (), "oldest first": ("zoe", "al", "mo"), "mixed": ("al",)}[order]
    lines: list[Event] = []
    for user in ("zoe", "al", "mo"):
        own = [event for event in events if event[0] == user]
        lines += reversed(own) if user in turned else own
    log = write_lastfm(tmp_path / "log.tsv", lines)
    facts = prepare(log, tmp_path / "out", PrepareConfig(keep_unseen=True))
    data = load_prepared(tmp_path / "out")
    found = [session for part in PARTS for session in told(data, getattr(data, part))]
    assert sorted(found) == sorted((start, tracks) for _, start, tracks in expected)
    assert [start for start, _ in found] == sorted(start for start, _ in found)
    assert accounted(facts)
    assert facts["rows"]["used"] == sum(len(tracks) for _, _, tracks in expected)
    assert len(set(data.train.users.tolist())) == 3


def test_the_account_names_rows_and_reasons(tmp_path: Path) -> None:
    events = [("u", START + 60 * i, "A", f"T{i % 6}") for i in range(36)]
    lines = [lastfm_line(event) for event in events]
    lines[3] = "u\tlong ago\t\tA\t\tT0"
    lines[7] = "half a row"
    lines.insert(9, lastfm_line(("u", START + 60 * 9, "A", "rare")))
    lines.append(lastfm_line(("u", START + 99_999, "A", "T0")))  # alone in its session
    lines.append(lines[-1])
    log = tmp_path / "log.tsv"
    log.write_text("\n".join(lines))
    config = PrepareConfig(
        max_length=8, duplicates="drop", split="session", validation_share=0.25, test_share=0.25
    )
    facts = prepare(log, tmp_path / "out", config)
    assert facts["dropped"] == {
        "bad date": {"count": 1, "first_row": 4},
        "wrong number of columns": {"count": 1, "first_row": 8},
        "track of fewer than 5 plays": {"count": 1, "first_row": 10},
        "duplicate": {"count": 1, "first_row": 39},
        # 34 plays in pieces of eight leave a last one of two
        "session of fewer than 5 plays": {"count": 3, "first_row": 36},
    }
    assert facts["rows"] == {"read": 39, "used": 32}
    assert facts["sessions"] == 4
    assert json.loads((tmp_path / "out" / "prepared.json").read_text()) == facts


def test_vocabulary_is_ordered_by_plays_before_the_test(tmp_path: Path) -> None:
    generate_log(tmp_path / "log.tsv", rows=4000, users=5, tracks=100)
    facts = prepare(tmp_path / "log.tsv", tmp_path / "out", PrepareConfig(min_plays=2))
    data = load_prepared(tmp_path / "out")
    plays = data.vocabulary.plays
    assert (np.diff(plays) <= 0).all()
    known = data.before_test.tracks
    assert plays.tolist() == np.bincount(known, minlength=len(plays)).tolist()
    first = [int(np.flatnonzero(known == i)[0]) for i in range(len(plays))]
    ties = np.flatnonzero(np.diff(plays) == 0)
    assert len(ties) > 5
    assert all(first[i] < first[i + 1] for i in ties)
    assert facts["unknown"] == {
        part: int((getattr(data, part).tracks == UNKNOWN).sum()) for part in PARTS
    }
    assert set(data.vocabulary.titles[:3]) <= {"NA", *(f"Song {i} of 0" for i in range(10))}


def test_what_the_test_alone_plays_is_unknown_unless_asked_for(tmp_path: Path) -> None:
    events = [("u", START + 10_000 * (i // 5) + i, "A", f"T{i % 5}") for i in range(50)]
    events += [("u", START + 900_000 + i, "A", f"new {i % 2}") for i in range(10)]
    log = write_lastfm(tmp_path / "log.tsv", events)
    facts = prepare(log, tmp_path / "a", PrepareConfig())
    assert facts["unknown"] == {"train": 0, "validation": 0, "test": 10}
    assert load_prepared(tmp_path / "a").test.tracks.tolist() == [UNKNOWN] * 10
    facts = prepare(log, tmp_path / "b", PrepareConfig(keep_unseen=True))
    assert facts["unknown"]["test"] == 0
    data = load_prepared(tmp_path / "b")
    assert data.test.tracks.tolist() == [5, 6] * 5
    assert data.vocabulary.plays[5:].tolist() == [0, 0]


def test_all_formats_give_the_same_content(tmp_path: Path) -> None:
    """Two threads or one, tabs, gzip, commas, JSON, parquet: the same bits."""
    import duckdb

    events = random_events(1)
    log = write_lastfm(tmp_path / "log.tsv", events)
    packed = tmp_path / "packed.tsv.gz"
    packed.write_bytes(gzip.compress(log.read_bytes()))
    rows = [
        f'"{user}","{clock(time)}","{artist}","{title}"' for user, time, artist, title in events
    ]
    table = tmp_path / "log.csv"
    table.write_text("\n".join(["user,time,artist,track", *rows]))
    listens = tmp_path / "log.jsonl"
    listens.write_text(
        "\n".join(
            json.dumps(
                {
                    "user_name": user,
                    "listened_at": time,
                    "track_metadata": {"artist_name": artist, "track_name": title},
                }
            )
            for user, time, artist, title in events
        )
    )
    parquet = tmp_path / "log.parquet"
    duckdb.execute(f"COPY (SELECT * FROM read_csv('{table}')) TO '{parquet}' (FORMAT parquet)")
    found = {}
    for path, threads in ((log, 1), (log, 3), (packed, 2), (table, 2), (listens, 1), (parquet, 1)):
        facts = prepare(path, tmp_path / "out", PrepareConfig(threads=threads))
        found[path.name, threads] = facts["fingerprint"]
        assert facts["rows"]["read"] == len(events)
        assert accounted(facts)
    assert len(set(found.values())) == 1, found


def test_a_sample_of_users_is_whole_and_seeded(tmp_path: Path) -> None:
    generate_log(tmp_path / "log.tsv", rows=6000, users=12, tracks=50)
    taken = []
    for seed in (0, 0, 1):
        facts = prepare(
            tmp_path / "log.tsv", tmp_path / "out", PrepareConfig(users_share=0.5, seed=seed)
        )
        assert facts["users"] == 6
        assert accounted(facts)
        assert facts["dropped"]["user not in the sample"]["count"] > 1000
        taken.append(facts["fingerprint"])
    assert taken[0] == taken[1] != taken[2]


def test_gaps_and_lengths_are_settings(tmp_path: Path) -> None:
    events = [("u", START + 1800 * i, "A", "T") for i in range(40)]
    log = write_lastfm(tmp_path / "log.tsv", events)
    whole = PrepareConfig(split="session", max_length=4, min_length=1)
    assert prepare(log, tmp_path / "a", whole)["sessions"] == 10  # just the gap is no pause
    strict = PrepareConfig(split="session", gap_minutes=29.9, min_length=1)
    assert prepare(log, tmp_path / "a", strict)["sessions"] == 40
    endless = PrepareConfig.load(assignments=["gap_minutes=inf", "split=last", "max_length=20"])
    facts = prepare(log, tmp_path / "a", endless)
    assert (facts["sessions"], facts["settings"]["gap_minutes"]) == (2, "inf")
    assert facts["tracks"] == 1  # a vocabulary of one


READY = "session_id\tsplit\ttrack_ids\n" + "".join(
    f"{i}\t{'train' if i < 40 else 'test'}\t{i % 5} {i % 7} 9 {i % 3}\n" for i in range(50)
)


def test_ready_made_sessions_keep_their_split(tmp_path: Path) -> None:
    path = tmp_path / "sessions.tsv"
    path.write_text(READY + "51\ttrain\t\n52\tnever\t1 2\n53\ttrain\n54\ttrain\t8\n")
    facts = prepare(path, tmp_path / "out")
    assert (facts["format"], facts["split"]) == ("sessions", "given")
    counts = {part: facts["parts"][part]["sessions"] for part in PARTS}
    assert counts == {"train": 36, "validation": 4, "test": 10}
    assert facts["dropped"] == {
        "no tracks": {"count": 1, "first_row": 52},
        "unknown split": {"count": 1, "first_row": 53},
        "wrong number of columns": {"count": 1, "first_row": 54},
        "session of fewer than 2 plays": {"count": 1, "first_row": 55},
    }
    assert accounted(facts)
    data = load_prepared(tmp_path / "out")
    names = data.vocabulary.titles
    assert [names[t] for t in data.test[0].tolist()] == ["0", "5", "9", "1"]
    assert data.vocabulary.label(0) == "9"
    assert data.before_test.times.tolist() == list(range(40))


def test_rare_tracks_and_long_sessions_of_ready_made_ones(tmp_path: Path) -> None:
    path = tmp_path / "sequences.tsv"
    rows = [f"u{i}\t{' '.join(str(k % 10) for k in range(i, i + 7))} only{i}" for i in range(20)]
    path.write_text("user_id\tartist_ids\n" + "\n".join([*rows, "u20\tonly20 only20"]))
    facts = prepare(path, tmp_path / "out", PrepareConfig(min_plays=3, max_length=5, min_length=3))
    assert (facts["format"], facts["split"], facts["clock"]) == ("sequences", "last", False)
    assert (facts["rare_plays"], facts["short_pieces"]) == (22, 20)  # seven are five and two
    assert facts["dropped"] == {"session of fewer than 3 plays": {"count": 1, "first_row": 22}}
    assert facts["plays"] == 100
    with pytest.raises(UsageError, match="no common order of time"):
        prepare(path, tmp_path / "out2", PrepareConfig(split="time"))
    assert not (tmp_path / "out2").exists()


def refused(path: Path, content: bytes | str, words: str, **settings: Any) -> None:
    """Check that `prepare` refuses `content` with `words`, names the file, and leaves nothing."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    before = sorted(path.parent.iterdir())
    with pytest.raises(DataError, match=words) as error:
        prepare(path, path.parent / "out", PrepareConfig(**settings))
    assert path.name in str(error.value)
    assert sorted(path.parent.iterdir()) == before


def test_files_that_are_no_logs_are_refused(tmp_path: Path) -> None:
    rows = [lastfm_line(("u", START + i, "A", f"T{i}")) for i in range(6)]
    log = "\n".join(rows)
    refused(tmp_path / "a.tsv", b"", "is empty")
    refused(tmp_path / "a.tsv.gz", gzip.compress(log.encode())[:-9], "cannot read this file")
    refused(tmp_path / "a.tsv.gz", log, "cannot read this file")
    refused(tmp_path / "a.csv", "user,time,track\n", "there is no row")
    refused(tmp_path / "a.csv", "user,time,title\nu,1,x\n", "no column 'track'.*track_column=NAME")
    refused(
        tmp_path / "a.csv",
        "user,time,track\nu,x,x\n",
        r"none of 1 rows.*bad date: 1 \(first in row 2\)",
    )
    refused(tmp_path / "a.tsv", log, r"none of 6 rows.*fewer than 5 plays: 6 \(first in row 1\)")
    refused(tmp_path / "a.tsv", log + "\nx\ty\n", "row 7: wrong number", strict=True)
    refused(tmp_path / "a.parquet", b"PAR1 not really", "cannot read this file")
    refused(tmp_path / "a.jsonl", "{}\n{}\n", "none of 2 rows")
    refused(tmp_path / "a.tsv", "user_id\ttrack_ids\nu\t\n", r"none of 1 rows.*no tracks")
    refused(tmp_path / "a.tsv", "track_ids\tartist_ids\n1\t2\n", "not a header")
    refused(tmp_path / "a.tsv", b"\x89PNG\r\n\x1a\n\0\0", "no column 'user'")
    refused(tmp_path / "a.tsv", READY.replace("test", "train"), "test part of split given is empty")
    refused(tmp_path / "a.tsv", "\n".join([rows[0]] * 40), "part of split time is empty")


def test_sources_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        prepare(tmp_path / "nothing", tmp_path / "out")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="holds 0 files"):
        prepare(tmp_path / "folder", tmp_path / "out")
    for name in ("userid-profile.tsv", "userid-timestamp-artid-artname-traid-traname.tsv"):
        write_lastfm(tmp_path / "folder" / name, random_events(2))
    facts = prepare(tmp_path / "folder", tmp_path / "out")
    assert facts["source"] == "userid-timestamp-artid-artname-traid-traname.tsv"


def test_a_result_is_replaced_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = write_lastfm(tmp_path / "log.tsv", random_events(3))
    out = tmp_path / "out"
    prepare(log, out)
    before = load_prepared(out).fingerprint
    prepare(log, out, PrepareConfig(min_length=7))
    after = load_prepared(out).fingerprint
    assert before != after

    def fails(*_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(writing, "write_json", fails)
        with pytest.raises(OSError, match="no space"):
            prepare(log, out)
    assert load_prepared(out).fingerprint == after
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.tsv", "out"]
    other = tmp_path / "mine"
    other.mkdir()
    (other / "letter.txt").write_text("dear")
    for target in (other, log):
        with pytest.raises(UsageError):
            prepare(log, target)
    assert (other / "letter.txt").read_text() == "dear"


def cut_short(folder: Path) -> None:
    path = folder / "plays.parquet"
    path.write_bytes(path.read_bytes()[:-30])


def change_a_title(folder: Path) -> None:
    other = folder.parent / "other"
    shutil.copy(other / "tracks.parquet", folder / "tracks.parquet")


def lose_a_session(folder: Path) -> None:
    other = folder.parent / "other"
    shutil.copy(other / "sessions.parquet", folder / "sessions.parquet")


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "cannot read this file": cut_short,
    "not what was written": change_a_title,
    "prepared.json tells of": lose_a_session,
    "sessions.parquet is missing": lambda folder: (folder / "sessions.parquet").unlink(),
    "prepared.json is damaged": lambda folder: (folder / "prepared.json").write_text("{"),
    "no such prepared folder": shutil.rmtree,
}


@pytest.mark.parametrize("words", DAMAGE)
def test_damaged_folders_are_refused(words: str, tmp_path: Path) -> None:
    log = write_lastfm(tmp_path / "log.tsv", random_events(4))
    prepare(log, tmp_path / "out")
    prepare(log, tmp_path / "other", PrepareConfig(identity="title", min_length=6))
    DAMAGE[words](tmp_path / "out")
    with pytest.raises(DataError, match=words) as error:
        load_prepared(tmp_path / "out")
    assert "segue playlist prepare" in str(error.value)


def test_skips_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    rows = [f"u,{START + 4000 * (i // 6) + i},T{i % 6},{i % 4 == 0}" for i in range(120)]
    path.write_text("\n".join(["user,time,track,skipped", *rows]))
    prepare(path, tmp_path / "out")
    data = load_prepared(tmp_path / "out")
    flags = [part.skipped for part in (data.train, data.validation, data.test)]
    assert np.concatenate([f for f in flags if f is not None]).tolist() == [
        i % 4 == 0 for i in range(120)
    ]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"validation_share": 0.5, "test_share": 0.5}, "nothing to learn from"),
        ({"test_from": "2008-01-01"}, "must be given together"),
        ({"min_length": 5, "max_length": 4}, "min_length is greater"),
        ({"users_share": 0}, "users_share"),
        ({"split": "windows"}, "split"),
    ],
)
def test_impossible_settings(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        PrepareConfig.parse(settings)


@pytest.mark.parametrize("suffix", ["tsv", "tsv.gz", "jsonl"])
def test_progress_adds_up(suffix: str, tmp_path: Path) -> None:
    kind: Any = "listenbrainz" if suffix == "jsonl" else "lastfm"
    path = tmp_path / f"log.{suffix}"
    generate_log(path, rows=3000, users=3, tracks=50, kind=kind)
    if suffix.endswith("gz"):
        path.write_bytes(gzip.compress(path.read_bytes()))
    done: list[float] = []
    prepare(path, tmp_path / "out", advance=done.append)
    assert sum(done) == pytest.approx(1)
    assert len(done) > 2
