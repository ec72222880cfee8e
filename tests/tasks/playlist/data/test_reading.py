"""Rows of raw logs: every byte of a title, every way in which a row can be wrong."""

from __future__ import annotations

import csv
import gzip
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segue.core.errors import DataError
from segue.tasks.playlist.data import logs as readers
from segue.tasks.playlist.data.account import Account
from segue.tasks.playlist.data.config import PrepareConfig
from segue.tasks.playlist.data.fields import seconds
from segue.tasks.playlist.data.generate import ODD_TITLES
from segue.tasks.playlist.data.names import LONGEST_ROW
from segue.tasks.playlist.data.plays import Layout
from tests.tasks.playlist.data.logs import START, labels, lastfm_line, read_text

ONCE = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
PLAIN = st.text(st.characters(exclude_characters="\t\n\r\0", exclude_categories=["Cs"]), min_size=1)
ANY = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
CSV = Layout(
    columns={"user": 0, "time": 1, "artist": 2, "title": 3, "skipped": 4},
    n_columns=5,
    delimiter=",",
    quoted=True,
    first_line=2,
)


def blank(text: str) -> bool:
    return all(ord(c) <= 32 for c in text)


@ONCE
@given(st.lists(st.tuples(PLAIN, PLAIN), min_size=1, max_size=8), st.integers(1, 90))
def test_any_name_comes_through_tabs_whatever_the_blocks(
    tmp_path: Path, names: list[tuple[str, str]], cut: int
) -> None:
    names = [(f"x{artist}", f"{title}y") for artist, title in names]
    lines = [lastfm_line(("u", START + i, *name)) for i, name in enumerate(names)]
    for threads in (1, 2):
        plays, account = read_text(
            "\n".join(lines).encode(), tmp_path / "w", threads=threads, cut=cut
        )
        assert labels(plays) == names
        assert plays.rows.tolist() == list(range(1, len(names) + 1))
        assert plays.times.tolist() == [START + i for i in range(len(names))]
        assert account.total == 0


@ONCE
@given(st.lists(st.tuples(ANY, ANY), min_size=1, max_size=8), st.integers(1, 90))
def test_any_name_comes_through_quotes(
    tmp_path: Path, names: list[tuple[str, str]], cut: int
) -> None:
    names = [(artist, title) for artist, title in names if not blank(artist) and not blank(title)]
    text = io.StringIO()
    for i, name in enumerate([*names, ("end", "of it")]):
        csv.writer(text, lineterminator="\n").writerow(["u", START + i, *name, i % 2])
    plays, _ = read_text(text.getvalue().encode(), tmp_path / "w", CSV, cut=cut)
    assert labels(plays)[:-1] == names
    assert plays.skipped is not None
    assert plays.skipped.tolist() == [bool(i % 2) for i in range(len(names) + 1)]
    before = sum(a.count("\n") + t.count("\n") for a, t in names)
    assert plays.rows[-1] == 2 + len(names) + before  # the line where the row begins


def test_words_that_mean_nothing_to_readers_are_titles(tmp_path: Path) -> None:
    lines = [lastfm_line(("u", START, f"by {t}", t)) for t in ODD_TITLES]
    plays, account = read_text("\n".join(lines).encode(), tmp_path / "w")
    assert [title for _, title in labels(plays)] == list(ODD_TITLES)
    assert account.total == 0


def test_same_title_of_two_artists(tmp_path: Path) -> None:
    rows = [("a", "m1", "Intro"), ("b", "m2", "Intro"), ("a", "m3", "Intro"), ("c", "m1", "Start")]
    text = "".join(f"u\t{START}\t\t{a}\t{m}\t{t}\n" for a, m, t in rows).encode()
    columns = {"user": 0, "time": 1, "artist": 3, "mbid": 4, "title": 5}
    groups: dict[str, Any] = {}
    for identity in ("artist_title", "title", "mbid"):
        layout = Layout(columns=columns, n_columns=6, identity=identity)  # type: ignore[arg-type]
        plays, _ = read_text(text, tmp_path / identity, layout)
        groups[identity] = (plays.tracks.tolist(), labels(plays))
    assert groups["artist_title"] == ([0, 1, 0, 2], [(a, t) for a, _, t in rows])
    assert groups["title"] == ([0, 0, 0, 1], [("", t) for _, _, t in rows])
    assert groups["mbid"][0] == [0, 1, 2, 0]
    assert groups["mbid"][1][3] == ("a", "Intro")  # as the track was called first


