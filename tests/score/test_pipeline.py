"""From a film and a folder of music to everything in the output folder, and again with changes."""

from __future__ import annotations

import csv
import html
import json
import re
import shlex
import shutil
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import opentimelineio as otio
import pyloudnorm
import pytest
import soundfile

from segue.cli import root
from segue.core.errors import DataError, MediaError, RunError, UnknownName, UsageError
from segue.core.options import run
from segue.score.config import ScoreConfig
from segue.score.pipeline import score
from tests.score.conftest import Sample

PRODUCTS = {
    "scored.mp4", "soundtrack.wav", "stems", "timeline.otio", "timeline.xml", "timeline.fcpxml",
    "timeline.edl", "cues.csv", "report.html", "result.json", "run",
}  # fmt: skip


@pytest.fixture(scope="module")
def scored(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("out") / "scored"
    config = ScoreConfig.load(assignments=["segments.min_s=2", "segments.max_s=6", "workers=1"])
    return out, score(sample.film, sample.library, out, config)


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(p) for p in container.demux(video=0) if p.size]


def test_everything_is_there_and_says_the_same(scored: tuple[Path, dict], sample: Sample) -> None:
    out, result = scored
    assert {p.name for p in out.iterdir()} == PRODUCTS
    assert json.loads((out / "result.json").read_text()) == json.loads(json.dumps(result))
    segments = result["segments"]
    assert segments[0]["start_s"] == 0
    assert segments[-1]["end_s"] == pytest.approx(result["video"]["duration_s"])
    assert all(a["end_s"] == b["start_s"] for a, b in pairwise(segments))
    assert {s["track"] for s in segments} <= {p.name for p in sample.library.iterdir()}
    assert all(len(s["alternatives"]) == 3 for s in segments)
    assert sum(not s["continued"] for s in segments[1:]) == result["switches"]
    assert result["reward"] <= result["upper_bound"] + 1e-9
    total = sum(result["terms"].values())
    assert total == pytest.approx(result["reward"])


def test_the_picture_is_copied_and_the_sound_is_as_long(
    scored: tuple[Path, dict], sample: Sample
) -> None:
    out, result = scored
    assert packets(out / "scored.mp4") == packets(sample.film)
    n = round(result["video"]["duration_s"] * 48_000)
    for name in ("soundtrack.wav", "stems/music.wav", "stems/original.wav"):
        info = soundfile.info(out / name)
        assert (info.frames, info.samplerate, info.channels) == (n, 48_000, 2)
        assert info.subtype == "PCM_24"


def test_loudness_and_peak_by_an_independent_meter(scored: tuple[Path, dict]) -> None:
    out, result = scored
    samples, rate = soundfile.read(out / "soundtrack.wav")
    assert pyloudnorm.Meter(rate).integrated_loudness(samples) == pytest.approx(-14, abs=0.2)
    assert result["loudness_lufs"] == pytest.approx(-14, abs=0.2)
    assert result["true_peak_dbtp"] <= -1


def test_there_is_music_everywhere(scored: tuple[Path, dict]) -> None:
    out, _ = scored
    music, rate = soundfile.read(out / "stems/music.wav")
    window = rate // 2
    loudest = [np.abs(music[i : i + window]).max() for i in range(0, len(music) - window, window)]
    assert min(loudest) > 1e-3


