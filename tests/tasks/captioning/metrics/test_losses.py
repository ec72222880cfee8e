"""The losses, against the distributions written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segue.tasks.captioning.losses import (
    biased_kl,
    label_smoothed_kl,
    reinforced_loss,
    warm_start_loss,
)

PADDING, V, S = 1, 7, 0.3


def _case(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(3, 5, V, generator=generator, dtype=torch.float64)
    log_probs = torch.log_softmax(scores, -1).to(dtype)
    target = torch.tensor([[4, 5, 3, 1, 1], [2, 2, 6, 0, 3], [1, 1, 1, 1, 1]])
    # a sample that is the target, one that is padding, one that is neither
    sampled = torch.tensor([[4, 1, 6, 1, 2], [1, 2, 0, 6, 5], [2, 1, 0, 3, 4]])
    amplitude = torch.rand(3, 5, generator=generator, dtype=torch.float64).to(dtype)
    amplitude[0, 2], amplitude[1, 3] = 0.0, 1.0
    return log_probs, target, sampled, amplitude


def _divergence(q: np.ndarray, log_p: np.ndarray) -> float:
    return float(sum(a * (np.log(a) - b) for a, b in zip(q, log_p, strict=True) if a > 0))


def _wanted(biased: bool) -> np.ndarray:
    log_probs, target, sampled, amplitude = (x.numpy() for x in _case())
    found = np.zeros(target.shape)
    for b, at in np.ndindex(*target.shape):
        if target[b, at] == PADDING:
            continue
        a = amplitude[b, at] if biased else 0.0
        q = np.full(V, S / (V - 2))
        q[target[b, at]] = (1 - S) * (1 - a)
        q[PADDING] = 0.0
        if biased:
            q[sampled[b, at]] += (1 - S) * a
        found[b, at] = _divergence(q, log_probs[b, at])
    return found


def test_label_smoothing() -> None:
    log_probs, target, _, _ = _case()
    found = label_smoothed_kl(log_probs, target, S, PADDING)
    np.testing.assert_allclose(found, _wanted(False), atol=1e-12)
    assert warm_start_loss(log_probs, target, S, PADDING) == pytest.approx(_wanted(False).sum() / 8)
    hard = label_smoothed_kl(log_probs, target, 0.0, PADDING)
    assert hard[0, 0] == pytest.approx(-float(log_probs[0, 0, 4]))


def test_biased() -> None:
    log_probs, target, sampled, amplitude = _case()
    found = biased_kl(log_probs, target, sampled, amplitude, S, PADDING)
    np.testing.assert_allclose(found, _wanted(True), atol=1e-12)
    loss = reinforced_loss(log_probs, target, sampled, amplitude, S, PADDING)
    assert float(loss) == pytest.approx(_wanted(True).sum() / (0.2 * 8), abs=1e-12)
    nothing_moved = biased_kl(log_probs, target, sampled, torch.zeros_like(amplitude), S, PADDING)
    np.testing.assert_allclose(nothing_moved, _wanted(False), atol=1e-12)


def test_gradients_are_finite_and_flow_through_the_amplitude() -> None:
    log_probs, target, sampled, amplitude = _case(torch.float32)
    log_probs.requires_grad_()
    amplitude.requires_grad_()
    reinforced_loss(log_probs, target, sampled, amplitude, S, PADDING).backward()
    assert log_probs.grad is not None
    assert amplitude.grad is not None
    assert torch.isfinite(log_probs.grad).all()
    assert (log_probs.grad[2] == 0).all()  # a row of padding
    # Where the sample is another word than the target, moving mass changes the loss.
    assert amplitude.grad[1, 4] != 0


def test_a_batch_of_padding_costs_nothing() -> None:
    log_probs, target, sampled, amplitude = (x[2:] for x in _case())
    assert warm_start_loss(log_probs, target) == 0.0
    assert reinforced_loss(log_probs, target, sampled, amplitude) == 0.0
