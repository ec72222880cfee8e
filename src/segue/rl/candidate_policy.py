"""The pointer network as a policy of sb3-contrib's MaskablePPO.

An observation is one row of float32: the numbers of N candidates one after the other, then those
of the state. The prior of a candidate is `sharpness` times one of its own numbers. What is not
allowed comes from the environment's `action_masks`, as MaskablePPO asks for.

`CandidatePolicy` does all that a MaskableActorCriticPolicy does (plain MaskablePPO trains it too);
`fast_ppo.FastMaskablePPO` calls `logits_and_values` and needs no distribution objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from torch import Tensor

from segue.rl.pointer import PointerConfig, make_pointer
from segue.rl.pointer_gradient import forward

__all__ = ["CandidateLayout", "CandidatePolicy", "sample"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateLayout:
    """How an observation is laid out."""

    n_actions: int
    """Candidates, "continue" and the like included, N."""
    candidate_numbers: int
    """Numbers of a candidate, F."""
    state_numbers: int
    """Numbers of the state, S."""
    prior_number: int
    """Which number of a candidate the prior is made of."""
    sharpness: float
    """Logits per unit of that number."""

    @property
    def size(self) -> int:
        """Length of an observation, N F + S."""
        return self.n_actions * self.candidate_numbers + self.state_numbers


class CandidatePolicy(MaskableActorCriticPolicy):  # type: ignore[misc]
    """A pointer network that SB3 can call; see the module.

    Args:
        layout: of the observations.
        width: units of every layer.
    """

    def __init__(
        self,
        observation_space: Any,
        action_space: Any,
        lr_schedule: Any,
        *,
        layout: CandidateLayout,
        width: int = 64,
        **rest: Any,
    ) -> None:
        self.layout, self.width = layout, width
        super().__init__(observation_space, action_space, lr_schedule, **rest)

    def _build(self, lr_schedule: Any) -> None:
        self.network = make_pointer(
            PointerConfig(
                candidate_numbers=self.layout.candidate_numbers,
                state_numbers=self.layout.state_numbers,
                width=self.width,
            )
        )
        self.optimizer = self.optimizer_class(
            self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs
        )

    def logits_and_values(self, observations: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [B, N] and values [B].

        Args:
            observations: [B, N F + S].
            mask: [B, N] bool.
        """
        layout = self.layout
        split = layout.n_actions * layout.candidate_numbers
        candidates = observations[:, :split].reshape(-1, layout.n_actions, layout.candidate_numbers)
        prior = layout.sharpness * candidates[:, :, layout.prior_number]
        return forward(self.network, candidates, observations[:, split:], mask, prior)

    def forward(
        self, obs: Tensor, deterministic: bool = False, action_masks: Any = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return actions [B], values [B, 1] and log-probabilities [B]."""
        logits, values = self.logits_and_values(obs, self._mask(obs, action_masks))
        log_p = torch.log_softmax(logits, dim=1)
        actions = logits.argmax(dim=1) if deterministic else sample(log_p)
        return actions, values[:, None], log_p.gather(1, actions[:, None])[:, 0]

    def evaluate_actions(
        self, obs: Tensor, actions: Tensor, action_masks: Any = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return values [B, 1], log-probabilities of `actions` [B] and entropies [B]."""
        logits, values = self.logits_and_values(obs, self._mask(obs, action_masks))
        log_p = torch.log_softmax(logits, dim=1)
        entropy = -(log_p.exp() * log_p).sum(dim=1)
        return values[:, None], log_p.gather(1, actions.long().view(-1, 1))[:, 0], entropy

    def predict_values(self, obs: Tensor) -> Tensor:
        """Return values [B, 1]; candidates of zeros count as not allowed."""
        return self.logits_and_values(obs, self._mask(obs, None))[1][:, None]

    def get_distribution(self, obs: Tensor, action_masks: Any = None) -> Any:
        """Return SB3's own distribution of the actions."""
        logits, _ = self.logits_and_values(obs, self._mask(obs, action_masks))
        return self.action_dist.proba_distribution(action_logits=logits)

    def _predict(
        self, observation: Tensor, deterministic: bool = False, action_masks: Any = None
    ) -> Tensor:
        return self.forward(observation, deterministic, action_masks)[0]

    def _mask(self, obs: Tensor, action_masks: Any) -> Tensor:
        if action_masks is not None:
            given = torch.as_tensor(action_masks, device=obs.device)
            return given.reshape(-1, self.layout.n_actions).bool()
        layout = self.layout
        split = layout.n_actions * layout.candidate_numbers
        candidates = obs[:, :split].reshape(-1, layout.n_actions, layout.candidate_numbers)
        mask = (candidates != 0).any(dim=2)
        return mask | ~mask.any(dim=1, keepdim=True)  # after the end nothing matters


def sample(log_p: Tensor) -> Tensor:
    """Draw one action per row from log-probabilities [B, N], by exponential clocks."""
    clocks = torch.empty_like(log_p).exponential_()
    return (log_p.exp() / clocks).argmax(dim=1)
