"""The fast PPO learns as sb3-contrib's does, and the written-out gradient is the network's."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from sb3_contrib import MaskablePPO

from segue.core.errors import RunError
from segue.rl.candidate_policy import CandidatePolicy
from segue.rl.fast_ppo import FastMaskablePPO
from segue.rl.pointer import PointerConfig, make_pointer
from segue.rl.pointer_gradient import forward
from segue.rl.torch_state import from_arrays, to_arrays
from segue.tasks.soundtrack.candidates import CandidateStack
from segue.tasks.soundtrack.generator import GeneratorConfig, draw_tables
from segue.tasks.soundtrack.vec_env import CandidateVecEnv, candidate_layout

N_ENVS, N_STEPS = 8, 16


@pytest.fixture(scope="module")
def stack() -> CandidateStack:
    problems = GeneratorConfig(segments=(3, 6), tracks=(8, 20))
    return CandidateStack(draw_tables(problems, 0, "train", 1, 4))


def make(kind: Any, stack: CandidateStack, **changed: Any) -> Any:
    settings: dict[str, Any] = {
        "n_steps": N_STEPS, "batch_size": N_ENVS * N_STEPS, "n_epochs": 1, "gamma": 0.9,
        "gae_lambda": 0.8, "clip_range": 0.1, "ent_coef": 0.02, "vf_coef": 0.3,
        "max_grad_norm": 0.5, "learning_rate": 1e-3, "seed": 0, "device": "cpu",
        "policy_kwargs": {"layout": candidate_layout(20), "width": 16},
    }  # fmt: skip
    return kind(CandidatePolicy, CandidateVecEnv(stack, N_ENVS, 0), **{**settings, **changed})


def weights(model: Any) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.policy.parameters()])


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (64, 21)])
def test_the_gradient_is_that_of_the_network(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network: Any = make_pointer(PointerConfig(candidate_numbers=7, state_numbers=5, width=12))
    torch.nn.init.normal_(network.score.weight)
    torch.nn.init.normal_(network.value.weight)
    n, count = size
    seen, state, prior = torch.randn(n, count, 7), torch.randn(n, 5), torch.randn(n, count)
    mask = torch.rand(n, count) < 0.7
    mask[:, 0] = True
    found = []
    for function in (network, lambda *args: forward(network, *args)):
        network.zero_grad()
        logits, values = function(seen, state, mask, prior)
        loss = torch.log_softmax(logits, dim=1)[mask].square().sum() + values.square().sum()
        loss.backward()
        found.append((logits, values, [p.grad.clone() for p in network.parameters()]))
    torch.testing.assert_close(found[0][0], found[1][0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found[0][1], found[1][1], atol=1e-5, rtol=1e-5)
    for a, b in zip(found[0][2], found[1][2], strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_a_second_backward_pass_fails_rather_than_reading_reused_memory() -> None:
    network = make_pointer(PointerConfig(candidate_numbers=3, state_numbers=2, width=4))
    logits, _ = forward(
        network, torch.randn(2, 3, 3), torch.randn(2, 2), torch.ones(2, 3, dtype=torch.bool),
        torch.zeros(2, 3),
    )  # fmt: skip
    logits.sum().backward(retain_graph=True)
    with pytest.raises((TypeError, RuntimeError)):
        logits.sum().backward()


def test_one_update_is_that_of_sb3_contrib(stack: CandidateStack) -> None:
    """Both learn from one rollout; whole minibatches make the order irrelevant."""
    fast, plain = make(FastMaskablePPO, stack, part=50), make(MaskablePPO, stack)
    fast.begin(10_000)
    for _ in range(3):  # away from the start, where ratios are 1 and values 0
        fast.update()
    plain._setup_learn(10_000, None)
    fast.play(fast.env, fast.rollout_buffer, N_STEPS)
    plain.policy.load_state_dict(fast.policy.state_dict())
    plain.policy.optimizer.load_state_dict(copy.deepcopy(fast.policy.optimizer.state_dict()))
    rollout, buffer = fast.rollout_buffer, plain.rollout_buffer
    buffer.reset()
    for step in range(N_STEPS):
        rows = slice(step * N_ENVS, (step + 1) * N_ENVS)
        buffer.add(
            rollout.seen[rows].numpy(), rollout.chosen[rows].numpy().reshape(-1, 1),
            rollout.reward[rows].numpy(), rollout.first[rows].numpy(), rollout.value[rows],
            rollout.log_p[rows], action_masks=rollout.mask[rows].numpy(),
        )  # fmt: skip
    mask = torch.from_numpy(fast.env.masks())
    with torch.no_grad():
        _, last = fast.policy.logits_and_values(torch.from_numpy(fast._last_obs), mask)
    buffer.compute_returns_and_advantage(last, np.asarray(fast._last_episode_starts))
    shape = (N_STEPS, N_ENVS)
    np.testing.assert_allclose(buffer.advantages, rollout.advantage.view(shape), atol=1e-4)
    np.testing.assert_allclose(buffer.returns, rollout.return_.view(shape), atol=1e-4)
    for model in (fast, plain):
        model._update_current_progress_remaining(5_000, 10_000)
    before = weights(fast)
    fast.train()
    plain.train()
    moved = (weights(fast) - before).abs().max()
    assert moved > 5e-5
    torch.testing.assert_close(weights(fast), weights(plain), atol=2e-6, rtol=1e-4)


def test_plain_maskable_ppo_trains_the_policy_too(stack: CandidateStack) -> None:
    model = make(MaskablePPO, stack, batch_size=32)
    before = weights(model)
    model.learn(2 * N_ENVS * N_STEPS)
    assert (weights(model) != before).any()
    env = CandidateVecEnv(stack, 3, 1)
    actions, _ = model.predict(env.reset(), deterministic=True, action_masks=env.masks())
    assert env.masks()[np.arange(3), actions].all()


def test_learn_is_begin_and_update(stack: CandidateStack) -> None:
    first, second = make(FastMaskablePPO, stack), make(FastMaskablePPO, stack)
    first.learn(3 * N_ENVS * N_STEPS)
    torch.manual_seed(0)
    second = make(FastMaskablePPO, stack)
    second.begin(3 * N_ENVS * N_STEPS)
    for _ in range(3):
        second.update()
    torch.testing.assert_close(weights(first), weights(second), atol=0, rtol=0)


def test_an_anchor_holds_the_policy(stack: CandidateStack) -> None:
    drifts = []
    for weight in (1e-6, 3.0):
        model = make(FastMaskablePPO, stack, n_epochs=4, batch_size=64, learning_rate=3e-3)
        model.set_anchor(weight)
        model.begin(100_000)
        for _ in range(10):
            model.update()
        drifts.append(model.train_metrics["anchor_kl"])
    assert drifts[1] < 0.5 * drifts[0]


def test_the_state_of_another_network_is_refused(stack: CandidateStack) -> None:
    model = make(FastMaskablePPO, stack)
    model.begin(1000)
    model.update()
    arrays, layout = to_arrays(model.get_state())
    wide = {"layout": candidate_layout(20), "width": 8}
    other = make(FastMaskablePPO, stack, policy_kwargs=wide)
    other.begin(1000)
    with pytest.raises(RunError, match="another policy"):
        other.set_state(from_arrays(arrays, layout), model._last_obs)
