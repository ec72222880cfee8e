"""Histories in every form people have them, and the tracks that their names mean."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segue.core.errors import DataError, UsageError
from segue.tasks.playlist.data.prepared import Vocabulary
from segue.tasks.playlist.history import (
    Heard,
    History,
    history_of,
    match_history,
    read_history,
)
from segue.tasks.playlist.matching import TrackIndex
from segue.tasks.playlist.spelling import spelling_key, split_label, track_key

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return to


def names(history: History) -> list[tuple[str, str]]:
    return [(play.artist, play.title) for play in history]


# --- forms --------------------------------------------------------------------------------------


def test_a_text_of_tracks() -> None:
    history = read_history('AC/DC - Back in Black; "Nemo - Rain; Sun"; Ólöf – Tár — Dans;; ')
    assert names(history) == [
        ("AC/DC", "Back in Black"),
        ("Nemo", "Rain; Sun"),
        ("Ólöf", "Tár — Dans"),
    ]
    assert history.source == "text"
    assert history[0] == Heard("AC/DC", "Back in Black")
    assert history.notes() == []


def test_a_list_of_labels() -> None:
    history = history_of(["Nemo - Rain; Sun", "rubbish", "A - b"])
    assert names(history) == [("Nemo", "Rain; Sun"), ("A", "b")]
    assert history.n_unreadable == 1
    with pytest.raises(UsageError, match="empty"):
        history_of([])


@pytest.mark.parametrize("dash", "-\u2010\u2011\u2012\u2013\u2014\u2015\u2212")
def test_every_dash_parts_artist_and_title(dash: str) -> None:
    assert split_label(f"A-ha {dash} Take on {dash} Me") == ("A-ha", f"Take on {dash} Me")
    assert split_label(f"A{dash}B") is None


def test_plain_lines_with_a_mark_and_other_line_ends(write: Write) -> None:
    text = '\ufeffMew - "Comforting Sounds\r\n\r\nNA - null\r\nnan\tNone\r\n'
    history = read_history(write("h.txt", text))
    assert names(history) == [("Mew", '"Comforting Sounds'), ("NA", "null"), ("nan", "None")]


def test_a_table_with_quotes_times_and_skips(write: Write) -> None:
    rows = (
        "Track Name,Artist Name,Album,Played At,Skipped\n"
        '"Rain, again",Nemo,X,2020-01-02T03:04:05Z,false\n'
        '"He said ""no""",Nemo,X,2020-01-02T03:04:06+01:00,TRUE\n'
        "Odd,Nemo,X,last Tuesday,\n"
        '"open,Nemo,X,,\n'
        "alone\n"
        ",Nemo,,,\n"
    )
    history = read_history(write("h.csv", rows))
    assert history.plays == (
        Heard("Nemo", "Odd"),  # without a time: the oldest
        Heard("Nemo", 'He said "no"', 1577930646, True),
        Heard("Nemo", "Rain, again", 1577934245, False),
    )
    assert history.unreadable == {
        "quotes that do not end on the line": 1, "too few columns": 1, "no artist or no title": 1,
    }  # fmt: skip
    assert history.n_lines == 6
    assert history.n_undated == 1
    assert "3 of 6 lines" in history.notes()[0]
    assert "line 5, quotes" in history.notes()[0]
    assert "1 plays" in history.notes()[1]


def test_quotes_mean_nothing_between_tabs(write: Write) -> None:
    rows = 'artist\ttitle\ttimestamp\nNemo\t"Rain\t1500000000\nNemo\tSun"\t1500000001000\nA\tB\n'
    history = read_history(write("h.tsv", rows))
    assert names(history) == [("Nemo", '"Rain'), ("Nemo", 'Sun"')]
    assert [play.time for play in history] == [1_500_000_000, 1_500_000_001]
    assert history.unreadable == {"2 columns instead of 3": 1}


def test_lines_of_last_fm_come_backwards(write: Write) -> None:
    def row(second: int, artist: str, title: str, user: str = "u1") -> str:
        return f"{user}\t2009-05-04T23:08:{second:02d}Z\t\t{artist}\tid\t{title}\n"

    text = row(9, "C", 'open "') + row(8, "B", "b") + row(8, "A", "a") + row(8, "A", "a")
    text += "u1\tno date\t\tD\t\td\n" + "u1\t2009-05-04T23:08:01Z\t\tE\te\n"
    history = read_history(write("scrobbles.tsv", text))
    assert names(history) == [("D", "d"), ("A", "a"), ("B", "b"), ("C", 'open "')]
    assert history.n_repeated == 1
    assert history.unreadable == {"5 columns instead of 6": 1}
    assert not history.several_users
    mixed = read_history(write("two.tsv", text + row(3, "F", "f", "u2")))
    assert mixed.several_users
    assert any("several users" in note for note in mixed.notes())


