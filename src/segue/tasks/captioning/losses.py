"""The losses that captions are learned with, for whole batches.

Both compare the log-probabilities of every word with a target distribution `q` by the divergence
sum q (log q - log p). The warm start smooths the reference's word; the reinforced form of the
original moves a share of its mass, the *amplitude*, to the word that was sampled. Padding rows cost
nothing, and in other rows the padding word gets no smoothing.

Letters: `B` captions, `L` positions, `V` words, `s` smoothing, `a` amplitude.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["biased_kl", "label_smoothed_kl", "reinforced_loss", "warm_start_loss"]

ORIGINAL_SMOOTHING = 0.7
ORIGINAL_SHARE = 0.2
"""The original divides the reinforced loss by a fifth of the number of words."""


def label_smoothed_kl(
    log_probs: Tensor, target: Tensor, smoothing: float = ORIGINAL_SMOOTHING, padding: int = 1
) -> Tensor:
    """Return the divergence at every position, [B, L].

    q is 1 - s at the target, 0 at the padding word and s / (V - 2) at all others.

    Args:
        log_probs: log-probabilities, [B, L, V].
        target: numbers of the words to be said, [B, L].
        smoothing: s, the mass of all other words.
        padding: number of the padding word.
    """
    every = log_probs.sum(dim=-1) - log_probs[..., padding] - _at(log_probs, target)
    others = log_probs.shape[-1] - 2
    each = smoothing / others if others > 0 else 0.0
    entropy = others * _x_log_x(each) + _x_log_x(1 - smoothing)
    kl = entropy - each * every - (1 - smoothing) * _at(log_probs, target)
    return kl.masked_fill(target == padding, 0.0)


def biased_kl(
    log_probs: Tensor,
    target: Tensor,
    sampled: Tensor,
    amplitude: Tensor,
    smoothing: float = ORIGINAL_SMOOTHING,
    padding: int = 1,
) -> Tensor:
    """Return the divergence from a target that a sampled word has a share of, [B, L].

    q is (1 - s)(1 - a) at the target, 0 at the padding word, s / (V - 2) at all others, and then
    (1 - s) a more at the sampled word, which may be any of them. The gradient flows through `a`
    too, as in the original, when `amplitude` carries one.

    Args:
        log_probs: log-probabilities, [B, L, V].
        target: numbers of the reference's words, [B, L].
        sampled: numbers of the sampled words, [B, L].
        amplitude: a, between 0 and 1, [B, L].
        smoothing: s.
        padding: number of the padding word.
    """
    each = torch.full_like(amplitude, smoothing / max(1, log_probs.shape[-1] - 2))
    kept, moved = (1 - smoothing) * (1 - amplitude), (1 - smoothing) * amplitude
    # The mass of the two special words, where they may coincide with each other or padding.
    at_target = torch.where(sampled == target, kept + moved, kept)
    at_sampled = torch.where(sampled == padding, moved, each + moved)
    log_target, log_sampled = _at(log_probs, target), _at(log_probs, sampled)
    apart = (sampled != target) & (sampled != padding)
    plain = log_probs.sum(dim=-1) - log_probs[..., padding] - log_target
    plain = plain - torch.where(apart, log_sampled, torch.zeros_like(log_sampled))
    n_plain = log_probs.shape[-1] - 2 - apart.to(log_probs.dtype)
    kl: Tensor = n_plain * torch.special.xlogy(each, each) - each * plain
    kl = kl + _entropy(at_target) - at_target * log_target
    extra = _entropy(at_sampled) - at_sampled * log_sampled
    kl = kl + torch.where(sampled == target, torch.zeros_like(extra), extra)
    kl = kl.masked_fill(target == padding, 0.0)
    return kl


def warm_start_loss(
    log_probs: Tensor, target: Tensor, smoothing: float = ORIGINAL_SMOOTHING, padding: int = 1
) -> Tensor:
    """Return the label-smoothed divergence per word; arguments as of `label_smoothed_kl`."""
    n_words = (target != padding).sum().clamp(min=1)
    return label_smoothed_kl(log_probs, target, smoothing, padding).sum() / n_words


def reinforced_loss(
    log_probs: Tensor,
    target: Tensor,
    sampled: Tensor,
    amplitude: Tensor,
    smoothing: float = ORIGINAL_SMOOTHING,
    padding: int = 1,
    share: float = ORIGINAL_SHARE,
) -> Tensor:
    """Return the biased divergence per `share` of a word; arguments as of `biased_kl`."""
    # In the precision of the losses: a whole number times a float would be of single precision.
    n_words = (target != padding).sum().clamp(min=1).to(log_probs.dtype)
    total = biased_kl(log_probs, target, sampled, amplitude, smoothing, padding).sum()
    loss: Tensor = total / (share * n_words)
    return loss


def _at(log_probs: Tensor, words: Tensor) -> Tensor:
    return log_probs.gather(-1, words.unsqueeze(-1)).squeeze(-1)


def _x_log_x(x: float) -> float:
    return float(torch.special.xlogy(torch.tensor(x, dtype=torch.float64), x)) if x > 0 else 0.0


def _entropy(x: Tensor) -> Tensor:
    """Return x log x, 0 at 0; its gradient there is 0 as well, where the true one is infinite."""
    return torch.where(x > 0, x * x.clamp(min=torch.finfo(x.dtype).tiny).log(), 0.0)
