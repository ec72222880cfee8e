"""The network: what it sees, what it must not see, and that every prompt path can be adapted."""

from __future__ import annotations

import pytest
import torch

from segue.core.errors import ConfigError
from segue.tasks.audio.models import lora
from segue.tasks.audio.models.config import DenoiserConfig
from segue.tasks.audio.models.dit import DiffusionTransformer
from tests.tasks.audio.tiny_nano import tiny_nano

Inputs = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def network() -> DiffusionTransformer:
    return tiny_nano().network


def inputs(n: int = 10, words: int = 4) -> Inputs:
    source = torch.Generator().manual_seed(0)
    return {
        "latents": torch.randn(3, 12, n, generator=source),
        "timesteps": torch.tensor([999, 500, 0]),
        "text": torch.randn(3, words, 16, generator=source),
        "text_mask": torch.ones(3, words, dtype=torch.bool),
        "pooled": torch.randn(3, 16, generator=source),
        "begins": torch.tensor([True, True, False]),
    }


@pytest.mark.parametrize("n", [1, 7, 40, 61])
def test_any_length_is_predicted(network: DiffusionTransformer, n: int) -> None:
    assert network(**inputs(n)).shape == (3, 12, n)


def test_a_new_network_predicts_nothing() -> None:
    new = DiffusionTransformer(DenoiserConfig(latent=12, width=24, heads=2, layers=1), 16)
    assert not new(**inputs()).any()


def test_rows_do_not_see_each_other(network: DiffusionTransformer) -> None:
    given = inputs()
    together = network(**given)
    for i in range(3):
        alone = network(**{key: value[i : i + 1] for key, value in given.items()})
        torch.testing.assert_close(alone[0], together[i], atol=1e-5, rtol=0)


def test_hidden_words_have_no_effect(network: DiffusionTransformer) -> None:
    given = inputs()
    given["text_mask"][:, 2:] = False
    before = network(**given)
    given["text"] = given["text"].clone()
    given["text"][:, 2:] = 100.0
    torch.testing.assert_close(network(**given), before, atol=1e-6, rtol=0)
    short = given | {"text": given["text"][:, :2], "text_mask": given["text_mask"][:, :2]}
    torch.testing.assert_close(network(**short), before, atol=1e-5, rtol=0)


@pytest.mark.parametrize("key", ["latents", "timesteps", "text", "pooled", "begins"])
def test_everything_else_has_an_effect(network: DiffusionTransformer, key: str) -> None:
    given = inputs()
    before = network(**given)
    value = given[key]
    given[key] = ~value if value.dtype == torch.bool else (value + 1) % 999
    assert not torch.allclose(network(**given), before, atol=1e-4)


def test_only_relative_places_matter(network: DiffusionTransformer) -> None:
    """Equal vectors everywhere are the same at every place, however many there are."""
    given = inputs(10)
    given["latents"] = given["latents"][:, :, :1].expand(-1, -1, 10)
    out = network(**given)
    torch.testing.assert_close(out, out[:, :, :1].expand_as(out), atol=1e-5, rtol=0)
    given = inputs(10)
    flipped = given | {"latents": given["latents"].flip(2)}
    assert not torch.allclose(network(**flipped).flip(2), network(**given), atol=1e-4)


def test_no_prompt_takes_the_place_of_a_prompt(network: DiffusionTransformer) -> None:
    given = inputs()
    keys = ("text", "text_mask", "pooled")
    none = torch.tensor([True, False, True])
    text, mask, pooled = network.without_prompt(*(given[key] for key in keys), none)
    assert mask.tolist() == [[True, False, False, False], [True] * 4, [True, False, False, False]]
    assert torch.equal(text[1], given["text"][1])
    assert torch.equal(text[0], text[2])
    out = network(**given | {"text": text, "text_mask": mask, "pooled": pooled})
    other = inputs()
    other["text"], other["pooled"] = -given["text"], -given["pooled"]
    text, mask, pooled = network.without_prompt(*(other[key] for key in keys), none)
    again = network(**given | {"text": text, "text_mask": mask, "pooled": pooled})
    assert torch.equal(out[[0, 2]], again[[0, 2]])


def test_every_path_of_the_prompt_can_be_adapted() -> None:
    network = tiny_nano().network
    lora.add_adapter(network, 2, 2.0, seed=0)
    names = {name.rsplit(".", 1)[0] for name in lora.adapter(network)}
    attention = {
        f"blocks.{i}.to_text.{layer}" for i in (0, 1) for layer in ("query", "key", "value", "out")
    }
    modulation = {"blocks.0.modulation", "blocks.1.modulation", "last_modulation"}
    assert names == attention | modulation | {"words", "prompt"}


def test_gradients_reach_every_weight() -> None:
    network = tiny_nano().network.requires_grad_(True)
    given = inputs()
    keys = ("text", "text_mask", "pooled")
    none = torch.tensor([True, False, False])
    hidden = dict(zip(keys, network.without_prompt(*(given[k] for k in keys), none), strict=True))
    network(**given | hidden).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().sum()) > 0, name


def test_a_width_that_cannot_turn_is_refused() -> None:
    with pytest.raises(ConfigError, match="even multiple of heads"):
        DenoiserConfig.parse({"width": 20, "heads": 4})
