from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from segue.core.errors import DataError, UsageError
from segue.tasks.captioning.data.config import PrepareConfig
from segue.tasks.captioning.data.feature_manifest import features_in
from segue.tasks.captioning.data.folder import load_prepared
from segue.tasks.captioning.data.prepare import prepare
from tests.tasks.captioning.data.written import activitynet_file, csv_file, npy, small_source


def test_a_prepared_folder_holds_what_was_written(tmp_path: Path) -> None:
    captions, features = small_source(tmp_path)
    done: list[float] = []
    report = prepare(captions, [features], tmp_path / "out", advance=done.append)
    data = load_prepared(tmp_path / "out")
    assert sum(done) == pytest.approx(1.0)
    assert data.fingerprint == report.fingerprint
    assert list(data.splits) == ["train", "val_1"]
    assert data.validation.name == "val_1"
    assert data.train.segments.videos == ("v_a", "v_a", "v_b")
    assert data.train.captions.texts[1] == 'He reads "the end" aloud'
    words = [data.vocabulary.decode(data.train.captions.of(n)) for n in range(3)]
    assert words[0] == ["a", "man", "plays", "the", "drums", ",", "does", "n't", "he"]
    # only the training captions make the vocabulary
    assert data.vocabulary.decode(data.validation.captions.of(0)) == ["a", "runs"]
    assert report.splits["val_1"]["unknown_words"] == 1
    assert data.train.references()[2] == ["A dog runs"]
    assert data.train.annotations()["v_b"] == {
        "duration": 4.0, "timestamps": [[1.0, 2.0]], "sentences": ["A dog runs"],
    }  # fmt: skip
    assert report.account["noted"] == {"a video without usable visual features": 1}
    assert report.account["examples"] == {"a video without usable visual features": ["v_b"]}


def test_features_are_summed_cut_and_padded_by_length(tmp_path: Path) -> None:
    captions, features = small_source(tmp_path)
    prepare(captions, [features], tmp_path / "out")
    source = load_prepared(tmp_path / "out").train.features
    batch = source.batch([1, 2])
    assert batch.visual.shape == (2, 5, 6)
    assert batch.audio.shape == (2, 10, 3)
    assert batch.visual_lengths.tolist() == [5, 1]
    assert batch.audio_lengths.tolist() == [10, 2]
    assert batch.has_visual.tolist() == [True, False]
    assert batch.has_audio.tolist() == [True, True]
    rgb, flow = np.load(features / "v_a_rgb.npy"), np.load(features / "v_a_flow.npy")
    np.testing.assert_array_equal(batch.visual[0], (rgb + flow)[5:10])
    np.testing.assert_array_equal(batch.audio[1, :2], np.load(features / "v_b_vggish.npy")[2:4])
    assert not batch.visual[1].any()
    assert not batch.audio[1, 2:].any()
    assert len(source) == 3


def test_the_kind_of_features_is_told_by_their_files(tmp_path: Path) -> None:
    captions, features = small_source(tmp_path)
    for fusion, width in (("sum", 6), ("concatenate", 12)):
        prepare(captions, [features], tmp_path / "out", PrepareConfig.parse({"fusion": fusion}))
        told = features_in(load_prepared(tmp_path / "out"))
        assert told["kinds"] == {
            "visual": f"rgb + flow, {width} numbers", "audio": "vggish, 3 numbers",
        }  # fmt: skip
        assert (told["fusion"], told["plain_names"]) == (fusion, "audio")


def test_streams_can_stand_side_by_side(tmp_path: Path) -> None:
    captions, features = small_source(tmp_path)
    prepare(captions, [features], tmp_path / "out", PrepareConfig(fusion="concatenate"))
    source = load_prepared(tmp_path / "out").train.features
    rgb, flow = np.load(features / "v_a_rgb.npy"), np.load(features / "v_a_flow.npy")
    rows = source.rows(0).visual
    assert rows is not None
    np.testing.assert_array_equal(rows, np.concatenate([rgb, flow], axis=1)[:5])
    assert source.visual_width == 12


