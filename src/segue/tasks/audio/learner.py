"""The optimiser of an adapter: gradients of several processes, their norm, and a moving average.

The frozen model is not touched. What is kept and looked at is the average of the adapter over its
last updates, where one is asked for: it jumps less.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from segue.core.errors import RunError
from segue.tasks.audio.ddpo import Part

if TYPE_CHECKING:
    from segue.tasks.audio.config import TuneConfig
    from segue.tasks.audio.distributed import World
    from segue.tasks.audio.models.base import Denoiser

__all__ = ["Learner"]

_MOST_SKIPPED = 25
"""Updates in a row whose half-precision gradient overflowed; then something else is wrong."""


class Learner:
    """Changes a denoiser's adapter.

    Args:
        denoiser: with an adapter.
        config: settings.
        world: the processes that learn together.
    """

    def __init__(self, denoiser: Denoiser, config: TuneConfig, world: World) -> None:
        update = config.update
        self._world, self._clip, self._decay = world, update.max_grad_norm, config.adapter.average
        self._rate = update.learning_rate
        self._weights = denoiser.adapter()
        self._adam = torch.optim.AdamW(
            list(self._weights.values()),
            lr=update.learning_rate,
            betas=(update.beta1, update.beta2),
            weight_decay=update.weight_decay,
            eps=update.epsilon,
        )
        half = config.precision == "float16"
        self._scaler = torch.amp.GradScaler(world.device.type, enabled=half)
        self._mean = {name: weight.detach().clone() for name, weight in self._weights.items()}
        self.updates = 0
        """Optimiser steps that were taken."""
        self._skipped = 0

    def learn(self, parts: Iterable[Part], where: str, share: float = 1.0) -> dict[str, float]:
        """Take one optimiser step.

        Args:
            parts: of the loss, over this process's rows.
            where: which update this is, for messages.
            share: of the learning rate.

        Returns:
            The sums of what the parts log, over all processes, and the norm of the gradient.

        Raises:
            RunError: the gradient is not finite; nothing was changed.
        """
        for group in self._adam.param_groups:
            group["lr"] = share * self._rate
        self._adam.zero_grad(set_to_none=True)
        sums: dict[str, float] = {}
        for loss, found in parts:
            self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            for name, value in found.items():
                sums[name] = sums.get(name, 0.0) + value
        weights = list(self._weights.values())
        self._world.sum_gradients(weights)
        self._scaler.unscale_(self._adam)
        limit = self._clip or float("inf")
        norm = float(torch.nn.utils.clip_grad_norm_(weights, limit))
        if not norm < float("inf"):
            self._overflowed(where, norm)
        else:
            self._skipped = 0
        self._scaler.step(self._adam)  # does nothing after an overflow
        self._scaler.update()
        if norm < float("inf"):
            self.updates += 1
            self._average()
        return sums | {"grad_norm": norm}

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within the block the adapter is its moving average."""
        own = {name: weight.detach().clone() for name, weight in self._weights.items()}
        self.put(self._mean)
        try:
            yield
        finally:
            self.put(own)

    def kept(self) -> dict[str, torch.Tensor]:
        """Return copies of the averaged weights, by name, on the CPU."""
        return {name: mean.detach().cpu().clone() for name, mean in self._mean.items()}

    def put(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Give the adapter other weights."""
        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(weights[name])

    def state(self) -> dict[str, Any]:
        """Return everything that the next update depends on."""
        return {
            "adapter": {name: weight.detach() for name, weight in self._weights.items()},
            "average": self._mean,
            "adam": self._adam.state_dict(),
            "scaler": self._scaler.state_dict(),
            "updates": self.updates,
            "skipped": self._skipped,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Take what `state` returned."""
        self.put(state["adapter"])
        for name, mean in self._mean.items():
            mean.copy_(state["average"][name])
        self._adam.load_state_dict(state["adam"])
        if state["scaler"]:
            self._scaler.load_state_dict(dict(state["scaler"]))
        self.updates, self._skipped = state["updates"], state["skipped"]

    def _average(self) -> None:
        # a long memory would hold on to the untuned adapter, so it grows with the updates
        decay = min(self._decay, self.updates / (self.updates + 9.0)) if self._decay else 0.0
        with torch.no_grad():
            for name, weight in self._weights.items():
                self._mean[name].lerp_(weight, 1.0 - decay)

    def _overflowed(self, where: str, norm: float) -> None:
        self._skipped += 1
        if self._scaler.is_enabled() and self._skipped <= _MOST_SKIPPED:
            return  # the scale is too large for half precision and is halved now
        self._adam.zero_grad(set_to_none=True)
        raise RunError(
            f"the gradient of {where} has the norm {norm}",
            advice="Lower update.learning_rate or raise update.skip_last; the last checkpoint "
            "before it is kept",
        )
