from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest

from segue.core.errors import DataError, UnknownName
from segue.tasks.captioning.subtitles import (
    FORMATS,
    Subtitle,
    to_json,
    to_srt,
    to_vtt,
    write_subtitles,
)

TEXTS = (
    Subtitle(3661.5, 3662.0, "Late"),
    Subtitle(0.0, 4.2504, "A man <b>sings</b> & dances --> 日本 🎉"),
    Subtitle(1.0, 2.0, "Two\nlines\r\n\r\n of 1\t"),
    Subtitle(59.9996, 60.0, "Rounds up"),
    Subtitle(5.0, 5.0, "Short"),
)
TIMES = [(0.0, 4.25), (1.0, 2.0), (5.0, 5.001), (60.0, 60.001), (3661.5, 3662.0)]
CLOCK = re.compile(r"(\d\d):(\d\d):(\d\d)[.,](\d\d\d)")


def seconds(text: str) -> float:
    match = CLOCK.fullmatch(text)
    assert match
    hours, minutes, whole, milliseconds = map(int, match.groups())
    assert minutes < 60
    assert whole < 60
    return hours * 3600 + minutes * 60 + whole + milliseconds / 1000


def read_back(text: str, kind: str) -> list[tuple[float, float, str]]:
    """Return (start, end, text) of every caption."""
    blocks = text.strip("\n").split("\n\n")
    if kind == "vtt":
        assert blocks.pop(0) == "WEBVTT"
    found = []
    for number, block in enumerate(blocks, start=1):
        lines = block.split("\n")
        if kind == "srt":
            assert lines.pop(0) == str(number)
        times, line = lines  # one line of text each
        begin, end = times.split(" --> ")
        found.append((seconds(begin), seconds(end), html.unescape(line) if kind == "vtt" else line))
    return found


def test_what_is_written_is_read_back_in_order_of_time() -> None:
    found = read_back(to_vtt(TEXTS), "vtt")
    assert [row[:2] for row in found] == TIMES
    assert [row[2] for row in found] == [
        "A man <b>sings</b> & dances --> 日本 🎉", "Two lines of 1", "Short", "Rounds up", "Late",
    ]  # fmt: skip
    assert to_vtt(TEXTS).count("-->") == len(TEXTS)  # none of the text is a time
    plain = read_back(to_srt(TEXTS), "srt")
    assert [row[:2] for row in plain] == TIMES
    assert plain[0][2] == "A man ‹b›sings‹/b› & dances --› 日本 🎉"
    values = json.loads(to_json(TEXTS))
    assert [(v["start"], v["end"]) for v in values] == TIMES
    assert values[0]["sentence"] == TEXTS[1].text


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_no_captions_are_an_empty_file(name: str) -> None:
    assert FORMATS[name]([]) == {"json": "[]\n", "srt": "", "vtt": "WEBVTT\n"}[name]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (Subtitle(2.0, 1.0, "x"), r"caption 1: cannot be shown from 2\.0 s to 1\.0 s"),
        (Subtitle(-1.0, 1.0, "x"), "cannot be shown"),
        (Subtitle(0.0, float("nan"), "x"), "cannot be shown"),
        (Subtitle(0.0, 1.0, " \n"), "caption 1: has no text"),
    ],
)
def test_an_impossible_caption_is_named_and_nothing_written(
    tmp_path: Path, bad: Subtitle, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        write_subtitles([TEXTS[0], bad], tmp_path / "out", "film")
    assert not (tmp_path / "out").exists()


def test_files_are_named_by_their_format(tmp_path: Path) -> None:
    files = write_subtitles(TEXTS, tmp_path / "out", "film")
    assert [file.name for file in files] == ["film.json", "film.srt", "film.vtt"]
    assert files[2].read_text(encoding="utf-8") == to_vtt(TEXTS)
    with pytest.raises(UnknownName, match="Did you mean 'srt'"):
        write_subtitles(TEXTS, tmp_path / "out", "film", ["srtt"])