def test_lines_of_listenbrainz_and_others(write: Write) -> None:
    rows = [
        {"listened_at": 1_600_000_000, "track_metadata": {"artist_name": "A", "track_name": "a"}},
        {"artist": "B", "title": "b", "time": "2020-09-13T12:26:41", "skipped": True},
        {"ts": "2020-09-13T12:26:42Z", "master_metadata_track_name": "c",
         "master_metadata_album_artist_name": "C", "ms_played": 12_000, "skipped": None},
        {"ts": "2020-09-13T12:26:43Z", "master_metadata_track_name": None},
        {"artistName": "D", "trackName": "d", "msPlayed": 200_000, "endTime": "2020-09-13 12:30"},
        ["A", "a"],
    ]  # fmt: skip
    lines = "\n".join(json.dumps(row) for row in rows) + "\n{broken\n"
    history = read_history(write("h.jsonl", lines))
    assert history.plays == (
        Heard("A", "a", 1_600_000_000),
        Heard("B", "b", 1_600_000_001, True),
        Heard("C", "c", 1_600_000_002, True),
        Heard("D", "d", 1_600_000_200, False),
    )
    assert history.unreadable == {"no artist or no title": 1, "not an object": 1, "not JSON": 1}
    array = read_history(write("h.json", json.dumps(rows, indent=1)))
    assert array.plays == history.plays
    assert "entries" in array.notes()[0]


def test_a_playlist_is_read_as_text_and_nothing_is_opened(write: Write) -> None:
    text = (
        '#EXTM3U\n#EXTINF:-1 logo="a, b",Mew - Snow Brigade\n/none/such/file.mp3\n'
        "#EXTINF:12,no dash\nC:\\Music\\x - y.mp3\n"
        "# a note\nC:\\Music\\07 - Mew - Special.mp3\nsome/50 Cent - P.I.M.P.mp3\n03 - Rain.ogg\n"
    )
    history = read_history(write("list.m3u8", text))
    assert names(history) == [("Mew", "Snow Brigade"), ("Mew", "Special"), ("50 Cent", "P.I.M.P")]
    assert history.n_unreadable == 2
    latin = "#EXTM3U\n#EXTINF:1,Björk - Jóga\nx.mp3\n".encode("cp1252")
    assert names(read_history(write("list.m3u", latin))) == [("Björk", "Jóga")]


# --- bad input ----------------------------------------------------------------------------------


def test_bytes_and_lengths_that_cannot_be_names(write: Write) -> None:
    lines = [b"A - a", b"\xff\xfe - x"[1:], b"B - b\0", b"C - " + b"c" * 2000, b"D - d"]
    history = read_history(write("h.txt", b"\n".join(lines)))
    assert names(history) == [("A", "a"), ("D", "d")]
    assert history.unreadable == {
        "not UTF-8": 1, "a NUL in it": 1, "a name of more than 1000 characters": 1,
    }  # fmt: skip
    endless = read_history(write("long.txt", b"A - a\n" + b"x" * 3_000_000 + b"\nB - b\n"))
    assert names(endless) == [("A", "a"), ("B", "b")]
    assert "line 2, longer than" in endless.first_unreadable


@pytest.mark.parametrize(
    ("source", "error", "words"),
    [
        ("", UsageError, "is empty"),
        (" \n ", UsageError, "is empty"),
        ("Mew", DataError, "no such file, and not a text"),
        ("my - history.csv", DataError, "no such file"),
        ("/", DataError, "a folder"),
        ("/dev/zero", DataError, "not a regular file"),
        ("x" * 9000, DataError, "no such file"),
    ],
)
def test_what_is_no_history_gets_one_line(source: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        read_history(source)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("name", "content", "error", "words"),
    [
        ("a.txt", b"", UsageError, "is empty"),
        ("a.csv", b"artist,title,time\n", UsageError, "is empty"),
        ("a.txt", b"one\ntwo\n", DataError, "none of the 2 lines is a play; the first: line 1"),
        ("a.txt", "A - b".encode("utf-16"), DataError, "UTF-16"),
        ("a.json", b"[{}, ", DataError, "is not JSON"),
        ("a.json", b"[" * 100_000, DataError, "is not JSON"),
        ("a.json", b"[{}, 3]", DataError, "none of the 2 entries"),
    ],
)
def test_files_without_a_play(
    name: str, content: bytes, error: type[Exception], words: str, write: Write
) -> None:
    with pytest.raises(error, match=words) as caught:
        read_history(write(name, content))
    assert "\n" not in str(caught.value)


