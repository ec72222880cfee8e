"""The segment critic: where does a phrase of a caption end?

Word embeddings -> LSTM -> AReLU -> GRU -> AReLU -> one logit a word (BMHRL). It reads words from
left to right and keeps its states, so that a growing caption costs one word at a time. The original
has no program that trains it; `critic_training` has one, on phrase ends marked by rules.

`WordCritic` needs no training: a phrase ends with certain words, whatever stands before them.

Letters: `B` batch, `L` words, `V` vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segue.tasks.captioning.models.config import CriticConfig
from segue.tasks.captioning.models.linear import ordered_product, reordered

__all__ = ["CriticState", "SegmentCritic", "WordCritic"]

CriticState = tuple[tuple[Tensor, Tensor], Tensor]
"""LSTM states (h, c) and GRU state, [layers, B, units] each."""


class SegmentCritic(nn.Module):
    """See the module.

    Args:
        words: width of the embeddings.
        config: its sizes.
        n_words: size of the vocabulary, for embeddings of its own.
    """

    def __init__(self, words: int, config: CriticConfig, n_words: int) -> None:
        super().__init__()
        self.threshold = config.threshold
        self.embedding = nn.Embedding(n_words, config.words) if config.words else None
        self.lstm = nn.LSTM(
            config.words or words, config.lstm, config.lstm_layers, batch_first=True
        )
        self.first = _AReLU()
        self.gru = nn.GRU(config.lstm, config.gru, config.gru_layers, batch_first=True)
        self.second = _AReLU()
        self.out = nn.Linear(config.gru, 1)
        self.ordered: list[tuple[Tensor, ...]] | None = None
        """Weights for one word at a time, inside `linear.quick`."""

    def forward(
        self, words: Tensor, embedded: Tensor, state: CriticState | None = None
    ) -> tuple[Tensor, CriticState]:
        """Return the logits of "a phrase ends here" [B, L] and the states after them.

        Args:
            words: [B, L] their numbers, for a critic with embeddings of its own.
            embedded: [B, L, words] as the captioner embeds them, before positions are added.
            state: after the words before; None at the beginning.
        """
        if self.embedding is not None:
            embedded = self.embedding(words)
        if self.ordered and embedded.shape[1] == 1:
            return self._one(embedded[:, 0], state or self._nothing(embedded))
        before = state if state is not None else (None, None)
        hidden, lstm = self.lstm(embedded, before[0])
        hidden, gru = self.gru(self.first(hidden), before[1])
        return self.out(self.second(hidden))[..., 0], (lstm, gru)

    def boundaries(self, logits: Tensor) -> Tensor:
        """Return where a phrase ends, [B, L] bool."""
        return torch.sigmoid(logits) > self.threshold

    def order(self, wanted: bool) -> None:
        """Make copies of the weights that are quick for one word at a time, or drop them."""
        self.ordered = None
        found: list[tuple[Tensor, ...]] = []
        for layers in (self.lstm, self.gru):
            for weights in layers.all_weights:
                ordered = [reordered(w) for w in weights[:2]] if wanted else [None, None]
                if ordered[0] is None or ordered[1] is None:
                    return
                found.append((ordered[0], weights[2], ordered[1], weights[3]))
        self.ordered = found

    def _nothing(self, embedded: Tensor) -> CriticState:
        def zeros(layers: nn.RNNBase) -> Tensor:
            return embedded.new_zeros(layers.num_layers, len(embedded), layers.hidden_size)

        return (zeros(self.lstm), zeros(self.lstm)), zeros(self.gru)

    def _one(self, x: Tensor, state: CriticState) -> tuple[Tensor, CriticState]:
        """Read one word: LSTM and GRU of torch written out, gates in their order."""
        assert self.ordered
        (hs, cs), gs = state
        n = self.lstm.num_layers
        new_h, new_c, new_g = [], [], []
        for weights, h, c in zip(self.ordered[:n], hs, cs, strict=True):
            gates = ordered_product(x, *weights[:2]) + ordered_product(h, *weights[2:])
            i, f, g, o = gates.chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            x = torch.sigmoid(o) * torch.tanh(c)
            new_h.append(x)
            new_c.append(c)
        x = self.first(x)
        for weights, h in zip(self.ordered[n:], gs, strict=True):
            new = ordered_product(x, *weights[:2]).chunk(3, 1)
            old = ordered_product(h.contiguous(), *weights[2:]).chunk(3, 1)
            r, z = torch.sigmoid(new[0] + old[0]), torch.sigmoid(new[1] + old[1])
            x = (1 - z) * torch.tanh(new[2] + r * old[2]) + z * h
            new_g.append(x)
        logits = self.out(self.second(x))
        return logits, ((torch.stack(new_h), torch.stack(new_c)), torch.stack(new_g))


class WordCritic(nn.Module):
    """Phrases end with certain words; `phrases.ending_words` says which.

    It answers like a `SegmentCritic`, with logits of plus or minus ten and no state.
    """

    ends: Tensor

    def __init__(self, n_words: int) -> None:
        super().__init__()
        self.register_buffer("ends", torch.zeros(n_words, dtype=torch.bool))

    def forward(
        self, words: Tensor, embedded: Tensor, state: CriticState | None = None
    ) -> tuple[Tensor, CriticState | None]:
        """Return the logits of "a phrase ends here" [B, L], and None."""
        return torch.where(self.ends[words], 10.0, -10.0), None

    def boundaries(self, logits: Tensor) -> Tensor:
        """Return where a phrase ends, [B, L] bool."""
        return logits > 0


class _AReLU(nn.Module):
    """relu(x) (1 + sigmoid(b)) - relu(-x) clamp(a, .01, .99) (Chen, Li and Xu, "AReLU", 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.tensor(0.9))
        self.beta = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: Tensor) -> Tensor:
        up = torch.relu(x) * (1 + torch.sigmoid(self.beta))
        return up - torch.relu(-x) * self.alpha.clamp(0.01, 0.99)
