from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from segue.core.errors import DataError
from segue.tasks.captioning.data.config import PrepareConfig
from segue.tasks.captioning.data.feature_source import PackedFeatures
from segue.tasks.captioning.data.folder import load_prepared
from segue.tasks.captioning.data.folder_features import FolderFeatures
from segue.tasks.captioning.data.prepare import prepare
from tests.tasks.captioning.data.written import npy, small_source


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    captions, features = small_source(tmp_path)
    prepare(captions, [features], tmp_path / "out")
    return tmp_path / "out"


@pytest.mark.parametrize("name", ["captions.safetensors", "texts.json", "features.json"])
def test_a_changed_byte_is_noticed(prepared: Path, name: str) -> None:
    data = bytearray((prepared / name).read_bytes())
    data[len(data) // 2] ^= 1
    (prepared / name).write_bytes(data)
    with pytest.raises(DataError, match=f"damaged: {name} is not what was written"):
        load_prepared(prepared)
    (prepared / name).unlink()
    with pytest.raises(DataError, match=f"damaged: {name}"):
        load_prepared(prepared)


def test_what_is_no_prepared_folder_is_told(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such prepared folder"):
        load_prepared(tmp_path / "none")
    manifest = prepared / "prepared.json"
    facts = json.loads(manifest.read_text())
    for change, message in (
        ({"kind": "other"}, "not a folder of prepared captions"),
        ({"format": 99}, "has format 99"),
        ({"files": {}}, "incomplete"),
    ):
        manifest.write_text(json.dumps(facts | change))
        with pytest.raises(DataError, match=message):
            load_prepared(prepared)
    manifest.write_text("[")
    with pytest.raises(DataError, match="cannot be read"):
        load_prepared(prepared)
    manifest.unlink()
    with pytest.raises(DataError, match=r"no prepared\.json in it"):
        load_prepared(prepared)


def test_features_may_be_moved_and_data_stays_the_same(prepared: Path, tmp_path: Path) -> None:
    before = load_prepared(prepared)
    wanted = before.train.features.batch([0, 1, 2]).visual
    shutil.move(tmp_path / "features", tmp_path / "moved")
    with pytest.raises(DataError, match=r"features: the features .* no longer there"):
        load_prepared(prepared)
    after = load_prepared(prepared, features=[tmp_path / "moved"])
    np.testing.assert_array_equal(after.train.features.batch([0, 1, 2]).visual, wanted)
    assert after.fingerprint == before.fingerprint
    # prepared again at the other place, it is the same data
    captions = tmp_path / "captions"
    assert prepare(captions, [tmp_path / "moved"], prepared).fingerprint == before.fingerprint


def test_a_feature_file_that_changed_is_named(prepared: Path, tmp_path: Path) -> None:
    features = tmp_path / "features"
    source = load_prepared(prepared).train.features
    npy(features, "v_a_rgb", 9, 6)
    with pytest.raises(DataError, match=r"v_a_rgb\.npy: has 9 rows instead of 10"):
        source.batch([0])
    npy(features, "v_a_rgb", 10, 7)
    with pytest.raises(DataError, match=r"v_a_rgb\.npy: has width 7 instead of 6"):
        source.batch([0])
    values = npy(features, "v_a_rgb", 10, 6)
    values[3, 2] = np.nan
    np.save(features / "v_a_rgb.npy", values)
    with pytest.raises(DataError, match=r"v_a_rgb\.npy: row 3 holds a number that is not finite"):
        source.batch([0])
    (features / "v_a_rgb.npy").unlink()
    with pytest.raises(DataError, match=r"v_a_rgb\.npy: cannot be read"):
        source.batch([0])


def test_memory_for_features_is_limited(prepared: Path) -> None:
    split = load_prepared(prepared).train
    whole = split.features
    assert isinstance(whole, FolderFeatures)
    times = split.segments.starts_s, split.segments.ends_s, split.segments.durations_s
    small = FolderFeatures(whole.index, split.segments.videos, *times, cache_bytes=1)
    for segment in (0, 2, 1, 0):
        np.testing.assert_array_equal(small.batch([segment]).audio, whole.batch([segment]).audio)
    assert len(small._cache) == 1
    assert len(whole._cache) == 2


def test_column_order_and_whole_numbers_are_read_as_they_are(tmp_path: Path) -> None:
    captions, features = small_source(tmp_path)
    values = np.arange(60).reshape(10, 6)
    np.save(features / "v_a_rgb.npy", np.asfortranarray(values.astype(np.float64)))
    np.save(features / "v_a_flow.npy", values.astype(np.int16))
    prepare(captions, [features], tmp_path / "out")
    rows = load_prepared(tmp_path / "out").train.features.rows(0).visual
    assert rows is not None
    np.testing.assert_array_equal(rows, 2.0 * values[:5])
    assert rows.dtype == np.float32


def test_packed_features_of_no_rows_are_absent() -> None:
    packed = PackedFeatures(
        visual=np.arange(6, dtype=np.float16).reshape(3, 2),
        visual_offsets=np.array([0, 2, 2, 3]),
        audio=np.zeros((0, 4), np.float16),
        audio_offsets=np.zeros(4, np.int64),
    )
    batch = packed.batch([1, 0])
    assert batch.visual.tolist() == [[[0, 0], [0, 0]], [[0, 1], [2, 3]]]
    assert batch.has_visual.tolist() == [False, True]
    assert batch.audio.shape == (2, 1, 4)
    assert not batch.has_audio.any()
    part = packed.part(2, 3)
    assert len(part) == 1
    assert part.batch([0]).visual.tolist() == [[[4, 5]]]
    assert batch.visual.dtype == np.float32


def test_word_vectors_travel_with_the_data(tmp_path: Path) -> None:
    captions, features = small_source(tmp_path)
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("dog 1 2\nzebra 3 4\n")
    prepare(captions, [features], tmp_path / "out", PrepareConfig(word_vectors=vectors))
    data = load_prepared(tmp_path / "out")
    assert data.word_vectors is not None
    assert data.word_vectors.shape == (len(data.vocabulary), 2)
    assert data.word_vectors.sum() == 3
