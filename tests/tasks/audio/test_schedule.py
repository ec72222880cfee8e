"""Noise schedules and denoising steps, against diffusers and against a loop written by hand."""

import json
import math

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler

from segue.core.errors import UsageError
from segue.tasks.audio.schedule import Schedule, step

KINDS = {"epsilon": "epsilon", "v": "v_prediction", "sample": "sample"}
BETAS = {"scaled_linear": "scaled_linear", "linear": "linear", "cosine": "squaredcos_cap_v2"}


def theirs(ours, **more):
    return DDIMScheduler(
        num_train_timesteps=ours.n_train,
        beta_start=ours.beta_start,
        beta_end=ours.beta_end,
        beta_schedule=BETAS[ours.betas],
        prediction_type=KINDS[ours.prediction],
        steps_offset=ours.steps_offset,
        set_alpha_to_one=ours.final_alpha_one,
        clip_sample=ours.clip is not None,
        clip_sample_range=ours.clip or 1.0,
        timestep_spacing=ours.spacing,
        **more,
    )


def network(latents, t):
    """Anything that depends on both."""
    return torch.tanh(latents * 0.7) + 0.1 * torch.sin(t.float() / 100).reshape(-1, 1, 1)


@pytest.mark.parametrize("eta", [0.2, 1.0])
@pytest.mark.parametrize("steps", [5, 10, 19, 20, 50])
@pytest.mark.parametrize("prediction", list(KINDS))
@pytest.mark.parametrize("betas", ["scaled_linear", "cosine"])
def test_a_chain_of_steps_equals_diffusers(betas, prediction, steps, eta):
    ours = Schedule(betas=betas, prediction=prediction)
    other = theirs(ours)
    other.set_timesteps(steps)
    assert other.timesteps.tolist() == ours.timesteps(steps).tolist()
    rng = torch.Generator().manual_seed(1)
    x = torch.randn((3, 4, 5), generator=rng)
    for t in ours.timesteps(steps):
        z = torch.randn((3, 4, 5), generator=rng)
        rows = torch.full((3,), int(t))
        output = network(x, rows)
        expected = other.step(output, int(t), x, eta=eta, variance_noise=z)
        found = step(ours, output, x, rows, steps, eta, noise=z)
        scale = max(1.0, float(expected.prev_sample.abs().max()))
        assert (found.latents - expected.prev_sample).abs().max() <= 1e-5 * scale
        clean_scale = max(1.0, float(expected.pred_original_sample.abs().max()))
        assert (found.clean - expected.pred_original_sample).abs().max() <= 1e-5 * clean_scale
        x = expected.prev_sample


@pytest.mark.parametrize("prediction", list(KINDS))
def test_the_log_probability_equals_a_sum_written_by_hand(prediction):
    steps, eta = 19, 1.0
    ours = Schedule(prediction=prediction)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 4))
    for t in ours.timesteps(steps):
        out, z = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 3, 4))
        a_t = ours.alphas[t]
        p = t - 1000 // steps
        a_p = ours.alphas[p] if p >= 0 else ours.alphas[0]
        if prediction == "epsilon":
            x0, e = (x - math.sqrt(1 - a_t) * out) / math.sqrt(a_t), out
        elif prediction == "sample":
            x0, e = out, (x - math.sqrt(a_t) * out) / math.sqrt(1 - a_t)
        else:
            x0 = math.sqrt(a_t) * x - math.sqrt(1 - a_t) * out
            e = math.sqrt(a_t) * out + math.sqrt(1 - a_t) * x
        sigma = eta * math.sqrt((1 - a_p) / (1 - a_t) * (1 - a_t / a_p))
        mean = math.sqrt(a_p) * x0 + math.sqrt(1 - a_p - sigma**2) * e
        arrived = mean + sigma * z
        density = -((arrived - mean) ** 2) / (2 * sigma**2) - math.log(sigma)
        expected = (density - 0.5 * math.log(2 * math.pi)).mean((1, 2))
        rows = torch.full((2,), int(t))
        found = step(
            ours,
            torch.tensor(out).float(),
            torch.tensor(x).float(),
            rows,
            steps,
            eta,
            previous=torch.tensor(arrived).float(),
        )
        assert found.sigma[0].item() == pytest.approx(sigma, rel=1e-6)
        # float32 rounds where it arrived by up to 1e-7 of sigma 0.027: 1e-5 of the density
        assert np.abs(found.log_prob.numpy() - expected).max() <= 1e-5


def test_numbers_of_the_published_schedule():
    ours = Schedule()
    assert ours.timesteps(19)[[0, 1, -2, -1]].tolist() == [937, 885, 53, 1]
    assert ours.sigmas(19, 1.0)[[0, -3, -2, -1]].round(3).tolist() == [0.769, 0.226, 0.054, 0.027]


