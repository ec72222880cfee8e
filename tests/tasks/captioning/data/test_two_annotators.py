from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from segue.core.errors import DataError
from segue.tasks.captioning.data.folder import load_prepared
from segue.tasks.captioning.data.proxy_words import is_heard
from segue.tasks.captioning.two_annotators import TwoAnnotatorsConfig, build
from tests.tasks.captioning.data.written import csv_file

SETTINGS = {"visual_width": 8, "audio_width": 4, "min_count": 1}


def annotations(folder: Path, n: int = 20) -> Path:
    """Write n videos that two annotators describe, and one that only the first does."""
    folder.mkdir()
    things = ("dog", "horse", "boat", "car")
    first = [("v_alone", "Nobody else saw it", 0.0, 5.0, 10.0)]
    second = []
    for number in range(n):
        video, thing = f"v_{number}", things[number % 4]
        first += [
            (video, f"A {thing} runs, loudly", 0.0, 4.0, 10.0),
            (video, f"The {thing} sings", 6.0, 10.0, 10.0),
        ]
        second += [
            (video, f"There is a {thing}", 0.0, 2.0, 10.0),
            (video, f"A {thing} is seen", 1.0, 5.0, 10.0),
            (video, "Nothing happens", 5.0, 6.0, 10.0),
        ]
    csv_file(folder / "val_1.csv", first)
    csv_file(folder / "val_2.csv", second)
    return folder


def test_each_annotator_s_segments_are_described_by_the_other_s_words(tmp_path: Path) -> None:
    config = TwoAnnotatorsConfig(**SETTINGS)
    data = build(annotations(tmp_path / "source"), tmp_path / "out", config)
    assert {name: len(set(s.segments.videos)) for name, s in data.splits.items()} == {
        "train": 12, "validation": 2, "test": 6,
    }  # fmt: skip
    assert "PROXY" in data.facts["proxy"]
    train = data.train
    assert len(train) == 12 * 5
    assert "v_alone" not in {v for s in data.splits.values() for v in s.segments.videos}
    assert train.groups is not None
    assert train.hints is not None
    assert train.groups[:5].tolist() == [0, 0, 1, 1, 1]
    thing = train.captions.texts[0].split()[1]
    # 3 of 4 and 4 s overlap: 9/16; 2 of 4 and 2 s: 1/2
    assert train.hints[:2] == (f"A {thing} is seen", "")
    assert train.hints[2:5] == (f"A {thing} runs, loudly", f"A {thing} runs, loudly", "")
    batch = train.features.batch([0, 1, 2])
    assert batch.visual.shape == (3, 2, 8 + 5)
    assert batch.audio.shape == (3, 2, 4 + 5)
    assert batch.visual_lengths.tolist() == [2, 1, 1]
    assert batch.has_visual.all()
    assert batch.has_audio.all()
    wanted = [[0.75, 0.75, 0, 0.4, 0], [0.5, 1, 0, 0.4, 0]]
    np.testing.assert_allclose(batch.visual[0, :, 8:], wanted, atol=1e-3)
    np.testing.assert_allclose(batch.visual[1, 0], [0] * 8 + [0, 0, 0.6, 1, 0], atol=1e-3)
    assert batch.visual[2, 0, -1] == 1
    # words without a letter are left out, and only training words are known
    assert data.vocabulary.decode(train.captions.of(0)) == ["a", thing, "runs", "loudly"]


def test_words_are_divided_between_the_halves() -> None:
    heard, seen = ("a", "quickly", "sings", "guitar", "n't"), ("dog", "family", "plays", "fly")
    assert all(map(is_heard, heard))
    assert not any(map(is_heard, seen))


def test_the_seed_decides_everything_and_folders_are_read_back(tmp_path: Path) -> None:
    source = annotations(tmp_path / "source")
    marks = {}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        marks[name] = build(source, tmp_path / name, TwoAnnotatorsConfig(seed=seed, **SETTINGS))
    assert marks["a"].fingerprint == marks["b"].fingerprint != marks["c"].fingerprint
    again = load_prepared(tmp_path / "a")
    np.testing.assert_array_equal(
        again.validation.features.batch([0]).audio, marks["a"].validation.features.batch([0]).audio
    )
    one = build(source, tmp_path / "d", TwoAnnotatorsConfig(directions="second", **SETTINGS))
    assert len(one.train) == 12 * 3
    assert one.train.groups is not None
    assert one.train.groups.all()


def test_a_half_has_the_size_that_is_promised(tmp_path: Path) -> None:
    config = TwoAnnotatorsConfig(visual_width=64, audio_width=64, min_count=1, most_rows=1)
    data = build(annotations(tmp_path / "source"), tmp_path / "out", config)
    counts = np.diff(data.train.features.visual_offsets)  # type: ignore[attr-defined]
    assert counts.max() == 1
    rows = data.train.features.batch(np.arange(len(data.train)))
    words = rows.visual[:, 0, :64]
    assert 0.6 < np.sqrt((words[words.any(axis=1)] ** 2).mean()) < 1.6


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    source = annotations(tmp_path / "source", n=2)
    with pytest.raises(DataError, match="2 videos are described by both annotators: too few"):
        build(source, tmp_path / "out")
    (source / "val_2.csv").unlink()
    with pytest.raises(DataError, match="no file of captions for val_2, only for val_1"):
        build(source, tmp_path / "out")
    (source / "val_2.json").write_text(json.dumps({"results": {}}))
    with pytest.raises(DataError, match=r"val_2\.json: holds predictions"):
        build(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
