"""DDPO on AudioLDM2: the ratio before any update, and gradients that are gathered while playing."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from segue.core.errors import UsageError
from segue.tasks.audio import ddpo
from segue.tasks.audio.config import SampleConfig, UpdateConfig
from segue.tasks.audio.models.audioldm2 import AudioLDM2Denoiser
from segue.tasks.audio.onpolicy import play_and_gather, separates
from segue.tasks.audio.rollout import Rollout, collect, ratio_deviation
from segue.tasks.audio.sampling import autocast, guided
from segue.tasks.audio.vocabulary import understand
from tests.tasks.audio import tiny_audioldm2

TEXTS = ["a sad violin", "a slow bright flute in a large hall", "an angry guitar"]
STEPS = 5


@pytest.fixture(scope="module")
def loaded() -> AudioLDM2Denoiser:
    return AudioLDM2Denoiser(tiny_audioldm2.components())


@pytest.fixture(params=[2, 0], ids=["with adapter", "new adapter"])
def model(loaded: AudioLDM2Denoiser, request: pytest.FixtureRequest) -> AudioLDM2Denoiser:
    loaded.add_adapter(rank=2, alpha=2.0, seed=0)
    source = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in loaded.adapter().values():
            weight += torch.randn(weight.shape, generator=source) * 0.1 * request.param
    return loaded


def played(model: AudioLDM2Denoiser, guidance: float, texts: list[str], **more: Any) -> Rollout:
    config = SampleConfig(
        steps=STEPS, guidance=guidance, negative="low quality", seconds=0.1, batch=2, **more
    )
    prompts = [understand(text) for text in texts]
    return collect(model, prompts, range(len(texts)), config)


@pytest.mark.parametrize("guidance", [1.0, 3.5])
@pytest.mark.parametrize("texts", [TEXTS[:1], TEXTS], ids=["one", "three"])
def test_the_ratio_is_1_before_any_update(
    model: AudioLDM2Denoiser, guidance: float, texts: list[str]
) -> None:
    rollout = played(model, guidance, texts)
    lengths = rollout.asked.positive["text_mask"].sum(1)
    assert len(texts) == 1 or len(set(lengths.tolist())) > 1, "prompts of different length"
    for rows in (1, 4, 64):
        assert ratio_deviation(model, rollout, rows=rows) <= 1e-5


def test_conditioning_of_another_clip_shows_in_the_ratio(model: AudioLDM2Denoiser) -> None:
    """The original used that of the last prompt for all; this test must be able to see it."""
    rollout = played(model, 3.5, TEXTS)
    last = torch.full((3,), 2)
    mixed = Rollout(
        latents=rollout.latents, log_prob=rollout.log_prob, timesteps=rollout.timesteps,
        asked=rollout.asked.rows(last), prompts=rollout.prompts, eta=rollout.eta,
    )  # fmt: skip
    assert ratio_deviation(model, mixed) > 1e-4


@pytest.mark.parametrize("guidance", [1.0, 3.5])
@pytest.mark.parametrize("trained", [(0, 1, 2, 3, 4), (1, 2)])
def test_gathered_gradients_are_those_of_the_loss(
    model: AudioLDM2Denoiser, guidance: float, trained: tuple[int, ...]
) -> None:
    rollout = played(model, guidance, TEXTS)
    gains = torch.tensor([1.0, -0.5, 2.0])
    config = UpdateConfig(rows=4, base_penalty=0.0, skip_last=0)
    weights = model.adapter()
    for weight in weights.values():
        weight.grad = None
    steps = torch.tensor([trained] * 3)
    total = steps.numel()
    for loss, told in ddpo.losses(model, rollout, torch.arange(3), steps, gains, total, config):
        assert told["clip_fraction"] == 0
        loss.backward()
    shape = model.latent_shape(0.1)
    found = play_and_gather(
        model, rollout.asked, shape, STEPS, 1.0, range(3), trained, batch=2,
        weights=ddpo.step_weights(config, STEPS),
    )  # fmt: skip
    assert (found.clean - rollout.clean).abs().max() <= 1e-4
    assert (found.log_prob - rollout.log_prob).abs().max() <= 1e-5
    gathered = found.loss_gradient(gains)
    assert gathered.keys() == weights.keys()
    largest = max(float(w.grad.abs().max()) for w in weights.values())
    assert largest > 0
    for name, weight in weights.items():
        assert (gathered[name] - weight.grad).abs().max() <= 1e-5 * max(1.0, largest), name


def test_gathering_leaves_the_adapter_alone(model: AudioLDM2Denoiser) -> None:
    assert separates(model)
    rollout = played(model, 1.0, TEXTS[:1])
    before = {name: weight.detach().clone() for name, weight in model.adapter().items()}
    for weight in model.adapter().values():
        weight.grad = None
    play_and_gather(model, rollout.asked, model.latent_shape(0.1), 2, 1.0, [0], [0])
    assert all(weight.grad is None for weight in model.adapter().values())
    assert all(torch.equal(w, before[name]) for name, w in model.adapter().items())
    assert not model._attention.own


def test_guidance_works_in_half_precision(model: AudioLDM2Denoiser) -> None:
    exact = played(model, 3.5, TEXTS)
    seen, at = exact.latents[:, 1], exact.timesteps[:, 1]
    with torch.no_grad():
        expected = guided(model, seen, at, exact.asked)
        with autocast(model.device, "bfloat16"):
            found = guided(model, seen, at, exact.asked)
    assert found.dtype == torch.float32
    assert 0 < (found - expected).abs().max() <= 0.1 * expected.abs().max()


def test_half_precision_does_not_gather(loaded: AudioLDM2Denoiser) -> None:
    half = AudioLDM2Denoiser(tiny_audioldm2.components())
    half._network.to(torch.bfloat16)
    half.add_adapter(rank=2, alpha=2.0, seed=0)
    assert not separates(half)
    with pytest.raises(UsageError, match="float32"), half.adapter_of_each(1):
        pass


def test_layers_run_twice_give_the_same_gradients(model: AudioLDM2Denoiser) -> None:
    latents, t = torch.randn(2, *model.latent_shape(0.1)), torch.tensor([900, 1])
    heard = model.condition(TEXTS[:2])
    weights = list(model.adapter().values())
    plain = torch.autograd.grad(model.predict(latents, t, heard).square().mean(), weights)
    model.checkpointing = True
    try:
        saved = torch.autograd.grad(model.predict(latents, t, heard).square().mean(), weights)
    finally:
        model.checkpointing = False
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(plain, saved, strict=True))
