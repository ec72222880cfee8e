"""Losses that allow for wrong labels.

If a share r of the labels was drawn at random, a network that tells the true class with probability
p sees the given label with probability (1 - r) p + r q, where q is how often the label occurs. The
cross-entropy of that is least for the true p (Patrini et al. 2017, "Making deep neural networks
robust to label noise", forward correction), where the plain one would learn to be as unsure as its
labels. For pairs of sound and text the same holds with q = 1 / B: a wrong text is as likely that of
any other clip of the batch.

Letters: `B` clips, `K` classes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["classes_loss", "pairs_loss"]


def classes_loss(
    logits: Tensor,
    labels: Tensor,
    noise: float = 0.0,
    shares: Tensor | None = None,
    smoothing: float = 0.0,
) -> Tensor:
    """Return the mean cross-entropy of the labels that are known.

    Args:
        logits: [B, K].
        labels: [B] int64; -1 where unknown. Without any known one the loss is 0.
        noise: share r of the labels that were drawn at random.
        shares: [K] how often each label is drawn; without, equally.
        smoothing: weight of the mean over classes in place of the label.
    """
    known = labels >= 0
    logs = torch.log_softmax(logits[known], dim=1)
    if not len(logs):
        return logits.sum() * 0.0
    given = logs.gather(1, labels[known][:, None])[:, 0]
    if noise:
        drawn = shares[labels[known]] if shares is not None else logs.new_tensor(1 / logs.shape[1])
        given = torch.logaddexp(given + math.log1p(-noise), torch.log(noise * drawn))
    return -((1 - smoothing) * given + smoothing * logs.mean(dim=1)).mean()


def pairs_loss(sounds: Tensor, texts: Tensor, scale: Tensor, noise: float = 0.0) -> Tensor:
    """Return the contrastive loss of a batch of pairs, the mean of both directions (InfoNCE).

    Args:
        sounds: [B, D] unit rows.
        texts: [B, D] unit rows; row i belongs to sound i.
        scale: what cosines are multiplied with.
        noise: share of the texts that belong to another clip.
    """
    logits = scale * sounds @ texts.T

    def one_way(table: Tensor) -> Tensor:
        own = torch.log_softmax(table, dim=1).diagonal()
        if noise:
            drawn = own.new_tensor(noise / len(own)).log()
            own = torch.logaddexp(own + math.log1p(-noise), drawn)
        return -own.mean()

    return (one_way(logits) + one_way(logits.T)) / 2
