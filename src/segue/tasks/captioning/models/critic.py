"""The segment critic: where does a phrase of a caption end?

Word embeddings -> LSTM -> AReLU -> GRU -> AReLU -> one logit a word (BMHRL). It reads words from
left to right and keeps its states, so that a growing caption costs one word at a time. The original
has no program that trains it; `critic_training` has one, on phrase ends marked by rules.

Letters: `B` batch, `L` words.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segue.tasks.captioning.models.config import CriticConfig

__all__ = ["CriticState", "SegmentCritic"]

CriticState = tuple[tuple[Tensor, Tensor], Tensor]
"""LSTM states (h, c) and GRU state, [layers, B, units] each."""


class SegmentCritic(nn.Module):
    """See the module.

    Args:
        words: width of the embeddings.
        config: its sizes.
    """

    def __init__(self, words: int, config: CriticConfig) -> None:
        super().__init__()
        self.threshold = config.threshold
        self.lstm = nn.LSTM(words, config.lstm, config.lstm_layers, batch_first=True)
        self.first = _AReLU()
        self.gru = nn.GRU(config.lstm, config.gru, config.gru_layers, batch_first=True)
        self.second = _AReLU()
        self.out = nn.Linear(config.gru, 1)

    def forward(
        self, embedded: Tensor, state: CriticState | None = None
    ) -> tuple[Tensor, CriticState]:
        """Return the logits of "a phrase ends here" [B, L] and the states after them.

        Args:
            embedded: [B, L, words], before positions are added.
            state: after the words before; None at the beginning.
        """
        before = state if state is not None else (None, None)
        hidden, lstm = self.lstm(embedded, before[0])
        hidden, gru = self.gru(self.first(hidden), before[1])
        return self.out(self.second(hidden))[..., 0], (lstm, gru)

    def boundaries(self, logits: Tensor) -> Tensor:
        """Return where a phrase ends, [B, L] bool."""
        return torch.sigmoid(logits) > self.threshold


class _AReLU(nn.Module):
    """relu(x) (1 + sigmoid(b)) - relu(-x) clamp(a, .01, .99) (Chen, Li and Xu, "AReLU", 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.tensor(0.9))
        self.beta = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: Tensor) -> Tensor:
        up = torch.relu(x) * (1 + torch.sigmoid(self.beta))
        return up - torch.relu(-x) * self.alpha.clamp(0.01, 0.99)
