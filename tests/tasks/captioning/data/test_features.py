from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from segue.core.errors import DataError, MediaError, UnknownName, UsageError
from segue.media.segments import SegmentSettings
from segue.tasks.captioning.data.embedded_features import N_AUDIO, N_VISUAL, windows
from segue.tasks.captioning.data.folder import load_prepared
from segue.tasks.captioning.data.prepare import prepare
from segue.tasks.captioning.features import extract_features, film_features
from segue.tasks.captioning.segments import shot_segments
from tests.synthetic_video import write_sound, write_video
from tests.tasks.captioning.data.written import activitynet_file
from tests.tiny_models import save


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    write_video(folder / "loud.mp4", [(3.0, "red"), (3.0, "noise")], audio="bursts")
    write_video(folder / "mute.mkv", [(3.0, "blue"), (3.0, "yellow")])
    return folder


def test_windows_fill_a_film() -> None:
    np.testing.assert_allclose(windows(10.0, 2.56), [0, 2.5, 5, 7.5, 10])
    assert len(windows(35.155, 2.56)) - 1 == 14  # as many as I3D has there
    np.testing.assert_allclose(windows(0.1, 2.56), [0, 0.1])


def test_embedded_features_tell_what_is_shown_and_heard(films: Path) -> None:
    found = film_features(films / "loud.mp4")
    assert found.visual.shape == (2, N_VISUAL)
    assert found.audio is not None
    assert found.audio.shape == (6, N_AUDIO)
    assert found.duration_s == 6.0
    assert np.isfinite(found.visual).all()
    assert np.isfinite(found.audio).all()
    red, noise = found.visual
    assert noise[0] > red[0] + 1  # more changes from frame to frame
    grid = red[26:74].reshape(4, 4, 3)
    assert grid[..., 0].mean() > grid[..., 2].mean() + 1  # red, not blue
    # the tone sounds in the first shot alone: its level is the 37th number
    assert found.audio[:3, 36].mean() > found.audio[3:, 36].mean() + 3
    assert film_features(films / "mute.mkv").audio is None


def test_files_are_written_once_and_fit_prepare(films: Path, tmp_path: Path) -> None:
    out = tmp_path / "features"
    report = extract_features(sorted(films.iterdir()), out)
    assert sorted(path.name for path in out.iterdir()) == [
        "loud_audio.npy", "loud_visual.npy", "manifest.json", "mute_visual.npy",
    ]  # fmt: skip
    assert report.films["mute"]["audio"] is None
    before = (out / "loud_visual.npy").stat().st_mtime_ns
    again = extract_features([films / "loud.mp4"], out)
    assert again.reused == ["loud"]
    assert (out / "loud_visual.npy").stat().st_mtime_ns == before
    source = activitynet_file(
        tmp_path / "train.json",
        {"loud": (6.0, [(0, 3, "Red")]), "mute": (6.0, [(3, 6, "Yellow")])},
    )
    prepare(source, [out], tmp_path / "data")
    data = load_prepared(tmp_path / "data")
    batch = data.train.features.batch([0, 1])
    assert batch.has_audio.tolist() == [True, False]
    np.testing.assert_array_equal(batch.visual[0, 0], np.load(out / "loud_visual.npy")[0])
    np.testing.assert_array_equal(batch.visual[1, 0], np.load(out / "mute_visual.npy")[1])


def test_what_has_no_picture_is_refused(films: Path, tmp_path: Path) -> None:
    sound = write_sound(tmp_path / "song.wav", 1.0)
    with pytest.raises(MediaError, match=r"song\.wav: there is no picture in it, only sound"):
        extract_features([sound], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    report = extract_features([sound, films / "mute.mkv"], tmp_path / "out")
    assert list(report.films) == ["mute"]
    assert list(report.failed) == [str(sound)]
    with pytest.raises(MediaError, match="cannot be read"):
        extract_features([tmp_path / "gone.mp4"], tmp_path / "out")


def test_a_folder_keeps_to_one_kind_of_features(films: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two films are called mute"):
        extract_features([films / "mute.mkv", tmp_path / "mute.mp4"], tmp_path / "out")
    with pytest.raises(UsageError, match="no film is given"):
        extract_features([], tmp_path / "out")
    with pytest.raises(UnknownName, match="Did you mean 'clip'"):
        extract_features([films / "mute.mkv"], tmp_path / "out", ["clop"])
    extract_features([films / "mute.mkv"], tmp_path / "out")
    manifest = tmp_path / "out" / "manifest.json"
    values = json.loads(manifest.read_text())
    values["settings"]["visual"] = "clip 0123"
    manifest.write_text(json.dumps(values))
    with pytest.raises(UsageError, match="features of another kind"):
        extract_features([films / "loud.mp4"], tmp_path / "out")
    manifest.write_text("{}")
    with pytest.raises(UsageError, match="holds other things"):
        extract_features([films / "loud.mp4"], tmp_path / "out")


def test_models_in_local_folders_take_the_place_of_either_half(films: Path, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    clip, clap = save("clip", tmp_path / "clip"), save("clap", tmp_path / "clap")
    found = film_features(films / "loud.mp4", [str(clip), str(clap)])
    assert found.audio is not None
    assert found.visual.shape == (2, 16)
    assert found.audio.shape == (1, 16)
    np.testing.assert_allclose(np.linalg.norm(found.visual, axis=1), 4, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found.audio, axis=1), 4, rtol=1e-5)
    assert not np.allclose(found.visual[0], found.visual[1])
    (clip / "config.json").write_text('{"architectures": ["BertModel"]}')
    with pytest.raises(UsageError, match="BertModel gives no features here"):
        film_features(films / "mute.mkv", [str(clip)])
    (clip / "config.json").write_text("{}")
    with pytest.raises(DataError, match="does not say what model it is"):
        film_features(films / "mute.mkv", [str(clip)])


def test_shots_become_events_that_tile_the_film(films: Path) -> None:
    settings = SegmentSettings(min_s=2.0, max_s=5.0)
    events, duration_s = shot_segments(films / "mute.mkv", settings)
    assert duration_s == pytest.approx(6.0, abs=0.01)
    np.testing.assert_allclose(events, [[0, 3], [3, 6]], atol=0.05)
    assert len(shot_segments(films / "mute.mkv")[0]) == 1
