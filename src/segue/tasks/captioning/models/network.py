"""The captioner: encoder, two decoders, manager, worker, critic, and how captions grow.

`forward` reads whole captions for training. `start`, `step` and `reorder` let captions grow word by
word and compute each word once: what the encoder made, keys of rows and words, states of the critic
and the goal that is held are kept in a `State`.

Letters: `B` batch, `L` words, `V` vocabulary, `D` width of words.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from segue.tasks.captioning.models.attention import Packing, Seen, add_positions, grown, picked
from segue.tasks.captioning.models.config import NetworkConfig
from segue.tasks.captioning.models.critic import CriticState, SegmentCritic, WordCritic
from segue.tasks.captioning.models.decoder import Decoder, DecoderState
from segue.tasks.captioning.models.encoder import Encoder, Memory, Streams
from segue.tasks.captioning.models.hierarchy import (
    Manager,
    ValueHead,
    Worker,
    explored,
    held_goals,
)

__all__ = ["Captioner", "Read", "State"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What the network made of whole captions."""

    log_probs: Tensor
    """[B, L, V], of the word after each position; zeros at padding."""
    boundaries: Tensor
    """Where the critic ends a phrase, [B, L] bool; all False without a hierarchy."""
    worker_value: Tensor
    """What the worker's value head expects at each position, [B, L]."""
    manager_value: Tensor | None
    """The same of the manager, [B, L]."""


@dataclass(slots=True)
class State:
    """What is kept while captions grow."""

    worker: DecoderState
    manager: DecoderState | None
    critic: CriticState | None
    attended: Seen | None
    """Keys and values of the worker's features so far, for the goals, or the features."""
    goal: Tensor | None
    """The goal that is held, [B, G]."""
    ended: Tensor | None
    """Whether a phrase ended at the last word, [B, 1] bool."""
    length: int

    def reorder(self, rows: Tensor) -> State:
        """Return the state of the captions `rows` [B'], which may repeat or leave out some."""

        def pick(x: Tensor | None) -> Tensor | None:
            return None if x is None else x[rows]

        critic = self.critic
        if critic is not None:
            (h, c), gru = critic
            critic = ((h[:, rows], c[:, rows]), gru[:, rows])
        return State(
            self.worker.reorder(rows),
            None if self.manager is None else self.manager.reorder(rows),
            critic,
            None if self.attended is None else picked(self.attended, rows),
            pick(self.goal),
            pick(self.ended),
            self.length,
        )


