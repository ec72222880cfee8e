"""The listeners learn what they should, in spite of wrong captions, and stop and go on exactly."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segue.core.errors import DataError, RunError
from segue.core.run import Run
from segue.tasks.audio.data.clips import Clip
from segue.tasks.audio.data.prepared import Prepared
from segue.tasks.audio.listeners import stages, training
from segue.tasks.audio.listeners.config import ListenersConfig
from segue.tasks.audio.listeners.stored import load_clap, load_emotion, load_judge
from segue.tasks.audio.listeners.training import train_listeners
from tests.tasks.audio.tiny_clips import make_clips

TINY: dict[str, Any] = {
    "clap": {
        "channels": [8, 16, 16],
        "embedding": 16,
        "text": {"width": 16, "layers": 1, "heads": 2, "dropout": 0.0},
    },
    "emotion": {"channels": [8, 8], "hidden": 16, "chunk_seconds": 0.32, "dropout": 0.0},
    "judge": {"width": 16, "recurrent": 8, "embedding": 16, "dropout": 0.1},
    "clap_learning": {"epochs": 2, "batch": 16, "crop_seconds": 0.32, "learning_rate": 1e-2},
    "emotion_learning": {"epochs": 2, "batch": 16, "learning_rate": 1e-2},
    "judge_learning": {"epochs": 2, "batch": 16, "crop_seconds": 0.48, "learning_rate": 1e-2},
    "augment": {
        "mask_bands": 1,
        "mask_frames": 2,
        "tilt_db": 1.0,
        "codec": 0.2,
        "noise_db": [-60.0, -40.0],
        "vocoder": 0,
    },
}


def config(**changes: Any) -> ListenersConfig:
    settings = {k: dict(v) if isinstance(v, dict) else v for k, v in TINY.items()}
    for name, value in changes.items():
        group, _, key = name.partition("__")
        if key:
            settings[group][key] = value
        else:
            settings[group] = value
    return ListenersConfig.parse(settings)


def train(data: Prepared, folder: Path, settings: ListenersConfig) -> dict[str, Any]:
    with Run.create(folder, settings, data_hash=data.fingerprint) as run:
        return train_listeners(data, run, settings)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return make_clips(tmp_path_factory.mktemp("small"), noise=0.25)


def test_they_learn_true_moods_from_wrong_captions(tmp_path: Path) -> None:
    """Chance is .25; three fifths of the captions belong to another clip."""
    (tmp_path / "data").mkdir()
    data = make_clips(tmp_path / "data", 256, 64, noise=0.6)
    settings = config(
        clap_learning__epochs=8, emotion_learning__epochs=8, judge_learning__epochs=6,
        emotion_labels="captions",
    )  # fmt: skip
    result = train(data, tmp_path / "run", settings)
    assert result["clap"]["mood_accuracy"] > 0.7
    assert result["emotion"]["mood_accuracy"] > 0.6
    assert result["judge"]["mood_accuracy"] > 0.7
    assert result["judge"]["instrument_accuracy"] > 0.7


def test_it_goes_on_where_it_was_stopped(
    small: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config()
    whole = train(small, tmp_path / "whole", settings)

    updates = iter(range(10_000))
    stops = {3, 6, 10}  # counted in updates over all attempts: in each of the listeners

    class KilledError(Exception):
        pass

    def counted(original: Any) -> Any:
        def loss(self: Any, chosen: Any, rng: Any) -> Any:
            if next(updates) in stops:
                raise KilledError
            return original(self, chosen, rng)

        return loss

    for kind in (stages.ClapStage, stages.EmotionStage, stages.JudgeStage):
        monkeypatch.setattr(kind, "loss", counted(kind.loss))
    folder, attempts = tmp_path / "stopped", 0
    while True:
        attempts += 1
        opened = (
            Run.open(folder, ListenersConfig, data_hash=small.fingerprint)
            if folder.exists()
            else Run.create(folder, settings, data_hash=small.fingerprint)
        )
        with opened as run:
            try:
                again = train_listeners(small, run, settings)
                break
            except KilledError:
                torch.manual_seed(attempts)  # whatever else drew numbers in between
    assert attempts == 4
    assert again == whole
    for name in ("clap", "emotion", "judge"):
        for suffix in ("safetensors", "json"):
            one, two = (tmp_path / f / f"{name}.{suffix}" for f in ("whole", "stopped"))
            assert one.read_bytes() == two.read_bytes()
    logs = [(tmp_path / f / "metrics.jsonl").read_text() for f in ("whole", "stopped")]
    assert logs[0] == logs[1]


def test_a_finished_run_is_not_trained_again(small: Prepared, tmp_path: Path) -> None:
    settings = config()
    first = train(small, tmp_path / "run", settings)
    before = (tmp_path / "run" / "clap.safetensors").stat().st_mtime_ns
    with Run.open(tmp_path / "run", ListenersConfig, data_hash=small.fingerprint) as run:
        assert train_listeners(small, run, settings) == first
    assert (tmp_path / "run" / "clap.safetensors").stat().st_mtime_ns == before
    load_clap(tmp_path / "run")
    load_judge(tmp_path / "run")


def test_the_judge_shares_no_clip_with_the_rewards(small: Prepared) -> None:
    material = stages.Material(small, config())
    judge = set(stages.JudgeStage(material).clips.tolist())
    paid = set(stages.ClapStage(material).clips.tolist())
    felt = set(stages.EmotionStage(material).clips.tolist())
    assert len(judge) == len(paid) == 32
    assert felt <= paid
    assert not judge & paid
    everything = stages.Material(small, config(emotion_clips="all"))
    assert len(stages.EmotionStage(everything).clips) == 64


def test_which_noise_is_allowed_for(small: Prepared) -> None:
    assert stages.Material(small, config()).noise == 0.25  # what the data say
    assert stages.Material(small, config(assumed_noise=0.1)).noise == 0.1
    true = stages.EmotionStage(stages.Material(small, config(emotion_labels="clips")))
    noisy = stages.EmotionStage(stages.Material(small, config(emotion_labels="captions")))
    labels = small.labels("train")["mood"]
    assert (true._labels == labels).all()
    assert 0.6 < (noisy._labels == labels).mean() < 0.95


def test_the_papers_kind_of_network_trains_on_sound(small: Prepared, tmp_path: Path) -> None:
    """Its own spectrum at its own rate; here in small, with the labels of an EMOPIA-like folder."""
    own = {"hears": "audio", "channels": [4, 4], "hidden": 8, "bands": 32, "sampling_rate": 22050,
           "chunk_seconds": 0.3}  # fmt: skip
    settings = config(emotion=own, emotion_clips="all", emotion_learning__epochs=10)
    result = train(small, tmp_path / "run", settings)
    assert result["emotion"]["mood_accuracy"] > 0.5
    assert load_emotion(tmp_path / "run").hears == "audio"


def test_without_any_mood_there_is_a_warning_and_no_opinion(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "data").mkdir()
    known = make_clips(tmp_path / "data", 32, 8)
    rows = [
        Clip(split=c.split, caption="a recording", true_caption="a recording", half=c.half)
        for split in ("train", "val", "test")
        for c in known.clips(split)
    ]
    data = Prepared(known.folder, known.facts, rows)
    with caplog.at_level(logging.WARNING):
        result = train(data, tmp_path / "run", config())
    assert "no caption names a mood" in caplog.text
    assert "no mood is known" in caplog.text
    assert result["emotion"]["labels"] == 0
    test = torch.from_numpy(data.features("test").astype(np.float32))
    same = torch.full((8, 4), 0.25)
    torch.testing.assert_close(load_emotion(tmp_path / "run").probabilities(test), same)
    found = load_judge(tmp_path / "run").probabilities_of_mel(test)
    torch.testing.assert_close(found["instrument"], torch.full((8, 10), 0.1))


def test_too_few_clips_and_losses_that_are_no_numbers(
    small: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(DataError, match="1 training clips in one of the halves"):
        train(make_clips(tmp_path / "data", 3, 2), tmp_path / "few", config())
    nothing = torch.tensor(float("nan"), requires_grad=True)
    monkeypatch.setattr(stages.EmotionStage, "loss", lambda *_: nothing * 1)
    with pytest.raises(RunError, match="loss of epoch 1 of 'emotion' is nan"):
        train(small, tmp_path / "nan", config())
    assert load_clap(tmp_path / "nan")  # what was done before is kept


def test_the_rate_rises_then_falls() -> None:
    shares = [training._share(i, 100) for i in range(100)]
    assert shares[9] == 1
    assert shares[:10] == sorted(shares[:10])
    assert shares[10:] == sorted(shares[10:], reverse=True)
    assert shares[-1] < 0.01
