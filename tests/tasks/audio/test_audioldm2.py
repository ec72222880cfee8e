"""AudioLDM2 against diffusers' own pipeline, and its adapter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from segue.core.errors import RunError, UsageError
from segue.tasks.audio.models.audioldm2 import AudioLDM2Denoiser
from segue.tasks.audio.models.base import Denoiser, join
from segue.tasks.audio.sampling import Prompting, denoise, prompting, sample
from tests.tasks.audio import tiny_audioldm2

SHORT, LONG, THIRD = "a sad violin", "a slow bright flute in a large hall", "an angry guitar"
AGAINST = "low quality"
SECONDS, STEPS = 0.1, 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_audioldm2.save(tmp_path_factory.mktemp("audioldm2"))


@pytest.fixture(scope="module")
def theirs() -> Any:
    return tiny_audioldm2.pipeline()


@pytest.fixture(scope="module")
def loaded(folder: Path) -> AudioLDM2Denoiser:
    return AudioLDM2Denoiser.from_folder(folder)


@pytest.fixture
def model(loaded: AudioLDM2Denoiser) -> Iterator[AudioLDM2Denoiser]:
    yield loaded
    loaded._remove()


def randomise(model: AudioLDM2Denoiser, size: float = 0.3) -> None:
    """Give the adapter weights that matter."""
    source = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in model.adapter().values():
            weight.copy_(torch.randn(weight.shape, generator=source) * size)


def noise(model: AudioLDM2Denoiser, n: int) -> torch.Tensor:
    shape = model.latent_shape(SECONDS)
    each = [torch.randn(shape, generator=torch.Generator().manual_seed(i)) for i in range(n)]
    return torch.stack(each)


def apart(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Return the largest difference; latents of a network that was never trained grow to 20."""
    return float((ours - theirs).abs().max() / theirs.square().mean().sqrt().clamp(min=1.0))


def play(model: AudioLDM2Denoiser, asked: Prompting, n: int) -> torch.Tensor:
    walk = denoise(model, asked, model.latent_shape(SECONDS), STEPS, 0.0, range(n))
    return list(walk)[-1][2].latents


