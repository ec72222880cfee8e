"""`segue score --generate`: music for segments by a model, at the exact length, like any track."""

from __future__ import annotations

import json
import shutil
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
from segue.core.errors import MissingModel, RunError, UsageError
from segue.core.options import run
from segue.core.progress import silent
from segue.media.embed.music_axes import AXES
from segue.score import generated
from segue.score.config import GenerateSettings, ScoreConfig
from segue.score.generated import Band, Piece, find_band, join_parts, pieces_of
from segue.score.generated_prompts import INSTRUMENTS_OF, prompts_for, quadrant_of
from segue.score.pipeline import score
from segue.tasks.audio import players
from segue.tasks.audio.playing import SamplingSettings
from segue.tasks.audio.vocabulary import HELD_OUT_PAIRS, INSTRUMENT_WORDS, MOODS
from tests.score.compose.conftest import segments
from tests.score.conftest import Sample
from tests.synthetic_video import write_video
from tests.tasks.audio.fakes import RATE, SineDenoiser, write_adapter
from tests.tasks.audio.fakes import player as sines

SETTINGS = [
    "segments.min_s=2", "segments.max_s=4", "workers=1", "generate.tries=2", "generate.steps=3",
]  # fmt: skip


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """A film of 11 seconds in five shots, and two tracks."""
    folder = tmp_path_factory.mktemp("sample")
    make_library(folder / "library", seconds=6, count=2)
    shots = [(2.0, "red"), (2.5, "noise"), (2.0, "pan"), (2.5, "blue"), (2.0, "white")]
    return Sample(write_video(folder / "film.mp4", shots), folder / "library")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose model is the sines, with an adapter."""
    folder = tmp_path_factory.mktemp("model") / "run"
    folder.mkdir()
    (folder / "nano.json").write_text("{}")
    write_adapter(folder / "tuned" / "a", 2.0)
    return folder


@pytest.fixture(autouse=True)
def sine_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(players, "_load", lambda home, device: SineDenoiser())


def config(model: Path | str, *assignments: str) -> ScoreConfig:
    return ScoreConfig.load(assignments=[*SETTINGS, f"generate.model={model}", *assignments])


def steps(out: Path) -> dict[str, set[str]]:
    return {p.name: {f.name for f in p.iterdir()} for p in (out / "run/steps").iterdir()}


@pytest.fixture(scope="module")
def whole(
    film: Sample, model: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """The film, all of it generated, without a library."""
    out = tmp_path_factory.mktemp("generated") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(players, "_load", lambda home, device: SineDenoiser())
        return out, score(film.film, None, out, config(model, "compose.mode=all"))


def test_a_whole_film_without_a_library(whole: tuple[Path, dict[str, Any]]) -> None:
    out, result = whole
    count = len(result["segments"])
    assert sorted(t for cue in result["composed"] for t in cue["segments"]) == list(range(count))
    assert all(s["composed"] and s["generated"] for s in result["segments"])
    for cue in result["composed"]:
        assert cue["model"] == "sines"
        assert cue["checkpoint"] == SineDenoiser.identity
        assert cue["adapter"] is None
        assert cue["steps"] == 3
        assert cue["takes"] == 2
        assert "midi" not in cue
        assert (out / cue["sound"]).is_file()
        assert cue["sound"].startswith("generated/")
        for t in cue["segments"]:
            wanted = [result["segments"][t]["wanted"][axis] for axis in AXES]
            assert cue["prompt"] in prompts_for(wanted)
    assert [s["terms"]["alignment"] for s in result["segments"]] == pytest.approx(
        [fit for cue in result["composed"] for fit in cue["fits"]], abs=1e-3
    )
    music, rate = soundfile.read(out / "stems/music.wav")
    assert len(music) == round(result["video"]["duration_s"] * rate)
    window = rate // 4
    assert all(np.abs(music[i : i + window]).max() > 1e-3 for i in range(0, len(music), window))


def test_pieces_meet_on_the_cuts_in_a_crossfade(whole: tuple[Path, dict[str, Any]]) -> None:
    out, result = whole
    assert len(result["cues"]) == len(result["composed"]) > 1
    for before, after in pairwise(result["cues"]):
        cut = result["segments"][after["segments"][0]]["start_s"]
        assert (before["end_s"] + after["start_s"]) / 2 == pytest.approx(cut, abs=1 / 48_000)
        assert before["end_s"] - after["start_s"] == pytest.approx(after["fade_in_s"], abs=1e-4)
        assert after["fade_in_s"] > 0.3
    assert not any(cue["joined"] == "loop" for cue in result["cues"])
    for cue in result["composed"]:
        inside = [result["segments"][t] for t in cue["segments"]]
        sound, rate = soundfile.read(out / cue["sound"])
        length = inside[-1]["end_s"] - inside[0]["start_s"]
        assert rate == RATE
        assert len(sound) / rate >= cue["anchor_s"] + length + 0.5
        assert np.abs(sound).max() == pytest.approx(10 ** (-3 / 20), abs=1e-3)


def test_report_cue_sheet_and_timelines_name_it(whole: tuple[Path, dict[str, Any]]) -> None:
    out, result = whole
    page = (out / "report.html").read_text()
    assert "Generated for this film" in page
    assert "Composed for this film" not in page
    assert result["composed"][0]["prompt"] in page
    assert ">generated</span>" in page
    sheet = (out / "cues.csv").read_text("utf-8-sig")
    assert "generated for this film by the model sines" in sheet
    timeline = otio.adapters.read_from_file(str(out / "timeline.otio"))
    urls = [getattr(c.media_reference, "target_url", "") for c in timeline.find_clips()]
    assert sum("/generated/generated-" in url for url in urls) == len(result["cues"])
    assert json.loads((out / "result.json").read_text())["composed"] == result["composed"]


def test_it_is_kept_until_something_changes(
    film: Sample, model: Path, whole: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(whole[0], out)
    before = steps(out)["generate"]
    quieter = config(model, "compose.mode=all", "mix.duck_db=6")
    kept = score(film.film, None, out, quieter, overwrite=True)
    assert steps(out)["generate"] == before
    assert kept["composed"] == whole[1]["composed"]
    other = config(model / "tuned" / "a", "compose.mode=all", "seed=3")
    changed = score(film.film, None, out, other, overwrite=True)
    assert steps(out)["generate"] > before
    assert changed["composed"][0]["adapter"]["name"] == "a"
    assert changed["composed"][0]["seed"] != whole[1]["composed"][0]["seed"]


def test_the_same_seed_gives_the_same_takes(tmp_path: Path) -> None:
    scenes = segments([0, 4, 7], [(0.0,) * 5])
    piece = Piece(segments=(0, 1), prompts=("a sad organ", "an angry organ"), anchor_s=0.0,
                  length_s=8.0)  # fmt: skip
    band = Band(player=sines(), settings=SamplingSettings(steps=2), reads_any_text=False)
    made = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        facts = generated._made(
            piece, scenes, band, GenerateSettings(tries=4), seed, tmp_path / name, silent
        )
        made.append((facts, (tmp_path / name / facts["sound"]).read_bytes()))
        assert [p.name for p in (tmp_path / name).iterdir()] == ["generated-0-1.wav"]
        assert len(facts["heard"]) == 2
    assert made[0] == made[1]
    assert made[0][1] != made[2][1]


def test_gaps_and_locks_are_generated_and_the_rest_is_planned(
    film: Sample, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = score(
        film.film, film.library, out, config(model, "compose.segments=1"), locks=["3=compose"]
    )
    made = {t for cue in result["composed"] for t in cue["segments"]}
    assert made == {1, 3}
    library = {p.name for p in film.library.iterdir()}
    for t, segment in enumerate(result["segments"]):
        assert segment["composed"] == (t in made)
        assert segment.get("generated", False) == (t in made)
        assert (segment["track"] in library) != (t in made)


def test_captions_change_the_prompt(film: Sample, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "captions.json"
    path.write_text(json.dumps([{"start": 0, "end": 11, "sentence": "An angry man plays organ"}]))
    out = tmp_path / "out"
    settings = config(model, "compose.mode=all")
    result = score(film.film, None, out, settings, captions=path)
    (cue,) = result["composed"]  # one prompt for all of the film makes one piece
    assert cue["prompt"] == "a recording of an angry organ solo, high quality"
    assert cue["segments"] == list(range(len(result["segments"])))


@pytest.mark.parametrize(
    ("settings", "kind", "words"),
    [
        (["compose.mode=off"], UsageError, "nothing says where"),
        (["compose.mode=all", "generate.model=no-such-run"], MissingModel, "no such folder"),
        (["compose.mode=all", "embedder=precomputed"], UsageError, "no vectors"),
        (["compose.mode=all", "generate.instrument=kazoo"], UsageError, "known are piano"),
        (["compose.mode=all", "generate.longest_s=1"], UsageError, "longest_s"),
    ],
)
def test_wrong_requests_leave_nothing(
    settings: Sequence[str], kind: type[Exception], words: str, film: Sample, model: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    with pytest.raises(kind, match=words):
        score(film.film, film.library, tmp_path / "out", config(model, *settings))
    assert not (tmp_path / "out").exists()


def test_silence_is_refused(
    film: Sample, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        SineDenoiser, "decode", lambda s, x, t: x.new_zeros(len(x), round(t * RATE))
    )
    with pytest.raises(RunError, match="made silence"):
        score(film.film, None, tmp_path / "out", config(model, "compose.mode=all"))
    assert not list((tmp_path / "out").glob("scored.*"))


def test_the_command(film: Sample, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def shown(*words: str) -> str:
        assert run(root, ["score", *words, "--print-config"]) == 0
        return capsys.readouterr().out

    alone = shown("--generate", str(model))
    assert 'mode = "all"' in alone.split("[compose]")[1]
    assert f'model = "{model}"' in alone.split("[generate]")[1]
    assert 'mode = "gaps"' in shown("--library", "x", "--generate", "nano").split("[compose]")[1]
    both = shown("--library", "x", "--generate", "nano", "--compose", "all")
    assert 'mode = "all"' in both.split("[compose]")[1]
    assert run(root, ["score", "a.mp4", "--out", "o", "--generate", "no-such"]) == 1
    assert "no such folder" in capsys.readouterr().err


# --- prompts and pieces ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("axes", "mood"),
    [
        ((1.0, 1.0, 0.0, 0.0, 0.0), "happy"), ((1.0, -1.0, 1.0, 1.0, 0.0), "angry"),
        ((-1.0, -1.0, 0.0, -1.0, 0.0), "sad"), ((-1.0, 1.0, -1.0, 0.0, 0.0), "tender"),
        ((0.2, 0.5, 2.0, 0.0, 0.0), "angry"), ((0.2, 0.5, 0.0, -1.0, 0.0), "tender"),
    ],
)  # fmt: skip
def test_moods_become_quadrants(axes: Sequence[float], mood: str) -> None:
    assert MOODS[quadrant_of(axes)] == mood


def test_every_mood_has_instruments_that_training_knows_with_it() -> None:
    assert tuple(INSTRUMENTS_OF) == MOODS
    for mood, by_colour in INSTRUMENTS_OF.items():
        assert list(by_colour) == ["dark", "plain", "bright"]
        for names in by_colour.values():
            for name in names:
                assert (MOODS.index(mood), INSTRUMENT_WORDS[name]) not in HELD_OUT_PAIRS


def test_captions_in_prompts() -> None:
    sad = (-1.0, -1.0, 0.0, 0.0, 0.0)
    assert prompts_for(sad) == [
        "a recording of a sad piano solo, high quality",
        "a recording of a sad violin solo, high quality",
    ]
    assert prompts_for(sad, "two men walk") == prompts_for(sad)
    assert prompts_for(sad, "a girl plays the flute") == [
        "a recording of a sad flute solo, high quality"
    ]
    assert "joyful" not in prompts_for(sad, "a joyful crowd")[0]
    assert "happy" in prompts_for(sad, "a joyful crowd")[0]
    free = prompts_for(sad, "two men walk " * 30, instrument="organ", reads_any_text=True)
    assert len(free) == 1
    assert free[0].startswith(
        "a recording of a sad organ solo, high quality, for a scene of a film"
    )
    assert len(free[0].split()) < 60


def test_pieces_have_lead_and_tail() -> None:
    film = segments([0, 5, 9, 12, 20], [(0.0,) * 5])
    prompts = {0: ["a"], 1: ["a"], 2: ["b"], 3: ["b"]}
    first, second = pieces_of([0, 1, 2, 3], film, prompts, crossfade_s=1.0)
    assert (first.segments, first.anchor_s, first.length_s) == ((0, 1), 0.0, 10.0)
    assert (second.segments, second.anchor_s, second.length_s) == ((2, 3), 0.75, 12.75)
    assert [p.segments for p in pieces_of([0, 2, 3], film, prompts, 1.0)] == [(0,), (2, 3)]


def test_long_pieces_are_joined_without_a_hole() -> None:
    rng = np.random.default_rng(0)
    parts = rng.normal(0, 0.1, (3, 1000)).astype(np.float32)
    found = join_parts(parts, 100, 2750)
    assert found.shape == (2750,)
    power = np.sqrt(np.convolve(found**2, np.ones(200) / 200, "valid"))
    assert power.min() > 0.08
    assert power.max() < 0.13
    np.testing.assert_array_equal(found[:900], parts[0, :900])
    np.testing.assert_array_equal(found[1900:2700], parts[2, 100:900])


def test_a_piece_longer_than_the_model_keeps_together() -> None:
    band = Band(player=sines(), settings=SamplingSettings(steps=2), reads_any_text=False)
    short = generated._played(band, "a sad piano solo", 1, 4.0, 30.0)
    long = generated._played(band, "a sad piano solo", 1, 10.3, 4.0)
    assert len(short) == 4 * RATE
    assert len(long) == round(10.3 * RATE)


def test_no_model_is_looked_for_where_none_is_named() -> None:
    assert find_band(GenerateSettings(), asked=True) is None