def test_the_timeline_and_the_cue_sheet_agree_with_the_result(scored: tuple[Path, dict]) -> None:
    out, result = scored
    timeline = otio.adapters.read_from_file(str(out / "timeline.otio"))
    assert timeline.duration().to_seconds() == pytest.approx(
        result["video"]["duration_s"], abs=1 / 24
    )
    with (out / "cues.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(result["cues"])


def test_a_changed_option_reruns_only_what_depends_on_it(
    sample: Sample, scored: tuple[Path, dict], tmp_path: Path
) -> None:
    out = tmp_path / "again"
    shutil.copytree(scored[0], out)
    steps = out / "run" / "steps"
    before = {p.name: {f.name for f in p.iterdir()} for p in steps.iterdir()}
    config = ScoreConfig.load(
        assignments=["segments.min_s=2", "segments.max_s=6", "workers=1", "mix.duck_db=18"]
    )
    score(sample.film, sample.library, out, config, overwrite=True)
    after = {p.name: {f.name for f in p.iterdir()} for p in steps.iterdir()}
    assert after["choose"] == before["choose"]
    assert after["mix"] > before["mix"]


def test_a_second_run_gives_the_same_bits(
    sample: Sample, scored: tuple[Path, dict], tmp_path: Path
) -> None:
    config = ScoreConfig.load(assignments=["segments.min_s=2", "segments.max_s=6", "workers=1"])
    score(sample.film, sample.library, tmp_path / "b", config)
    for name in ("soundtrack.wav", "stems/music.wav", "scored.mp4"):
        assert (tmp_path / "b" / name).read_bytes() == (scored[0] / name).read_bytes(), name


def test_the_report_s_command_makes_the_same_result(
    sample: Sample, scored: tuple[Path, dict], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "scored"
    config = ScoreConfig.load(config_of(scored[0]))
    score(sample.film, sample.library, out, config, locks=["0=run"])
    found = re.search(r"segue score [^<\n]*--overwrite", (out / "report.html").read_text())
    assert found
    words = shlex.split(html.unescape(found[0]))
    assert "--config" in words
    assert "0=run" in words
    before = json.loads((out / "result.json").read_text())
    assert run(root, [*words[1:], "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    for key in ("segments", "cues", "reward", "loudness_lufs"):
        assert again[key] == before[key]


def config_of(out: Path) -> Path:
    return out / "run" / "config.toml"


def test_a_lock_is_kept(sample: Sample, tmp_path: Path) -> None:
    config = ScoreConfig.load(assignments=["segments.min_s=2", "segments.max_s=6", "workers=1"])
    result = score(sample.film, sample.library, tmp_path / "out", config, locks=["1=run"])
    assert result["segments"][1]["track"] == "run.flac"
    assert result["segments"][1]["locked"]


@pytest.mark.parametrize("policy", ["greedy", "random"])
def test_other_policies_earn_no_more_than_the_bound(
    policy: str, sample: Sample, scored: tuple[Path, dict], tmp_path: Path
) -> None:
    config = ScoreConfig.load(
        assignments=["segments.min_s=2", "segments.max_s=6", "workers=1", f"choose.policy={policy}"]
    )
    result = score(sample.film, sample.library, tmp_path / "out", config)
    assert result["policy"] == policy
    assert result["reward"] <= scored[1]["upper_bound"] + 1e-9


def test_a_film_longer_than_all_music_and_a_single_track(sample: Sample, tmp_path: Path) -> None:
    library = tmp_path / "one"
    library.mkdir()
    samples, rate = soundfile.read(sample.library / "run.flac")
    soundfile.write(library / "only.wav", samples[: 5 * rate], rate)
    result = score(sample.film, library, tmp_path / "out", ScoreConfig(workers=1))
    assert {s["track"] for s in result["segments"]} == {"only.wav"}
    assert "loop" in {c["joined"] for c in result["cues"]}
    assert result["mix"]["silences"] == []


def test_unusable_files_are_counted_and_named(sample: Sample, tmp_path: Path) -> None:
    library = tmp_path / "library"
    shutil.copytree(sample.library, library)
    (library / "broken.mp3").write_bytes(b"not music" * 100)
    (library / "empty.wav").touch()
    soundfile.write(library / "blip.wav", np.random.default_rng(0).normal(0, 0.1, 8000), 8000)
    result = score(sample.film, library, tmp_path / "out", ScoreConfig(workers=1))
    text = "\n".join(result["warnings"])
    assert "3 music files are not used" in text
    for name in ("broken.mp3", "empty.wav", "blip.wav"):
        assert name in text


def test_results_inside_the_library_are_not_music(sample: Sample, tmp_path: Path) -> None:
    library = tmp_path / "here"
    library.mkdir()
    shutil.copy(sample.library / "run.flac", library)
    config = ScoreConfig(workers=1)
    first = score(sample.film, library, library / "scored", config)
    again = score(sample.film, library, library / "scored", config, overwrite=True)
    assert [s["track"] for s in again["segments"]] == [s["track"] for s in first["segments"]]
    assert all(not s["alternatives"] for s in again["segments"])
    assert any("sound files of earlier results" in text for text in again["warnings"])
    (library / "run.flac").unlink()
    with pytest.raises(DataError, match="only music here is what Segue made"):
        score(sample.film, library, tmp_path / "other", config)


def test_heavy_limiting_is_told(sample: Sample, tmp_path: Path) -> None:
    config = ScoreConfig.load(assignments=["workers=1", "mix.loudness_lufs=-6"])
    result = score(sample.film, sample.library, tmp_path / "out", config)
    assert result["mix"]["limiter_db"] > 6
    assert any("limiting" in text and "--loudness" in text for text in result["warnings"])


def test_wrong_requests_leave_nothing_behind(sample: Sample, tmp_path: Path) -> None:
    out = tmp_path / "out"
    config = ScoreConfig(workers=1)
    text = tmp_path / "text.mp4"
    text.write_text("not a film")
    with pytest.raises(MediaError):
        score(text, sample.library, out, config)
    with pytest.raises(DataError, match="no such folder"):
        score(sample.film, tmp_path / "none", out, config)
    with pytest.raises(MediaError, match="no picture"):
        score(sample.library / "run.flac", sample.library, out, config)
    with pytest.raises(UnknownName, match="run"):
        score(sample.film, sample.library, out, config, locks=["0=runn"])
    with pytest.raises(UsageError, match="no segment 99"):
        score(sample.film, sample.library, out, config, locks=["99=run"])
    with pytest.raises(UnknownName, match="planner"):
        score(
            sample.film, sample.library, out, ScoreConfig.load(assignments=["choose.policy=planer"])
        )
    assert not out.exists()


def test_the_output_folder_is_guarded(sample: Sample, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(UsageError, match="not empty"):
        score(sample.film, sample.library, tmp_path)
    with pytest.raises(UsageError, match="not a folder"):
        score(sample.film, sample.library, tmp_path / "mine.txt")
    with pytest.raises(RunError, match="cannot write"):
        score(sample.film, sample.library, Path("/proc/segue-out"))
    assert (tmp_path / "mine.txt").read_text() == "keep me"
    assert {p.name for p in tmp_path.iterdir()} == {"mine.txt"}


def test_the_result_never_overwrites_its_input(sample: Sample, tmp_path: Path) -> None:
    film = tmp_path / "scored.mp4"
    shutil.copy(sample.film, film)
    with pytest.raises(UsageError, match="overwrite the input"):
        score(film, sample.library, tmp_path, overwrite=True)
    assert film.read_bytes() == sample.film.read_bytes()


def test_segment_times_are_exact_fractions_of_frames(scored: tuple[Path, dict]) -> None:
    _, result = scored
    for segment in result["segments"]:
        frames = Fraction(segment["start_s"]).limit_denominator(10_000) * 24
        assert abs(frames - round(frames)) < Fraction(1, 100)
