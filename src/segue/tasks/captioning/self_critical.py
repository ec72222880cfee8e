"""Self-critical updates: whole captions, each paid by how much better it is than its siblings.

Letters: `B` segments, `K` samples of each, `L` words.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue.rl.rewards import WeightedSum
from segue.tasks.captioning.batches import Batch
from segue.tasks.captioning.config import TuneConfig
from segue.tasks.captioning.data.vocabulary import PADDING, START, UNKNOWN
from segue.tasks.captioning.losses import warm_start_loss
from segue.tasks.captioning.metrics.judge import CaptionBatch, Judge
from segue.tasks.captioning.models.attention import Packing
from segue.tasks.captioning.models.decoding import Captions, repeat_memory, sample, speakable
from segue.tasks.captioning.models.encoder import Memory
from segue.tasks.captioning.models.network import Captioner

__all__ = ["SelfCritical", "advantages"]

Floats = NDArray[np.float64]


class SelfCritical:
    """See the module.

    Args:
        network: is tuned; stays in evaluation mode, so that what was drawn is what is learned.
        judge: of the training captions.
        reward: the named terms.
        config: settings.
        rng: draws the seeds of the samples.
    """

    def __init__(
        self,
        network: Captioner,
        judge: Judge,
        reward: WeightedSum,
        config: TuneConfig,
        rng: np.random.Generator,
    ) -> None:
        self._network, self._judge, self._reward = network, judge, reward
        self._config, self._rng = config, rng
        self._warm = copy.deepcopy(network).requires_grad_(False) if config.kl else None

    def update(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a batch and what is to be logged of it."""
        config, network = self._config, self._network
        memory = network.encode(batch.streams)
        drawn = self._draw(memory)
        words = drawn.words.cpu().numpy().astype(np.int32)
        items = np.repeat(batch.segments, config.samples)
        total, parts = self._reward(CaptionBatch.of(self._judge, words, items))
        paid = advantages(total.reshape(-1, config.samples), config.advantage_clip)
        read, packing = self._read(network, repeat_memory(memory, config.samples), drawn.words)
        target = packing.pack(drawn.words[..., None])[:, 0]
        spoken = target != PADDING  # not after the word that ends a caption
        said = torch.log_softmax(read / config.temperature, dim=-1)
        log_p = said.gather(-1, target[:, None])[:, 0].masked_fill(~spoken, 0.0)
        weights = torch.from_numpy(np.repeat(paid.ravel(), drawn.words.shape[1])).to(log_p)
        weights = packing.pack(weights.view(drawn.words.shape)[..., None])[:, 0]
        n_words = spoken.sum()
        loss = -(weights * log_p).sum() / n_words
        found = {f"reward_{name}": float(values.mean()) for name, values in parts.items()}
        found["reward"] = float(total.mean())
        found["sampled_words"] = float(drawn.lengths.float().mean())
        if config.cross_entropy:
            human, there = network.rows(memory, batch.words[:, :-1])
            wanted = there.pack(batch.words[:, 1:, None])[:, 0]
            wanted = torch.where(wanted == UNKNOWN, PADDING, wanted)
            loss = loss + config.cross_entropy * warm_start_loss(human, wanted, config.smoothing)
        if self._warm is not None:
            with torch.no_grad():
                kept = self._warm.encode(batch.streams)
                prior, _ = self._read(self._warm, repeat_memory(kept, config.samples), drawn.words)
                prior = torch.log_softmax(prior, dim=-1)
            own = torch.log_softmax(read, dim=-1)
            kl = (own.exp() * (own - prior)).sum(-1)[spoken].sum() / n_words
            loss = loss + config.kl * kl
            found["kl"] = kl.item()
        return loss, found

    def _draw(self, memory: Memory) -> Captions:
        config, network = self._config, self._network
        device = network.embedding.weight.device
        source = torch.Generator(device).manual_seed(int(self._rng.integers(2**62)))
        several = repeat_memory(memory, config.samples)
        return sample(
            network, several, config.limit, generator=source, temperature=config.temperature
        )

    @staticmethod
    def _read(network: Captioner, memory: Memory, words: Tensor) -> tuple[Tensor, Packing]:
        """Return what may be said after each real word, [N, V], and where these stand."""
        first = torch.full_like(words[:, :1], START)
        log_probs, packing = network.rows(memory, torch.cat([first, words[:, :-1]], dim=1))
        return speakable(log_probs, packing.positions), packing


def advantages(rewards: Floats, most: float) -> Floats:
    """Return what each sample earned beyond the mean of its siblings, [B, K].

    In standard deviations of the whole batch, at most `most`; zeros where all earned the same.

    Args:
        rewards: [B, K].
        most: largest absolute value.
    """
    k = rewards.shape[1]
    beyond = (rewards - rewards.mean(axis=1, keepdims=True)) * (k / (k - 1))
    deviation = beyond.std()
    if deviation < 1e-12:
        return np.zeros_like(beyond)
    return np.asarray(np.clip(beyond / deviation, -most, most))
