"""ActivityNet's protocol by hand; the command and files that are not of its form."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segue.core.errors import DataError, MissingExtra, SegueError
from segue.core.options import run
from segue.tasks.captioning.cli_metrics import score_file as command
from segue.tasks.captioning.metrics import protocol
from segue.tasks.captioning.metrics.protocol import given_segments, score_captions, tiou
from segue.tasks.captioning.metrics.score_file import score_file
from segue.tasks.captioning.metrics.submission import Described

CAT, DOG = "A cat sleeps.", "A dog runs fast."


def _told(**videos: list[tuple[str, float, float]]) -> dict[str, list[Described]]:
    return {video: [Described(*each) for each in items] for video, items in videos.items()}


def test_overlap() -> None:
    assert tiou(Described("", 0, 10), Described("", 5, 15)) == pytest.approx(5 / 15)
    assert tiou(Described("", 0, 10), Described("", 10, 20)) == 0.0
    # Apart, the sum of lengths is less than the hull; a segment turned round has no overlap.
    assert tiou(Described("", 0, 1), Described("", 9, 10)) == 0.0
    assert tiou(Described("", 9, 2), Described("", 0, 10)) == 0.0


def test_a_threshold_is_reached_by_pairs_and_passed_by_segments() -> None:
    told = _told(v=[(CAT, 0, 10)])
    said = _told(v=[(CAT, 0, 5.00000001)])
    half = score_captions(said, [told], tious=[0.5], official=False)
    assert half.metrics["rouge_l"][0, 0] == pytest.approx(1.0)
    over = score_captions(_told(v=[(CAT, 0, 5)]), [told], tious=[0.5], official=False)
    # 5 / (10 + 1e-8) is below .5: compared with a word that nobody says
    assert over.metrics["rouge_l"][0, 0] == over.metrics["meteor (exact+stem)"][0, 0] == 0.0
    assert over.metrics["recall"][0, 0] == 0.0


def test_every_video_of_the_references_counts_once() -> None:
    told = _told(a=[(CAT, 0, 10), (DOG, 10, 20)], b=[(CAT, 0, 10)], c=[(DOG, 0, 10)])
    said = _told(a=[(CAT, 0, 10), (CAT, 30, 40)], c=[], z=[(CAT, 0, 1)])
    found = score_captions(said, [told], tious=[0.5, 0.9], official=False)
    assert found.videos == ("a", "b", "c")
    assert found.metrics["rouge_l"][0].tolist() == [0.5, 0.0, 0.0]
    assert found.metrics["recall"][0].tolist() == [0.5, 0.0, 0.0]
    assert found.metrics["precision"][0].tolist() == [0.5, 0.0, 0.0]
    assert (found.unknown_videos, found.silent_videos, found.left_out) == (1, 2, 0)
    assert found.means()["recall"].tolist() == pytest.approx([0.5 / 3] * 2)
    one = score_captions(said, [told], tious=[0.5], max_proposals=1, official=False)
    assert one.metrics["precision"][0, 0] == 1.0
    assert one.left_out == 1


def test_several_annotators_make_more_pairs_and_the_best_recall() -> None:
    first, second = _told(a=[(CAT, 0, 10), (DOG, 50, 60)]), _told(a=[(DOG, 0, 10)], b=[(CAT, 0, 9)])
    said = _told(a=[(CAT, 0, 10)])
    found = score_captions(said, [first, second], tious=[0.5], official=False)
    both = [1.0, found.metrics["rouge_l"][0, 0] * 2 - 1.0]
    assert 0 < both[1] < 0.5  # "a" is common to both
    assert found.videos == ("a", "b")
    assert found.metrics["recall"][0].tolist() == [1.0, 0.0]
    # One pair alone has document frequencies of one item, so CIDEr is 0; here there are two.
    assert found.metrics["cider"][0, 0] > 0
    alone = score_captions(said, [first], tious=[0.5], official=False)
    assert alone.metrics["cider"][0, 0] == 0.0


def test_letters_beyond_ascii_part_words() -> None:
    told = _told(a=[("The caf owner", 0, 10)])
    said = _told(a=[("The caf\u00e9owner", 0, 10)])
    found = score_captions(said, [told], tious=[0.5], official=False)
    assert found.metrics["bleu_1"][0, 0] == pytest.approx(1.0, abs=1e-6)


def test_segments_of_the_references_are_recognised() -> None:
    told = _told(a=[(CAT, 3.15, 151.42)])
    assert given_segments(
        _told(a=[(DOG, float(np.float32(3.15)), float(np.float32(151.42)))]), [told]
    )
    assert not given_segments(_told(a=[(DOG, 3.15, 151.5)]), [told])


def test_nothing_in_common_is_an_error() -> None:
    with pytest.raises(DataError, match="no video has both predictions and references"):
        score_captions(_told(v=[(CAT, 0, 1)]), [_told(w=[(CAT, 0, 1)])], official=False)
    with pytest.raises(DataError, match="no references"):
        score_captions(_told(v=[(CAT, 0, 1)]), [{}], official=False)


class _Exact:
    """In place of METEOR's program: every pair is a complete match of two words."""

    def statistics(self, said: list[Any], told: list[Any]) -> np.ndarray:
        row = np.zeros(23, dtype=np.int64)
        row[[0, 1, 4, 5, 21, 22]], row[20] = 2, 1
        return np.tile(row, (len(said), 1))