def test_a_long_history_keeps_its_newest_plays_in_little_memory(write: Write) -> None:
    """Memory depends on what is kept, not on the file: 40,000 lines, 500 kept."""
    rows = "".join(f"A{i % 7} - song number {i} of a long life\n" for i in range(40_000))
    path = write("h.txt", rows)
    tracemalloc.start()
    history = read_history(path, keep=500)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_500_000 < len(rows)
    assert len(history) == 500
    assert history[-1].title == "song number 39999 of a long life"
    assert history[0].title == "song number 39500 of a long life"
    assert history.n_older == 39_500
    assert "39500 older" in history.notes()[0]
    dated = "artist,title,time\n" + "".join(f"A,{i},{2_000_000 - i}\n" for i in range(1, 3000))
    newest = read_history(write("h.csv", dated), keep=10)
    assert [play.title for play in newest] == [str(i) for i in range(10, 0, -1)]
    assert newest.n_older == 2989


def test_the_key_is_of_the_plays_alone(write: Write) -> None:
    one = read_history("A - a; B - b")
    assert one.key == read_history(write("h.txt", "\nA – a\nrubbish\nB - b")).key
    assert one.key != read_history("B - b; A - a").key
    assert one.key != read_history("A - a; B - c").key


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Hey Jude", "HEY  JUDE (Remastered 2015)"),
        ("Hey Jude", "Hey Jude - 2015 Remaster"),
        ("Hey Jude", "Hey, Jude! [2009 Digital Remaster]"),
        ("Crazy", "Crazy (feat. Someone Else)"),
        ("Crazy", "Crazy ft. Someone"),
        ("Simon & Garfunkel", "Simon and Garfunkel"),
        ("Beyonce\u0301", "BEYONC\u00c9"),
        ("Ｆｕｌｌ", "full"),
        ("Don’t", "Don't"),
        ("Straße", "STRASSE"),
    ],
)
def test_spellings_of_one_name(one: str, other: str) -> None:
    assert spelling_key(one) == spelling_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Hey Jude", "Hey Jude (Live)"),
        ("Hey Jude", "Hey Jude (Remix)"),
        ("!!!", "???"),
        ("Crazy", "Crazy (feat. X) [Live]"),
        ("Left", "Le"),
        ("\u0915\u093f", "\u0915\u0940"),  # the same letter with two vowels
    ],
)
def test_names_of_two_things(one: str, other: str) -> None:
    assert spelling_key(one) != spelling_key(other)
    assert spelling_key(one)
    assert spelling_key(other)


def vocabulary(*labels: tuple[str, str], plays: list[int] | None = None) -> Vocabulary:
    return Vocabulary(
        artists=tuple(artist for artist, _ in labels),
        titles=tuple(title for _, title in labels),
        plays=np.array(plays or [1] * len(labels)),
    )


def test_tracks_are_found_exactly_then_by_spelling() -> None:
    known = vocabulary(
        ("Mew", "Rain"), ("MEW", "Rain"), ("A - B", "C"), ("Nemo", "Sun (Remastered)"),
        plays=[3, 9, 1, 1],
    )  # fmt: skip
    heard = [
        Heard("Mew", "Rain"), Heard("nemo", "sun"), Heard("x", "y"), Heard("A", "B - C"),
        Heard("mew", "RAIN"), Heard("x", "y"),
    ]  # fmt: skip
    tracks, unknown = match_history(heard, known)
    assert tracks.tolist() == [0, 3, 2, 1]
    assert unknown == ["x - y"]
    found = TrackIndex(known).match(heard)
    assert found.ambiguous == ["mew - RAIN"]  # of the two, the one that is played more
    assert found.n_unknown == 2
    assert track_key("A", "B - C") == track_key("A - B", "C")


def test_nothing_heard_and_nothing_known() -> None:
    tracks, unknown = match_history([], vocabulary(("a", "b")))
    assert (tracks.tolist(), unknown) == ([], [])
    tracks, unknown = match_history([Heard("a", "b")], vocabulary())
    assert (tracks.tolist(), unknown) == ([], ["a - b"])
