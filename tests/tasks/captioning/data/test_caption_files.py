from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from segue.core.errors import DataError
from segue.tasks.captioning.data.account import Account
from segue.tasks.captioning.data.caption_files import read_captions
from segue.tasks.captioning.data.sources import find_splits
from tests.tasks.captioning.data.written import activitynet_file, csv_file


def test_the_csv_and_the_json_of_activitynet_give_the_same_rows(tmp_path: Path) -> None:
    rows = [("v_1", 'He says "no"\tor 日本', 0.5, 2.0, 9.0), ("v_1", "Yes", 2.0, 9.0, 9.0)]
    table = csv_file(tmp_path / "a.csv", [rows[0], rows[1]])
    tree = activitynet_file(
        tmp_path / "a.json", {"v_1": (9.0, [(0.5, 2.0, rows[0][1]), (2.0, 9.0, "Yes")])}
    )
    packed = tmp_path / "b.json.gz"
    packed.write_bytes(gzip.compress(tree.read_bytes()))
    account = Account(strict=True)
    found = [
        [(r.video, r.sentence, r.start_s, r.end_s, r.duration_s) for r in rows_of]
        for rows_of in (read_captions(path, "auto", account) for path in (table, tree, packed))
    ]
    assert found == [rows, rows, rows]


def test_msrvtt_and_vatex_describe_whole_clips(tmp_path: Path) -> None:
    clips = {
        "videos": [
            {"video_id": "video0", "start time": 3.5, "end time": 10.0, "split": "train"},
            {"video_id": "video0", "start time": 0, "end time": 1, "split": "train"},
            {"video_id": "video1", "start time": 1, "end time": 3, "split": "validate"},
        ],
        "sentences": [
            {"video_id": "video0", "caption": "a cat", "sen_id": 0},
            {"video_id": "video1", "caption": "a dog", "sen_id": 1},
            {"video_id": "video9", "caption": "nothing", "sen_id": 2},
        ],
    }
    (tmp_path / "m.json").write_text(json.dumps(clips))
    account = Account()
    rows = read_captions(tmp_path / "m.json", "auto", account)
    assert [(r.video, r.start_s, r.end_s, r.duration_s, r.split) for r in rows] == [
        ("video0", 0, 6.5, 6.5, "train"),
        ("video1", 0, 2, 2, "validate"),
    ]
    assert account.dropped == {
        "an id that occurs twice; the first is used": 1,
        "a sentence of a video that is not listed": 1,
    }
    (tmp_path / "v.json").write_text(
        json.dumps(
            [
                {"videoID": "-x_Y12_000011_000021", "enCap": ["One.", "Two."], "chCap": []},
                {"videoID": "no times", "enCap": ["x"]},
            ]
        )
    )
    account = Account()
    rows = read_captions(tmp_path / "v.json", "auto", account)
    assert [(r.sentence, r.end_s, r.shares) for r in rows] == [
        ("One.", 10, True),
        ("Two.", 10, True),
    ]
    assert account.examples == {"a clip whose name tells no times": ["v.json: no times"]}


def test_lines_that_cannot_be_used_are_counted_by_reason(tmp_path: Path) -> None:
    good = {"video": "a", "start": 0, "end": 1, "duration": 2, "sentence": "Hi", "split": "val"}
    lines = [
        json.dumps(good),
        "{",
        json.dumps({k: v for k, v in good.items() if k != "end"}),
        json.dumps(good | {"start": "soon"}),
        json.dumps(good | {"end": float("nan")}),
        json.dumps(good | {"video": 3}),
        json.dumps(good | {"sentence": None}),
        "[]",
        "",
    ]
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(lines))
    account = Account()
    rows = read_captions(path, "auto", account)
    assert [(row.video, row.split) for row in rows] == [("a", "val")]
    assert account.dropped == {
        "a line that is not JSON": 1,
        "a line without end": 1,
        "a time that is not a number": 2,
        "a caption without a video": 1,
        "a caption that is not text": 1,
        "a line without video": 1,
    }
    assert account.examples["a line without end"] == ["x.jsonl: line 3"]
    with pytest.raises(DataError, match=r"x.jsonl: line 2: a line that is not JSON"):
        read_captions(path, "auto", Account(strict=True))


def test_an_id_twice_in_activitynet_is_counted(tmp_path: Path) -> None:
    one = '"v_1": {"duration": 9, "timestamps": [[0, 1]], "sentences": ["%s"]}'
    path = tmp_path / "a.json"
    path.write_text("{" + one % "First" + ", " + one % "Second" + "}")
    account = Account()
    rows = read_captions(path, "auto", account)
    assert [row.sentence for row in rows] == ["First"]
    assert account.dropped == {"an id that occurs twice; the first is used": 1}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"{", "is not JSON"),
        ("a.json", b'{"version": 1, "results": {}}', "holds predictions"),
        ("a.json", b'{"x": 3}', "no known format"),
        ("a.json", b"[" * 100_000, "is not JSON"),
        ("a.json", b'{"v": {"timestamps": [[0]], "sentences": ["x"]}}', "activitynet"),
        ("a.csv", b"video_id\tcaption\tstart\nx\ty\t0\n", "end, duration missing"),
        ("a.csv", b"\xff\xfe", "is not UTF-8 text"),
        ("a.csv.gz", b"\x1f\x8b\x08broken", "cannot be read"),
    ],
)
def test_a_file_that_is_not_captions_is_one_line(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_captions(path, "auto", Account())
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_splits_are_told_by_the_names_of_files(tmp_path: Path) -> None:
    for name in (
        "train.csv.gz", "train.json.gz", "val_1.json", "val_1_no_missings.json.gz", "val_2.csv",
        "msrvtt_val_1.csv", "bmt_results_val_1.json.gz", "readme.txt", "vatex_validation_v1.0.json",
    ):  # fmt: skip
        (tmp_path / name).write_text("")
    found = {split: path.name for split, path in find_splits(tmp_path, {}, "csv")}
    assert found == {
        "train": "train.csv.gz",
        "val_1": "val_1_no_missings.json.gz",
        "msrvtt_val_1": "msrvtt_val_1.csv",
        "val_2": "val_2.csv",
        "validation": "vatex_validation_v1.0.json",
    }
    assert next(iter(found)) == "train"
    assert dict(find_splits(tmp_path, {}, "json"))["train"].name == "train.json.gz"
    given = find_splits(tmp_path, {"training": "val_2.csv"}, "csv")
    assert given == [("train", tmp_path / "val_2.csv")]
    with pytest.raises(DataError, match="no such file of captions"):
        find_splits(tmp_path, {"train": "none.csv"}, "csv")
    (tmp_path / "train.csv.gz").unlink()
    (tmp_path / "train.json.gz").unlink()
    with pytest.raises(DataError, match=r"no file of captions for train.*files\.train="):
        find_splits(tmp_path, {}, "csv")
