"""Films are watched once; their parts look to embedders as they should."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segue.core.errors import MediaError
from segue.core.files import cache_dir
from segue.media import films
from segue.media.embed.wanted import wanted_mood
from segue.media.films import Film, divide, scenes, watch
from segue.media.segments import SegmentSettings
from tests.synthetic_video import write_sound, write_video


@pytest.fixture
def film(tmp_path: Path) -> Path:
    shots = [(3.0, "yellow"), (3.0, "noise"), (2.0, "blue")]
    return write_video(tmp_path / "film.mp4", shots, rate=8, audio="tone")


def test_a_film_is_watched_once_by_its_content(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = watch(film)
    look, looked = films.analyse_picture, []

    def counted(path: Path, **rest: object) -> object:
        looked.append(path)
        return look(path)

    monkeypatch.setattr(films, "analyse_picture", counted)
    moved = film.rename(tmp_path / "moved.mp4")
    again = watch(moved)
    assert looked == []
    assert again.path == moved
    np.testing.assert_array_equal(again.picture.axes, first.picture.axes)
    assert again.picture.cuts_s == first.picture.cuts_s
    assert again.speech == first.speech
    for entry in (cache_dir() / "watched").rglob("*.npz"):
        entry.write_bytes(entry.read_bytes()[:100])
    np.testing.assert_array_equal(watch(moved).picture.axes, first.picture.axes)
    assert looked == [moved]


def test_parts_have_the_mood_and_the_stills_of_their_time(film: Path) -> None:
    found = watch(film)
    spans = [(float(s.start_s), float(s.end_s)) for s in divide(found, SegmentSettings(min_s=2.0))]
    assert spans[0][0] == 0
    assert spans[-1][1] == pytest.approx(8.0, abs=0.01)
    calm, wild, beyond = scenes(found, [(0.0, 2.5), (3.2, 5.8), (50.0, 60.0)])
    assert wild.axes[0] > calm.axes[0]
    assert [s.index for s in (calm, wild, beyond)] == [0, 1, 2]
    assert calm.stills == found.picture.thumbnails[:1]
    assert wild.stills == found.picture.thumbnails[1:2]
    assert beyond.stills == found.picture.thumbnails[-1:]
    np.testing.assert_allclose(beyond.axes, wanted_mood(found.picture.axes[-1], 0.0))


def test_music_is_held_back_where_somebody_speaks(film: Path) -> None:
    silent = watch(film)
    spoken = Film(path=film, picture=silent.picture, speech=((3.0, 4.5), (5.0, 6.0)))
    assert spoken.speech_share(3.0, 6.0) == pytest.approx(2.5 / 3)
    assert spoken.speech_share(0.0, 3.0) == 0
    (free,), (held,) = scenes(silent, [(3.0, 6.0)]), scenes(spoken, [(3.0, 6.0)])
    assert free.axes[0] > 0
    assert held.axes[0] == 0
    np.testing.assert_array_equal(held.axes[1:3], free.axes[1:3])


def test_what_cannot_be_watched_is_said(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"no\.mp4.*No such file"):
        watch(tmp_path / "no.mp4")
    with pytest.raises(MediaError, match="no picture"):
        watch(write_sound(tmp_path / "sound.wav", 1.0))
