"""The loss and one update, against code that is as plain as the formulas."""

import contextlib
import math

import numpy as np
import pytest
import torch

from segue.core.errors import RunError
from segue.tasks.audio import ddpo, regression
from segue.tasks.audio.config import SampleConfig, TuneConfig, UpdateConfig
from segue.tasks.audio.distributed import World
from segue.tasks.audio.learner import Learner
from segue.tasks.audio.rollout import collect
from segue.tasks.audio.sampling import guided
from segue.tasks.audio.schedule import step
from tests.tasks.audio.toy import PROMPTS, SMALL, Toy, disturb

STEPS = 6


@pytest.fixture
def model():
    found = Toy()
    found.add_adapter(2, 2.0, 0)
    disturb(found)
    return found


@pytest.fixture(params=[1.0, 3.0])
def rollout(model, request):
    how = SampleConfig(steps=STEPS, seconds=0.5, guidance=request.param, negative="noise")
    return collect(model, PROMPTS, [1, 2, 3, 4], how)


def oracle(model, rollout, trained, advantages, config):
    """The loss of Black et al. with a distance to the base, one pair at a time."""
    total, a = 0.0, model.schedule.alphas
    for i in range(len(trained)):
        for k in trained[i]:
            t = int(rollout.timesteps[i, k])
            x, x_p = rollout.latents[i, k][None], rollout.latents[i, k + 1][None]

            def output(x=x, t=t, i=i):
                def ask(told):
                    return model.predict(
                        x, torch.tensor([t]), {n: v[i : i + 1] for n, v in told.items()}
                    )

                if rollout.asked.negative is None:
                    return ask(rollout.asked.positive)
                away = ask(rollout.asked.negative)
                return away + rollout.asked.guidance * (ask(rollout.asked.positive) - away)

            e = output()
            a_t, p = a[t], t - 1000 // STEPS
            a_p = a[p] if p >= 0 else a[0]
            x0 = (x - math.sqrt(1 - a_t) * e) / math.sqrt(a_t)
            sigma = math.sqrt((1 - a_p) / (1 - a_t) * (1 - a_t / a_p))
            mean = math.sqrt(a_p) * x0 + math.sqrt(1 - a_p - sigma**2) * e
            log_p = torch.distributions.Normal(mean, sigma).log_prob(x_p).mean()
            ratio = torch.exp(log_p - rollout.log_prob[i, k])
            low, high = 1 - config.clip_range, 1 + config.clip_range
            weight = config.step_discount**k / np.mean(
                [config.step_discount**j for j in range(config.trainable(STEPS))]
            )
            total = total + weight * torch.max(
                -advantages[i] * ratio, -advantages[i] * torch.clamp(ratio, low, high)
            )
            if config.base_penalty:
                with model.without_adapter(), torch.no_grad():
                    base = output()
                total = total + config.base_penalty * ((e - base) ** 2).mean()
    return total / trained.size


def gradient(model, loss_parts):
    for weight in model.adapter().values():
        weight.grad = None
    total = 0.0
    for loss, _ in loss_parts:
        loss.backward()
        total += float(loss.detach())
    return total, torch.cat([weight.grad.flatten() for weight in model.adapter().values()])


def parts(model, rollout, trained, advantages, config, clips=None):
    clips = torch.arange(4) if clips is None else clips
    return ddpo.losses(
        model, rollout, clips, torch.from_numpy(trained[clips.numpy()]),
        advantages[clips], trained.size, config,
    )  # fmt: skip


@pytest.mark.parametrize(("penalty", "discount"), [(0.0, 1.0), (0.5, 0.6)])
@pytest.mark.parametrize("moved", [False, True])
def test_loss_and_gradient_equal_an_oracle(model, rollout, moved, penalty, discount):
    config = UpdateConfig(
        clip_range=1e-2,
        base_penalty=penalty,
        rows=7,
        step_discount=discount,
        skip_last=2,
        first_steps=0,
    )
    rng = np.random.default_rng(0)
    trained = ddpo.trained_steps(config, STEPS, 4, rng)
    advantages = torch.tensor([1.5, -0.5, 0.2, -2.0])
    if moved:  # so that some ratios are beyond the range
        disturb(model, 0.05, seed=2)
    loss, found = gradient(model, parts(model, rollout, trained, advantages, config))
    whole = oracle(model, rollout, trained, advantages, config)
    loss_2, expected = gradient(model, [(whole, {})])
    assert loss == pytest.approx(loss_2, abs=1e-6)
    assert (found - expected).abs().max() <= 1e-5 * max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize("rows", [1, 5, 24])
