"""Preparing data: what comes in, what is written, what is kept, left out and refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segue.cli import root
from segue.core.errors import DataError, UnknownName, UsageError
from segue.core.options import run
from segue.media.audio import write_wav
from segue.media.embed.affect import AffectEmbedder
from segue.media.embed.words import WordsEmbedder
from segue.media.track import analyse_track
from segue.tasks.soundtrack.folder import load_dataset
from segue.tasks.soundtrack.prepare import PrepareConfig, prepare
from tests.synthetic_audio import cadence, clicks
from tests.synthetic_soundtrack import make_dataset, write_folder
from tests.synthetic_video import write_video

CONFIG = PrepareConfig.parse({"segments": {"min_s": 2.0, "max_s": 5.0}, "workers": 1})
SHOTS = {
    "beach": [(3.0, "yellow"), (3.0, "white"), (2.0, "yellow")],
    "night": [(3.0, "black"), (4.0, "noise"), (3.0, "blue")],
    "walk": [(1.5, "green")],
}


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three films and three tracks, no JSON."""
    folder = tmp_path_factory.mktemp("media")
    (folder / "videos").mkdir()
    (folder / "music").mkdir()
    for name, shots in SHOTS.items():
        write_video(folder / "videos" / f"{name}.mp4", shots, rate=8, audio="tone")
    for name, sound in {
        "calm": 0.2 * cadence(60, minor=False, bars=1),
        "busy": clicks(170, 4) + cadence(60, True, 1),
        "grave": 0.5 * cadence(48, minor=True, bars=1),
    }.items():
        write_wav(folder / "music" / f"{name}.wav", sound, 22050)
    return folder


@pytest.fixture
def plain(media: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(media, tmp_path / "data"))


@pytest.fixture
def original(media: Path, tmp_path: Path) -> Path:
    """The same in the original's layout, with captions that name titles."""
    folder = tmp_path / "original"
    shutil.copytree(media / "videos", folder / "video_library")
    shutil.copytree(media / "music", folder / "music_library")

    def segment(start: str, end: str, mood: str) -> dict[str, Any]:
        wish = f"{mood.lower()} music"
        return {"start": start, "end": end, "mood_tags": [mood], "ideal_music_description": wish}

    films = {
        "Night!.mp4": [segment("00:00", "00:04", "Dark"), segment("00:04", "00:10", "Tense")],
        "a BEACH?.mp4": [segment("00:00", "00:04", "Happy"), segment("00:04", "00:08", "Chill")],
        "Something quite different.mp4": [segment("00:00", "00:02", "Epic")],
    }
    music = [
        {"filename": "Grave.wav", "rich_caption": "a dark march", "mood_tags": ["Dark"]},
        {"filename": "Busy .wav", "rich_caption": "a happy dance", "mood_tags": ["Happy"]},
        {"filename": "Busy .wav", "rich_caption": "again", "mood_tags": []},
    ]
    changes = {
        "Nightt": [{"time": 4.9, "score": 0.3}],
        "the beach": [{"time": 3.5, "score": 0.01}, {"time": 60, "score": 0.9}],
    }
    write(folder / "video_captions_old.json", films)
    write(folder / "music_captions_old.json", music)
    write(folder / "video_switch_gt.json", changes)
    return folder


def write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def content(folder: Path) -> dict[str, bytes]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def command(*arguments: str) -> int:
    return run(root, ["soundtrack", *arguments])


