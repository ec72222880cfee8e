"""Captions of one film: whose features, which events, which files."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from segue.core.errors import DataError, MediaError, MissingModel
from segue.tasks.captioning.caption import CaptionConfig, caption, captions_of
from segue.tasks.captioning.data.folder_features import FolderFeatures
from segue.tasks.captioning.events import read_events
from segue.tasks.captioning.judging import say
from segue.tasks.captioning.models.stored import load_captioner
from tests.synthetic_video import write_sound, write_video
from tests.tasks.captioning.small_runs import VISUAL, Small


def feature_folder(small: Small) -> Path:
    source = small.data.train.features
    assert isinstance(source, FolderFeatures)
    return source.index.folders[0]


def test_features_of_a_known_film_get_the_captions_of_evaluation(
    small: Small, tmp_path: Path
) -> None:
    split = small.data.validation
    name = split.segments.videos[0]
    mine = np.flatnonzero(np.array(split.segments.videos) == name)
    events = tmp_path / "events.json"
    events.write_text(json.dumps({name: {"duration": 20, "timestamps": [[0, 10], [10, 20]]}}))
    file = feature_folder(small) / f"{name}_visual.npy"
    found = caption(file, small.warm, tmp_path / "out", segments=events)
    said = say(load_captioner(small.warm).network, split, mine)
    words = [" ".join(each) for each in said.sentences(small.data.vocabulary.words)]
    assert [each.text for each in found.subtitles] == words
    assert found.duration_s == 20.0
    assert found.modalities == ("visual", "audio")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        f"{name}.json", f"{name}.srt", f"{name}.vtt",
    ]  # fmt: skip
    assert "00:00:10,000 --> 00:00:20,000" in (tmp_path / "out" / f"{name}.srt").read_text()
    # without events the whole film is one, and its length is that of the manifest
    whole = caption(file, small.warm, None, CaptionConfig(beams=3))
    assert [(s.start_s, s.end_s) for s in whole.subtitles] == [(0.0, 20.0)]


def test_events_are_captioned_together_as_alone(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = load_captioner(small.warm)
    source = small.data.train.features
    assert isinstance(source, FolderFeatures)
    rows = source.whole(small.data.validation.segments.videos[0])
    events = np.array([[0.0, 20.0], [0, 3], [12, 20], [25, 30], [0, 10], [19, 20]])
    monkeypatch.setattr("segue.tasks.captioning.caption._ROWS", 12)
    for config in (CaptionConfig(), CaptionConfig(beams=2)):
        found = captions_of(stored, rows, events, 20.0, config)
        alone = [captions_of(stored, rows, events[n : n + 1], 20.0, config)[0] for n in range(6)]
        assert found == alone
        assert [n for n, text in enumerate(found) if not text] == [3]  # after the end


def test_films_are_captioned_by_shots_with_and_without_sound(small: Small, tmp_path: Path) -> None:
    loud = write_video(tmp_path / "loud.mp4", [(5.0, "red"), (5.0, "noise")], audio="bursts")
    mute = write_video(tmp_path / "mute.mkv", [(2.0, "blue")])
    found = caption(loud, small.tuned, None)
    assert found.modalities == ("visual", "audio")
    assert [(s.start_s, s.end_s) for s in found.subtitles] == [(0.0, 5.0), (5.0, 10.0)]
    assert all(s.text for s in found.subtitles)
    silent = caption(mute, small.warm, None)
    assert silent.modalities == ("visual",)
    assert len(silent.subtitles) == 1  # one row of one modality: a batch of one caption
    song = write_sound(tmp_path / "song.wav", 0.5)
    with pytest.raises(MediaError, match="no picture"):
        caption(song, small.warm, None)


def test_events_outside_the_film_are_counted(small: Small, tmp_path: Path) -> None:
    film = write_video(tmp_path / "film.mp4", [(2.0, "blue")])
    events = tmp_path / "events.json"
    events.write_text('[[0, 1], {"start": 1.5, "end": 9}, [5, 6]]')
    found = caption(film, small.warm, None, segments=events)
    assert [(s.start_s, s.end_s) for s in found.subtitles] == [(0.0, 1.0), (1.5, 2.0)]
    assert found.left_out == 1
    events.write_text("[[5, 6]]")
    with pytest.raises(DataError, match="no event lies within"):
        caption(film, small.warm, None, segments=events)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "no events"),
        ("{", "not a file of events"),
        ("[[0, 1], [2, 1]]", "item 1.*no stretch of time"),
        ('[{"start": 0}]', "item 0.*no stretch of time"),
        ('[[0, "1"]]', "no stretch"),
        ("[[0, Infinity]]", "no stretch"),
        ("3", "no events"),
    ],
)
def test_broken_events_are_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "events.json"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_events(path)
    assert re.search(words, str(caught.value))


def test_features_of_another_kind_are_refused(small: Small, tmp_path: Path) -> None:
    film = write_video(tmp_path / "film.mp4", [(1.0, "red")])
    other = tmp_path / "other"
    shutil.copytree(small.warm, other)

    def learned_from(visual: str) -> None:
        facts = json.loads((other / "captioner.json").read_text())
        facts["features"]["kinds"]["visual"] = visual
        (other / "captioner.json").write_text(json.dumps(facts))

    learned_from("embedded 0")
    with pytest.raises(DataError, match=r"visual features 'embedded 0'.*would be 'embedded 1'"):
        caption(film, other, None)
    learned_from("rgb + flow, 1024 numbers")
    with pytest.raises(DataError, match=r"'rgb \+ flow, 1024 numbers' made elsewhere.*'embedded'"):
        caption(film, other, None)
    learned_from("clip abc")  # is looked for, and is not here
    with pytest.raises(MissingModel, match=r"learned from visual features 'clip abc'.*--backbone"):
        caption(film, other, None)
    folder = tmp_path / "features"
    folder.mkdir()
    np.save(folder / "film_visual.npy", np.zeros((4, VISUAL + 1), np.float32))
    with pytest.raises(DataError, match=f"width {VISUAL + 1}.*of width {VISUAL}"):
        caption(folder / "film_visual.npy", small.warm, None)
    np.save(folder / "film_visual.npy", np.zeros((0, VISUAL), np.float32))
    with pytest.raises(DataError, match="without rows"):
        caption(folder / "film_visual.npy", small.warm, None)
    np.save(folder / "film_visual.npy", np.zeros((4, VISUAL), np.float32))
    with pytest.raises(DataError, match="length is not known"):
        caption(folder / "film_visual.npy", small.warm, None)
    with pytest.raises(DataError, match="no such file"):
        caption(folder / "nothing.npy", small.warm, None)
    with pytest.raises(MissingModel):
        caption(film, folder, None)


def test_a_captioner_of_proxy_features_captions_no_film(small: Small, tmp_path: Path) -> None:
    film = write_video(tmp_path / "film.mp4", [(1.0, "red")])
    run = tmp_path / "proxy"
    shutil.copytree(small.warm, run)
    facts = json.loads((run / "captioner.json").read_text())
    (run / "captioner.json").write_text(json.dumps(facts | {"proxy": "PROXY"}))
    with pytest.raises(DataError, match="proxy features, which no film has"):
        caption(film, run, None)
