"""`segue score --compose`: everything, the gaps, or one segment; published, exported, kept."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import opentimelineio as otio
import pytest
import soundfile

from examples.sample_library import make_library
from segue.cli import root
from segue.core.errors import DataError, MissingExtra, UnknownName, UsageError
from segue.core.options import run
from segue.music import synth
from segue.music.midi import read_midi
from segue.score.compose import composer
from segue.score.config import ScoreConfig
from segue.score.pipeline import score
from tests.score.compose.conftest import random_composer
from tests.score.conftest import Sample
from tests.synthetic_video import write_video

SETTINGS = [
    "segments.min_s=2", "segments.max_s=4", "workers=1", "compose.renderer=additive",
    "compose.tries=2",
]  # fmt: skip


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """A film of 11 seconds in five shots, and two tracks."""
    folder = tmp_path_factory.mktemp("sample")
    make_library(folder / "library", seconds=6, count=2)
    shots = [(2.0, "red"), (2.5, "noise"), (2.0, "pan"), (2.5, "blue"), (2.0, "white")]
    return Sample(write_video(folder / "film.mp4", shots), folder / "library")


def config(*assignments: str) -> ScoreConfig:
    return ScoreConfig.load(assignments=[*SETTINGS, *assignments])


def steps(out: Path) -> dict[str, set[str]]:
    return {p.name: {f.name for f in p.iterdir()} for p in (out / "run/steps").iterdir()}


def otio_media(out: Path) -> list[str]:
    timeline = otio.adapters.read_from_file(str(out / "timeline.otio"))
    return [
        clip.media_reference.target_url
        for clip in timeline.find_clips()
        if "/composed/underscore" in getattr(clip.media_reference, "target_url", "")
    ]


@pytest.fixture(scope="module")
def whole(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The sample film, all of it composed, without a library."""
    out = tmp_path_factory.mktemp("composed") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(composer, "composer_for", random_composer)
        patch.setattr(composer, "composer_version", lambda: "random")
        return out, score(sample.film, None, out, config("compose.mode=all"))


def test_a_whole_film_without_a_library(whole: tuple[Path, dict[str, Any]]) -> None:
    out, result = whole
    (cue,) = result["composed"]
    count = len(result["segments"])
    assert count > 2
    assert cue["segments"] == list(range(count))
    assert len(cue["keys"]) == len(cue["tempos_bpm"]) == len(cue["bars"]) == count
    assert {s["track"] for s in result["segments"]} == {cue["sound"]}
    assert all(s["composed"] and not s["locked"] for s in result["segments"])
    assert cue["library_fits"] is None
    assert [s["terms"]["alignment"] for s in result["segments"]] == pytest.approx(
        cue["fits"], abs=1e-3
    )
    music, rate = soundfile.read(out / "stems/music.wav")
    assert len(music) == round(result["video"]["duration_s"] * rate)
    window = rate // 2
    assert all(np.abs(music[i : i + window]).max() > 1e-3 for i in range(0, len(music), window))
    piece = read_midi(out / cue["midi"])
    assert abs(piece.duration_s - result["video"]["duration_s"]) <= 1 / 48_000
    assert sum(cue["bars"]) * _quarters(cue["meter"]) * 480 == piece.end
    assert (out / cue["sound"]).is_file()
    assert json.loads((out / "result.json").read_text())["composed"] == result["composed"]


def _quarters(meter: str) -> int:
    beats, unit = map(int, meter.split("/"))
    return beats * 4 // unit


def test_downbeats_lie_on_the_cuts_of_the_film(whole: tuple[Path, dict[str, Any]]) -> None:
    out, result = whole
    (cue,) = result["composed"]
    piece, bar = read_midi(out / cue["midi"]), 0
    for segment, n_bars in zip(result["segments"], cue["bars"], strict=True):
        at = piece.seconds(bar * _quarters(cue["meter"]) * 480)
        assert at == pytest.approx(segment["start_s"], abs=0.04)
        bar += n_bars


def test_timelines_and_cue_sheet_name_the_published_file(
    whole: tuple[Path, dict[str, Any]],
) -> None:
    out, result = whole
    (cue,) = result["composed"]
    with (out / "cues.csv").open(newline="", encoding="utf-8-sig") as file:
        (row,) = csv.DictReader(file)
    assert row["title"] == cue["title"]
    assert row["composer"] == "Segue"
    assert row["licence"] == "composed by Segue for this film"
    assert row["file"] == str(out / cue["sound"])
    assert otio_media(out)
    assert all(url.endswith(str(out / cue["sound"])) for url in otio_media(out)), otio_media(out)
    text = (out / "report.html").read_text()
    assert cue["title"] in text
    assert f'href="{cue["midi"]}"' in text


