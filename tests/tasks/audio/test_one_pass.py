"""Epochs in one pass of the network: when, that they equal ordinary ones, and go on exactly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segue.core.errors import RunError
from segue.tasks.audio import epochs, one_pass
from segue.tasks.audio.config import TuneConfig
from segue.tasks.audio.distributed import World
from segue.tasks.audio.epochs import Epochs
from segue.tasks.audio.learner import Learner
from segue.tasks.audio.tune import tune
from tests.tasks.audio import tiny_audioldm2
from tests.tasks.audio.heard_audioldm2 import SAID, Heard
from tests.tasks.audio.test_distributed import compare, in_two_processes
from tests.tasks.audio.toy import Toy, ToyJudge, breaking, toy_reward

SETTINGS: dict[str, Any] = {
    "reward": {"toy": 1.0},
    "epochs": 3,
    "save_every": 1,
    "sample": {
        "prompts": 4, "per_prompt": 2, "steps": 4, "seconds": 0.25, "guidance": 3.0,
        "negative": "low quality", "batch": 3,
    },
    "advantage": {"mode": "batch"},
    "update": {
        "batch": 8, "base_penalty": 0.0, "skip_last": 1, "density": "weighted",
        # AdamW divides by the gradient's size: without this it tells the rounding of tiny ones
        "epsilon": 1e-4,
    },
    "look": {"every": 0},
}  # fmt: skip


def settings(**changes: Any) -> TuneConfig:
    return TuneConfig.parse(
        SETTINGS
        | {k: SETTINGS.get(k, {}) | v if isinstance(v, dict) else v for k, v in changes.items()}
    )


@pytest.fixture(scope="module")
def parts() -> dict[str, Any]:
    return tiny_audioldm2.components()


@pytest.fixture
def model(parts: dict[str, Any]) -> Heard:
    """With an adapter that already does something."""
    made = Heard(parts)
    made.add_adapter(rank=4, alpha=4.0, seed=0)
    source = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in made.adapter().values():
            weight += torch.randn(weight.shape, generator=source) * 0.1
    return made


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"update": {"density": "mean", "window": 2}}, True),
        ({"update": {"density": "sum"}}, False),
        ({"update": {"objective": "regression"}}, False),
        ({"update": {"base_penalty": 0.1}}, False),
        ({"update": {"temperature": 2.0}}, False),
        ({"update": {"fraction": 0.5}}, False),
        ({"update": {"inner_epochs": 2}}, False),
        ({"update": {"batch": 4}}, False),
        ({"precision": "bfloat16"}, False),
    ],
)
def test_it_applies_to_one_plain_update(
    model: Heard, changes: dict[str, Any], expected: bool
) -> None:
    assert one_pass.applies(model, settings(**changes), World()) == expected


def test_it_needs_a_model_that_can_and_memory(
    model: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = Toy()
    toy.add_adapter(2, 2.0, 0)
    assert not one_pass.applies(toy, settings(), World())
    size = sum(weight.numel() for weight in model.adapter().values())
    monkeypatch.setattr(one_pass, "_MOST_NUMBERS", 8 * size - 1)
    assert not one_pass.applies(model, settings(), World())
    assert one_pass.applies(model, settings(), World(size=2))
    monkeypatch.undo()
    model.element_weights = torch.ones(8, 1, 1)  # type: ignore[attr-defined]
    assert not one_pass.applies(model, settings(), World())
    assert one_pass.applies(model, settings(update={"density": "mean"}), World())


def once(
    model: Heard, config: TuneConfig, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[dict[str, float]], dict[str, torch.Tensor], int]:
    """Run two epochs; returns what is logged, the adapter, and the samples that were predicted."""
    before = {name: weight.detach().clone() for name, weight in model.adapter().items()}
    learner = Learner(model, config, World())
    asked, network = [0], model._denoise

    def counted(latents: torch.Tensor, *others: Any, **more: Any) -> torch.Tensor:
        asked[0] += len(latents)
        return network(latents, *others, **more)

    with monkeypatch.context() as patch:
        patch.setattr(model, "_denoise", counted)
        work = Epochs(model, toy_reward(), SAID, learner, config, World())
        told = [work.play_and_learn(epoch) for epoch in (1, 2)]
    after = {name: weight.detach().clone() for name, weight in model.adapter().items()}
    learner.put(before)
    return told, after, asked[0]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sample": {"guidance": 1.0}, "update": {"window": 2, "density": "mean"}},
        {"update": {"rows": 2, "step_discount": 1.0}, "advantage": {"mode": "group"}},
    ],
)
def test_it_equals_the_ordinary_way(
    model: Heard, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(**changes)
    told, found, asked = once(model, config, monkeypatch)
    monkeypatch.setattr(epochs.one_pass, "applies", lambda *_: False)
    others, expected, twice = once(model, config, monkeypatch)
    trained = config.update.window or 3
    assert (asked, twice) == (2 * 8 * 4, 2 * 8 * (4 + trained)), "no step is computed again"
    before = {name: weight.detach() for name, weight in model.adapter().items()}
    moved = max(float((expected[name] - before[name]).abs().max()) for name in before)
    assert moved > 1e-3
    for name, value in expected.items():
        assert (found[name] - value).abs().max() <= 1e-5, name
    for one, other in zip(told, others, strict=True):
        assert one.keys() == other.keys()
        assert one == pytest.approx(other, abs=1e-5)
        assert one["first_deviation"] == 0


def test_a_resumed_run_ends_on_the_same_bits(parts: dict[str, Any], tmp_path: Path) -> None:
    config = settings(advantage={"mode": "prompt", "least": 4})
    fine = toy_reward(odd=breaking(10**9))
    stopped = toy_reward(odd=breaking(2 * 3))  # three batches of each epoch
    tune(Heard(parts), fine, SAID, tmp_path / "fine", config)
    with pytest.raises(RunError, match="'odd' of epoch 3"):
        tune(Heard(parts), stopped, SAID, tmp_path / "other", config)
    tune(Heard(parts), fine, SAID, tmp_path / "other", resume=True)
    for file in ("metrics.jsonl", "adapter.safetensors", "adapter.json", "result.json"):
        found = (tmp_path / "other" / file).read_bytes()
        assert found == (tmp_path / "fine" / file).read_bytes()
    lines = (tmp_path / "fine/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["first_deviation"] for line in lines] == [0, 0, 0]


def test_a_gradient_that_is_no_number_stops(model: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    config = settings()
    gather = one_pass.play_and_gather

    def odd(*arguments: Any, **more: Any) -> Any:
        played = gather(*arguments, **more)
        next(iter(played.gradients.values()))[0].fill_(np.nan)
        return played

    monkeypatch.setattr(one_pass, "play_and_gather", odd)
    work = Epochs(model, toy_reward(), SAID, Learner(model, config, World()), config, World())
    with pytest.raises(RunError, match="gradient of epoch 1, update 1"):
        work.play_and_learn(1)


def test_gradients_of_two_processes_add_up(model: Heard) -> None:
    """See below for real processes."""
    config, gains = settings(), torch.tensor([1.0, -0.5, 2.0, -1.5])

    def part(clips: slice, total: int) -> tuple[list[torch.Tensor], float]:
        played = one_pass.play(model, SAID[clips], range(4)[clips], config, [0, 1])
        ((loss, told),) = one_pass.losses(model, played, gains[clips], total)
        return list(torch.autograd.grad(loss, list(model.adapter().values()))), told["loss"]

    whole, loss = part(slice(0, 4), 8)
    halves = [part(slice(0, 2), 8), part(slice(2, 4), 8)]
    assert loss == pytest.approx(sum(told for _, told in halves))
    assert max(float(value.abs().max()) for value in whole) > 1e-4
    for value, one, other in zip(whole, *(found for found, _ in halves), strict=True):
        assert (one + other - value).abs().max() <= 1e-6


@pytest.mark.slow
def test_two_processes_do_what_one_does_and_resume(parts: dict[str, Any], tmp_path: Path) -> None:
    """Both fail in the third epoch and go on from the second."""
    changes = SETTINGS | {
        "sample": SETTINGS["sample"] | {"batch": 8},
        "look": {"every": 2, "per_prompt": 2},
        # alike: with late steps at a thirtieth, AdamW tells roundings of 1e-6 of a look apart
        "update": SETTINGS["update"] | {"step_discount": 1.0},
    }
    reward = toy_reward(odd=breaking(10**9))
    alone = Heard(parts)
    tune(alone, reward, SAID, tmp_path / "one", TuneConfig.parse(changes), judge=ToyJudge())
    in_two_processes(tmp_path / "two", changes, "audioldm2")
    compare(tmp_path / "one", tmp_path / "two")
