"""What the note RNN learns towards: the targets of Q, Psi and G learning, as pure functions.

The suffix `_t` is the moment after an action, as in rlax. With theory reward r, its scale c, prior
log p and discount g (Jaques et al. 2016, equations 7 to 12):

| algorithm | reward | value V of the next state | policy |
|---|---|---|---|
| `q` | c r + log p(a) | max_a Q(a) | argmax or softmax of Q |
| `psi` | c r + log p(a) | logsumexp_a Psi(a) | softmax of Psi |
| `g` | c r | logsumexp_a (G(a) + log p(a)) | softmax of G + log p |
| `pure_rl` | c r | max_a Q(a) | as `q` |

Psi learning: K. Rawlik et al., "On stochastic optimal control and reinforcement learning by
approximate inference" (2012). G learning: R. Fox et al., "Taming the noise in reinforcement
learning via soft updates" (2016).

`trace_targets` extends a target over several steps of a stored composition, weighting each by how
likely the policy is to play what was played (Retrace, R. Munos et al. 2016); with lambda = 0 it is
the one-step target of the paper.

Letters: `T` steps, `B` compositions, `V` classes.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

__all__ = ["ALGORITHMS", "Algorithm", "pays_log_p", "state_value", "trace_targets"]

Algorithm = Literal["q", "psi", "g", "pure_rl"]
ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)


def pays_log_p(algorithm: Algorithm) -> bool:
    """Return whether the prior's log probability is part of the reward."""
    return algorithm in ("q", "psi")


def state_value(algorithm: Algorithm, scores_t: Tensor, log_p_t: Tensor | None = None) -> Tensor:
    """Return the value of states, [...], from the scores of their actions, [..., V].

    Args:
        algorithm: which.
        scores_t: Q, Psi or G of the target network.
        log_p_t: log probabilities of the prior there; `g` needs them.
    """
    if algorithm == "psi":
        return torch.logsumexp(scores_t, dim=-1)
    if algorithm == "g":
        assert log_p_t is not None, "G learning needs the prior"
        return torch.logsumexp(scores_t + log_p_t, dim=-1)
    return scores_t.max(dim=-1).values


def trace_targets(
    r_t: Tensor, v_t: Tensor, taken_t: Tensor, trace_t: Tensor, discount: float
) -> Tensor:
    """Return the targets of all steps of compositions, [T, B].

    y_t = r_t + g (V_t+1 + c_t+1 (y_t+1 - Q_t+1(a_t+1)))

    Args:
        r_t: rewards [T, B].
        v_t: value of the state after each step, [T, B]; zero after the last one if that is an end.
        taken_t: score of the action taken at each step by the target network, [T, B].
        trace_t: c, how much of the later surprise is believed, [T, B]; lambda min(1, pi / mu).
        discount: g.
    """
    targets = torch.empty_like(r_t)
    targets[-1] = r_t[-1] + discount * v_t[-1]
    for t in range(len(r_t) - 2, -1, -1):
        surprise = targets[t + 1] - taken_t[t + 1]
        targets[t] = r_t[t] + discount * (v_t[t] + trace_t[t + 1] * surprise)
    return targets
