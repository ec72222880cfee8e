"""The original's score files: names, columns, and what they are computed from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from segue.core.errors import DataError
from segue.media.wav import write_wav
from segue.tasks.audio.compat import benchmark, quadrant, write_benchmark
from segue.tasks.audio.generate import GenerateConfig, generate
from segue.tasks.audio.hearing import hear, right
from segue.tasks.audio.vocabulary import make_prompt
from tests.tasks.audio.fakes import RATE, TONES_HZ, listeners, player


def tone(mood: int, seconds: float = 0.5, rate: int = RATE) -> np.ndarray:
    times = np.arange(round(seconds * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * TONES_HZ[mood] * times)).astype(np.float32)


def test_clips_named_as_the_original_named_them(tmp_path: Path) -> None:
    for name, mood in (("Q1_0", 0), ("Q1_1", 2), ("Q3_0", 2), ("Q4_7", 3)):
        write_wav(tmp_path / f"{name}.wav", tone(mood), RATE)
    write_wav(tmp_path / "cover.wav", tone(0), RATE)
    found = benchmark(tmp_path, listeners())
    assert found.emotion == (
        ("Q1_0.wav", "Q1", "Q1"), ("Q1_1.wav", "Q1", "Q3"), ("Q3_0.wav", "Q3", "Q3"),
        ("Q4_7.wav", "Q4", "Q4"),
    )  # fmt: skip
    assert found.accuracy == 0.75
    assert found.similarity[0][1] > found.similarity[1][1]
    scores, labels = write_benchmark(found, tmp_path / "scores")
    assert scores.name == "clap_benchmark.csv"
    assert scores.read_text().splitlines()[0] == "path,sim_score"
    assert labels.name == "emo_benchmark.csv"
    assert labels.read_text().splitlines()[:2] == ["path,label,pred", "Q1_0.wav,Q1,Q1"]
    assert len(scores.read_text().splitlines()) == 5


def test_a_manifest_says_what_was_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "out"
    config = GenerateConfig(steps=3, seconds=0.5)
    facts = generate(player(3.0), ["an elated flute", "no feeling at all"], out, config)
    found = benchmark(out, listeners())
    assert found.emotion == ((facts["clips"][0]["file"], "Q1", "Q1"),)
    assert len(found.similarity) == 2
    assert found.to_dict()["accuracy"] == 1.0


def test_clips_at_other_rates_are_resampled_before_they_are_heard(tmp_path: Path) -> None:
    """The original gave its CLAP 16 kHz as if they were 48: three times as fast and high."""
    for rate in (RATE, 48_000, 22_050):
        sound = torch.from_numpy(tone(1, rate=rate))[None]
        heard = hear(sound, rate, [make_prompt("angry", "piano")], listeners())
        assert right(heard.emotion, [1]).tolist() == [1.0]
        assert heard.lufs[0] == pytest.approx(-13, abs=2)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no clips here"),
        ("[]", "no manifest"),
        ('{"clips": []}', "lists no clips"),
        (json.dumps({"clips": [{"file": "../a.wav", "prompt": "x"}]}), "outside its folder"),
    ],
)
def test_folders_without_clips(content: str | None, words: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(DataError, match=words):
        benchmark(tmp_path, listeners())


def test_quadrants() -> None:
    assert [quadrant(mood) for mood in range(4)] == ["Q1", "Q2", "Q3", "Q4"]
