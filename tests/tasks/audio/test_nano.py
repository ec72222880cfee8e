"""The nano model behind the common interface: lengths, windows, prompts, adapters, files."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from segue.core.errors import DataError, MissingModel, RunError, UsageError
from segue.tasks.audio.models.base import Denoiser, join, rows
from segue.tasks.audio.models.nano import NanoDenoiser
from segue.tasks.audio.models.stored import load_nano, save_nano
from tests.tasks.audio.tiny_nano import PROMPTS, tiny_nano


@pytest.fixture(scope="module")
def model() -> NanoDenoiser:
    return tiny_nano()


def noisy(b: int, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    source = torch.Generator().manual_seed(b + n)
    return torch.randn(b, 12, n, generator=source), torch.arange(b) * 100 + 50


def moved(model: NanoDenoiser) -> dict[str, torch.Tensor]:
    source = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for each in model.adapter().values():
            each.copy_(0.3 * torch.randn(each.shape, generator=source))
    return {name: each.detach().clone() for name, each in model.adapter().items()}


def test_it_is_a_denoiser_in_evaluation_mode(model: NanoDenoiser) -> None:
    assert isinstance(model, Denoiser)
    assert not model.network.training
    assert not model.text.training
    assert (model.name, model.sampling_rate) == ("nano", 16_000)
    assert model.schedule.prediction == "v"
    assert model.adapter() == {}


@pytest.mark.parametrize(("seconds", "n"), [(0.5, 4), (5.12, 40), (5.13, 41), (60.0, 469)])
def test_latents_have_a_vector_for_every_128_ms(
    model: NanoDenoiser, seconds: float, n: int
) -> None:
    assert model.latent_shape(seconds) == (12, n)


@pytest.mark.parametrize("seconds", [0.0, -3.0, 0.3, 601.0, math.nan, math.inf])
def test_a_useless_length_is_refused(model: NanoDenoiser, seconds: float) -> None:
    with pytest.raises(UsageError, match="seconds of sound"):
        model.latent_shape(seconds)


@pytest.mark.parametrize("seconds", [0.5, 0.777, 1.28, 6.001])
def test_decoded_sound_has_the_exact_length(model: NanoDenoiser, seconds: float) -> None:
    latents = torch.randn(1, *model.latent_shape(seconds))
    sound = model.decode(latents, seconds)
    assert sound.shape == (1, round(seconds * 16_000))
    assert sound.dtype == torch.float32
    assert float(sound.abs().max()) <= 1
    assert model.predict_mel(latents, seconds).shape == (1, -(-sound.shape[1] // 256), 64)


@pytest.mark.parametrize("n", [6, 40, 57])
def test_a_batch_predicts_what_its_rows_do(model: NanoDenoiser, n: int) -> None:
    latents, timesteps = noisy(3, n)
    together = model.predict(latents, timesteps, model.condition(PROMPTS))
    assert together.shape == latents.shape
    for i, prompt in enumerate(PROMPTS):
        own = slice(i, i + 1)
        alone = model.predict(latents[own], timesteps[own], model.condition([prompt]))
        torch.testing.assert_close(alone, together[own], atol=1e-5, rtol=0)


def test_conditionings_can_be_joined_and_chosen_from(model: NanoDenoiser) -> None:
    together = model.condition(["", *PROMPTS])
    parts = join(
        [model.condition([""]), model.condition(PROMPTS[:1]), model.condition(PROMPTS[1:])]
    )
    for key, value in together.items():
        torch.testing.assert_close(parts[key][..., : value.shape[-1]], value, atol=1e-5, rtol=0)
    latents, timesteps = noisy(2, 8)
    index = torch.tensor([2, 0])
    first = model.predict(latents, timesteps, rows(together, index))
    second = model.predict(latents, timesteps, model.condition([PROMPTS[1], ""]))
    torch.testing.assert_close(first, second, atol=1e-5, rtol=0)


def test_long_music_is_the_average_of_windows(model: NanoDenoiser) -> None:
    latents, timesteps = noisy(2, 70)
    conditioning = model.condition(PROMPTS[:2])
    found = model.predict(latents, timesteps, conditioning)
    total, weights = torch.zeros_like(found), torch.zeros(70)
    for start in (0, 20, 30):
        part = model.network(
            latents[:, :, start : start + 40],
            timesteps,
            *(conditioning[key] for key in ("text", "text_mask", "pooled")),
            torch.full((2,), start == 0),
        )
        weight = 1.05 - torch.linspace(-1, 1, 40).abs()
        total[:, :, start : start + 40] += weight * part
        weights[start : start + 40] += weight
    torch.testing.assert_close(found, total / weights, atol=1e-5, rtol=0)


def test_prompts_decide_and_the_empty_one_is_none(model: NanoDenoiser) -> None:
    latents, timesteps = noisy(1, 8)
    outs = [model.predict(latents, timesteps, model.condition([p])) for p in ("", *PROMPTS)]
    for i, out in enumerate(outs):
        assert all(not torch.allclose(out, other, atol=1e-4) for other in outs[:i])
    none = model.condition([""])
    assert none["text_mask"].tolist() == [[True]]
    assert torch.equal(none["pooled"][0], model.network.no_prompt)


def test_a_useless_prompt_is_refused(model: NanoDenoiser) -> None:
    with pytest.raises(UsageError, match="a prompt is empty"):
        model.condition(["  \n"])
    with pytest.raises(UsageError, match="has 70 words"):
        model.condition(["happy", "happy " * 70])


def test_unknown_words_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    model = tiny_nano()
    model.condition(["a hapy zyx"])
    model.condition(["a hapy zyx"])
    assert [record.getMessage() for record in caplog.records] == [
        "the model does not know the word 'hapy'; it is read as 'happy'",
        "the model does not know the word 'zyx'; it is left out",
    ]


def test_a_new_adapter_changes_nothing_to_the_bit() -> None:
    model = tiny_nano()
    latents, timesteps = noisy(2, 8)
    conditioning = model.condition(PROMPTS[:2])
    before, identity = model.predict(latents, timesteps, conditioning), model.identity
    model.add_adapter(4, 8.0, seed=0)
    assert torch.equal(model.predict(latents, timesteps, conditioning), before)
    moved(model)
    assert not torch.allclose(model.predict(latents, timesteps, conditioning), before, atol=1e-3)
    with model.without_adapter():
        assert torch.equal(model.predict(latents, timesteps, conditioning), before)
    assert model.identity == identity


def test_gradients_reach_the_adapter_alone() -> None:
    model = tiny_nano()
    model.add_adapter(2, 2.0, seed=0)
    moved(model)
    latents, timesteps = noisy(2, 50)
    model.predict(latents, timesteps, model.condition(PROMPTS[:2])).square().sum().backward()
    assert all(float(each.grad.abs().sum()) > 0 for each in model.adapter().values())
    learning = {id(p) for p in model.network.parameters() if p.requires_grad}
    assert learning == {id(each) for each in model.adapter().values()}


def test_an_adapter_goes_round_exactly_and_fits_its_model_only() -> None:
    model, other = tiny_nano(), tiny_nano()
    model.add_adapter(2, 3.0, seed=0)
    other.load_adapter(moved(model), 2, 3.0)
    latents, timesteps = noisy(2, 8)
    outs = [m.predict(latents, timesteps, m.condition(PROMPTS[:2])) for m in (model, other)]
    assert torch.equal(*outs)
    with pytest.raises(RunError, match="another model's"):
        tiny_nano().load_adapter(moved(model), 3, 3.0)
    assert model.identity == other.identity
    assert model.identity != tiny_nano(seed=1).identity


def test_a_model_goes_round_exactly(tmp_path: Path) -> None:
    model = tiny_nano()
    identity = model.identity
    model.add_adapter(2, 2.0, seed=0)
    moved(model)
    save_nano(tmp_path, model, {"data": "sha256:x"})
    loaded = load_nano(tmp_path)
    assert loaded.identity == identity
    assert loaded.schedule == model.schedule
    assert loaded.adapter() == {}
    latents, timesteps = noisy(2, 8)
    with model.without_adapter():
        before = model.predict(latents, timesteps, model.condition(PROMPTS[:2]))
    after = loaded.predict(latents, timesteps, loaded.condition(PROMPTS[:2]))
    assert torch.equal(before, after)
    assert torch.equal(model.decode(latents, 1.0), loaded.decode(latents, 1.0))


def test_half_precision_is_half_the_file_and_nearly_the_same(tmp_path: Path) -> None:
    model = tiny_nano()
    save_nano(tmp_path / "whole", model, {})
    save_nano(tmp_path / "half", model, {}, "float16")
    sizes = [(tmp_path / n / "nano.safetensors").stat().st_size for n in ("whole", "half")]
    assert sizes[1] < 0.6 * sizes[0]
    half = load_nano(tmp_path / "half")
    assert half.identity == load_nano(tmp_path / "half").identity != model.identity
    latents, timesteps = noisy(2, 8)
    outs = [m.predict(latents, timesteps, m.condition(PROMPTS[:2])) for m in (model, half)]
    torch.testing.assert_close(*outs, atol=3e-2, rtol=0)


def test_a_missing_or_damaged_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(MissingModel, match=r"nano\.json is missing"):
        load_nano(tmp_path)
    save_nano(tmp_path, tiny_nano(), {})
    facts = json.loads((tmp_path / "nano.json").read_text())
    weights = (tmp_path / "nano.safetensors").read_bytes()
    (tmp_path / "nano.safetensors").write_bytes(weights[:-4] + b"\0\0\0\1")
    with pytest.raises(DataError, match="not what was written"):
        load_nano(tmp_path)
    (tmp_path / "nano.safetensors").unlink()
    with pytest.raises(MissingModel, match=r"nano\.safetensors is missing"):
        load_nano(tmp_path)
    (tmp_path / "nano.safetensors").write_bytes(weights)
    for changed, message in (
        ({"format": 99}, "format 99"),
        ({"words": ["happy"]}, "does not fit"),
        ({"schedule": {"nonsense": 1}}, "is damaged"),
        ({"words": None}, "is damaged"),
    ):
        (tmp_path / "nano.json").write_text(json.dumps(facts | changed))
        with pytest.raises(DataError, match=message):
            load_nano(tmp_path)
    (tmp_path / "nano.json").write_text("[")
    with pytest.raises(DataError, match="is damaged"):
        load_nano(tmp_path)
