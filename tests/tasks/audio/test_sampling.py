"""The chain of steps: seeds, guidance, and what is refused."""

import pytest
import torch
from diffusers import DDIMScheduler

from segue.core.errors import UsageError
from segue.tasks.audio.sampling import guided, prompting, sample
from tests.tasks.audio.toy import PROMPTS, Toy, disturb

TEXTS = [prompt.text for prompt in PROMPTS]


def toy():
    found = Toy()
    found.add_adapter(2, 2.0, 0)
    disturb(found)
    return found


@pytest.mark.parametrize("guidance", [1.0, 3.5])
def test_a_sample_depends_on_its_seed_and_prompt_alone(guidance):
    model, how = toy(), {"K": 6, "guidance": guidance, "negative": "noise"}
    seeds = [11, 12, 13, 14]
    together = sample(model, TEXTS, 0.5, seeds=seeds, **how)
    chunked = sample(model, TEXTS, 0.5, seeds=seeds, batch=3, **how)
    assert (chunked - together).abs().max() <= 1e-5
    for i in (0, 3):
        alone = sample(model, TEXTS[i : i + 1], 0.5, seeds=seeds[i : i + 1], **how)
        assert (alone - together[i]).abs().max() <= 1e-5
    other = sample(model, TEXTS, 0.5, seeds=[11, 12, 13, 15], **how)
    assert torch.equal(other[:3], together[:3])
    assert not torch.allclose(other[3], together[3])


def test_without_noise_it_is_the_deterministic_chain_of_diffusers():
    model = toy()
    theirs = DDIMScheduler(
        beta_start=0.0015, beta_end=0.0195, beta_schedule="scaled_linear", steps_offset=1,
        clip_sample=False, set_alpha_to_one=False,
    )  # fmt: skip
    theirs.set_timesteps(7)
    x = torch.stack(
        [torch.randn((2, 4), generator=torch.Generator().manual_seed(s)) for s in (5, 6)]
    )
    both = model.condition([TEXTS[0], TEXTS[3]])
    against = model.condition(["noise", "noise"])
    for t in theirs.timesteps:
        rows = torch.full((2,), int(t))
        away, towards = model.predict(x, rows, against), model.predict(x, rows, both)
        x = theirs.step(away + 2.0 * (towards - away), t, x, eta=0.0).prev_sample.detach()
    found = sample(model, [TEXTS[0], TEXTS[3]], 0.5, 7, 0.0, 2.0, "noise", [5, 6])
    assert (found - x).abs().max() <= 1e-5


def test_guidance_of_one_asks_the_network_once():
    model = toy()
    sample(model, TEXTS, 0.5, 3)
    assert model.forwards == 3 * 4
    sample(model, TEXTS, 0.5, 3, guidance=2.0)
    assert model.forwards == 3 * 4 + 3 * 8


def test_guidance_has_gradients_through_both_halves():
    model = toy()
    asked = prompting(model, TEXTS[:1], 2.0, "noise")
    x, t = torch.ones(1, 2, 4), torch.tensor([401])
    guided(model, x, t, asked).sum().backward()
    whole = model.adapter()["text.up"].grad.clone()
    model.adapter()["text.up"].grad = None
    (2.0 * model.predict(x, t, asked.positive).sum()).backward()
    towards = model.adapter()["text.up"].grad
    assert not torch.allclose(whole, towards)


def test_a_text_that_comes_often_is_encoded_once():
    model, seen = toy(), []
    encode = model.condition
    model.condition = lambda texts: seen.append(len(texts)) or encode(texts)
    asked = prompting(model, [TEXTS[0]] * 5 + [TEXTS[2]], 1.0)
    assert seen == [2]
    assert len(asked.positive["text"]) == 6


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"prompts": []}, "no prompt"),
        ({"prompts": ["a", " "]}, "empty"),
        ({"guidance": -0.5}, "guidance"),
        ({"guidance": float("nan")}, "guidance"),
        ({"K": 0}, "steps"),
        ({"eta": -1.0}, "eta"),
        ({"seeds": [1]}, "1 seeds for 2 prompts"),
        ({"seconds": 0.0}, "seconds"),
    ],
)
def test_what_cannot_be_sampled_is_refused(change, told):
    with pytest.raises(UsageError, match=told):
        sample(Toy(), **({"prompts": ["a b", "c"], "seconds": 0.5, "K": 3} | change))