class Captioner(nn.Module):
    """See the module.

    Args:
        config: sizes.
        n_words: size of the vocabulary, V.
        padding: number of the padding word, whose embedding is zero.
    """

    def __init__(self, config: NetworkConfig, n_words: int, padding: int = 1) -> None:
        super().__init__()
        self.config, self.n_words, self.padding = config, n_words, padding
        self.embedding = nn.Embedding(n_words, config.words, padding_idx=padding)
        nn.init.normal_(self.embedding.weight, std=config.words**-0.5)
        with torch.no_grad():
            self.embedding.weight[padding].zero_()
        self.encoder = Encoder(config)
        self.worker_decoder = Decoder(config)
        self.worker = Worker(config, n_words)
        self.worker_value = ValueHead(config.words + (config.goal if config.hierarchy else 0))
        self.manager_decoder = Decoder(config) if config.hierarchy else None
        self.manager = Manager(config) if config.hierarchy else None
        self.manager_value = ValueHead(config.words) if config.hierarchy else None
        self.critic: SegmentCritic | WordCritic | None = None
        if config.hierarchy and config.critic.kind == "learned":
            self.critic = SegmentCritic(config.words, config.critic, n_words)
        elif config.hierarchy:
            self.critic = WordCritic(n_words)
        self.dropout = nn.Dropout(config.dropout)
        self.exploring = False
        """Whether the manager's goals carry noise, as while it is tuned."""

    def load_vectors(self, vectors: Tensor) -> None:
        """Put [V, D] word vectors in the place of the embeddings, frozen where configured."""
        with torch.no_grad():
            self.embedding.weight.copy_(vectors)
            self.embedding.weight[self.padding].zero_()
        self.embedding.weight.requires_grad_(not self.config.words_frozen)

    def encode(self, streams: Streams) -> Memory:
        """Return what the encoder knows of a batch of segments."""
        memory: Memory = self.encoder(streams)
        return memory

    def forward(self, memory: Memory, words: Tensor, boundaries: Tensor | None = None) -> Read:
        """Read whole captions.

        Args:
            memory: of `encode`.
            words: [B, L], beginning with the start word and padded at the end.
            boundaries: [B, L], where phrases end, when the critic has been asked before; default:
                asks it.
        """
        packing, joined, boundaries, manager_value = self._read(memory, words, boundaries)
        return Read(
            log_probs=packing.unpack(self.worker(joined, self.embedding.weight)),
            boundaries=boundaries,
            worker_value=packing.unpack(self.worker_value(joined)[:, None])[..., 0],
            manager_value=manager_value,
        )

    def rows(self, memory: Memory, words: Tensor) -> tuple[Tensor, Packing]:
        """Return the log-probabilities of `forward` at real words only, [N, V], and where they are.

        Nothing is computed, or kept for the gradient, of padding.
        """
        packing, joined, _, _ = self._read(memory, words, None)
        log_probs: Tensor = self.worker(joined, self.embedding.weight)
        return log_probs, packing

    def _read(
        self, memory: Memory, words: Tensor, boundaries: Tensor | None
    ) -> tuple[Packing, Tensor, Tensor, Tensor | None]:
        """Return the places of real words, what the worker says them from, and as in `Read`."""
        length = words.shape[1]
        real = words != self.padding
        real[:, 0] = True  # the first word may always be seen, so nobody looks at nothing
        causal = torch.ones(length, length, dtype=torch.bool, device=words.device).tril()
        mask = causal[None] & real[:, None]
        packing = Packing(real)
        placed = self._placed(packing.pack(words[..., None])[:, 0], packing.positions)
        features = self.worker_decoder(placed, packing, self.worker_decoder.start(memory), mask)
        goals, manager_value = None, None
        if self.manager_decoder is not None:
            assert self.manager is not None
            assert self.manager_value is not None
            if boundaries is None:
                boundaries = self.boundaries(words)
            start = self.manager_decoder.start(memory)
            managed = self.manager_decoder(placed, packing, start, mask)
            goals = self.manager(managed)
            if self.exploring:
                goals = explored(goals)
            goals = packing.pack(held_goals(packing.unpack(goals), boundaries))
            manager_value = packing.unpack(self.manager_value(managed)[:, None])[..., 0]
        joined = self.worker.join(
            features, goals, packing, self.worker.remember(features, packing), mask
        )
        if boundaries is None:
            boundaries = torch.zeros_like(real)
        return packing, joined, boundaries, manager_value

    @torch.no_grad()
    def boundaries(self, words: Tensor) -> Tensor:
        """Return where the critic ends a phrase of captions [B, L], [B, L] bool.

        All False without a hierarchy.
        """
        if self.critic is None:
            return torch.zeros_like(words, dtype=torch.bool)
        return self.critic.boundaries(self.critic(words, self.embedded(words))[0])

    def start(self, memory: Memory, *, merged: bool = False) -> State:
        """Return the state before the first word.

        Args:
            memory: of `encode`.
            merged: what follows may be rounded otherwise than `forward`, and is quicker for it; not
                while training, for it has no dropout.
        """
        manager = self.manager_decoder
        return State(
            self.worker_decoder.start(memory, merged=merged),
            None if manager is None else manager.start(memory, merged=merged),
            None, None, None, None, 0,
        )  # fmt: skip

    def step(self, words: Tensor, state: State) -> Tensor:
        """Add one word to every caption; return the log-probabilities of the next, [B, V].

        Args:
            words: [B], the start word at first.
            state: of `start`; changed.
        """
        packing = Packing(torch.ones(len(words), 1, dtype=torch.bool, device=words.device))
        placed = self._placed(words, state.length)
        features = self.worker_decoder(placed, packing, state.worker, None)
        if self.manager_decoder is not None:
            self._hold_goal(words, placed, packing, state)
        new = self.worker.remember(features, packing, merged=state.worker.merged)
        state.attended = None if new is None else grown(state.attended, new)
        state.length += 1
        joined = self.worker.join(features, state.goal, packing, state.attended, None)
        log_probs: Tensor = self.worker(joined, self.embedding.weight)
        return log_probs

    def _hold_goal(self, words: Tensor, placed: Tensor, packing: Packing, state: State) -> None:
        assert self.manager_decoder is not None
        assert self.manager is not None
        assert self.critic is not None
        assert state.manager is not None
        goal = self.manager(self.manager_decoder(placed, packing, state.manager, None))
        if state.goal is not None and state.ended is not None:
            goal = torch.where(state.ended, goal, state.goal)
        logits, state.critic = self.critic(
            words[:, None], self.embedded(words[:, None]), state.critic
        )
        state.goal, state.ended = goal, self.critic.boundaries(logits)

    def _placed(self, words: Tensor, positions: Tensor | int) -> Tensor:
        """Return rows [N, D] of words [N] at their positions."""
        placed: Tensor = self.dropout(add_positions(self.embedded(words), positions))
        return placed

    def embedded(self, words: Tensor) -> Tensor:
        """Return the embeddings of words, of the original's scale, without positions."""
        embedded: Tensor = self.embedding(words)
        return embedded * math.sqrt(self.config.words)
