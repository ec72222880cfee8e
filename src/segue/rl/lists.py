"""Ordered lists drawn from a policy, and the gradient of what they earn.

A list of K candidates is drawn without putting any back: each next one from the softmax over those
that are left. This is the model of Plackett (1975) and Luce (1959). The K greatest of the logits,
each plus a number from Gumbel's distribution, are such a list in the right order (Kool, van Hoof
and Welling, "Stochastic Beams and Where to Find Them", 2019).

The policy gradient (Williams, REINFORCE, 1992) of a list has one term for each place. What was
earned before a place does not depend on it, so the term is weighted by the reward still to go.
With several lists for one question, the mean of the others is a baseline that costs nothing (Kool,
van Hoof and Welling, "Buy 4 REINFORCE Samples, Get a Baseline for Free!", 2019).

Letters: `B` questions, `N` candidates, `L` lists for each question, `K` places of a list.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["draw_lists", "leave_one_out", "place_log_probabilities", "rewards_to_go"]

_NOTHING = -1e30
"""Logit of what is gone: finite, so that the gradient is a number where every candidate is."""


def draw_lists(logits: Tensor, n_lists: int, length: int, rng: np.random.Generator) -> Tensor:
    """Return lists of candidates without repetition, [B, L, K], the first choice first.

    Args:
        logits: [B, N]; a candidate of -1e9 is drawn only when nothing else is left.
        n_lists: L.
        length: K, at most N.
        rng: where the chance comes from.
    """
    n, count = logits.shape
    # exponential clocks: minus the logarithm of their time has Gumbel's distribution
    clocks = rng.standard_exponential((n, n_lists, count), dtype=np.float32)
    noise = torch.from_numpy(np.log(np.maximum(clocks, np.float32(1e-30))))
    return (logits.detach()[:, None] - noise).topk(length, dim=2).indices


def place_log_probabilities(logits: Tensor, lists: Tensor) -> Tensor:
    """Return the log-probability of each choice, given those before it, [B, L, K].

    Their sum over the places is the log-probability of the list. Gradients flow into `logits`.

    Args:
        logits: [B, N].
        lists: [B, L, K], no candidate twice in a list.
    """
    n, n_lists, _ = lists.shape
    wide = logits[:, None].expand(n, n_lists, -1)
    chosen = wide.gather(2, lists)
    # What is left at a place are the candidates of no place, this choice and all later ones;
    # summed from the end, so that nothing is taken away and no digit is lost.
    never = wide.scatter(2, lists, _NOTHING).logsumexp(dim=2, keepdim=True)
    left = torch.cat([never, chosen.flip(2)], dim=2).logcumsumexp(dim=2)[..., 1:].flip(2)
    return chosen - left


def leave_one_out(values: Tensor, dim: int = 1) -> Tensor:
    """Return each value less the mean of the others along `dim`; zeros where there is one only."""
    n = values.shape[dim]
    if n == 1:
        return torch.zeros_like(values)
    return (values - values.mean(dim=dim, keepdim=True)) * (n / (n - 1))


def rewards_to_go(rewards: Tensor, discount: float = 1.0) -> Tensor:
    """Return what each place and the later ones earn, [..., K] -> [..., K].

    Args:
        rewards: of each place.
        discount: weight of a reward for each place that it is away.
    """
    total = torch.empty_like(rewards)
    running = torch.zeros_like(rewards[..., 0])
    for place in reversed(range(rewards.shape[-1])):
        running = rewards[..., place] + discount * running
        total[..., place] = running
    return total