def test_composing_is_kept_and_the_seed_changes_it(
    sample: Sample, whole: tuple[Path, dict[str, Any]], any_composer: None, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    score(sample.film, None, out, config("compose.mode=all"))
    assert (out / "soundtrack.wav").read_bytes() == (whole[0] / "soundtrack.wav").read_bytes()
    before = steps(out)
    other = config("compose.mode=all", "seed=9", "layout.fade_out_s=1")
    changed = score(sample.film, None, out, other, overwrite=True)
    assert steps(out)["compose"] > before["compose"]
    assert changed["composed"] != whole[1]["composed"]
    assert len(list((out / "midi").iterdir())) == 1
    score(sample.film, None, out, config("compose.mode=all", "mix.duck_db=6"), overwrite=True)
    assert len(steps(out)["compose"]) == 2  # nothing was composed again


def test_gaps_are_filled_and_the_rest_is_planned(
    sample: Sample, any_composer: None, tmp_path: Path
) -> None:
    with_names = config("compose.segments=1", "layout.crossfade_s=0.5")
    out = tmp_path / "out"
    result = score(
        sample.film, sample.library, out, with_names, locks=["3=compose", "0=slow-morning"]
    )
    assert [c["segments"] for c in result["composed"]] == [[1], [3]]
    segments = result["segments"]
    library = {p.name for p in sample.library.iterdir()}
    assert [s["composed"] for s in segments] == [t in (1, 3) for t in range(len(segments))]
    assert [t for t, s in enumerate(segments) if s["locked"]] == [0]
    assert {s["track"] for s in segments if not s["composed"]} <= library
    assert segments[0]["track"] == "slow-morning.flac"
    assert {a["track"] for s in segments for a in s["alternatives"]} <= library
    assert all(s["alternatives"] for s in segments)
    assert result["reward"] <= result["upper_bound"] + 1e-9
    for a, b in pairwise(result["cues"]):
        assert a["end_s"] > b["start_s"]
    for cue in result["composed"]:
        (part,) = [c for c in result["cues"] if c["track"] == cue["sound"]]
        on_cut = part["start_s"] + cue["anchor_s"] - part["track_start_s"]
        assert on_cut == pytest.approx(segments[cue["segments"][0]]["start_s"], abs=1.1 / 48_000)
    assert len(otio_media(out)) == 2
    again = score(sample.film, sample.library, out, config(), overwrite=True)
    assert again["composed"] == []
    assert not (out / "composed").exists()
    assert not (out / "midi").exists()


def test_a_gap_is_filled_only_by_what_fits_better(
    sample: Sample, any_composer: None, tmp_path: Path
) -> None:
    every = config("compose.mode=gaps", "compose.fit_below=1.8")
    result = score(sample.film, sample.library, tmp_path / "a", every)
    left_out = [w for w in result["warnings"] if "was composed and left out" in w]
    for cue in result["composed"]:
        assert sum(cue["fits"]) > sum(cue["library_fits"])
    assert len(result["composed"]) + len(left_out) >= 1
    none = config("compose.mode=gaps", "compose.fit_below=-1")
    result = score(sample.film, sample.library, tmp_path / "b", none)
    assert result["composed"] == []
    assert any("nothing was composed" in text for text in result["warnings"])


@pytest.mark.parametrize(
    ("settings", "locks", "library", "kind", "words"),
    [
        ([], [], False, UsageError, "no library"),
        (["compose.mode=gaps"], [], False, UsageError, "no library: gaps are"),
        ([], ["0=compose"], False, UsageError, "no library"),
        (["compose.segments=99"], [], True, UsageError, "no segment 99"),
        (["compose.mode=all", "embedder=precomputed"], [], True, UsageError, "no vectors"),
        (["compose.mode=all", "compose.renderer=aditive"], [], True, UnknownName, "additive"),
        (["compose.mode=all", "compose.soundfont=BANK"], [], True, UsageError, "additive"),
        (
            ["compose.mode=all", "compose.renderer=soundfont", "compose.soundfont=BANK"],
            [], True, DataError, "not a SoundFont",
        ),
    ],
)  # fmt: skip
def test_wrong_requests(
    settings: Sequence[str], locks: Sequence[str], library: bool, kind: type[Exception],
    words: str, sample: Sample, any_composer: None, tmp_path: Path,
) -> None:  # fmt: skip
    bank = tmp_path / "bank.sf2"
    bank.write_text("no bank")
    given = [text.replace("BANK", str(bank)) for text in settings]
    with pytest.raises(kind, match=words):
        score(
            sample.film, sample.library if library else None, tmp_path / "out", config(*given),
            locks=locks,
        )  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_without_a_player_of_soundfonts_simple_tones_play_and_it_is_told(
    sample: Sample, any_composer: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synth, "_made", _without_soundfonts(synth._made))
    settings = ScoreConfig.load(
        assignments=[*SETTINGS[:3], "compose.tries=1", "compose.segments=0"]
    )
    result = score(sample.film, sample.library, tmp_path / "out", settings)
    assert result["composed"][0]["renderer"] == "additive"
    assert any("simple additive tones" in text for text in result["warnings"])


def _without_soundfonts(made: Any) -> Any:
    def only_additive(kind: Any, bank: Path | None) -> Any:
        if kind.uses_bank:
            raise MissingExtra("not here")
        return made(kind, bank)

    return only_additive


def test_the_command_composes_what_its_arguments_let_it_mean(
    sample: Sample, any_composer: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def mode(*words: str) -> str:
        assert run(root, ["score", *words, "--print-config"]) == 0
        return capsys.readouterr().out.split("[compose]")[1].split('mode = "')[1].split('"')[0]

    assert mode() == "off"
    assert mode("--compose") == "all"
    assert mode("--library", "x", "--compose") == "gaps"
    assert mode("--library", "x", "--compose", "all") == "all"
    assert run(root, ["score", "a.mp4", "--out", "o", "--compose", "some"]) == 2
    assert "'off', 'gaps' or 'all'" in capsys.readouterr().err
    assert run(root, ["score", "a.mp4", "--out", "o"]) == 2
    assert "--compose all" in capsys.readouterr().err
    words = ["score", str(sample.film), "--out", str(tmp_path / "out"), "--compose", "all"]
    for setting in SETTINGS:
        words += ["--set", setting]
    assert run(root, words) == 0
    assert "composed" in capsys.readouterr().out
    command = next(
        line for line in (tmp_path / "out/report.html").read_text().splitlines()
        if "segue score" in line and "--overwrite" in line
    )  # fmt: skip
    assert "--library" not in command
    assert "--config" in command
