from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segue.core.errors import ConfigError, DataError, RunError
from segue.rl.devices import usable_device
from segue.tasks.captioning import pretrain as module
from segue.tasks.captioning.batches import epoch, make_batch, sizes
from segue.tasks.captioning.config import PretrainConfig
from segue.tasks.captioning.data.prepared import Captions
from segue.tasks.captioning.models.network import Captioner
from segue.tasks.captioning.models.stored import load_captioner
from segue.tasks.captioning.pretrain import nats_per_word, pretrain
from tests.killed_training import Trainer, kill_until_done
from tests.tasks.captioning.small_runs import Small

NETWORK: dict[str, Any] = {
    "words": 12, "attention": 16, "layers": 1, "goal": 4, "visual_width": 16, "audio_width": 16,
    "visual_ff": 16, "audio_ff": 16,
    "critic": {"lstm": 8, "gru": 8, "lstm_layers": 1, "gru_layers": 1},
}  # fmt: skip
SETTINGS: dict[str, Any] = {
    "epochs": 3, "batch": 8, "longest": 20, "learning_rate": 3e-3, "smoothing": 0.1,
    "network": NETWORK, "critic": {"epochs": 2, "batch": 8},
}  # fmt: skip


def test_a_killed_warm_start_ends_on_the_same_bits(
    small: Small, trainer: Trainer, tmp_path: Path
) -> None:
    settings = SETTINGS | {"epochs": 3, "drop_modality": 0.3, "average": 2, "warmup": 3}
    kill_until_done(
        trainer, tmp_path / "whole/run", tmp_path / "other/run", settings, small.folder, 4
    )


def test_the_log_tells_the_critic_first(small: Small, tmp_path: Path) -> None:
    result = pretrain(small.data, tmp_path / "run", PretrainConfig.parse(SETTINGS))
    assert result["epochs"] == 3
    stored = load_captioner(tmp_path / "run")
    assert stored.facts["training"] == result
    config = stored.network.config
    assert config.critic.words == 12  # of its own, as the captioner's are learned
    assert not config.words_frozen
    assert config.visual == small.data.train.features.visual_width
    lines = [
        line.split('"')[3] for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    ]
    assert lines == ["critic_loss", "critic_loss", "loss", "loss", "loss"]
    again = nats_per_word(stored.network, small.data, small.data.validation, 20)
    assert result["validation_nats"] == pytest.approx(again, abs=1e-6)


def test_learning_lowers_the_surprise_of_unseen_captions(small: Small) -> None:
    """The even guess is ln(words), the share of each word 3.0 nats; the features tell the rest."""
    stored, data = load_captioner(small.warm), small.data
    found = nats_per_word(stored.network, data, data.validation, 20)
    numbers = np.concatenate([data.train.captions.words, np.full(len(data.train.captions), 3)])
    shares = np.bincount(numbers, minlength=len(data.vocabulary)) / len(numbers)
    told = np.concatenate(
        [data.validation.captions.words, np.full(len(data.validation.captions), 3)]
    )
    prior = -np.log(shares[told[told > 1]]).mean()
    assert prior > 2.5
    assert found < 0.5
    even = Captioner(stored.network.config, len(data.vocabulary))
    for weight in even.worker.parameters():
        torch.nn.init.zeros_(weight)
    expected = np.log(len(data.vocabulary))
    assert nats_per_word(even, data, data.validation, 20) == pytest.approx(expected, rel=1e-5)


def test_only_what_learns_is_changed(small: Small, tmp_path: Path) -> None:
    kept: dict[str, dict[str, torch.Tensor]] = {}
    for epochs in (1, 2):
        settings = SETTINGS | {"epochs": epochs, "final_share": 1.0}
        pretrain(small.data, tmp_path / str(epochs), PretrainConfig.parse(settings))
        kept[str(epochs)] = load_captioner(tmp_path / str(epochs)).network.state_dict()
    for name, value in kept["1"].items():
        frozen = name.startswith("critic.") or "_value." in name or name == "encoder.absent.visual"
        assert torch.equal(value, kept["2"][name]) == (frozen or name == "encoder.absent.audio")


def test_a_loss_that_is_no_number_stops_and_keeps_what_was(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "warm_start_loss"
    plain, calls = getattr(module, name), []

    def broken(*args: Any) -> Any:
        calls.append(1)
        return plain(*args) * (float("nan") if len(calls) == 8 else 1.0)

    monkeypatch.setattr(module, name, broken)
    with pytest.raises(RunError, match="the loss of update 8 is nan") as caught:
        pretrain(small.data, tmp_path / "run", PretrainConfig.parse(SETTINGS))
    assert str(tmp_path / "run") in str(caught.value)
    monkeypatch.setattr(module, name, plain)
    resumed = pretrain(small.data, tmp_path / "run", None, resume=True)
    assert resumed == pretrain(small.data, tmp_path / "whole", PretrainConfig.parse(SETTINGS))


def test_data_without_captions_and_missing_gpus_are_told(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = Captions(
        texts=(), segment=np.zeros(0, np.int64), words=np.zeros(0, np.int32),
        offsets=np.zeros(1, np.int64),
    )  # fmt: skip
    train = dataclasses.replace(small.data.train, captions=none)
    empty = dataclasses.replace(small.data, splits=small.data.splits | {"train": train})
    with pytest.raises(DataError, match="no caption to learn from"):
        pretrain(empty, tmp_path / "run", None)
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="sees no GPU"):
        usable_device("cuda")


def test_an_epoch_has_every_caption_once_in_batches_of_one_size() -> None:
    found = list(epoch(np.arange(1000) % 50, 8, np.random.default_rng(0)))
    assert np.array_equal(np.sort(np.concatenate(found)), np.arange(1000))
    spread = np.mean([np.ptp(batch % 50) for batch in found])
    assert spread < 5  # batches drawn without sorting spread by 38
    assert (
        found[0].tolist()
        != next(iter(epoch(np.arange(1000) % 50, 8, np.random.default_rng(1)))).tolist()
    )
    in_order = np.concatenate(list(epoch(np.array([3, 1, 2, 1]), 2, None)))
    assert in_order.tolist() == [1, 3, 2, 0]


def test_batches_hold_what_was_asked_for(small: Small) -> None:
    split = small.data.train
    batch = make_batch(small.data, split, np.array([3, 0]), 4)
    assert batch.words.shape == (2, 6)
    assert batch.words[0, 1:5].tolist() == split.captions.of(3)[:4].tolist()
    assert batch.segments.tolist() == split.captions.segment[[3, 0]].tolist()
    assert (sizes(split, 4) > 4).all()