def test_rows_with_different_timesteps_do_not_touch_each_other():
    ours = Schedule(prediction="v")
    rng = torch.Generator().manual_seed(2)
    x, out, z = (torch.randn((3, 2, 5), generator=rng) for _ in range(3))
    t = torch.from_numpy(ours.timesteps(10)[[0, 9, 4]])
    together = step(ours, out, x, t, 10, 0.5, noise=z)
    for row in range(3):
        one = slice(row, row + 1)
        alone = step(ours, out[one], x[one], t[one], 10, 0.5, noise=z[one])
        assert torch.equal(alone.latents, together.latents[one])
        assert torch.equal(alone.log_prob, together.log_prob[one])


def test_judging_a_step_gives_the_log_probability_of_taking_it():
    ours = Schedule(betas="cosine")
    rng = torch.Generator().manual_seed(3)
    x, out, z = (torch.randn((4, 2, 5), generator=rng) for _ in range(3))
    t = torch.full((4,), 301)
    taken = step(ours, out, x, t, 10, 1.0, noise=z)
    judged = step(ours, out, x, t, 10, 1.0, previous=taken.latents)
    assert torch.equal(taken.log_prob, judged.log_prob)
    other = step(ours, out + 0.1, x, t, 10, 1.0, previous=taken.latents)
    assert not torch.equal(other.log_prob, taken.log_prob)


@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
@pytest.mark.parametrize("steps", [5, 7, 10, 19, 50, 999])
def test_timesteps_are_those_of_diffusers(spacing, steps):
    ours = Schedule(spacing=spacing)
    other = theirs(ours)
    other.set_timesteps(steps)
    assert other.timesteps.tolist() == ours.timesteps(steps).tolist()


@pytest.mark.parametrize("bound", ["clip", "threshold"])
def test_bounds_of_the_clean_estimate_equal_diffusers(bound):
    ours = (
        Schedule(clip=0.8)
        if bound == "clip"
        else Schedule(threshold=0.9, threshold_most=2.0, prediction="v")
    )
    more = (
        {"thresholding": True, "dynamic_thresholding_ratio": 0.9, "sample_max_value": 2.0}
        if bound == "threshold"
        else {}
    )
    other = theirs(ours, **more)
    other.set_timesteps(10)
    x, out, z = torch.randn((3, 2, 4, 5), generator=torch.Generator().manual_seed(4)) * 3
    t = int(ours.timesteps(10)[3])
    expected = other.step(out, t, x, eta=1.0, variance_noise=z)
    found = step(ours, out, x, torch.full((2,), t), 10, 1.0, noise=z)
    assert (found.latents - expected.prev_sample).abs().max() <= 1e-5


def test_a_schedule_comes_from_diffusers_and_through_json():
    ours = Schedule(betas="cosine", prediction="v", final_alpha_one=True, clip=2.0)
    copied = Schedule.from_diffusers(theirs(ours))
    assert np.array_equal(copied.alphas, ours.alphas)
    assert (copied.prediction, copied.clip, copied.final_alpha) == ("v", 2.0, 1.0)
    assert Schedule.parse(json.loads(json.dumps(copied.facts()))) == copied


@pytest.mark.parametrize("prediction", list(KINDS))
def test_noise_and_target_can_be_taken_apart_again(prediction):
    ours = Schedule(prediction=prediction)
    clean, noise = torch.randn((2, 3, 4, 5), generator=torch.Generator().manual_seed(5))
    t = torch.tensor([0, 400, 998])
    noisy = ours.add_noise(clean, noise, t)
    assert (noisy - theirs(ours).add_noise(clean, noise, t)).abs().max() <= 1e-6
    found = ours.clean_and_noise(ours.target(clean, noise, t), noisy, t)
    assert (found[0] - clean).abs().max() <= 1e-4
    assert (found[1] - noise).abs().max() <= 1e-4


def test_without_noise_there_is_no_log_probability():
    ours = Schedule(final_alpha_one=True)
    x = torch.ones((1, 2, 2))
    last = torch.tensor([int(ours.timesteps(10)[-1])])
    assert step(ours, x, x, last, 10, 1.0, noise=x).log_prob.isnan().all()
    assert step(ours, x, x, torch.tensor([501]), 10, 0.0).log_prob.isnan().all()
    with pytest.raises(ValueError, match="needs noise"):
        step(ours, x, x, last, 10, 1.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Schedule(beta_start=0.0),
        lambda: Schedule(betas="given", given=(0.5, 0.9), n_train=2),
        lambda: Schedule(betas="given", given=(0.9,), n_train=2),
        lambda: Schedule().timesteps(0),
        lambda: Schedule().timesteps(1000),  # one more than the offset leaves room for
        lambda: Schedule().timesteps(1001),
        lambda: step(Schedule(), torch.ones(1, 1), torch.ones(1, 1), torch.tensor([1]), 5, -1.0),
    ],
)
def test_what_is_no_schedule_is_refused(make):
    with pytest.raises(UsageError):
        make()