def test_accumulation_changes_nothing(model, rollout, rows):
    """Rows of a forward pass, and halves of a minibatch: the gradient is that of all at once."""
    rng = np.random.default_rng(1)
    advantages = torch.tensor([1.0, -1.0, 0.5, 2.0])
    config = UpdateConfig(base_penalty=0.1, rows=100)
    trained = ddpo.trained_steps(config, STEPS, 4, rng)
    _, whole = gradient(model, parts(model, rollout, trained, advantages, config))
    small = config.model_copy(update={"rows": rows})
    halves = [torch.tensor([2, 0]), torch.tensor([1, 3])]
    several = (
        part for half in halves for part in parts(model, rollout, trained, advantages, small, half)
    )
    _, found = gradient(model, several)
    assert (found - whole).abs().max() <= 1e-5 * float(whole.abs().max())


def test_right_after_sampling_ratios_are_one_and_the_loss_is_the_advantage(model, rollout):
    config = UpdateConfig(base_penalty=0.0)
    trained = ddpo.trained_steps(config, STEPS, 4, np.random.default_rng(2))
    ((loss, told),) = parts(model, rollout, trained, torch.ones(4), config)
    assert float(loss.detach()) == pytest.approx(-1.0, abs=1e-5)
    assert told["clip_fraction"] == 0
    assert told["ratio_deviation"] <= 1e-4


def test_beyond_the_range_nothing_pulls_further():
    new = torch.tensor([0.1, 0.1, -0.1, -0.1], requires_grad=True)
    gains = torch.tensor([1.0, -1.0, 1.0, -1.0])
    loss, ratio = ddpo.clipped(new, torch.zeros(4), gains, 0.01)
    loss.sum().backward()
    assert loss.tolist() == pytest.approx([-1.01, math.exp(0.1), -math.exp(-0.1), 0.99])
    assert (new.grad != 0).tolist() == [False, True, True, False]
    assert ratio.tolist() == pytest.approx([math.exp(0.1)] * 2 + [math.exp(-0.1)] * 2)


def test_the_sum_of_densities_is_the_mean_times_the_size(model, rollout):
    """Here 2 x 4 numbers a clip: ratios of the sum are those of the mean to the power of 8."""
    config = UpdateConfig(base_penalty=0.0, density="sum", clip_range=100.0)
    mean = config.model_copy(update={"density": "mean", "temperature": 8.0})
    trained = ddpo.trained_steps(config, STEPS, 4, np.random.default_rng(3))
    disturb(model, 0.02, seed=5)
    one, two = (
        gradient(model, parts(model, rollout, trained, torch.ones(4), c)) for c in (config, mean)
    )
    assert one[0] == two[0] != -1.0
    assert torch.equal(one[1], two[1])


def test_the_divergence_from_the_base_is_that_of_gaussians(model, rollout):
    config = UpdateConfig(base_penalty=1.0, base_distance="step", rows=100)
    trained = ddpo.trained_steps(config, STEPS, 4, np.random.default_rng(4))
    ((_, told),) = parts(model, rollout, trained, torch.zeros(4), config)
    expected = 0.0
    for i, k in [(row, at) for row in range(4) for at in trained[row]]:
        one, pair = torch.tensor([i]), []
        seen, t = rollout.latents[one, k], rollout.timesteps[one, k]
        for context in (contextlib.nullcontext(), model.without_adapter()):
            with context, torch.no_grad():
                out = guided(model, seen, t, rollout.asked.rows(one))
            found = step(model.schedule, out, seen, t, STEPS, 1.0, previous=seen)
            pair.append(torch.distributions.Normal(found.mean, found.sigma.reshape(1, 1, 1)))
        expected += float(torch.distributions.kl_divergence(*pair).mean())
    assert told["base_distance"] == pytest.approx(expected, rel=1e-4)


def test_a_share_of_the_rows_estimates_the_distance(model, rollout):
    config = UpdateConfig(base_penalty=1.0, base_share=0.25, rows=100, first_steps=0, skip_last=0)
    trained = ddpo.trained_steps(config, STEPS, 4, np.random.default_rng(5))
    model.forwards = 0
    ((_, told),) = parts(model, rollout, trained, torch.zeros(4), config)
    each = 1 if rollout.asked.negative is None else 2
    assert model.forwards == each * (24 + 6)
    assert told["base_distance"] > 0


