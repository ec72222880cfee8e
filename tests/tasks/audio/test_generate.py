"""Clips from prompts: every setting counts, lengths are exact, the manifest tells all."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segue.core.errors import ConfigError, MissingModel, RunError, UsageError
from segue.media.audio import read_audio
from segue.tasks.audio import players
from segue.tasks.audio.generate import MANIFEST, GenerateConfig, generate, slug
from segue.tasks.audio.players import adapters_of, home_of, open_player, read_adapter
from segue.tasks.audio.playing import SamplingSettings, play, sampling_of
from tests.tasks.audio.fakes import RATE, SineDenoiser, listeners, player, write_adapter

PROMPT = "a happy piano solo"


def made(out: Path, **settings: Any) -> dict[str, Any]:
    few = {"steps": 3, "seconds": 0.5} | settings
    return generate(player(), [PROMPT], out, GenerateConfig.model_validate(few))


def samples(path: Path) -> np.ndarray[Any, np.dtype[np.float32]]:
    return read_audio(path).samples[0]


def test_files_manifest_and_scores(tmp_path: Path) -> None:
    prompts = [PROMPT, "Wütend, laut: an angry violin!"]
    config = GenerateConfig(n=2, seconds=0.5, steps=4, guidance=2, eta=0.5, seed=7, negative="no")
    facts = generate(player(2.0), prompts, tmp_path / "out", config, listeners=listeners())
    assert json.loads((tmp_path / "out" / MANIFEST).read_text()) == facts
    rows = facts["clips"]
    assert [row["file"] for row in rows] == [
        "a-happy-piano-solo-001.wav", "a-happy-piano-solo-002.wav",
        "w-tend-laut-an-angry-violin-003.wav", "w-tend-laut-an-angry-violin-004.wav",
    ]  # fmt: skip
    assert [row["seed"] for row in rows] == [7, 8, 7, 8]
    for row in rows:
        content = (tmp_path / "out" / row["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == row["sha256"]
        assert {k: row[k] for k in ("steps", "guidance", "eta", "negative", "seconds")} == {
            "steps": 4, "guidance": 2.0, "eta": 0.5, "negative": "no", "seconds": 0.5,
        }  # fmt: skip
        assert row["checkpoint"] == SineDenoiser.identity
        assert row["adapter"]["name"] == "tuned"
    assert rows[0]["scores"]["mood"] == {
        "heard": "happy", "wanted": "happy", "probability": pytest.approx(0.9, abs=0.1),
    }  # fmt: skip
    assert rows[2]["scores"]["mood"]["wanted"] == "angry"
    assert rows[2]["scores"]["instrument"]["heard"] == "violin"
    assert rows[0]["scores"]["p_target"] > 0.8
    assert rows[0]["scores"]["silent"] is False
    assert -40 < rows[0]["scores"]["lufs"] < 0


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", 5), ("guidance", 6.0), ("eta", 0.0), ("negative", "sad"), ("seed", 1)],
)
def test_every_setting_is_honoured(name: str, value: Any, tmp_path: Path) -> None:
    first = made(tmp_path / "a")["clips"][0]
    again = made(tmp_path / "b")["clips"][0]
    other = made(tmp_path / "c", **{name: value})["clips"][0]
    assert first["sha256"] == again["sha256"]
    assert other["sha256"] != first["sha256"]
    assert other[name] == value
    assert made(tmp_path / "d", **{name: value})["clips"][0]["sha256"] == other["sha256"]


@pytest.mark.parametrize("seconds", [0.5, 0.123, 1.00003, 2.37])
def test_lengths_are_exact(seconds: float, tmp_path: Path) -> None:
    row = made(tmp_path / "out", seconds=seconds)["clips"][0]
    assert len(samples(tmp_path / "out" / row["file"])) == round(seconds * RATE)
    assert row["seconds"] == round(seconds * RATE) / RATE


def test_a_clip_is_the_same_alone_and_among_others(tmp_path: Path) -> None:
    many = made(tmp_path / "a", n=5, batch=2)["clips"]
    alone = made(tmp_path / "b", seed=3)["clips"][0]
    assert many[3]["seed"] == 3
    found = samples(tmp_path / "a" / many[3]["file"])
    np.testing.assert_allclose(found, samples(tmp_path / "b" / alone["file"]), atol=2**-14)
    assert len({row["sha256"] for row in many}) == 5


def test_the_bits_of_the_file(tmp_path: Path) -> None:
    made(tmp_path / "a", bits=24)
    made(tmp_path / "b", bits=16)
    sizes = [next((tmp_path / k).glob("*.wav")).stat().st_size for k in "ab"]
    assert sizes[0] - sizes[1] == round(0.5 * RATE)
    with pytest.raises(UsageError, match="8-bit"):
        made(tmp_path / "c", bits=8)


@pytest.mark.parametrize(
    ("prompts", "settings", "words"),
    [
        ([], {}, "no prompt"),
        (["  "], {}, "prompt is empty"),
        ([PROMPT], {"seconds": 500}, "no length"),
        ([PROMPT], {"seconds": 1e-9}, "no length"),
    ],
)
def test_what_cannot_be_made_leaves_nothing(
    prompts: list[str], settings: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=words):
        generate(player(), prompts, tmp_path / "out", GenerateConfig.model_validate(settings))
    assert list(tmp_path.iterdir()) == []


def test_numbers_that_are_not_finite_are_refused() -> None:
    broken = player(float("nan"))
    with pytest.raises(RunError, match="not finite"):
        play(broken.denoiser, [PROMPT], [0], 0.5, SamplingSettings(steps=2))


def test_other_files_stay_and_old_clips_go(tmp_path: Path) -> None:
    out = tmp_path / "out"
    made(out, n=3)
    with pytest.raises(RunError, match="there are clips"):
        made(out)
    (out / "mine.txt").write_text("mine")
    config = GenerateConfig(steps=2, seconds=0.5)
    generate(player(), ["a sad violin solo"], out, config, overwrite=True)
    assert {p.name for p in out.iterdir()} == {"a-sad-violin-solo-001.wav", MANIFEST, "mine.txt"}
    (out / MANIFEST).unlink()
    with pytest.raises(RunError, match="other files"):
        generate(player(), [PROMPT], out, config, overwrite=True)


def test_a_manifest_cannot_name_files_elsewhere(tmp_path: Path) -> None:
    out, precious = tmp_path / "out", tmp_path / "precious.wav"
    out.mkdir()
    precious.write_text("mine")
    (out / MANIFEST).write_text(json.dumps({"clips": [{"file": "../precious.wav"}]}))
    generate(player(), [PROMPT], out, GenerateConfig(steps=2, seconds=0.5), overwrite=True)
    assert precious.read_text() == "mine"


def test_slugs() -> None:
    assert slug("A recording of a HAPPY piano, 4/4") == "a-recording-of-a-happy-piano-4-4"
    assert slug("楽しい") == "clip"
    assert len(slug("word " * 99)) <= 48


# --- who plays ------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of pretraining whose base model is the sines, with two adapters."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "nano.json").write_text("{}")
    sample = "[sample]\nsteps = 7\nguidance = 1.5\neta = 0.5\n"
    write_adapter(folder / "tuned" / "a", 2.0, sample)
    write_adapter(folder / "tuned" / "b", 3.0)
    monkeypatch.setattr(players, "_load", lambda home, device: SineDenoiser())
    return folder


def test_a_run_plays_its_base_and_a_tuned_run_its_adapter(run: Path) -> None:
    base, tuned = open_player(run), open_player(run / "tuned" / "a")
    assert base.adapter is None
    assert base.denoiser.adapter() == {}
    assert float(tuned.denoiser.adapter()["gain"].detach()) == 2.0
    assert tuned.name == "sines + a"
    assert tuned.home == run.resolve()
    assert open_player(run, "b").facts()["adapter"]["name"] == "b"
    assert open_player(run, run / "tuned" / "b").facts() == open_player(run, "b").facts()
    assert [p.name for p in adapters_of(run)] == ["a", "b"]


def test_clips_are_sampled_as_the_model_was_tuned(run: Path) -> None:
    found = sampling_of(open_player(run, "a"))
    assert (found.steps, found.guidance, found.eta) == (7, 1.5, 0.5)
    assert sampling_of(open_player(run, "b")) == SamplingSettings()
    assert sampling_of(open_player(run)) == SamplingSettings()
    (run / "nano.json").write_text('{"sampling": {"guidance": 2.0}}')
    assert sampling_of(open_player(run)) == SamplingSettings(guidance=2.0)
    (run / "nano.json").write_text('{"sampling": {"guidance": -2.0}}')
    with pytest.raises(ConfigError, match="guidance"):
        sampling_of(open_player(run))


def test_adapters_of_other_models_and_damaged_ones_are_refused(run: Path, tmp_path: Path) -> None:
    other = write_adapter(run / "tuned" / "other", 1.0, identity="f" * 64)
    with pytest.raises(RunError, match="another model"):
        open_player(other)
    weights = run / "tuned" / "a" / "adapter.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(Exception, match="is damaged"):
        read_adapter(run / "tuned" / "a")
    with pytest.raises(MissingModel, match="There: a, b, other"):
        open_player(run, "c")
    with pytest.raises(UsageError, match="its own adapter"):
        open_player(run / "tuned" / "b", "a")
    lost = write_adapter(tmp_path / "x" / "y" / "lost", 1.0)
    with pytest.raises(MissingModel, match="is not there"):
        home_of(lost)


@pytest.mark.parametrize(
    ("place", "words"),
    [("nothing-there", "no such folder"), ("nanno", "Did you mean 'nano'"), (".", "no model here")],
)
def test_places_where_nothing_plays(
    place: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingModel, match=words):
        open_player(place)
