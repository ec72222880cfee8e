"""The policy that makes a playlist track by track, as numpy and as the numbers it looks at.

At each place the logit of a candidate is what the planner expects of it, sharpened, and a residual
that is zero at first:

    logit_n = sharpness (gain_k q_n + strength known_n(apart_n)) + trust log p_n + residual_n
    q_n = p_n exp(v . s)                       the scorer's p_n, believed more or less
    residual_n = w . gelu(A x_n + B s + W d_n + P_k + e)

`x_n` are three numbers of a candidate: log p_n, log p_n / max p, and its prior against the best;
`s` four of the query: log max p, the entropy of p, the logarithm of the sum of its five greatest,
and the query's length. `d_n` are the cosines of the candidate to the list so far (greatest, mean,
to the newest) and the known part; `P_k` belongs to the place. With `trust` 0 the untrained policy's
most probable list is the greedy planner's, exactly. Belief and residual, both zero at first, can
learn what the planner cannot know: for which queries the scorer is too sure, and what a list makes
of a track. All that the scorer knows of a track is in p already; a policy that sees the scorer's
numbers once more learns the training sessions by heart.

Letters: `B` queries, `N` candidates, `L` lists, `K` places, `D` units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import RunError
from segue.rl.pointer import FORBIDDEN
from segue.tasks.playlist.agents.earnings import Earnings, Known, cosines
from segue.tasks.playlist.agents.planner import softmax
from segue.tasks.playlist.agents.questions import Questions

__all__ = [
    "CANDIDATE",
    "DYNAMIC",
    "MOST_BELIEF",
    "PLAN_WEIGHTS",
    "QUERY",
    "NumpyPlanPolicy",
    "PlanInputs",
    "plan_inputs",
]

Narrow = NDArray[np.float32]
Indices = NDArray[np.int64]

CANDIDATE, QUERY, DYNAMIC = 3, 4, 4
"""How many numbers `x_n`, `s` and `d_n` are."""
MOST_BELIEF = 3.0
"""The logarithm of what p is multiplied by stays between minus this and this."""
PLAN_WEIGHTS = (
    "plan.candidate",
    "plan.state",
    "plan.bias",
    "plan.dynamic",
    "plan.places",
    "plan.score",
    "plan.belief",
    "plan.sharpness",
    "plan.trust",
)
_LEAST = -12.0
"""Log-probability below which candidates are alike."""
_BATCH = 128


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlanInputs:
    """What does not change while a list is made."""

    numbers: Narrow
    """Of the candidates, [B, N, 3]; centred and scaled by fixed numbers."""
    state: Narrow
    """Of the queries, [B, 4]; so, too."""
    p: Narrow
    """Softmax of the scorer, [B, N]."""
    log_p: Narrow
    """Its logarithm, at least -12, [B, N]."""
    known: Known
    cosines: Narrow
    """Of the candidates with each other, [B, N, N]."""
    mask: NDArray[np.bool_]
    """Where there is a candidate, [B, N]."""


def plan_inputs(logits: Narrow, questions: Questions, earnings: Earnings) -> PlanInputs:
    """Return what the policy looks at.

    Args:
        logits: of the scorer, [B, N].
        questions: B; their answers are not looked at.
        earnings: what is played for.
    """
    candidates, p = questions.candidates, softmax(logits)
    log_p = np.log(np.maximum(p, np.float32(np.exp(_LEAST))))
    most = np.maximum(p.max(axis=1, keepdims=True), np.float32(1e-6))
    best = np.where(candidates.mask, candidates.prior, -np.inf).max(axis=1, keepdims=True)
    best = np.where(np.isfinite(best), best, 0.0)
    relative = np.where(candidates.mask, np.maximum(candidates.prior - best, -8.0), -5.0)
    numbers = [(log_p + 5) / 1.5, np.log(p / most + 1e-4) / 2 + 1, relative + 1.5]
    five = np.sort(p, axis=1)[:, -5:].sum(axis=1)
    entropy = -(p * log_p).sum(axis=1)
    lengths = np.log1p(questions.lengths)
    state = [np.log(most[:, 0]) + 2.8, entropy - 3.3, np.log(five + 1e-6) + 1.5, lengths - 1.5]
    return PlanInputs(
        numbers=np.stack(numbers, axis=2).astype(np.float32),
        state=np.stack(state, axis=1).astype(np.float32),
        p=p,
        log_p=log_p,
        known=earnings.known(questions),
        cosines=cosines(earnings.vectors, candidates.tracks),
        mask=candidates.mask,
    )


class NumpyPlanPolicy:
    """The policy without torch: its most probable lists.

    Args:
        arrays: `PLAN_WEIGHTS`; others are ignored.
        strength: of the planner that it starts from.

    Raises:
        RunError: something is missing.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], strength: float) -> None:
        missing = [name for name in PLAN_WEIGHTS if name not in arrays]
        if missing:
            raise RunError(f"not the weights of a planning policy: {', '.join(missing)} missing")
        self._arrays = {k: np.asarray(arrays[k], dtype=np.float32) for k in PLAN_WEIGHTS}
        self.strength = np.float32(strength)

    def lists(self, logits: Narrow, questions: Questions, earnings: Earnings) -> Indices:
        """Return the most probable candidate of each place, given those before it, [B, K]."""
        found = np.zeros((len(questions), earnings.length), dtype=np.int64)
        for low in range(0, len(questions), _BATCH):
            rows = np.arange(low, min(low + _BATCH, len(questions)))
            inputs = plan_inputs(logits[rows], questions.take(rows), earnings)
            found[rows] = self._lists(inputs)
        return found

    def _lists(self, inputs: PlanInputs) -> Indices:
        a, known = self._arrays, inputs.known
        n, length = len(inputs.p), len(known.gains)
        fixed = inputs.numbers @ a["plan.candidate"].T
        fixed += (inputs.state @ a["plan.state"].T + a["plan.bias"])[:, None]
        belief = np.clip(inputs.state @ a["plan.belief"], -MOST_BELIEF, MOST_BELIEF)
        p = inputs.p * np.exp(belief)[:, None]
        apart: Narrow = np.zeros_like(inputs.p)
        closest, newest, total = (np.zeros_like(inputs.p) for _ in range(3))
        closed, rows = ~inputs.mask, np.arange(n)
        lists = np.zeros((n, length), dtype=np.int64)
        for place in range(length):
            expected = self.strength * (known.base + known.slope * apart)
            dynamic = np.stack([closest, total / max(place, 1), newest, expected * 20], axis=2)
            shown: Narrow = np.asarray(fixed + dynamic @ a["plan.dynamic"].T, dtype=np.float32)
            shown += a["plan.places"][min(place, len(a["plan.places"]) - 1)]
            logits = a["plan.sharpness"] * (known.gains[place] * p + expected)
            logits += a["plan.trust"] * inputs.log_p + _gelu(shown) @ a["plan.score"]
            logits[closed] = FORBIDDEN
            chosen = logits.argmax(axis=1)
            lists[:, place] = chosen
            closed[rows, chosen] = True
            newest = inputs.cosines[rows, chosen]
            closest = np.maximum(closest, newest) if place else newest
            total = total + newest
            apart = np.asarray(apart + (1.0 - newest), dtype=np.float32)
        return lists


def _gelu(x: Narrow) -> Narrow:
    inner = np.float32(0.7978845608028654) * (x + np.float32(0.044715) * x * x * x)
    return np.asarray(np.float32(0.5) * x * (1 + np.tanh(inner)))
