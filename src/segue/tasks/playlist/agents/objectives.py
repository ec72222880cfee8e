"""What a scorer is trained on: the tracks that came next, or what its lists earn.

| objective | gradient of | learns from |
|---|---|---|
| `cross_entropy` | log-probability of the tracks that came | the log: the right answer is known |
| `list_gradient` | expected reward of an ordered list of ten | its own lists and what they earned |

The second is REINFORCE on lists (`rl.lists`): the agent draws several lists for each query, sees
the NDCG of each, and its places are made likelier by what they earned above the other lists. Where
the right answer is in the log, the first knows more about the same goal; the second can follow any
reward.

Letters: `B` queries, `N` candidates, `L` lists for each, `K` places of a list.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from segue.rl.lists import draw_lists, leave_one_out, place_log_probabilities, rewards_to_go

__all__ = ["Objective", "cross_entropy", "list_gradient"]

Objective = Callable[[Tensor, Tensor, np.random.Generator], tuple[Tensor, dict[str, float]]]
"""(logits [B, N], hits [B, N] bool, generator) -> loss to descend, what is to be logged."""


def cross_entropy(
    logits: Tensor, hits: Tensor, rng: np.random.Generator
) -> tuple[Tensor, dict[str, float]]:
    """Return the mean of -log p over the tracks that came; every query has at least one."""
    log_p = torch.log_softmax(logits, dim=1)
    loss = -(log_p * hits).sum(dim=1).div(hits.sum(dim=1)).mean()
    return loss, {"loss": loss.item()}


def list_gradient(n_lists: int, length: int, entropy: float = 0.0) -> Objective:
    """Return the policy gradient of the NDCG of lists drawn from the policy.

    Args:
        n_lists: lists for each query, L.
        length: of a list, K; NDCG@K is the reward.
        entropy: weight of the entropy of the first place, which keeps the policy from being sure.
    """

    def objective(
        logits: Tensor, hits: Tensor, rng: np.random.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        k = min(length, logits.shape[1])
        lists = draw_lists(logits, n_lists, k, rng)
        found = hits[:, None].expand(-1, n_lists, -1).gather(2, lists)
        gains = 1.0 / torch.log2(torch.arange(k) + 2.0)
        best = gains.cumsum(0)[(hits.sum(dim=1).clamp(1, k) - 1)]
        rewards = found * gains / best[:, None, None]
        advantage = leave_one_out(rewards_to_go(rewards))
        log_p = place_log_probabilities(logits, lists)
        loss = -(advantage * log_p).sum(dim=2).mean()
        if entropy:
            all_log_p = torch.log_softmax(logits, dim=1)
            loss = loss + entropy * (all_log_p.exp() * all_log_p).sum(dim=1).mean()
        return loss, {"drawn_ndcg": rewards.sum(dim=2).mean().item()}

    return objective