def test_captions_that_cannot_be_used_are_counted(tmp_path: Path) -> None:
    captions, features = tmp_path / "captions", tmp_path / "features"
    captions.mkdir()
    npy(features, "v_a_visual", 4, 5)
    csv_file(
        captions / "train.csv",
        [
            ("v_a", "Good", 0, 5, 10),
            ("v_a", " . ", 0, 5, 10),
            ("v_a", "Backwards", 5, 4, 10),
            ("v_a", "Late", 11, 12, 10),
            ("v_a", "Early", -1, 2, 10),
            ("v_a", "Nowhere", 0, 0, 0),
            ("v_a", "Overlong", 5, 13, 10),
        ],
    )
    report = prepare(captions, [features], tmp_path / "out")
    assert report.account["dropped"] == {
        "an empty caption": 1,
        "an end before the start": 1,
        "a start after the end of the video": 1,
        "a start before the video": 1,
        "a video without length": 1,
    }
    assert report.account["noted"] == {"an end after the end of the video": 1}
    assert report.account["examples"]["an end before the start"] == [
        "train.csv: row 4 (5 to 4 of 10 s)"
    ]
    data = load_prepared(tmp_path / "out")
    assert data.train.captions.texts == ("Good", "Overlong")
    assert data.train.features.batch([1]).visual_lengths.tolist() == [2]
    # as the original: kept, and without rows
    keep = PrepareConfig(impossible_segments="keep")
    prepare(captions, [features], tmp_path / "all", keep)
    everything = load_prepared(tmp_path / "all").train
    assert everything.captions.texts[1] == "Backwards"
    assert everything.features.batch([0, 1]).has_visual.tolist() == [True, False]
    with pytest.raises(DataError, match=r"row 3: an empty caption"):
        prepare(captions, [features], tmp_path / "no", PrepareConfig(strict=True))
    assert not (tmp_path / "no").exists()


def test_feature_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    features = tmp_path / "features"
    names = ("good", "wide", "empty", "flat", "text", "cut", "pickled", "junk", "uneven", "gone")
    for name in ("good", "fine"):
        npy(features, f"{name}_visual", 4, 5)
    npy(features, "wide_visual", 4, 6)
    np.save(features / "empty_visual.npy", np.zeros((0, 5), np.float32))
    np.save(features / "flat_visual.npy", np.zeros(5, np.float32))
    np.save(features / "text_visual.npy", np.array([["a"]]))
    whole = (features / "good_visual.npy").read_bytes()
    (features / "cut_visual.npy").write_bytes(whole[:-9])
    np.save(features / "pickled_visual.npy", np.array([[{}]], dtype=object), allow_pickle=True)
    (features / "junk_visual.npy").write_bytes(b"\x80\x04N.")
    npy(features, "uneven_rgb", 4, 5)
    npy(features, "uneven_flow", 3, 5)
    source = activitynet_file(
        tmp_path / "train.json",
        {name: (10.0, [(0, 10, f"Caption of {name}")]) for name in (*names, "fine")},
    )
    config = PrepareConfig(validation_share=0, test_share=0)
    report = prepare(source, [features], tmp_path / "out", config)
    assert report.account["dropped"] == {
        "visual features of another width than 5": 1,
        "a file of visual features without rows": 1,
        "a file of visual features that is not a table of rows": 1,
        "a file of visual features that holds no real numbers": 1,
        "a file of visual features that is cut off": 1,
        "a file of visual features that holds pickled objects": 1,
        "a file of visual features that is not a .npy file": 1,
        "streams of unequal shape": 1,
    }
    examples = report.account["examples"]
    assert examples["visual features of another width than 5"] == ["wide_visual.npy: width 6"]
    assert examples["streams of unequal shape"] == ["uneven: 4 x 5 and 3 x 5"]
    assert examples["a file of visual features that holds pickled objects"] == [
        str(features / "pickled_visual.npy")
    ]
    assert report.account["noted"] == {"a video without usable visual features": 9}
    drop = config.model_copy(update={"missing_features": "drop"})
    report = prepare(source, [features], tmp_path / "few", drop)
    assert report.account["dropped"]["a caption of a video without any features"] == 9
    assert set(load_prepared(tmp_path / "few").train.segments.videos) == {"good", "fine"}
    wide = config.model_copy(update={"visual_width": 6})
    assert prepare(source, [features], tmp_path / "wide", wide).features["visual_width"] == 6


