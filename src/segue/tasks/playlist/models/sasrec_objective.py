"""What SASRec minimises: the target told from drawn tracks, and from those of the session.

The state at a place resembles the vector of the newest track, so that track and the others of the
session are the likeliest wrong answers; among a few thousand tracks drawn from a hundred thousand
they hardly ever are. With `again` they compete in every update, each with a learned bonus for how
long ago it was heard and for how much the state expects a repeat.

`B` sessions, `T` places, `P` targets, `K` drawn tracks, `U` tracks of the small table, `D` numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from segue.core.seeding import generator
from segue.tasks.playlist.models.sasrec_batches import Batch
from segue.tasks.playlist.models.sasrec_config import SASRecConfig
from segue.tasks.playlist.models.sasrec_losses import (
    GatheredLogits,
    Room,
    SharedSoftmax,
    binary_loss,
    calibrated_power,
    softmax_loss,
)
from segue.tasks.playlist.models.sasrec_network import SASRecNetwork

__all__ = ["Objective", "Places", "heard_before"]

Longs = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Places:
    """The tracks of an update as rows of the small table."""

    read: Longs
    """[B, T]; any row where there is padding."""
    wanted: Longs
    """[P]."""
    drawn: Longs
    """[K], or [P, K]."""


class Objective:
    """Draws tracks and works out losses.

    Args:
        config: settings.
        plays: how often each track was heard, [V].
    """

    def __init__(self, config: SASRecConfig, plays: Longs) -> None:
        self._config = config
        self.random = generator(config.seed, "sasrec negatives")
        self._room = Room()
        self._heard: Longs = np.flatnonzero(plays)
        share = np.where(plays > 0, plays.astype(np.float64), 0) ** config.negative_power
        share[plays == 0] = 0
        share /= share.sum()
        self._sums = np.cumsum(share)
        # What the logit of a drawn track is corrected by: the log of how often it is expected.
        self._offsets = -np.log(np.maximum(share * config.negatives, 1e-30)).astype(np.float32)
        self._power = 1.0
        if config.loss == "gbce":
            self._power = calibrated_power(config.negatives, len(plays), config.calibration)

    def draw(self, n: int) -> Longs:
        """Draw the tracks that `n` targets are told from: [K], [P, K], or none for all tracks."""
        config = self._config
        if config.loss == "softmax":
            return np.zeros(0, dtype=np.int64)
        shape = (config.negatives,) if config.shared else (n, config.negatives)
        if not config.negative_power:  # the same as below, but there it takes a search
            some: Longs = self._heard[self.random.integers(len(self._heard), size=shape)]
            return some
        drawn = np.searchsorted(self._sums, self.random.random(shape), side="right")
        chosen: Longs = np.minimum(drawn, self._heard[-1])  # the sum may end below 1
        return chosen

    def loss(
        self,
        network: SASRecNetwork,
        states: Tensor,
        items: Tensor,
        bias: Tensor,
        batch: Batch,
        drawn: Longs,
        places: Places,
    ) -> Tensor:
        """Return the mean loss of a batch.

        Args:
            network: gives the bonus of repeats.
            states: of every place, [B, T, D].
            items: vectors of the small table, [U, D].
            bias: its biases, [U].
            batch: [B, T].
            drawn: of `draw`.
            places: the tracks as rows of the table.
        """
        config = self._config
        real = batch.targets >= 0
        wanted, columns = torch.from_numpy(places.wanted), torch.from_numpy(places.drawn)
        of_target = torch.from_numpy(np.flatnonzero(real))
        asked = states.flatten(0, 1)[of_target]  # [P, D]
        target = (asked * functional.embedding(wanted, items)).sum(dim=1) + bias[wanted]
        near, heard = torch.zeros(len(target), 0), np.zeros((len(target), 0), dtype=np.bool_)
        if config.again:
            before, own = heard_before(batch.inputs, batch.targets)
            heard, repeat = before[real], torch.from_numpy(own[real])  # [P, T] each
            read = torch.from_numpy(places.read)
            near = states @ functional.embedding(read, items).transpose(1, 2)
            near = near + bias[read][:, None] + network.bonus(states)
            near = near.flatten(0, 1)[of_target]
            target = torch.where(repeat.any(dim=1), (near * repeat).sum(dim=1), target)
            near = near.masked_fill(repeat | ~torch.from_numpy(heard), -torch.inf)
        if config.loss == "softmax" or (config.loss == "sampled_softmax" and config.shared):
            rows = np.arange(len(items)) if config.loss == "softmax" else None
            offsets = np.zeros(len(items), dtype=np.float32)
            if rows is None:  # what was drawn n times stands there once, with n times the weight
                tracks, first, counts = np.unique(drawn, return_index=True, return_counts=True)
                rows, offsets = places.drawn[first], np.log(counts).astype(np.float32)
                offsets += self._offsets[tracks] if config.log_q else 0
            others = items if len(rows) == len(items) else functional.embedding(_t(rows), items)
            pairs = _left_out(rows, len(items), places, real, heard)
            loss: Tensor = SharedSoftmax.apply(  # type: ignore[no-untyped-call]
                asked, target, near, others, bias[_t(rows)] + _t(offsets), *pairs, self._room
            )
            return loss
        if config.shared:
            logits = torch.addmm(bias[columns], asked, functional.embedding(columns, items).T)
        else:
            products: Tensor = GatheredLogits.apply(  # type: ignore[no-untyped-call]
                asked, items, columns
            )
            logits = products + functional.embedding(columns, bias[:, None])[:, :, 0]
        if config.loss == "sampled_softmax" and config.log_q:
            logits = logits + torch.from_numpy(self._offsets[drawn])
        logits = logits.masked_fill(columns == wanted[:, None], -torch.inf)
        every = torch.cat([logits, near], dim=1)
        if config.loss == "sampled_softmax":
            return softmax_loss(target, every)
        return binary_loss(target, every, self._power) / (1 + config.negatives)


def heard_before(inputs: Longs, targets: Longs) -> tuple[Flags, Flags]:
    """Return which tracks of a session compete at each of its places.

    Args:
        inputs: [B, T].
        targets: [B, T].

    Returns:
        [B, T, T] each, place by track: whether the track was heard by then and not again since, so
        that each counts once; and whether it is also the target there.
    """
    length = inputs.shape[1]
    steps = np.arange(length)
    same = inputs[:, :, None] == inputs[:, None, :]
    later = np.where(same & (steps > steps[:, None]), steps, length).min(axis=2)  # its next place
    heard = (steps <= steps[:, None]) & (later[:, None, :] > steps[:, None])
    return heard, heard & (inputs[:, None, :] == targets[:, :, None])


def _left_out(
    rows: Longs, size: int, places: Places, real: Flags, heard: Flags
) -> tuple[Tensor, Tensor]:
    """Return where targets [P] and tracks of their sessions [P, T] stand among `rows` as well."""
    column_of = np.full(size, -1)
    column_of[rows] = np.arange(len(rows))
    target, place = np.nonzero(heard)
    session = np.nonzero(real)[0]
    which = np.concatenate([np.arange(len(places.wanted)), target])
    columns = column_of[np.concatenate([places.wanted, places.read[session[target], place]])]
    found = columns >= 0
    return _t(which[found]), _t(columns[found])


def _t(array: NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(array)
