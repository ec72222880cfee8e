"""Training of the segment critic, which the original leaves out.

The critic reads a caption from left to right and says after each word whether a phrase ends there.
Its labels are those of `phrases`, by rules or from a file that people marked; its loss is the
binary cross-entropy of every word, the start word included, after which no phrase ends. It is
trained before the captioner and never again, so where the phrases of the training captions end is
known for all epochs (`Boundaries`).

Letters: `B` captions, `L` words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from segue.core.errors import RunError
from segue.tasks.captioning.batches import epoch
from segue.tasks.captioning.config import CriticTraining
from segue.tasks.captioning.data.prepared import Prepared, Split
from segue.tasks.captioning.data.vocabulary import PADDING, START
from segue.tasks.captioning.models.critic import SegmentCritic, WordCritic
from segue.tasks.captioning.models.network import Captioner
from segue.tasks.captioning.phrases import ending_words, phrase_ends, read_labelled

__all__ = ["Boundaries", "CriticTrainer", "set_rules"]

Marked = tuple[NDArray[np.int32], NDArray[np.bool_]]
"""Words of a caption and at which of them a phrase ends, [L] each."""


class CriticTrainer:
    """Trains the critic of a captioner, epoch by epoch.

    Args:
        network: its critic learns, and nothing else; embeddings that both share stay.
        data: prepared captions.
        config: settings.
        longest: words of a caption that are read.

    Raises:
        DataError: the labels cannot be read.
    """

    def __init__(
        self, network: Captioner, data: Prepared, config: CriticTraining, longest: int
    ) -> None:
        assert isinstance(network.critic, SegmentCritic)
        self._network, self._critic, self._config = network, network.critic, config
        vocabulary = data.vocabulary
        if config.labels is None:
            marked = [_by_rules(data.train, n, vocabulary.words) for n in range(_n(data.train))]
        else:
            marked = [(vocabulary.encode(w), ends) for w, ends in read_labelled(config.labels)]
        self._marked = [(words[:longest], ends[:longest]) for words, ends in marked]
        held_out = data.validation
        self._judged = [
            (words[:longest], ends[:longest])
            for words, ends in (
                _by_rules(held_out, n, vocabulary.words) for n in range(min(_n(held_out), 2000))
            )
        ]
        self._adam = torch.optim.Adam(self._critic.parameters(), lr=config.learning_rate)

    def epoch(self, rng: np.random.Generator) -> float:
        """Read all captions once; return the mean loss of a word in nats.

        Raises:
            RunError: the loss is not finite.
        """
        lengths = np.array([len(words) for words, _ in self._marked])
        losses = []
        self._critic.train().requires_grad_(True)
        for number, chosen in enumerate(epoch(lengths, self._config.batch, rng), 1):
            loss = self._loss([self._marked[i] for i in chosen])
            if not torch.isfinite(loss):
                raise RunError(
                    f"the loss of update {number} of the critic is {loss.item()}",
                    advice="Lower critic.learning_rate",
                )
            self._adam.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self._critic.parameters(), 1.0)
            self._adam.step()
            losses.append(loss.item())
        self._critic.eval().requires_grad_(False)
        return float(np.mean(losses))

    @torch.no_grad()
    def judge(self) -> dict[str, float]:
        """Return precision, recall and F1 of the rules' ends in up to 2,000 validation captions.

        Always after the word itself, with the threshold that the captioner uses; ends of captions
        count.
        """
        hit = said = true = 0
        for start in range(0, len(self._judged), 64):
            words, ends, real = _padded(self._judged[start : start + 64])
            found = self._network.boundaries(words.to(self._device)).cpu() & real
            hit += int((found & ends).sum())
            said += int(found.sum())
            true += int(ends.sum())
        precision, recall = hit / max(1, said), hit / max(1, true)
        return {
            "critic_precision": precision,
            "critic_recall": recall,
            "critic_f1": 2 * precision * recall / max(1e-12, precision + recall),
        }

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs besides the weights."""
        return self._adam.state_dict()

    def load(self, state: dict[str, Any]) -> None:
        """Undo `state`."""
        self._adam.load_state_dict(state)

    @property
    def _device(self) -> torch.device:
        return self._network.embedding.weight.device

    def _loss(self, marked: Sequence[Marked]) -> Tensor:
        words, ends, real = (x.to(self._device) for x in _padded(marked))
        logits, _ = self._critic(words, self._network.embedded(words).detach())
        return nn.functional.binary_cross_entropy_with_logits(logits[real], ends[real].float())


class Boundaries:
    """Where the frozen critic ends the phrases of a split's captions, found once.

    The batches in which it is asked depend on the captions alone, so that a run that goes on after
    an interruption finds the same to the bit.

    Args:
        network: with its critic.
        split: whose captions are read.
        longest: words of a caption that are read.
    """

    def __init__(self, network: Captioner, split: Split, longest: int) -> None:
        captions = split.captions
        lengths = np.minimum(captions.lengths, longest)
        self._offsets = np.concatenate([[0], np.cumsum(lengths + 1)])
        self._flags = np.zeros(self._offsets[-1], dtype=np.bool_)
        device = network.embedding.weight.device
        for chosen in epoch(lengths, 64, None):
            nothing = np.zeros(longest, dtype=np.bool_)
            rows = [captions.of(int(n))[:longest] for n in chosen]
            words, _, _ = _padded([(row, nothing[: len(row)]) for row in rows])
            found = network.boundaries(words.to(device)).cpu().numpy()
            for n, flags in zip(chosen, found, strict=True):
                self._flags[self._offsets[n] : self._offsets[n + 1]] = flags[: lengths[n] + 1]

    def of(self, captions: NDArray[np.int64], length: int) -> Tensor:
        """Return [B, length]: after the start word, after the first word, and so on.

        What comes after the last word of a caption is False.
        """
        found = np.zeros((len(captions), length), dtype=np.bool_)
        for row, n in zip(found, captions, strict=True):
            flags = self._flags[self._offsets[n] : self._offsets[n + 1]]
            row[: len(flags)] = flags[:length]
        return torch.from_numpy(found)


def set_rules(network: Captioner, words: Sequence[str]) -> None:
    """Tell a critic without training with which words of the vocabulary phrases end."""
    assert isinstance(network.critic, WordCritic)
    network.critic.ends.copy_(torch.from_numpy(ending_words(words)))


def _n(split: Split) -> int:
    return len(split.captions)


def _by_rules(split: Split, caption: int, vocabulary: Sequence[str]) -> Marked:
    numbers = split.captions.of(caption)
    return numbers, phrase_ends([vocabulary[n] for n in numbers])


def _padded(marked: Sequence[Marked]) -> tuple[Tensor, Tensor, Tensor]:
    """Return words with the start word, ends, and which are real, [B, L + 1] each."""
    longest = max(len(words) for words, _ in marked)
    words = np.full((len(marked), longest + 1), PADDING, dtype=np.int64)
    ends = np.zeros(words.shape, dtype=np.bool_)
    words[:, 0] = START
    for row, flags, (said, true) in zip(words, ends, marked, strict=True):
        row[1 : len(said) + 1] = said
        flags[1 : len(said) + 1] = true
    return torch.from_numpy(words), torch.from_numpy(ends), torch.from_numpy(words != PADDING)
