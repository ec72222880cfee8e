"""Manager and worker: one sets a goal for each phrase, the other chooses the words.

The manager's goals [B, L, G] are held: from the word after a boundary to the next boundary the goal
is that of the boundary's successor, so that it changes only when a phrase ends. The worker attends
from the held goals to its own features, and both together give the words (Vezhnevets et al.,
"FeUdal networks", 2017; Rothenpieler and Amiriparian, 2022).

Letters: `B` batch, `L` words, `D` width of words, `G` numbers of a goal, `V` vocabulary.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from segue.tasks.captioning.models.attention import CrossAttention, Packing, Seen
from segue.tasks.captioning.models.config import NetworkConfig
from segue.tasks.captioning.models.linear import Linear

__all__ = ["Manager", "ValueHead", "Worker", "explored", "held_goals"]


class Manager(nn.Module):
    """A goal for every position, from the manager's own features."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.dropout)
        self.goal = Linear(config.words, config.goal)

    def forward(self, features: Tensor) -> Tensor:
        """Return goals [N, G] of features [N, D], not yet held."""
        return cast(Tensor, self.goal(self.dropout(features)))


class Worker(nn.Module):
    """What is said, from the worker's features and the held goals."""

    def __init__(self, config: NetworkConfig, n_words: int) -> None:
        super().__init__()
        self.attention: CrossAttention | None = None
        joined = config.words
        if config.hierarchy:
            self.attention = CrossAttention(
                config.goal, config.words, config.attention, config.goal_heads, config.dropout
            )
            joined += config.goal
        self.out: Linear | None = None
        self.enter: Linear | None = None
        if config.tied:
            self.enter = Linear(joined, config.words)
            self.bias = nn.Parameter(torch.zeros(n_words))
        else:
            self.out = Linear(joined, n_words)

    def remember(self, features: Tensor, packing: Packing, *, merged: bool = False) -> Seen | None:
        """Return keys and values of features, rows [N, D], for the goals to attend to.

        With `merged` the rows themselves, where that is quicker; see `CrossAttention.merges`.
        """
        if self.attention is None:
            return None
        if merged and self.attention.merges(known=False):
            return packing.unpack(features)
        return self.attention.remember(features, packing)

    def join(
        self,
        features: Tensor,
        goals: Tensor | None,
        packing: Packing,
        memory: Seen | None,
        mask: Tensor | None,
    ) -> Tensor:
        """Return features and what the goals attended to, rows [N, D + G]."""
        if self.attention is None or goals is None or memory is None:
            return features
        return torch.cat([features, self.attention(goals, packing, memory, mask)], dim=-1)

    def forward(self, joined: Tensor, embeddings: Tensor) -> Tensor:
        """Return log-probabilities [N, V].

        Args:
            joined: of `join`.
            embeddings: [V, D] of the words, for a tied output layer.
        """
        if self.out is not None:
            logits = self.out(joined)
        else:
            assert self.enter is not None
            logits = self.enter(joined) @ embeddings.t() + self.bias
        return torch.log_softmax(logits, dim=-1)


class ValueHead(nn.Module):
    """What a position is expected to earn; no gradient flows into what it reads."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(Linear(width, 2 * width), nn.ReLU(), Linear(2 * width, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Return [B, L] of [B, L, width]."""
        return cast(Tensor, self.layers(features.detach())[..., 0])


def held_goals(goals: Tensor, boundaries: Tensor) -> Tensor:
    """Hold each goal until a phrase ends.

    Position 0 starts with its own goal; position l + 1 takes its own goal when the phrase ended at
    l, and else the goal of l.

    Args:
        goals: [B, L, G].
        boundaries: [B, L] bool, whether a phrase ends at l.
    """
    length = goals.shape[1]
    starts = torch.cat([torch.ones_like(boundaries[:, :1]), boundaries[:, :-1]], dim=1)
    place = torch.arange(length, device=goals.device)
    last = torch.where(starts, place, 0).cummax(dim=1).values
    return goals.gather(1, last[..., None].expand_as(goals))


def explored(goals: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Return goals with the noise that the manager explores with.

    One vector for all positions and items: normal with the mean m / 10 and the deviation s / 5,
    less half of m / 10, where m and s are mean and deviation of all goals (as in the original).
    """
    with torch.no_grad():
        mean, deviation = goals.mean() / 10, goals.std() / 5
        noise = torch.randn(goals.shape[-1], generator=generator).to(goals)
        shift = mean + deviation * noise - 0.5 * mean
    return goals + shift