def test_a_folder_without_features_is_an_error_that_names_what_is_expected(tmp_path: Path) -> None:
    captions, features = small_source(tmp_path)
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"none: no usable features.*v_a_rgb\.npy"):
        prepare(captions, [tmp_path / "none"], tmp_path / "out")
    with pytest.raises(DataError, match="no such folder of features"):
        prepare(captions, [tmp_path / "nowhere"], tmp_path / "out")
    with pytest.raises(UsageError, match="no folder of features is given"):
        prepare(captions, [], tmp_path / "out")
    with pytest.raises(DataError, match="no such file or folder"):
        prepare(tmp_path / "nothing", [features], tmp_path / "out")
    foreign = tmp_path / "mine"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match=r"holds other things, such as thesis\.txt"):
        prepare(captions, [features], foreign)
    assert (foreign / "thesis.txt").read_text() == "years of work"
    assert not (tmp_path / "out").exists()


def test_a_name_in_a_caption_file_is_never_a_path(tmp_path: Path) -> None:
    npy(tmp_path, "secret_visual", 4, 5)
    npy(tmp_path / "features", "v_visual", 4, 5)
    source = activitynet_file(
        tmp_path / "train.json",
        {"../secret": (9.0, [(0, 9, "Out")]), "v": (9.0, [(0, 9, "In")])},
    )
    report = prepare(
        source, [tmp_path / "features"], tmp_path / "out", PrepareConfig(validation_share=0)
    )
    assert report.features["videos_with_visual"] == 1


def test_one_file_is_split_by_video_and_sentences_share_their_segment(tmp_path: Path) -> None:
    lines = [
        {"video": f"c{n}", "start": 0, "end": 4, "duration": 4, "sentence": f"Clip {n} {way}"}
        for n in range(10)
        for way in ("once", "twice")
    ]
    source = tmp_path / "own.jsonl"
    source.write_text("\n".join(map(json.dumps, lines)))
    for n in range(10):
        npy(tmp_path / "features", f"c{n}", 4, 3)
    prepare(source, [tmp_path / "features"], tmp_path / "out")
    data = load_prepared(tmp_path / "out")
    sizes = {name: len(split) for name, split in data.splits.items()}
    assert sizes == {"train": 8, "test": 1, "validation": 1}
    assert data.validation.name == "validation"
    assert all(len(each) == 2 for each in data.train.references())
    assert data.train.captions.segment.tolist() == [n // 2 for n in range(16)]
    assert (data.train.features.visual_width, data.train.features.audio_width) == (1, 3)
    seen = PrepareConfig(plain_names="visual")
    report = prepare(source, [tmp_path / "features"], tmp_path / "seen", seen)
    assert (report.features["visual_width"], report.features["audio_width"]) == (3, 0)
    videos = [set(split.segments.videos) for split in data.splits.values()]
    assert sum(map(len, videos)) == len(set.union(*videos)) == 10


def test_the_same_source_gives_the_same_data_and_another_seed_another_split(tmp_path: Path) -> None:
    rows = {f"v{n}": (9.0, [(0, 9, f"Video {n}")]) for n in range(20)}
    source = activitynet_file(tmp_path / "all.json", rows)
    for n in range(20):
        npy(tmp_path / "features", f"v{n}_visual", 3, 2)
    marks = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        config = PrepareConfig(seed=seed)
        marks.append(prepare(source, [tmp_path / "features"], tmp_path / name, config).fingerprint)
    assert marks[0] == marks[1] != marks[2]


def test_only_available_videos_are_taken(tmp_path: Path) -> None:
    captions, features = small_source(tmp_path)
    listed = tmp_path / "available.txt"
    listed.write_text("v_a\nv_c\n")
    report = prepare(captions, [features], tmp_path / "out", PrepareConfig(available=listed))
    assert report.account["dropped"] == {"a video that is not available": 1}
    assert set(load_prepared(tmp_path / "out").train.segments.videos) == {"v_a"}
