"""Several processes that tune one adapter: who samples what, and what they tell each other.

`accelerate launch` and `torchrun` start the same program several times and say in the environment
which one it is (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT). Samples have global
numbers, and every process makes and learns from its own; rewards and gradients are summed, so that
two processes do what one would, to the rounding of sums.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from segue.core.errors import UsageError

__all__ = ["World", "joined"]


@dataclass(frozen=True, slots=True)
class World:
    """The processes of this run; one alone by default."""

    rank: int = 0
    size: int = 1
    device: torch.device = torch.device("cpu")  # noqa: RUF009  immutable

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return self.rank == 0

    def owned(self, order: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return this process's share of each row of sample numbers, [n, b] -> [n, b / size]."""
        return order[:, self.rank :: self.size]

    def merge(self, own: NDArray[np.float64], where: NDArray[np.int64], n: int) -> NDArray[
        np.float64
    ]:  # fmt: skip
        """Put values of this process's samples, [b, ...], among those of all, [n, ...].

        Args:
            own: this process's.
            where: their global numbers, [b]; no number may belong to two processes.
            n: samples of all processes.
        """
        whole = np.zeros((n, *own.shape[1:]))
        whole[where] = own
        return self._sum(torch.from_numpy(whole)).numpy()

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace every gradient by its sum over the processes, in one message."""
        if self.size == 1:
            return
        weights = list(parameters)
        for weight in weights:
            if weight.grad is None:  # this process owned no row of the minibatch
                weight.grad = torch.zeros_like(weight)
        flat = torch.cat([w.grad.flatten() for w in weights if w.grad is not None])
        dist.all_reduce(flat)
        sizes = [weight.numel() for weight in weights]
        for weight, part in zip(weights, torch.split(flat, sizes), strict=True):
            weight.grad = part.view_as(weight)

    def sums(self, values: dict[str, float]) -> dict[str, float]:
        """Return the sums of numbers over the processes; all must give the same names."""
        found = self._sum(torch.tensor(list(values.values()), dtype=torch.float64))
        return dict(zip(values, found.tolist(), strict=True))

    def any(self, flag: bool) -> bool:
        """Return whether it is so in any process."""
        return self.sums({"flag": float(flag)})["flag"] > 0

    def from_first(self, number: int) -> int:
        """Return the number that the first process has."""
        return int(self.sums({"number": float(number) if self.first else 0.0})["number"])

    def _sum(self, values: torch.Tensor) -> torch.Tensor:
        if self.size == 1:
            return values
        values = values.to(self.device)
        dist.all_reduce(values)
        return values.cpu()


@contextmanager
def joined(device: str = "cpu") -> Iterator[World]:
    """Give the world that this process was started in.

    Args:
        device: cpu or cuda; of several processes each takes the GPU of its LOCAL_RANK.

    Raises:
        UsageError: cuda is asked for and not there, or the environment is half set.
    """
    if device != "cpu" and not torch.cuda.is_available():
        raise UsageError("device is cuda, and there is none", advice="Set device to cpu")
    try:
        size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
        local = int(os.environ.get("LOCAL_RANK", "0"))
    except ValueError as error:
        raise UsageError(f"RANK and WORLD_SIZE of the environment: {error}") from None
    place = torch.device(device, local) if device != "cpu" else torch.device("cpu")
    if size <= 1:
        yield World(device=place)
        return
    missing = [key for key in ("MASTER_ADDR", "MASTER_PORT") if key not in os.environ]
    if missing:
        raise UsageError(
            f"WORLD_SIZE is {size}, and {' and '.join(missing)} is not set",
            advice="Start several processes with `accelerate launch` or `torchrun`",
        )
    began = not dist.is_initialized()
    if began:
        dist.init_process_group("gloo" if place.type == "cpu" else "nccl")
    if place.type == "cuda":
        torch.cuda.set_device(place)
    try:
        yield World(rank=rank, size=size, device=place)
    finally:
        if began:
            dist.destroy_process_group()
