"""Training of the base model: it learns, one seed is one result, and it goes on to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from segue.core.errors import ConfigError, DataError, RunError
from segue.core.run import Run
from segue.tasks.audio import diffusion_training
from segue.tasks.audio.data.prepared import Prepared
from segue.tasks.audio.diffusion_training import train, training_schedule
from segue.tasks.audio.models.config import DiffusionConfig
from segue.tasks.audio.models.stored import load_nano
from tests.tasks.audio.tiny_nano import PROMPTS, TinyClips, tiny_nano

SMALL: dict[str, Any] = {
    "denoiser": {"latent": 12, "width": 24, "layers": 2, "heads": 2, "feed_forward": 32},
    "steps": 6, "batch": 8, "warmup": 2, "validate_every": 3, "crops": 0.5, "average": 0.5,
}  # fmt: skip


def trained(
    folder: Path, *, resume: bool = False, clips: TinyClips | None = None, **changes: Any
) -> dict[str, Any]:
    config = DiffusionConfig.parse(SMALL | changes)
    data = clips or TinyClips()
    model = tiny_nano()
    run = (
        Run.open(folder, DiffusionConfig, data_hash=data.fingerprint)
        if resume
        else Run.create(folder, config, data_hash=data.fingerprint)
    )
    with run:
        return train(cast("Prepared", data), model.text, model.tokenizer, run, config)


def files(folder: Path) -> dict[str, bytes]:
    names = ("nano.safetensors", "nano.json", "metrics.jsonl")
    return {name: (folder / name).read_bytes() for name in names}


def test_one_seed_is_one_result(tmp_path: Path) -> None:
    first = trained(tmp_path / "a")
    assert first == trained(tmp_path / "b")
    assert files(tmp_path / "a") == files(tmp_path / "b")
    trained(tmp_path / "c", seed=1)
    assert files(tmp_path / "a") != files(tmp_path / "c")


@pytest.mark.parametrize("killed_at", [1, 4, 5])
def test_a_run_that_was_killed_ends_on_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int
) -> None:
    trained(tmp_path / "whole")
    update = diffusion_training._Trainer._update

    def killed(self: Any, number: int) -> float:
        if number == killed_at:
            raise KeyboardInterrupt
        return update(self, number)

    with monkeypatch.context() as patch:
        patch.setattr(diffusion_training._Trainer, "_update", killed)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "other")
    trained(tmp_path / "other", resume=True)
    assert files(tmp_path / "whole") == files(tmp_path / "other")


def test_a_run_that_is_done_stays_as_it_is(tmp_path: Path) -> None:
    result = trained(tmp_path / "a")
    before = files(tmp_path / "a")
    assert trained(tmp_path / "a", resume=True) == result
    assert files(tmp_path / "a") == before


def test_it_learns_a_few_clips(tmp_path: Path) -> None:
    """A model that knows nothing has a loss of about 1, the variance of the target."""
    clips = TinyClips(n_train=2, n_val=2)
    clips._mel["val"] = clips.features("train")
    changes = {
        "steps": 150,
        "validate_every": 150,
        "learning_rate": 1e-2,
        "average": 0.9,
        "crops": 0,
    }
    result = trained(tmp_path / "a", clips=clips, **changes)
    assert result["validation_loss"] < 0.7
    assert 0.8 < result["variance_kept"] <= 1.0
    model = load_nano(tmp_path / "a")
    assert model.decode(torch.zeros(1, *model.latent_shape(0.5)), 0.5).shape == (1, 8000)


def test_what_is_kept_is_the_average(tmp_path: Path) -> None:
    trained(tmp_path / "fast", average=0.0)
    trained(tmp_path / "slow", average=0.9)
    fast, slow = (load_nano(tmp_path / name).network.leave.weight for name in ("fast", "slow"))
    assert 0 < float(slow.norm()) < float(fast.norm())


def test_hidden_prompts_train_the_empty_one(tmp_path: Path) -> None:
    trained(tmp_path / "a", no_prompt=0.5)
    trained(tmp_path / "b", no_prompt=0.0)
    assert load_nano(tmp_path / "a").network.no_words.any()
    assert not load_nano(tmp_path / "b").network.no_words.any()


def test_every_clip_comes_once_in_each_pass(tmp_path: Path) -> None:
    config = DiffusionConfig.parse(SMALL)
    model, data = tiny_nano(), TinyClips()
    with Run.create(tmp_path / "a", config) as run:
        trainer = diffusion_training._Trainer(
            cast("Prepared", data), model.text, model.tokenizer, run, config, lambda _: None, 0
        )
    drawn = np.concatenate([trainer._drawn(number) for number in range(1, 7)])
    for start in (0, 24):
        assert sorted(drawn[start : start + 24]) == list(range(24))
    assert list(drawn[:24]) != list(drawn[24:])


def test_its_steps_follow_those_of_others(tmp_path: Path) -> None:
    config = DiffusionConfig.parse(SMALL)
    model, data = tiny_nano(), cast("Prepared", TinyClips())
    with Run.create(tmp_path / "a", config) as run:
        run.log(5, other=1.0)
        run.save(5, {})
        train(data, model.text, model.tokenizer, run, config, first=5, folder=tmp_path / "out")
        assert [line["step"] for line in run.metrics()] == [5, 8, 11]
    assert (tmp_path / "out" / "nano.json").is_file()


def test_a_loss_that_is_no_number_stops_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loss = diffusion_training._Trainer._loss
    calls = []

    def broken(self: Any, *args: Any) -> torch.Tensor:
        calls.append(1)
        return loss(self, *args) * (float("nan") if len(calls) > 4 else 1.0)

    monkeypatch.setattr(diffusion_training._Trainer, "_loss", broken)
    with pytest.raises(RunError, match="the loss of update 4 is nan"):
        trained(tmp_path / "a")
    assert (tmp_path / "a" / "checkpoints").is_dir()
    assert not (tmp_path / "a" / "nano.json").exists()


def test_unusable_clips_and_devices_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="shorter than a second"):
        trained(tmp_path / "a", clips=TinyClips(seconds=0.5))
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="torch sees no GPU"):
            trained(tmp_path / "b", device="cuda")


def test_the_schedule_begins_at_pure_noise() -> None:
    schedule = training_schedule(DiffusionConfig())
    assert schedule.timesteps(10)[0] == 999
    assert schedule.alphas[999] < 1e-4
    assert (schedule.sigmas(10, 1.0) > 0).all()
    assert len(PROMPTS) == 3