def asks(theirs: Any, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Encode every text alone, by the pipeline; pad behind a mask."""
    found = [theirs.encode_prompt(text, torch.device("cpu"), 1, False) for text in texts]
    streams, masks, states = zip(*found, strict=True)
    pad = torch.nn.utils.rnn.pad_sequence
    return (
        pad([s[0] for s in streams], batch_first=True),
        pad([m[0] for m in masks], batch_first=True),
        torch.cat(states),
    )


def test_it_is_a_denoiser(model: AudioLDM2Denoiser, folder: Path) -> None:
    assert isinstance(model, Denoiser)
    assert model.name == folder.name
    assert model.sampling_rate == 16_000
    assert model.schedule.prediction == "epsilon"
    assert not any(network.training for network in model._networks)
    assert not any(w.requires_grad for n in model._networks for w in n.parameters())


@pytest.mark.parametrize(
    ("seconds", "frames"), [(10.0, 250), (0.1, 3), (0.04, 1), (1 / 16_000, 1), (2.56, 64)]
)
def test_latents_hold_every_sample_asked_for(
    model: AudioLDM2Denoiser, seconds: float, frames: int
) -> None:
    assert model.latent_shape(seconds) == (8, frames, 16)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf"), 1e-6, 601.0])
def test_lengths_that_cannot_be_made(model: AudioLDM2Denoiser, seconds: float) -> None:
    with pytest.raises(UsageError, match="cannot be made"):
        model.latent_shape(seconds)
    with pytest.raises(UsageError, match="cannot be made"):
        model.decode(torch.zeros(1, 8, 1, 16), seconds)


@pytest.mark.parametrize("text", [SHORT, LONG, THIRD, ""])
def test_conditioning_equals_that_of_the_pipeline(
    model: AudioLDM2Denoiser, theirs: Any, text: str
) -> None:
    stream, mask, states = theirs.encode_prompt(text, torch.device("cpu"), 1, False)
    ours = model.condition([text])
    assert (ours["text"] - stream).abs().max() <= 1e-5
    assert (ours["generated"] - states).abs().max() <= 1e-5
    assert torch.equal(ours["text_mask"], mask.bool())
    assert ours["generated"].shape[1] == 8
    assert states.std() > 0.1, "the texts must be heard"


def test_a_prompt_is_encoded_as_if_it_were_alone(model: AudioLDM2Denoiser) -> None:
    together = model.condition([LONG, SHORT, LONG, THIRD])
    alone = join([model.condition([text]) for text in (LONG, SHORT, LONG, THIRD)])
    assert torch.equal(together["text_mask"], alone["text_mask"])
    assert not together["text_mask"].all(), "the prompts must differ in length"
    for key in ("generated", "text"):
        assert (together[key] - alone[key]).abs().max() <= 1e-5


def test_padding_as_the_pipeline_does_gives_its_batches(
    model: AudioLDM2Denoiser, theirs: Any
) -> None:
    """GPT-2 counts padding as places, so the pipeline's short prompt depends on the long one."""
    stream, mask, states = theirs.encode_prompt([SHORT, LONG], torch.device("cpu"), 1, False)
    ours = model.condition([SHORT, LONG], length=stream.shape[1])
    assert (ours["generated"] - states).abs().max() <= 1e-5
    assert torch.equal(ours["text_mask"], mask.bool())
    heard = ours["text_mask"][..., None]
    assert ((ours["text"] - stream) * heard).abs().max() <= 1e-5
    assert (model.condition([SHORT])["generated"] - states[:1]).abs().max() > 1e-3


@pytest.mark.parametrize("text", [" ", "\n\t"])
def test_a_blank_prompt_is_refused(model: AudioLDM2Denoiser, text: str) -> None:
    with pytest.raises(UsageError, match="blank"):
        model.condition([SHORT, text])
    with pytest.raises(UsageError, match="empty"):
        prompting(model, [SHORT, text], 1.0)
    with pytest.raises(UsageError, match="no prompt"):
        model.condition([])


def test_a_long_prompt_is_refused_and_not_cut(model: AudioLDM2Denoiser) -> None:
    text = "recording " * 4
    with pytest.raises(UsageError, match=r"too long: \d+ tokens, at most 32") as caught:
        model.condition([text])
    assert "recording" in str(caught.value)
    with pytest.raises(UsageError, match="too long"):
        model.condition([LONG], length=10)


@pytest.mark.parametrize("texts", [[SHORT], [LONG], [SHORT, LONG, THIRD]])
def test_without_guidance_latents_and_sound_equal_the_pipeline(
    model: AudioLDM2Denoiser, theirs: Any, texts: list[str]
) -> None:
    """One call of the pipeline for each prompt; ours plays them together."""
    latents = sample(model, texts, SECONDS, STEPS, eta=0.0)
    sound = model.decode(latents, SECONDS)
    begin = noise(model, len(texts))
    for i, text in enumerate(texts):
        asked = {
            "prompt": text, "audio_length_in_s": SECONDS, "num_inference_steps": STEPS,
            "guidance_scale": 1.0,
        }  # fmt: skip
        expected = theirs(**asked, latents=begin[i : i + 1], output_type="latent").audios
        heard = theirs(**asked, latents=begin[i : i + 1], output_type="pt").audios
        assert apart(latents[i], expected[0]) <= 1e-5
        assert (sound[i] - heard[0]).abs().max() <= 1e-5
    assert sound.shape == (len(texts), 1600)
    assert sound.dtype == torch.float32


@pytest.mark.parametrize("texts", [[SHORT], [LONG], [SHORT, LONG, THIRD]])
def test_with_guidance_latents_and_sound_equal_the_pipeline(
    model: AudioLDM2Denoiser, theirs: Any, texts: list[str]
) -> None:
    latents = sample(model, texts, SECONDS, STEPS, eta=0.0, guidance=3.5, negative=AGAINST)
    sound = model.decode(latents, SECONDS)
    n = len(texts)
    stream, mask, states = asks(theirs, texts + [AGAINST] * n)
    told = {
        "prompt_embeds": stream[:n], "attention_mask": mask[:n],
        "generated_prompt_embeds": states[:n], "negative_prompt_embeds": stream[n:],
        "negative_attention_mask": mask[n:], "negative_generated_prompt_embeds": states[n:],
        "audio_length_in_s": SECONDS, "num_inference_steps": STEPS, "guidance_scale": 3.5,
        "latents": noise(model, n),
    }  # fmt: skip
    assert apart(latents, theirs(**told, output_type="latent").audios) <= 1e-5
    assert (sound - theirs(**told, output_type="pt").audios).abs().max() <= 1e-5
    plain = sample(model, texts, SECONDS, STEPS, eta=0.0)
    assert (latents - plain).abs().max() > 1e-3, "guidance must matter"


def test_with_guidance_by_words_alone(model: AudioLDM2Denoiser, theirs: Any) -> None:
    """The pipeline pads the negative prompt to the prompt, and its batch to the longest."""
    texts = [SHORT, LONG, THIRD]
    length = model.condition(texts)["text"].shape[1]
    asked = Prompting(
        positive=model.condition(texts, length=length),
        negative=model.condition([AGAINST] * 3, length=length),
        guidance=3.5,
    )
    expected = theirs(
        texts, negative_prompt=[AGAINST] * 3, audio_length_in_s=SECONDS, guidance_scale=3.5,
        num_inference_steps=STEPS, latents=noise(model, 3), output_type="latent",
    ).audios  # fmt: skip
    assert apart(play(model, asked, 3), expected) <= 1e-5


def test_odd_lengths_give_every_sample(model: AudioLDM2Denoiser) -> None:
    seconds = 0.1299
    latents = torch.zeros(1, *model.latent_shape(seconds))
    assert model.decode(latents, seconds).shape == (1, round(seconds * 16_000))


def test_two_texts_of_a_sample_cost_less_and_give_the_same(model: AudioLDM2Denoiser) -> None:
    model.add_adapter(rank=2, alpha=2.0, seed=0)
    randomise(model)
    latents, t = noise(model, 2), torch.tensor([901, 1])
    heard = model.condition([AGAINST, AGAINST, SHORT, LONG])
    twice = model.predict(latents.repeat(2, 1, 1, 1), t.repeat(2), heard)
    assert (model.predict_pair(latents, t, heard) - twice).abs().max() <= 1e-5


def test_the_network_equals_that_of_diffusers_with_the_adapter_of_peft(
    model: AudioLDM2Denoiser, theirs: Any
) -> None:
    """Wide layers keep their factors apart and narrow ones add them; both are LoRA."""
    import copy

    import peft

    latents, t = noise(model, 2), torch.tensor([901, 1])
    heard = model.condition([SHORT, LONG])
    for rank in (1, 8):
        model.add_adapter(rank=rank, alpha=3.0, seed=0)
        randomise(model)
        other = copy.deepcopy(theirs.unet)
        config = peft.LoraConfig(
            r=rank, lora_alpha=3.0, target_modules=["to_q", "to_k", "to_v", "to_out.0"]
        )
        peft.inject_adapter_in_model(config, other)
        stored = {name: w.detach() for name, w in model.adapter().items()}
        assert set(stored) == set(peft.get_peft_model_state_dict(other))
        peft.set_peft_model_state_dict(other, stored)
        expected = other(
            latents, t, heard["generated"], encoder_hidden_states_1=heard["text"],
            encoder_attention_mask_1=heard["text_mask"], return_dict=False,
        )[0]  # fmt: skip
        ours = model.predict(latents, t, heard)
        assert (ours - expected).abs().max() <= 1e-5
        gradients = torch.autograd.grad(ours.square().mean(), list(model.adapter().values()))
        loss = expected.square().mean()
        loss.backward()
        of = {n.replace(".default", ""): w for n, w in other.named_parameters() if "lora_" in n}
        for name, found in zip(model.adapter(), gradients, strict=True):
            assert (found - of[name].grad).abs().max() <= 1e-5, name


def test_a_new_adapter_changes_nothing_and_learns(model: AudioLDM2Denoiser) -> None:
    latents, t, heard = noise(model, 1), torch.tensor([500]), model.condition([SHORT])
    before = model.predict(latents, t, heard)
    model.add_adapter(rank=2, alpha=2.0, seed=3)
    assert torch.equal(model.predict(latents, t, heard), before)
    ups = [w for name, w in model.adapter().items() if ".lora_B." in name]
    model.predict(latents, t, heard).square().sum().backward()
    assert all(w.grad is not None and w.grad.abs().max() > 0 for w in ups)
    first = {name: w.detach().clone() for name, w in model.adapter().items()}
    model.add_adapter(rank=2, alpha=2.0, seed=3)
    assert all(torch.equal(w, first[name]) for name, w in model.adapter().items())
    model.add_adapter(rank=2, alpha=2.0, seed=4)
    assert not all(torch.equal(w, first[name]) for name, w in model.adapter().items())


def test_without_the_adapter_it_is_the_base(model: AudioLDM2Denoiser) -> None:
    latents, t, heard = noise(model, 1), torch.tensor([500]), model.condition([SHORT])
    before = model.predict(latents, t, heard)
    model.add_adapter(rank=2, alpha=2.0, seed=3)
    randomise(model)
    assert (model.predict(latents, t, heard) - before).abs().max() > 1e-3
    with model.without_adapter():
        assert torch.equal(model.predict(latents, t, heard), before)
    assert (model.predict(latents, t, heard) - before).abs().max() > 1e-3


def test_an_adapter_survives_its_file_exactly(
    model: AudioLDM2Denoiser, folder: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load

    from segue.tasks.audio.adapter_file import write_adapter

    model.add_adapter(rank=4, alpha=2.0, seed=3)
    randomise(model)
    latents, t, heard = noise(model, 1), torch.tensor([500]), model.condition([SHORT])
    played = model.predict(latents, t, heard).detach()
    arrays = {name: w.detach().clone() for name, w in model.adapter().items()}
    write_adapter(tmp_path, model, arrays, 4, 2.0, {})
    again = AudioLDM2Denoiser.from_folder(folder)
    assert again.identity == model.identity
    again.load_adapter(load((tmp_path / "adapter.safetensors").read_bytes()), 4, 2.0)
    assert list(again.adapter()) == list(model.adapter())
    assert all(torch.equal(w, arrays[name]) for name, w in again.adapter().items())
    assert torch.equal(again.predict(latents, t, heard), played)


def test_an_adapter_of_another_model_is_refused(model: AudioLDM2Denoiser) -> None:
    wider = AudioLDM2Denoiser(tiny_audioldm2.components(channels=(8, 24)))
    wider.add_adapter(rank=2, alpha=2.0, seed=0)
    arrays = dict(wider.adapter())
    model.add_adapter(rank=2, alpha=2.0, seed=0)
    kept = {name: w.detach().clone() for name, w in model.adapter().items()}
    with pytest.raises(RunError, match="another model") as caught:
        model.load_adapter(arrays, 2, 2.0)
    assert "lora_A" in str(caught.value)
    with pytest.raises(RunError, match="another model"):
        model.load_adapter(kept, 3, 2.0)
    with pytest.raises(RunError, match="another model"):
        model.load_adapter({}, 2, 2.0)
    assert all(torch.equal(w, kept[name]) for name, w in model.adapter().items())
    assert wider.identity != model.identity


def test_identity_is_that_of_the_weights(model: AudioLDM2Denoiser, tmp_path: Path) -> None:
    parts = tiny_audioldm2.components()
    one = AudioLDM2Denoiser(parts)
    first = one.identity
    other = AudioLDM2Denoiser(tiny_audioldm2.components(seed=1))
    assert first != other.identity
    again = AudioLDM2Denoiser(tiny_audioldm2.components())
    again.add_adapter(rank=2, alpha=2.0, seed=0)
    assert again.identity == first, "the adapter is no part of it"
    assert len(first) == len(model.identity) == 64


def test_numbers_of_the_published_network() -> None:
    """Layers and widths of AudioLDM2 for music, without weights."""
    import peft
    from diffusers import AudioLDM2UNet2DConditionModel

    from segue.tasks.audio.models.audioldm2_parts import ADAPTED, adapted_layers

    with torch.device("meta"):
        network = AudioLDM2UNet2DConditionModel(
            in_channels=8, out_channels=8, block_out_channels=(128, 256, 384, 640),
            down_block_types=("DownBlock2D", *["CrossAttnDownBlock2D"] * 3),
            up_block_types=(*["CrossAttnUpBlock2D"] * 3, "UpBlock2D"), layers_per_block=2,
            cross_attention_dim=((None, 768, 1024),) * 4, attention_head_dim=(4, 8, 12, 20),
        )  # fmt: skip
    assert round(sum(w.numel() for w in network.parameters()) / 1e6, 1) == 346.9
    layers = list(adapted_layers(network))
    assert len(layers) == 96 * 4
    for rank, millions in ((4, 1.468), (8, 2.937), (16, 5.874)):
        count = sum(rank * sum(layer.weight.shape) for _, layer in layers)
        assert round(count / 1e6, 3) == millions
    config = peft.LoraConfig(r=8, lora_alpha=8, target_modules=list(ADAPTED))
    peft.inject_adapter_in_model(config, network, low_cpu_mem_usage=True)
    learns = [w.numel() for w in network.parameters() if w.requires_grad]
    assert len(learns) == 768
    assert round(sum(learns) / 1e6, 3) == 2.937
