"""Dataset folders: what is read, what is left out and named, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segue.core.errors import DataError
from segue.tasks.soundtrack.folder import load_dataset
from tests.synthetic_soundtrack import make_dataset, write_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(make_dataset(), tmp_path)


def _edit(path: Path, change: Callable[[Any], Any]) -> None:
    value = json.loads(path.read_text())
    result = change(value)
    path.write_text(json.dumps(value if result is None else result))


def test_a_folder_gives_back_what_was_written(folder: Path) -> None:
    wanted, found = make_dataset(), load_dataset(folder)
    assert found.warnings == ()
    assert found.has_text
    assert [t.name for t in found.tracks] == [t.name for t in wanted.tracks]
    np.testing.assert_allclose(found.track_embeddings, wanted.track_embeddings, rtol=1e-6)
    np.testing.assert_allclose(found.durations_s, wanted.durations_s)
    for mine, other in zip(found.videos, wanted.videos, strict=True):
        np.testing.assert_allclose(mine.embeddings, other.embeddings, rtol=1e-6)
        assert mine.lengths_s.tolist() == other.lengths_s.tolist()
        assert mine.switch_count == other.switch_count
    assert found.tracks[0].instruments == ("piano",)
    assert found.videos[0].segments[0].has_speech is True


def test_vectors_of_torch_files_and_of_text_folders_are_read(folder: Path) -> None:
    import torch

    vector = np.arange(8, dtype=np.float32)
    target = folder / "music_embs" / "track 0" / "full.npy"
    target.unlink()
    torch.save({"imagebind": torch.from_numpy(vector)}, target.with_suffix(".pt"))
    _edit(folder / "music_captions.json", lambda rows: rows[1].pop("text_emb") and None)
    text = folder / "music_text_embs" / "track 1" / "full.npy"
    text.parent.mkdir(parents=True)
    np.save(text, np.ones(6, dtype=np.float32))
    dataset = load_dataset(folder)
    assert dataset.tracks[0].embedding.tolist() == vector.tolist()
    assert dataset.tracks[1].text_embedding is not None
    assert dataset.tracks[1].text_embedding.tolist() == [1.0] * 6
    assert dataset.has_text


def test_without_captions_the_caption_half_is_off_and_said_so(tmp_path: Path) -> None:
    dataset = load_dataset(write_folder(make_dataset(text_dimension=None), tmp_path))
    assert not dataset.has_text
    assert dataset.track_text_embeddings is None
    assert [note for note in dataset.warnings if "caption" in note]


def test_incomplete_entries_are_left_out_or_completed_and_named(folder: Path) -> None:
    (folder / "music_embs" / "track 2" / "full.npy").unlink()
    (folder / "video_embs" / "video 1" / "segment_3.npy").unlink()
    _edit(folder / "music_captions.json", lambda rows: rows[3].pop("mfcc") and None)
    _edit(folder / "music_captions.json", lambda rows: rows[4].update(duration=0))
    _edit(folder / "video_captions.json", lambda rows: rows[0].update(segments=[]))

    found = load_dataset(folder)
    assert [t.name for t in found.tracks] == ["track 0.mp3", "track 1.mp3", "track 5.mp3"]
    assert [v.name for v in found.videos] == ["video 2.mp4", "video 3.mp4"]
    for name in ("track 2", "track 3", "track 4", "video 0", "video 1"):
        assert sum(name in note for note in found.warnings) == 1, name

    original = load_dataset(folder, profile="reference")
    assert len(original.tracks) == 6
    assert len(original.videos) == 3  # a video without segments is skipped there, too
    assert not original.tracks[2].embedding.any()
    assert not original.tracks[3].mfcc.any()
    assert sum("completed with zeros" in note for note in original.warnings) == 3


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("music_captions.json", lambda rows: {"a": 1}, "an object where a list"),
        ("music_captions.json", lambda rows: [3], r"\[0\].*a number instead of an object"),
        ("music_captions.json", lambda rows: rows[1].pop("filename") and None, r"\[1\].filename"),
        ("music_captions.json", lambda rows: rows[1].update(filename="../x"), "is a path"),
        ("music_captions.json", lambda rows: rows[1].update(bpm="fast"), r"\[1\].bpm"),
        ("music_captions.json", lambda rows: rows[1].update(mfcc=[1, 2]), "2 numbers, 13"),
        ("music_captions.json", lambda rows: rows[1].update(mood_tags=[1]), "mood_tags"),
        ("music_captions.json", lambda rows: rows[1].update(text_emb=[1, 2]), "text_embedding"),
        ("music_captions.json", lambda rows: rows[1].update(duration=-3), "duration_s"),
        ("video_captions.json", lambda rows: rows[2].update(segments="x"), r"\[2\].segments"),
        (
            "video_captions.json",
            lambda rows: rows[0]["segments"][1].update(end="1:2:3:4"),
            r"\[0\].segments\[1\].end.*not a time",
        ),
        (
            "video_captions.json",
            lambda rows: rows[0]["segments"][1].update(music_change="yes"),
            "music_change",
        ),
        ("video_captions.json", lambda rows: [], "no complete video is left"),
    ],
)
def test_bad_entries_name_file_and_key(
    folder: Path, file: str, change: Callable[[Any], Any], words: str
) -> None:
    _edit(folder / file, change)
    with pytest.raises(DataError, match=words) as caught:
        load_dataset(folder)
    assert str(folder) in str(caught.value)


def test_bad_files_are_named(folder: Path, tmp_path: Path) -> None:
    vector = folder / "video_embs" / "video 0" / "segment_0.npy"
    np.save(vector, np.full(8, np.nan))
    with pytest.raises(DataError, match=r"segment_0\.npy"):
        load_dataset(folder)
    np.save(vector, np.ones(9))
    with pytest.raises(DataError, match=r"video 0.*segment 0"):
        load_dataset(folder)
    vector.write_bytes(b"")
    with pytest.raises(DataError, match=r"segment_0\.npy"):
        load_dataset(folder)
    np.save(vector, np.ones(8))
    (folder / "music_captions.json").write_text("[{")
    with pytest.raises(DataError, match=r"music_captions\.json.*not JSON"):
        load_dataset(folder)
    (folder / "music_captions.json").unlink()
    with pytest.raises(DataError, match="no such file"):
        load_dataset(folder)
    with pytest.raises(DataError, match="no such folder"):
        load_dataset(tmp_path / "absent")
