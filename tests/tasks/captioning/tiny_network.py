"""A captioner of a few thousand weights, and features for it."""

from __future__ import annotations

from typing import Any

import torch

from segue.tasks.captioning.models.config import CriticConfig, NetworkConfig
from segue.tasks.captioning.models.critic import SegmentCritic
from segue.tasks.captioning.models.encoder import Streams
from segue.tasks.captioning.models.network import Captioner

N_WORDS = 40
VISUAL, AUDIO = 12, 7
CRITIC = CriticConfig(lstm=8, gru=8, lstm_layers=2, threshold=0.5)


def tiny(seed: int = 0, **changes: Any) -> Captioner:
    """Return a captioner in evaluation mode; its phrases end at some words and not at others."""
    torch.manual_seed(seed)
    config = NetworkConfig(
        visual=VISUAL, audio=AUDIO, words=10, attention=16, visual_ff=9, audio_ff=8, goal=6,
        critic=CRITIC,
    ).model_copy(update=changes)  # fmt: skip
    network = Captioner(config, N_WORDS).eval()
    with torch.no_grad():  # far from the even distribution that a new network has
        for name, weight in network.named_parameters():
            if weight.dim() > 1 and "embedding" not in name:
                weight.mul_(3.0)
        if network.critic is not None:
            read = torch.arange(4, N_WORDS).view(3, 12)
            if isinstance(network.critic, SegmentCritic):
                logits, _ = network.critic(read, network.embedded(read))
                network.critic.out.bias.sub_(logits.median())
            else:
                network.critic.ends[::2] = True
    return network


def streams(seed: int = 1) -> Streams:
    """Return five segments: with both, and without picture or sound or either."""
    generator = torch.Generator().manual_seed(seed)
    return Streams(
        visual=torch.rand(5, 6, VISUAL, generator=generator),
        visual_lengths=torch.tensor([6, 3, 0, 1, 0]),
        audio=torch.rand(5, 9, AUDIO, generator=generator),
        audio_lengths=torch.tensor([9, 2, 4, 0, 0]),
    )


def some(of: Streams, rows: list[int], *, cut: bool = False) -> Streams:
    """Return the segments `rows`, and with `cut` no padding beyond the longest of them."""
    values = {}
    for name in ("visual", "audio"):
        lengths = getattr(of, f"{name}_lengths")[rows]
        x = getattr(of, name)[rows]
        values[name] = x[:, : int(lengths.max())] if cut else x
        values[f"{name}_lengths"] = lengths
    return Streams(**values)


def captions(seed: int = 2, n: int = 5, length: int = 9) -> torch.Tensor:
    """Return [n, length] words with the start word, padded to different lengths."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(4, N_WORDS, (n, length), generator=generator)
    words[:, 0] = 2
    for row in range(n):
        words[row, length - row % 4 :] = 1
    return words


def sayable(log_probs: torch.Tensor) -> torch.Tensor:
    """Return the log-probabilities of what may be said, [B, L, V], by the rules in words.

    Never the unknown word, padding or start, and no end before the first word.
    """
    allowed = log_probs.clone()
    allowed[..., :3] = -torch.inf
    allowed[:, 0, 3] = -torch.inf
    return torch.log_softmax(allowed, -1)
