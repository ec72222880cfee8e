"""The learner: a trained copy of the note RNN, a slow copy for the targets, and the fixed prior.

One class serves all four algorithms; what tells them apart is in `targets`. It learns from whole
compositions, whose recurrent states are computed anew, or as the original does from single steps
with the states that were stored when they were played.

Letters: `T` = N steps, `B` compositions or single steps, `V` classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue.tasks.melody.networks import LstmNetwork, NoteNetwork, TensorFlowAdam, clip_each
from segue.tasks.melody.targets import Algorithm, state_value, trace_targets

__all__ = ["Learner", "Update"]

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Update:
    """What one update saw."""

    loss: float
    """Mean squared difference of predictions and targets."""
    target: float
    """Mean target."""


class Learner:
    """Moves a note RNN from the prior towards the reward.

    Args:
        online: the network that is trained; begins as a copy of the prior.
        target: another copy, which follows slowly.
        algorithm: see `targets`.
        discount: of what comes a step later.
        target_rate: share of the way that the slow copy moves after each update.
        clip: largest norm of the gradient of each weight tensor.
        trace: lambda of `trace_targets`; 0 gives one-step targets.
        terminal: whether nothing comes after the last note; else the last step's target looks on.
        drifting: the prior, when the gradient of `g` is to move it as in the original; None keeps
            the prior fixed.
    """

    def __init__(
        self,
        online: NoteNetwork,
        target: NoteNetwork,
        algorithm: Algorithm,
        *,
        discount: float,
        target_rate: float,
        clip: float = 5.0,
        trace: float = 0.0,
        terminal: bool = True,
        rate: float = 1e-3,
        drifting: NoteNetwork | None = None,
    ) -> None:
        self.online, self.target, self.algorithm = online, target, algorithm
        self.discount, self.target_rate, self.clip = discount, target_rate, clip
        self.trace, self.terminal, self.drifting = trace, terminal, drifting
        self._groups = online.groups()
        self._moving: list[Tensor] = [p for group in self._groups for p in group]
        self._following: list[Tensor] = [p for group in target.groups() for p in group]
        if drifting is not None:
            self._groups += drifting.groups()
        self.adam = TensorFlowAdam([p for group in self._groups for p in group], rate)

    def learn_compositions(self, batch: Mapping[str, Array]) -> Update:
        """Learn from whole compositions.

        Args:
            batch: `observations` [B, P + N + 1] what was heard: primer, then the notes; `actions`
                [B, N]; `rewards` [B, N]; `chosen` [B, N] probability with which each was chosen;
                for `g` also `log_p` [B, N + 1, V] of the prior.
        """
        actions = _longs(batch["actions"]).T
        observations = _longs(batch["observations"]).T
        steps = len(actions)
        rewards = torch.from_numpy(np.ascontiguousarray(batch["rewards"].T, dtype=np.float32))
        log_p = torch.from_numpy(batch["log_p"]).transpose(0, 1) if "log_p" in batch else None
        first = len(observations) - 1 - steps  # the last row of the primer
        last = None if not self.terminal else -1
        with torch.no_grad():
            slow, _ = self.target.unroll(observations[:last])
            slow = slow[first:]
            values = state_value(
                self.algorithm, slow, None if log_p is None else log_p[: len(slow)]
            )
            after = values[1:]
            if self.terminal:
                after = torch.cat([after, torch.zeros_like(after[:1])])
            taken = _taken(slow[:steps], actions)
            trace = torch.zeros_like(rewards)
            if self.trace:
                trace = self._trace(slow[:steps], actions, log_p, batch["chosen"])
            targets = trace_targets(rewards, after, taken, trace, self.discount)
        scores, _ = self.online.unroll(observations[:-1])
        return self._descend(_taken(scores[first:], actions), targets)

    def learn_steps(self, batch: Mapping[str, Array]) -> Update:
        """Learn from single steps with stored states.

        Args:
            batch: `observation`, `action`, `reward`, `next_observation`, [B] each; `state` and
                `next_state` [B, S]: cell and hidden of each layer before and after the step; for
                `g` also `next_log_p` [B, V] of the prior, or `prior_state` [B, S] if that drifts;
            optional `ended` [B].
        """
        network = self.online
        assert isinstance(network, LstmNetwork), "stored states need LSTM layers"
        units = [lstm.hidden_size for lstm in network.lstms]
        log_p = torch.from_numpy(batch["next_log_p"]) if "next_log_p" in batch else None
        target = self.target
        assert isinstance(target, LstmNetwork)
        with torch.no_grad():
            slow = target.step(
                _longs(batch["next_observation"]), _state(batch["next_state"], units)
            )
        if self.drifting is not None:
            heard, state = _longs(batch["next_observation"])[None], batch["prior_state"]
            logits, _ = self.drifting.unroll(heard, _state(state, units))
            log_p = torch.log_softmax(logits[0], dim=-1)
        after = state_value(self.algorithm, slow, log_p)
        if self.terminal and "ended" in batch:
            after = after * torch.from_numpy(~batch["ended"].astype(bool))
        targets = torch.from_numpy(batch["reward"].astype(np.float32)) + self.discount * after
        scores = network.step(_longs(batch["observation"]), _state(batch["state"], units))
        return self._descend(_taken(scores, _longs(batch["action"])), targets)

    def _trace(self, scores: Tensor, actions: Tensor, log_p: Tensor | None, mu: Array) -> Tensor:
        """Return lambda min(1, pi / mu), [T, B]."""
        if self.algorithm == "g" and log_p is not None:
            scores = scores + log_p[: len(scores)]
        pi = _taken(torch.softmax(scores, dim=-1), actions)
        chosen = torch.from_numpy(np.ascontiguousarray(mu.T, dtype=np.float32))
        return self.trace * torch.clamp(pi / chosen, max=1.0)

    def _descend(self, predictions: Tensor, targets: Tensor) -> Update:
        loss = (predictions - targets).square().mean()
        self.adam.zero()
        loss.backward()  # type: ignore[no-untyped-call]
        clip_each(self._groups, self.clip)
        self.adam.step()
        with torch.no_grad():
            torch._foreach_lerp_(self._following, self._moving, self.target_rate)
        return Update(loss.item(), targets.detach().mean().item())

    def state(self) -> dict[str, Any]:
        """Return all that learning goes on from, as a tree for `torch_state.to_arrays`."""
        return {
            "online": self.online.state_dict(),
            "target": self.target.state_dict(),
            "adam": self.adam.state(),
            "drifting": self.drifting.state_dict() if self.drifting is not None else None,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Undo `state`."""
        self.online.load_state_dict(state["online"])
        self.target.load_state_dict(state["target"])
        self.adam.load_state(state["adam"])
        if self.drifting is not None:
            self.drifting.load_state_dict(state["drifting"])


def _longs(values: Array) -> Tensor:
    return torch.from_numpy(values.astype(np.int64))


def _taken(scores: Tensor, actions: Tensor) -> Tensor:
    return scores.gather(-1, actions[..., None])[..., 0]


def _state(stored: Array, units: list[int]) -> list[tuple[Tensor, Tensor]]:
    """Split [B, S] = cell and hidden of each layer into torch's (hidden, cell), [1, B, H] each."""
    parts = torch.split(torch.from_numpy(stored), [u for n in units for u in (n, n)], dim=1)
    pairs = zip(parts[0::2], parts[1::2], strict=True)
    return [(hidden[None].contiguous(), cell[None].contiguous()) for cell, hidden in pairs]