def test_plain_folders_become_a_dataset_that_can_be_evaluated(
    plain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (report,) = prepare([plain], CONFIG)
    assert (report.n_videos, report.n_tracks, report.dropped) == (3, 3, [])
    dataset = load_dataset(plain)
    assert [v.name for v in dataset.videos] == ["beach.mp4", "night.mp4", "walk.mp4"]
    assert [v.n_segments for v in dataset.videos][2] == 1
    assert all(v.segments[0].start_s == 0.0 for v in dataset.videos)
    ends = [v.segments[-1].end_s for v in dataset.videos]
    np.testing.assert_allclose(ends, [8.0, 10.0, 1.5], atol=0.13)
    track = dataset.tracks[0]
    assert track.name == "busy.wav"
    heard = analyse_track(plain / "music" / "busy.wav")
    np.testing.assert_allclose(track.mfcc, heard.mfcc, atol=1e-5)
    assert track.duration_s == pytest.approx(heard.duration_s, abs=1e-5)
    np.testing.assert_allclose(track.embedding, AffectEmbedder().embed_tracks([heard])[0])
    assert Path(track.path).is_file()

    before = content(plain)
    (again,) = prepare([plain], CONFIG)
    assert again.written == {}
    assert content(plain) == before
    arguments = ("--data", str(plain), "--split", "all", "--agents", "random,planner", "--json")
    assert command("evaluate", *arguments) == 0
    assert json.loads(capsys.readouterr().out)["data"]["n"] == 3


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(
    plain: Path, original: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = content(plain), content(original)
    assert command("prepare", str(plain), str(original), "--dry-run", "--json") == 0
    first, second = json.loads(capsys.readouterr().out)["folders"]
    assert first["written"]["films to divide"] == 3
    assert first["written"]["tracks to analyse"] == 3
    assert second["written"]["segment vectors"] == 4
    assert second["written"]["maps of names"] == 2
    assert second["written"]["films labelled"] == 2
    assert (content(plain), content(original)) == before


def test_the_originals_layout_is_matched_measured_and_labelled(original: Path) -> None:
    (report,) = prepare([original], CONFIG)
    films = read(original / "video_captions.json")
    assert [row["filename"] for row in films] == ["beach.mp4", "night.mp4"]
    assert read(original / "video_filename_map.json") == {
        "Night!.mp4": "night.mp4",
        "a BEACH?.mp4": "a-beach.mp4",
        "Something quite different.mp4": "Something quite different.mp4",
    }
    dropped = dict(report.dropped)
    assert set(dropped) == {
        "Something quite different.mp4",
        "walk.mp4",
        "Busy .wav",
        "calm.wav",
    }
    assert "second entry" in dropped["Busy .wav"]
    # 4.9 s is nearest to the segment at 4 s; a score of .01 is too low, 60 s too far.
    labels = [[s["music_change"] for s in row["segments"]] for row in films]
    assert labels == [[False, False], [False, True]]
    assert films[1]["segments"][1]["music_change_score"] == 0.3
    music = read(original / "music_captions.json")
    assert [row["filename"] for row in music] == ["busy.wav", "grave.wav"]
    assert all(len(row["mfcc"]) == 13 and row["duration"] > 3 for row in music)
    assert music[0]["rich_caption"] == "a happy dance"
    dataset = load_dataset(original)
    assert dataset.has_text
    assert dataset.videos[1].switch_count == 1
    assert report.n_tracks == 2


def test_only_the_steps_asked_for_are_done(original: Path) -> None:
    assert command("prepare", str(original), "--label_music") == 0
    assert not (original / "video_embs").exists()
    assert read(original / "video_captions.json")[0]["segments"][0]["music_change"] is False
    assert "mfcc" not in read(original / "music_captions.json")[0]
    assert command("prepare", str(original), "--process_music", "--set", "workers=1") == 0
    assert not (original / "video_embs").exists()
    assert "mfcc" in read(original / "music_captions.json")[0]


def test_a_film_without_a_title_in_the_labels_stays_unlabelled(original: Path) -> None:
    write(original / "video_switch_gt.json", {"night": [{"time": 0.0, "score": 0.5}]})
    (report,) = prepare([original], CONFIG, steps=["labels"])
    beach, night = read(original / "video_captions.json")
    assert "music_change" not in beach["segments"][0]
    assert night["segments"][0]["music_change"] is True
    assert any("beach.mp4" in note and "without labels" in note for note in report.notes)


def test_what_is_done_is_kept_unless_forced(plain: Path) -> None:
    prepare([plain], CONFIG)
    vector = plain / "video_embs" / "beach" / "segment_0.npy"
    made = np.load(vector)
    np.save(vector, np.zeros(6, np.float32))
    feature = read(plain / "music_captions.json")
    feature[0]["energy"] = 0.0  # a zero is a value, not a missing one
    write(plain / "music_captions.json", feature)
    prepare([plain], CONFIG)
    assert not np.load(vector).any()
    assert read(plain / "music_captions.json")[0]["energy"] == 0.0
    prepare([plain], CONFIG, force=True)
    np.testing.assert_array_equal(np.load(vector), made)
    assert read(plain / "music_captions.json")[0]["energy"] > 0


def test_a_killed_run_continues_to_the_same_result(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Path(shutil.copytree(plain, tmp_path / "whole"))
    prepare([whole], CONFIG)
    embed, seen = AffectEmbedder.embed_scenes, []

    def stopping(self: AffectEmbedder, video: Path, scenes: Any) -> Any:
        seen.append(video.name)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return embed(self, video, scenes)

    monkeypatch.setattr(AffectEmbedder, "embed_scenes", stopping)
    with pytest.raises(KeyboardInterrupt):
        prepare([plain], CONFIG)
    assert seen == ["beach.mp4", "night.mp4"]
    prepare([plain], CONFIG)
    assert seen[2:] == ["night.mp4", "walk.mp4"]  # the first is not done again
    assert content(plain) == content(whole)


def test_new_files_join_a_plain_folder_and_lost_ones_leave_it(plain: Path) -> None:
    prepare([plain], CONFIG)
    (plain / "videos" / "walk.mp4").rename(plain / "videos" / "stroll.mp4")
    (report,) = prepare([plain], CONFIG)
    assert ("walk.mp4", "the file is gone") in report.dropped
    assert [v.name for v in load_dataset(plain).videos] == ["beach.mp4", "night.mp4", "stroll.mp4"]


def test_sidecar_files_give_the_captions(plain: Path) -> None:
    (plain / "videos" / "beach.txt").write_text("light\nhappy music")
    write(
        plain / "videos" / "night.json",
        {
            "mood_tags": ["Dark"],
            "segments": [{"start": 0, "end": 4}, {"start": 4, "end": 10, "mood_tags": ["Tense"]}],
        },
    )
    (plain / "music" / "calm.wav.txt").write_text("a happy tune")
    write(plain / "music" / "grave.json", {"mood_tags": ["Dark"], "has_vocals": False})
    (report,) = prepare([plain], CONFIG)
    dataset = load_dataset(plain)
    assert {s.wish for s in dataset.videos[0].segments} == {"light happy music"}
    assert [s.moods for s in dataset.videos[1].segments] == [("Dark",), ("Tense",)]
    assert dataset.tracks[1].description == "a happy tune"
    assert dataset.tracks[2].moods == ("Dark",)
    assert dataset.has_text
    assert any("1 of 3 tracks have no caption" in note for note in report.notes)
    happy, dark = (dataset.videos[i].segments[0].text_embedding for i in (0, 1))
    calm, grave = (dataset.tracks[i].text_embedding for i in (1, 2))
    assert all(v is not None for v in (happy, dark, calm, grave))
    assert happy @ calm > happy @ grave  # type: ignore[operator]
    assert dark @ grave > dark @ calm  # type: ignore[operator]


def test_vectors_of_two_makes_are_not_mixed(plain: Path) -> None:
    prepare([plain], CONFIG)
    other = CONFIG.model_copy(update={"embedder": "segue.media.embed.affect:AffectEmbedder"})
    with pytest.raises(DataError, match=r"made by 'affect'.*--force"):
        prepare([plain], other)
    assert prepare([plain], other, force=True)[0].written["segment vectors"] > 0


def test_vectors_that_came_with_a_folder_are_kept_and_not_completed(original: Path) -> None:
    prepare([original], CONFIG, steps=["labels"])
    stem = original / "music_embs" / "busy" / "full.npy"
    stem.parent.mkdir(parents=True)
    np.save(stem, np.ones(1024, np.float32))
    with pytest.raises(DataError, match=r"1 of 6 vectors.*unknown make"):
        prepare([original], CONFIG)
    prepare([original], CONFIG, force=True)
    assert np.load(stem).shape == (6,)


def test_a_folder_that_came_with_all_vectors_keeps_them(tmp_path: Path) -> None:
    folder = write_folder(make_dataset(), tmp_path / "data")
    before = content(folder)
    (report,) = prepare([folder], CONFIG)
    assert report.written == {"manifests": 1}
    assert (report.n_videos, report.n_tracks) == (4, 6)
    after = content(folder)
    assert read(folder / "prepared.json")["embedder"] is None
    assert {name: after[name] for name in before} == before


def test_entries_without_segments_and_without_a_film_are_named(original: Path) -> None:
    write(original / "video_captions.json", [{"filename": "lost.mp4"}, {"filename": "night.mp4"}])
    (report,) = prepare([original], CONFIG)
    assert [name for name, _ in report.dropped if name == "lost.mp4"] == ["lost.mp4"]
    assert report.n_videos == 1


def test_files_that_cannot_be_used_are_named_and_the_rest_is_done(plain: Path) -> None:
    (plain / "videos" / "broken.mp4").write_bytes(b"no film")
    (plain / "music" / "broken.wav").write_bytes(b"no sound")
    shutil.copy(plain / "music" / "calm.wav", plain / "music" / "calm.flac")
    shutil.copy(plain / "music" / "calm.wav", plain / "music" / "copy.wav")
    (plain / "music" / "more").mkdir()
    shutil.copy(plain / "music" / "calm.wav", plain / "music" / "more")
    (report,) = prepare([plain], CONFIG)
    dropped = dict(report.dropped)
    assert set(dropped) == {"broken.mp4", "broken.wav", "calm.wav", "more"}
    assert "same name but for its ending" in dropped["calm.wav"]
    assert "1 media files" in dropped["more"]
    assert (report.n_videos, report.n_tracks) == (3, 4)
    assert any("copy.wav has the same content as calm.flac" in n for n in report.notes)
    names = [t.name for t in load_dataset(plain).tracks]
    assert names == ["busy.wav", "calm.flac", "copy.wav", "grave.wav"]
    text = str(report)
    assert "left out: 4" in text
    assert "broken.wav: " in text


@pytest.mark.parametrize(
    ("file", "value", "words"),
    [
        ("video_captions_old.json", [], "an object"),
        ("video_captions_old.json", {"x.mp4": [3]}, r"'x.mp4'\[0\]: a segment must be an object"),
        ("video_captions_old.json", {"night.mp4": [{"start": "1:x"}]}, r"segments\[0\].start"),
        ("music_captions_old.json", {"a": 1}, "a list of tracks"),
        ("music_captions_old.json", [{"rich_caption": "x"}], r"\[0\].filename"),
        ("music_captions_old.json", [{"filename": "calm.wav", "mood_tags": 3}], "mood_tags"),
        ("video_switch_gt.json", {"night": 3}, "'night': a list of changes"),
        ("video_switch_gt.json", {"night": [{"time": "x"}]}, r"'night'\[0\].time"),
        ("video_captions_old.json", None, "is not JSON"),
    ],
)
def test_malformed_files_are_named_with_the_key(
    original: Path, file: str, value: Any, words: str
) -> None:
    (original / file).write_text("{" if value is None else json.dumps(value))
    before = content(original)
    with pytest.raises(DataError, match=words) as caught:
        prepare([original], CONFIG)
    assert str(original) in str(caught.value)
    assert content(original) == before


def test_folders_with_nothing_in_them_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DataError, match="no such folder"):
        prepare([tmp_path / "nowhere"])
    with pytest.raises(DataError, match="no films, no music"):
        prepare([tmp_path])
    with pytest.raises(UsageError, match="no folder"):
        prepare([])
    assert command("prepare", str(tmp_path)) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_labels_that_were_asked_for_must_be_there(
    plain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = content(plain)
    assert command("prepare", str(plain), "--label-music") == 1
    assert "video_switch_gt.json: no such file" in capsys.readouterr().err
    assert content(plain) == before


def test_a_folder_that_cannot_be_written_and_a_bad_embedder_are_one_sentence(
    plain: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (plain / "video_embs").write_text("in the way")
    assert command("prepare", str(plain), "--process-video") == 1
    error = capsys.readouterr().err
    assert "video_embs" in error
    assert "run the same command again" in error
    (plain / "video_embs").unlink()
    monkeypatch.setattr(AffectEmbedder, "embed_scenes", lambda *_: np.full((2, 3), np.nan))
    with pytest.raises(DataError, match=r"'affect' gave an array of shape \(2, 3\)"):
        prepare([plain], CONFIG)
    write(plain / "prepared.json", {"captions": 3})
    with pytest.raises(DataError, match=r"prepared\.json"):
        prepare([plain], CONFIG)
    with pytest.raises(UnknownName, match="text embedder"):
        prepare([plain], CONFIG.model_copy(update={"text_embedder": "minilm"}))


def test_captions_that_json_cannot_hold_are_refused(original: Path) -> None:
    path = original / "music_captions_old.json"
    path.write_text('[{"filename": "calm.wav", "loudness": NaN}]')
    with pytest.raises(DataError, match=r"music_captions\.json: a value .* cannot be written"):
        prepare([original], CONFIG, steps=["music"])


def test_words_that_name_one_mood_meet_and_nothing_is_zero() -> None:
    joyful, cheerful, gloomy, nothing = WordsEmbedder().embed_texts(
        ["a joyful song", "cheerful tune", "gloomy piece", "?!"]
    )
    assert joyful @ cheerful > 0.3 > abs(joyful @ gloomy)
    assert np.linalg.norm(joyful) == pytest.approx(1)
    assert not nothing.any()