BAD_ROWS = {
    "wrong number of columns": [b"u\t2008-01-01T00:00:00Z\t\tA\t\tT\ttab", b"u", b"u\t\t"],
    "NUL in the row": [b"u\t2008-01-01T00:00:00Z\t\tA\t\tT\0"],
    "no user": [b"\t2008-01-01T00:00:00Z\t\tA\t\tT", b"  \t2008-01-01T00:00:00Z\t\tA\t\tT"],
    "bad date": [
        b"u\t\t\tA\t\tT",
        b"u\t2008-02-30T00:00:00Z\t\tA\t\tT",
        b"u\t2008-01-01\t\tA\t\tT",
        b"u\t2008-01-01T24:00:00Z\t\tA\t\tT",
        b"u\t2008-01-01T00:00:00Zulu\t\tA\t\tT",
        b"u\tyesterday\t\tA\t\tT",
        b"u\t1200000000000\t\tA\t\tT",
    ],
    "no track name": [b"u\t2008-01-01T00:00:00Z\t\tA\t\t", b"u\t2008-01-01T00:00:00Z\t\tA\t\t "],
    "no artist name": [b"u\t2008-01-01T00:00:00Z\t\t\t\tT"],
    "not UTF-8": [
        b"u\t2008-01-01T00:00:00Z\t\tA\t\tT\xff",
        b"u\xc3\t2008-01-01T00:00:00Z\t\tA\t\tT",
    ],
    "empty row": [b"", b"\r"],
}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("reason", BAD_ROWS)
def test_bad_rows_are_counted_and_named(reason: str, threads: int, tmp_path: Path) -> None:
    bad = BAD_ROWS[reason]
    good = lastfm_line(("u", START, "A", "T")).encode()
    lines = [good, *(part for row in bad for part in (row, good))]
    plays, account = read_text(b"\n".join(lines), tmp_path / "w", threads=threads, cut=50)
    assert account.to_dict() == {reason: {"count": len(bad), "first_row": 2}}
    assert plays.rows.tolist() == list(range(1, len(lines) + 1, 2))
    assert plays.n_rows == len(lines) == len(plays.tracks) + account.total
    strict = Account(source=Path("log.tsv"), strict=True)
    layout = Layout(columns={"user": 0, "time": 1, "artist": 3, "title": 5}, n_columns=6)
    with pytest.raises(DataError, match=rf"log\.tsv: row 2: {reason}"):
        readers.read_plays([b"\n".join(lines)], layout, strict, tmp_path / "w")


def test_line_ends_and_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "log.tsv.gz"
    lines = [lastfm_line(("u", START + i, "A", f"T{i}")) for i in range(4)]
    text = f"\ufeff{lines[0]}\r\n{lines[1]}\n{lines[2]}\r\n{lines[3]}"
    path.write_bytes(gzip.compress(text.encode()))
    account = Account(source=path)
    plays = readers.read_lastfm(path, PrepareConfig(), account, tmp_path)
    assert [title for _, title in labels(plays)] == ["T0", "T1", "T2", "T3"]
    assert plays.n_users == 1
    assert account.total == 0


def test_a_quote_that_is_never_closed_costs_one_row(tmp_path: Path) -> None:
    rows = [f"u,{START + i},A,T{i},0" for i in range(LONGEST_ROW // 20)]
    rows[3] = f'u,{START},A,"open,0'
    rows[5] = f'u,{START},A,"shut" late,0'
    rows[-9] = f'u,{START},A,"open,0'
    plays, account = read_text("\n".join(rows).encode(), tmp_path / "w", CSV)
    assert account.to_dict() == {
        "row too long, or a quote that is not closed": {"count": 1, "first_row": len(rows) - 7},
        "text after a closing quote": {"count": 2, "first_row": 5},
    }
    assert len(plays.tracks) == len(rows) - 3
    assert plays.rows[-1] == len(rows) + 1


def test_a_row_without_end(tmp_path: Path) -> None:
    good = lastfm_line(("u", START, "A", "T")).encode()
    text = good + b"\n" + b"x" * (3 * LONGEST_ROW) + b"\n" + good
    for cut in (1 << 19, 1 << 30):
        plays, account = read_text(text, tmp_path / "w", cut=cut)
        assert plays.rows.tolist() == [1, 3]
        assert account.total == 1
    with pytest.raises(DataError, match="none of 1 rows can be used"):
        read_text(b"x" * (2 * LONGEST_ROW), tmp_path / "w")


def test_many_names_make_the_tables_grow(tmp_path: Path) -> None:
    n = 20_000
    long = "n" * 300  # also the file of names grows: 2 MB are there at first
    lines = [lastfm_line((f"u{i}", START, "A", f"{i} {long}")) for i in range(n)]
    for threads in (1, 2):
        plays, _ = read_text("\n".join(lines * 2).encode(), tmp_path / "w", threads=threads)
        assert plays.n_tracks == plays.n_users == n
        assert plays.users.tolist() == [*range(n), *range(n)]
        assert np.array_equal(plays.tracks[:n], plays.tracks[n:])
        assert labels(plays)[n - 1] == ("A", f"{n - 1} {long}")


@ONCE
@given(st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 28)), st.integers(-1080, 1080))
def test_times_are_what_the_calendar_says(moment: datetime, offset_min: int) -> None:
    moment = moment.replace(tzinfo=UTC, microsecond=0)
    sign, away = ("-" if offset_min < 0 else "+"), abs(offset_min)
    for text, shift in (
        (moment.strftime("%Y-%m-%dT%H:%M:%SZ").zfill(20), 0),
        (moment.strftime("%Y-%m-%d %H:%M:%S.25").zfill(22), 0),
        (f"{moment:%Y-%m-%dT%H:%M:%S}{sign}{away // 60:02}:{away % 60:02}".zfill(25), offset_min),
    ):
        field = np.frombuffer(text.encode(), dtype=np.uint8)
        expected = int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) - 60 * shift
        assert seconds(field, 0, len(field)) == (True, expected)


