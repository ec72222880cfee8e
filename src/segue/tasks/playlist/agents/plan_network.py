"""The planning policy as a network that draws lists and learns from what they earn.

`PlanNetwork` computes what `plan_policy` describes, for several lists of each query at once, with
gradients. There are two updates:

`expected_loss`. The log answers for every candidate, so what each choice would have earned at once
is known, and its mean over the policy has an exact gradient ("expected policy gradients", Ciosek
and Whiteson, 2018). What a choice does to later places is learned from drawn lists by REINFORCE:
later rewards enter as their means over the policy in the state that was reached, and the baseline
is the mean of the other lists of the query.

`critic_loss`. Each choice is made likelier by what its list earned from there on beyond a learned
value of the state (actor-critic; Barto, Sutton and Anderson, 1983). It needs no answer but to what
was chosen, as with a listener who is there.

Letters: `B` queries, `N` candidates, `L` lists, `K` places, `D` units.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from segue.rl.lists import leave_one_out, rewards_to_go
from segue.rl.pointer import FORBIDDEN
from segue.tasks.playlist.agents.plan_policy import DYNAMIC, PLAN_WEIGHTS, PlanInputs

__all__ = ["PlanNetwork", "Rollout", "critic_loss", "expected_loss", "plan_arrays"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rollout:
    """Lists in the making, with gradients."""

    lists: NDArray[np.int64]
    """Numbers of candidates, [B, L, K]."""
    log_p: Tensor
    """Of each choice, [B, L, K]."""
    entropy: Tensor
    """Of each decision, [B, L, K]."""
    divergence: Tensor
    """KL of each decision from the planner's softmax that training began with, [B, L, K]."""
    values: Tensor
    """What the critic expects still to come, [B, L, K]."""
    means: Tensor
    """Mean reward of each place over the policy, [B, L, K]; 0 where answers are not given."""


class PlanNetwork(nn.Module):
    """The planning policy; its weights are drawn from torch's global generator.

    Args:
        candidates: numbers of a candidate, F.
        state: numbers of a query, S.
        length: places, K.
        width: units, D.
        strength: of the planner that it starts from.
        sharpness: logits per unit of expected reward.
        trust: weight of the scorer's log-probability beside the planner's score.
    """

    def __init__(
        self,
        *,
        candidates: int,
        state: int,
        length: int,
        width: int,
        strength: float,
        sharpness: float,
        trust: float,
    ) -> None:
        super().__init__()
        self.strength, self.first_sharpness, self.first_trust = strength, sharpness, trust
        self.candidate = nn.Linear(candidates, width)
        self.state = nn.Linear(state, width, bias=False)
        self.log_p = nn.Parameter(torch.zeros(width))
        self.dynamic = nn.Linear(DYNAMIC, width, bias=False)
        self.places = nn.Parameter(torch.zeros(length, width))
        self.score = nn.Parameter(torch.zeros(width))
        self.log_sharpness = nn.Parameter(torch.zeros(1))
        self.trust = nn.Parameter(torch.full((1,), trust))
        self.gelu = nn.GELU(approximate="tanh")
        self.critic = nn.Sequential(
            nn.Linear(state + length + _CRITIC, width), nn.GELU(), nn.Linear(width, 1)
        )

    def draw(
        self,
        inputs: PlanInputs,
        n_lists: int,
        rng: np.random.Generator | None,
        hits: NDArray[np.bool_] | None = None,
    ) -> Rollout:
        """Make lists.

        Args:
            inputs: of `plan_inputs`.
            n_lists: L.
            rng: where the chance comes from; None takes the most probable candidate.
            hits: the listener's answers, [B, N]; the policy does not see them.
        """
        numbers, state = torch.from_numpy(inputs.numbers), torch.from_numpy(inputs.state)
        p, log_p = torch.from_numpy(inputs.p)[:, None], torch.from_numpy(inputs.log_p)
        base = torch.from_numpy(inputs.known.base)[:, None]
        slope = torch.from_numpy(inputs.known.slope)[:, None]
        near = torch.from_numpy(inputs.cosines)
        fixed = self.candidate(numbers) + self.state(state)[:, None] + log_p[..., None] * self.log_p
        n, count = log_p.shape
        shape = (n, n_lists, count)
        closest, newest, total, apart = (torch.zeros(shape) for _ in range(4))
        closed = torch.from_numpy(~inputs.mask)[:, None].repeat(1, n_lists, 1)
        answers = None if hits is None else torch.from_numpy(hits)[:, None].float()
        chosen_log_p, entropies, divergences, values, means, lists = [], [], [], [], [], []
        for place, gain in enumerate(inputs.known.gains.tolist()):
            expected = self.strength * (base + slope * apart)
            dynamic = torch.stack([closest, total / max(place, 1), newest, expected * 20], dim=3)
            shown = self.gelu(fixed[:, None] + self.dynamic(dynamic) + self.places[place])
            planned = gain * p + expected
            sharpness = self.first_sharpness * self.log_sharpness.exp()
            logits = sharpness * planned + self.trust * log_p[:, None] + shown @ self.score
            logits = logits.masked_fill(closed, FORBIDDEN)
            all_log_p = torch.log_softmax(logits, dim=2)
            if rng is None:
                choice = logits.argmax(dim=2)
            else:  # exponential clocks
                clocks = rng.standard_exponential(shape, dtype=np.float32)
                noise = torch.from_numpy(np.log(np.maximum(clocks, np.float32(1e-30))))
                choice = (logits.detach() - noise).argmax(dim=2)
            lists.append(choice)
            chosen_log_p.append(all_log_p.gather(2, choice[..., None])[..., 0])
            likely = all_log_p.exp()
            entropies.append(-(likely * all_log_p.clamp(min=-50)).sum(dim=2))
            with torch.no_grad():
                first = self.first_sharpness * planned + self.first_trust * log_p[:, None]
                first = torch.log_softmax(first.masked_fill(closed, FORBIDDEN), dim=2)
                divergences.append((likely * (all_log_p - first)).sum(dim=2))
            values.append(self._value(state, planned, closed, place))
            if answers is not None:
                paid = gain * answers + base + slope * apart
                means.append((likely * paid.masked_fill(closed, 0.0)).sum(dim=2))
            closed = closed.scatter(2, choice[..., None], value=True)
            newest = near.gather(1, choice[..., None].expand(-1, -1, count))
            closest = torch.maximum(closest, newest) if place else newest
            total = total + newest
            apart = apart + (1.0 - newest)
        return Rollout(
            lists=torch.stack(lists, dim=2).numpy(),
            log_p=torch.stack(chosen_log_p, dim=2),
            entropy=torch.stack(entropies, dim=2),
            divergence=torch.stack(divergences, dim=2),
            values=torch.stack(values, dim=2),
            means=torch.stack(means, dim=2) if means else torch.zeros(n, n_lists, len(lists)),
        )

    def _value(self, state: Tensor, planned: Tensor, closed: Tensor, place: int) -> Tensor:
        """Return what the critic expects from this place on, [B, L]."""
        n, n_lists, _ = closed.shape
        open_score = planned.masked_fill(closed, -1.0)
        best = open_score.topk(min(5, open_score.shape[2]), dim=2).values * 10
        facts = torch.stack([best[..., 0], best.mean(dim=2)], dim=2)
        where = torch.zeros(len(self.places))
        where[place] = 1.0
        wide = (state[:, None].expand(n, n_lists, -1), where.expand(n, n_lists, -1), facts)
        value: Tensor = self.critic(torch.cat(wide, dim=2))[..., 0]
        return value