def test_the_official_column_comes_or_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    told, said = _told(a=[(CAT, 0, 10)]), _told(a=[(DOG, 0, 10)])
    monkeypatch.setattr(protocol, "find_official", _Exact)
    found = score_captions(said, [told], tious=[0.5])
    assert found.metrics["meteor"][0, 0] == 1.0
    assert not found.missing

    def nothing() -> None:
        raise MissingExtra("no java", advice="Install it")

    monkeypatch.setattr(protocol, "find_official", nothing)
    found = score_captions(said, [told], tious=[0.5])
    assert "meteor" not in found.metrics
    assert found.missing == {"meteor": "no java. Install it"}
    assert "meteor (exact+stem)" in found.metrics


# --- files and the command ------------------------------------------------------------------------


def _write(path: Path, value: object, packed: bool = False) -> Path:
    data = json.dumps(value).encode()
    path.write_bytes(gzip.compress(data) if packed else data)
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    told = {
        f"v_{k}": {"duration": 20, "timestamps": [[0, 10], [10, 20]], "sentences": [CAT, DOG]}
        for k in range(4)
    }
    said = {
        "results": {
            f"v_{k}": [{"sentence": (CAT, DOG)[k % 2], "timestamp": [0, 10]}] for k in range(4)
        }
    }
    return (
        _write(tmp_path / "said.json", said),
        _write(tmp_path / "told.json.gz", told, packed=True),
    )


def test_a_file_is_scored(files: tuple[Path, Path]) -> None:
    found = score_file(files[0], [files[1]], official=False)
    row = found.table.row("said.json")
    assert found.scores.tious == (0.5,)
    assert found.table.data.n == 4
    assert found.table.data.fingerprint.startswith("sha256:")
    assert row.metrics["recall"].value == 50.0
    assert row.metrics["precision"].value == 100.0
    assert 0 < row.metrics["meteor (exact+stem)"].value < 100
    all_four = score_file(files[0], [files[1]], tious=[0.3, 0.7], official=False)
    assert [r.model for r in all_four.table.rows] == [
        "said.json", "said.json, tIoU 0.3", "said.json, tIoU 0.7",
    ]  # fmt: skip
    assert not all_four.table.comparisons


def test_the_command_prints_table_and_json(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    said, told = map(str, files)
    assert run(command, [said, "--references", told, "--no-official"]) == 0
    out = capsys.readouterr().out
    assert "rouge_l" in out
    assert "no column 'meteor': the official program was not asked for" in out
    arguments = [said, "--references", told, "--references", told, "--no-official", "--json"]
    assert run(command, arguments) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["tious"] == [0.5]
    assert value["missing"].keys() == {"meteor"}
    assert value["rows"][0]["metrics"]["recall"]["value"] == 50.0


BAD_PREDICTIONS = {
    "no results": ({"a": []}, "said.json: holds no predictions"),
    "a list": ([], "holds no predictions"),
    "not a list": ({"results": {"v": {}}}, r"results\.v: is an object"),
    "not an object": ({"results": {"v": ["x"]}}, r"results\.v\[0\]: is text"),
    "no sentence": ({"results": {"v": [{"timestamp": [0, 1]}]}}, r"v\[0\]: the sentence is null"),
    "no time": ({"results": {"v": [{"sentence": "x"}]}}, r"v\[0\]: the timestamp is null"),
    "three times": (
        {"results": {"v": [{"sentence": "x", "timestamp": [0, 1, 2]}]}},
        r"the timestamp is \[0, 1, 2\]",
    ),
    "not finite": (
        {"results": {"v": [{"sentence": "x", "timestamp": [0, float("nan")]}]}},
        r"the timestamp is \[0, NaN\]",
    ),
    "other videos": (
        {"results": {"v_x": [{"sentence": "x", "timestamp": [0, 1]}]}},
        "v_x: no video has both",
    ),
}


@pytest.mark.parametrize("case", BAD_PREDICTIONS)
def test_bad_predictions_are_one_line(
    case: str, files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    value, message = BAD_PREDICTIONS[case]
    _write(files[0], value)
    assert run(command, [str(files[0]), "--references", str(files[1]), "--no-official"]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    with pytest.raises(SegueError, match=message):
        score_file(files[0], [files[1]], official=False)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "told.json.gz: holds no references"),
        ({"v": 3}, "told.json.gz: v: is a number"),
        ({"v": {"sentences": []}}, "v: lacks the lists"),
        ({"v": {"timestamps": [[0, 1]], "sentences": []}}, "v: has 1 timestamps and 0 sentences"),
        ({"v": {"timestamps": [[0, "1"]], "sentences": ["x"]}}, "v, segment 0: the timestamp"),
        (
            {"v": {"timestamps": [[0, 1]], "sentences": [None]}},
            "v, segment 0: the sentence is null",
        ),
    ],
)
def test_bad_references_are_named(value: object, message: str, files: tuple[Path, Path]) -> None:
    _write(files[1], value)
    with pytest.raises(DataError, match=message):
        score_file(files[0], [files[1]], official=False)


def test_unreadable_files_are_named(files: tuple[Path, Path], tmp_path: Path) -> None:
    said, told = files
    with pytest.raises(DataError, match=r"nowhere\.json: cannot be read: No such file"):
        score_file(tmp_path / "nowhere.json", [told], official=False)
    said.write_text('{"results": {')
    with pytest.raises(DataError, match=r"said\.json: is not JSON"):
        score_file(said, [told], official=False)
    said.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"said\.json: is not JSON"):
        score_file(said, [told], official=False)
    said.write_bytes(told.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"said\.json: is a damaged gzip file"):
        score_file(said, [told], official=False)