def test_listens(tmp_path: Path) -> None:
    def listen(title: Any, **more: Any) -> dict[str, Any]:
        track = {"artist_name": "A", "track_name": title}
        return {"user_name": "u", "listened_at": START, "track_metadata": track} | more

    good = [listen("T"), listen('a "b", \n c'), listen("d", listened_at=float(START), extra=[1])]
    lines = [json.dumps(x) for x in (good[0], good[1])]
    lines += ["{broken", "[1]", json.dumps(listen(None)), json.dumps(listen("T", user_name=None))]
    lines += [json.dumps(listen("T", listened_at=None)), json.dumps({"track_metadata": 3})]
    lines += [json.dumps(good[2]), json.dumps(listen("n\0l"))]
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(lines))
    account = Account(source=path)
    plays = readers.read_listenbrainz(path, PrepareConfig(), account, tmp_path)
    assert [title for _, title in labels(plays)] == ["T", 'a "b", \n c', "d"]
    assert plays.rows.tolist() == [1, 2, 9]
    assert account.to_dict() == {
        "not a listen in JSON": {"count": 3, "first_row": 3},
        "no track name": {"count": 1, "first_row": 5},
        "no user": {"count": 1, "first_row": 6},
        "bad date": {"count": 1, "first_row": 7},
        "NUL in the row": {"count": 1, "first_row": 10},
    }
    assert plays.n_rows == len(lines) == len(plays.tracks) + account.total
    with pytest.raises(DataError, match="row 3: not a listen"):
        readers.read_listenbrainz(
            path, PrepareConfig(), Account(source=path, strict=True), tmp_path
        )


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_with_columns_of_other_names(delimiter: str, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    head = ["when", "song", "who", "rating"]
    rows = [[f"{START + i}", f"T{i}", "u", "5"] for i in range(3)]
    path.write_text("\n".join(delimiter.join(row) for row in [head, *rows]))
    config = PrepareConfig(user_column="who", time_column="when", track_column="song")
    plays = readers.read_csv(path, config, Account(source=path), tmp_path)
    assert labels(plays) == [("", "T0"), ("", "T1"), ("", "T2")]
    assert plays.rows.tolist() == [2, 3, 4]
    with pytest.raises(DataError, match="no column 'user' in row 1; there are when, song, who"):
        readers.read_csv(path, PrepareConfig(), Account(source=path), tmp_path)


@pytest.mark.parametrize("kind", ["TIMESTAMP", "BIGINT", "VARCHAR"])
def test_parquet(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    moment = {"TIMESTAMP": f"make_timestamp({START}::BIGINT * 1000000)", "BIGINT": f"{START}"}
    time = moment.get(kind, "'2008-01-10T21:20:00Z'")
    duckdb.execute(
        f"COPY (SELECT 'u' AS user, {time} AS time, title AS track, i % 2 = 1 AS skipped FROM "
        "(VALUES (0, 'a,\"b'), (1, NULL), (2, 'NA'), (3, '7')) AS t(i, title)) "
        f"TO '{path}' (FORMAT parquet)"
    )
    account = Account(source=path)
    plays = readers.read_parquet(path, PrepareConfig(), account, tmp_path)
    assert labels(plays) == [("", 'a,"b'), ("", "NA"), ("", "7")]
    assert set(plays.times.tolist()) == {START}
    assert plays.rows.tolist() == [1, 3, 4]
    assert plays.skipped is not None
    assert plays.skipped.tolist() == [False, False, True]
    assert account.to_dict() == {"no track name": {"count": 1, "first_row": 2}}
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="cannot read this file"):
        readers.read_parquet(path, PrepareConfig(), Account(source=path), tmp_path)
