"""Losses of a next-track model: how the target is told from other tracks.

With `s` the target's logit, `n_j` those of the `K` tracks that it is told from:

    softmax          log(e^s + sum_j e^(n_j + c_j)) - s      c_j = 0, j runs over all other tracks
    sampled softmax  the same                                c_j = -log(K q_j): the sum estimates
                                                             that over all tracks (Bengio and
                                                             Senecal 2008)
    bce              -log sigmoid(s) - sum_j log(1 - sigmoid(n_j))      (Kang and McAuley 2018)
    gbce             -beta log sigmoid(s) - sum_j log(1 - sigmoid(n_j)) (Petrov and Macdonald 2023)

all as means over the `P` targets of a batch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from segue.tasks.playlist.models.sasrec_kernels import gathered_gradients, gathered_products

__all__ = [
    "GatheredLogits",
    "Room",
    "SharedSoftmax",
    "binary_loss",
    "calibrated_power",
    "softmax_loss",
]


class Room:
    """Memory that is used again in every update: asking for it anew costs as much as the sums."""

    def __init__(self) -> None:
        self._kept = torch.empty(0)

    def __call__(self, n: int, count: int) -> Tensor:
        """Return an array [n, count] of any content; it is valid until the next call."""
        if self._kept.numel() < n * count:
            self._kept = torch.empty(n * count)
        return self._kept[: n * count].view(n, count)


class SharedSoftmax(torch.autograd.Function):
    """Softmax loss when all targets are told from the same tracks.

    The gradient is worked out together with the loss, in one large array.
    """

    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        target: Tensor,
        near: Tensor,
        others: Tensor,
        others_bias: Tensor,
        rows: Tensor,
        columns: Tensor,
        room: Room,
    ) -> Tensor:
        """Return the mean loss.

        Args:
            ctx: torch's.
            states: [P, D].
            target: logits of the targets, [P].
            near: logits of tracks that only one target each is told from, [P, N].
            others: vectors of the other tracks, [K, D].
            others_bias: their biases with the correction, [K].
            rows: with `columns`, pairs of a target and another track that is none to it.
            columns: see `rows`.
            room: for the logits.
        """
        n = states.shape[0]
        logits = room(n, others.shape[0])
        torch.addmm(others_bias, states, others.T, out=logits)
        logits[rows, columns] = -torch.inf
        top = torch.maximum(logits.amax(dim=1), target)
        if near.shape[1]:
            top = torch.maximum(top, near.amax(dim=1))
        logits.sub_(top[:, None]).exp_()
        own_part = (target - top).exp_()
        of_near = (near - top[:, None]).exp_()
        whole = logits.sum(dim=1) + own_part + of_near.sum(dim=1)
        loss = (whole.log() + top - target).mean()
        weights = (1 / (n * whole))[:, None]
        logits.mul_(weights)
        ctx.save_for_backward(
            logits @ others,
            (own_part / whole - 1) / n,
            of_near.mul_(weights),
            logits.T @ states,
            logits.sum(dim=0),
        )
        return loss

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients that were worked out in `forward`."""
        return (*(gradient * part for part in ctx.saved_tensors), None, None, None)


class GatheredLogits(torch.autograd.Function):
    """Scalar products of every state with tracks of its own, without copying their vectors."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, items: Tensor, drawn: Tensor) -> Tensor:
        """Return products [P, K].

        Args:
            ctx: torch's.
            states: [P, D].
            items: [U, D].
            drawn: rows of `items`, [P, K].
        """
        ctx.save_for_backward(states, items, drawn)
        products = torch.empty(drawn.shape)
        gathered_products(
            states.contiguous().numpy(), items.contiguous().numpy(), drawn.numpy(), products.numpy()
        )
        return products

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of states and items."""
        states, items, drawn = ctx.saved_tensors
        of_states, of_items = torch.zeros(states.shape), torch.zeros(items.shape)
        gathered_gradients(
            states.contiguous().numpy(),
            items.contiguous().numpy(),
            drawn.numpy(),
            gradient.contiguous().numpy(),
            of_states.numpy(),
            of_items.numpy(),
        )
        return of_states, of_items, None


def softmax_loss(target: Tensor, others: Tensor) -> Tensor:
    """Return the mean softmax loss of logits [P] and [P, K]; minus infinity leaves one out."""
    return (torch.logsumexp(torch.cat([target[:, None], others], dim=1), dim=1) - target).mean()


def binary_loss(target: Tensor, others: Tensor, power: float = 1.0) -> Tensor:
    """Return the mean binary loss of logits [P] and [P, K]; minus infinity leaves one out."""
    positive = power * functional.softplus(-target)
    return (positive + functional.softplus(others).sum(dim=1)).mean()


def calibrated_power(negatives: int, n_tracks: int, calibration: float) -> float:
    """Return beta of gbce: Petrov and Macdonald (2023), section 5."""
    share = min(1.0, negatives / max(1, n_tracks - 1))
    return share * (calibration * (1 - 1 / share) + 1 / share)