_CRITIC = 2
"""What the critic sees of the candidates: the best open score, and the mean of the best five."""


def expected_loss(rollout: Rollout, entropy: float) -> tuple[Tensor, dict[str, float]]:
    """Return the loss of an update that knows every answer, and what is to be logged.

    Args:
        rollout: of B queries, drawn with their `hits`.
        entropy: weight of the mean entropy, which is raised.
    """
    means = rollout.means.detach()
    later = rewards_to_go(means) - means
    gained = rollout.means + leave_one_out(later) * rollout.log_p
    loss = -gained.sum(dim=2).mean()
    facts = {"drawn_return": means.sum(dim=2).mean().item()}
    return _with_entropy(loss, rollout, entropy, facts)


def critic_loss(
    rollout: Rollout, rewards: Tensor, entropy: float
) -> tuple[Tensor, dict[str, float]]:
    """Return the loss of an update that knows what the lists earned, and what is to be logged.

    Args:
        rollout: of B queries.
        rewards: of each place, [B, L, K].
        entropy: weight of the mean entropy, which is raised.
    """
    to_go = rewards_to_go(rewards)
    error = (rollout.values - to_go).square().mean()
    advantage = to_go - rollout.values.detach()
    loss = -(advantage * rollout.log_p).sum(dim=2).mean() + 0.5 * error
    facts = {"drawn_return": rewards.sum(dim=2).mean().item(), "critic_error": error.item()}
    return _with_entropy(loss, rollout, entropy, facts)


def _with_entropy(
    loss: Tensor, rollout: Rollout, entropy: float, facts: dict[str, float]
) -> tuple[Tensor, dict[str, float]]:
    facts = {**facts, "drawn_entropy": rollout.entropy.mean().item()}
    return (loss - entropy * rollout.entropy.mean() if entropy else loss), facts


def plan_arrays(network: PlanNetwork) -> dict[str, NDArray[np.float32]]:
    """Return the weights that `plan_policy.NumpyPlanPolicy` needs."""
    weights = (
        network.candidate.weight,
        network.state.weight,
        network.log_p,
        network.candidate.bias,
        network.dynamic.weight,
        network.places,
        network.score,
        network.first_sharpness * network.log_sharpness.exp(),
        network.trust,
    )
    return {
        name: value.detach().numpy().astype(np.float32)
        for name, value in zip(PLAN_WEIGHTS, weights, strict=True)
    }
