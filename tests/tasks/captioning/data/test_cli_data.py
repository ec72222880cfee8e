from __future__ import annotations

import json
from pathlib import Path

import pytest

from segue.core.options import run
from segue.tasks.captioning.cli_data import features, prepare
from tests.synthetic_video import write_sound, write_video
from tests.tasks.captioning.data.written import small_source


def test_prepare_says_what_it_took(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    captions, folder = small_source(tmp_path)
    arguments = [str(captions), "--features", str(folder), "--out", str(tmp_path / "out")]
    assert run(prepare, arguments) == 0
    out, err = capsys.readouterr()
    assert "a video without usable visual features" in out
    assert "is ready: 19 words" in err
    assert run(prepare, [*arguments, "--json", "--set", "min_count=2"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["n_words"] == 4 + 4
    assert run(prepare, [*arguments, "--set", "min_cout=2"]) == 2
    assert "Did you mean 'min_count'" in capsys.readouterr().err
    assert run(prepare, ["--print-config"]) == 0
    assert 'fusion = "sum"' in capsys.readouterr().out
    assert run(prepare, [str(captions), "--out", "x"]) == 2


def test_features_names_what_it_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = write_video(tmp_path / "film.mp4", [(1.0, "red")])
    sound = write_sound(tmp_path / "song.wav", 0.5)
    out = tmp_path / "out"
    assert run(features, [str(film), str(sound), "--out", str(out)]) == 0
    text, err = capsys.readouterr()
    assert text == "film: picture 1 x 82, sound no sound\n"
    assert "left out" in err
    assert "song.wav: there is no picture" in err
    assert run(features, [str(sound), "--out", str(out)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert run(features, [str(film), "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["reused"] == ["film"]