def test_which_steps_are_trained():
    rng = np.random.default_rng(0)
    every = ddpo.trained_steps(UpdateConfig(first_steps=0, skip_last=2), 10, 50, rng)
    assert every.shape == (50, 8)
    assert all(sorted(row) == list(range(8)) for row in every.tolist())
    assert len({tuple(row) for row in every.tolist()}) > 40  # each clip in an order of its own
    some = ddpo.trained_steps(UpdateConfig(first_steps=0, skip_last=0, fraction=0.35), 10, 50, rng)
    assert some.shape == (50, 3)
    assert set(some.flatten().tolist()) == set(range(10))
    windowed = UpdateConfig(first_steps=0, skip_last=1, window=3)
    drawn = [ddpo.trained_steps(windowed, 10, 9, rng) for _ in range(100)]
    windows = {tuple(sorted(set(each.flatten().tolist()))) for each in drawn}
    assert windows == {(i, i + 1, i + 2) for i in range(7)}
    assert ddpo.trained_steps(UpdateConfig(fraction=0.01), 10, 2, rng).shape == (2, 1)
    early = UpdateConfig(first_steps=3, skip_last=4)
    assert set(ddpo.trained_steps(early, 10, 5, rng).flatten().tolist()) == {0, 1, 2}
    assert set(ddpo.trained_steps(early, 6, 5, rng).flatten().tolist()) == {0, 1}


def test_the_weights_of_steps():
    weights = ddpo.step_weights(UpdateConfig(first_steps=3, step_discount=0.5), 10)
    assert weights[:3].tolist() == pytest.approx([12 / 7, 6 / 7, 3 / 7])
    assert (ddpo.step_weights(UpdateConfig(step_discount=1.0), 10) == 1).all()


def learner_of(model, **changes):
    config = TuneConfig.parse(SMALL | {"update": {"batch": 16} | changes})
    return Learner(model, config, World())


def test_one_update_is_a_step_of_adamw(model):
    weights = list(model.adapter().values())
    copies = [torch.nn.Parameter(weight.detach().clone()) for weight in weights]
    adam = torch.optim.AdamW(copies, lr=1e-2, betas=(0.8, 0.9), weight_decay=0.1, eps=1e-3)
    learner = learner_of(
        model, learning_rate=1e-2, beta1=0.8, beta2=0.9, weight_decay=0.1, epsilon=1e-3,
        max_grad_norm=0.5,
    )  # fmt: skip
    for _ in range(3):
        found = learner.learn([(sum((w**3).sum() for w in weights), {"x": 1.0})], "update 1")
        adam.zero_grad()
        sum((w**3).sum() for w in copies).backward()
        norm = torch.nn.utils.clip_grad_norm_(copies, 0.5)
        adam.step()
        assert found == {"x": 1.0, "grad_norm": pytest.approx(float(norm), rel=1e-5)}
    for weight, copy in zip(weights, copies, strict=True):
        assert (weight - copy).abs().max() <= 1e-6


def test_a_gradient_that_is_not_finite_stops_before_it_changes_anything(model):
    learner, weights = learner_of(model), model.adapter()
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    bad = weights["text.up"].sum() * float("nan")
    with pytest.raises(RunError, match=r"epoch 3, update 2 .* nan"):
        learner.learn([(bad, {})], "epoch 3, update 2")
    assert all(torch.equal(weights[name], before[name]) for name in before)


def test_the_average_of_the_adapter_follows_it(model):
    learner, name = learner_of(model), "text.up"
    start = model.adapter()[name].detach().clone()
    for _ in range(3):
        learner.learn([(model.adapter()[name].sum(), {})], "")
    now = model.adapter()[name].detach().clone()
    with learner.averaged():
        inside = model.adapter()[name].detach().clone()
    assert torch.equal(model.adapter()[name], now)
    assert torch.equal(inside, learner.kept()[name])
    assert ((inside < start) & (inside > now)).all()


def test_regression_is_weighted_denoising(model, rollout):
    config = UpdateConfig(objective="regression", rows=5)
    weights = regression.weights_of(np.array([1.0, 0.0, -1.0, 2.0]), 0.5)
    assert weights.mean() == pytest.approx(1.0)
    assert weights[3] / weights[0] == pytest.approx(math.exp(2.0))
    found = list(
        regression.losses(
            model, rollout, torch.arange(4), [1, 2, 3, 4], 3, torch.from_numpy(weights), 12, config
        )
    )
    expected = 0.0
    for i in range(4):
        rng = torch.Generator().manual_seed(i + 1)
        t = torch.randint(0, 1000, (3,), generator=rng)
        noise = torch.randn((3, 2, 4), generator=rng)
        clean = rollout.clean[i].expand(3, -1, -1)
        told = {n: v[i : i + 1].expand(3, *v.shape[1:]) for n, v in rollout.asked.positive.items()}
        out = model.predict(model.schedule.add_noise(clean, noise, t), t, told)
        expected += weights[i] * float((out - noise).detach().square().mean((1, 2)).sum()) / 12
    assert len(found) == 3
    assert sum(float(loss.detach()) for loss, _ in found) == pytest.approx(expected, rel=1e-4)
