"""The policy that makes a playlist track by track, as numpy and as the numbers it looks at.

At each place the logit of a candidate is what the planner expects of it, sharpened, and a residual
that is zero at first:

    logit_n = sharpness (gain_k p_n + strength known_n(apart_n)) + trust log p_n + residual_n
    residual_n = w . gelu(E_n + W d_n + P_k)
    E_n = A x_n + B s + c log p_n + e          known before the list begins

`d_n` are the cosines of the candidate to the list so far (greatest, mean, to the newest) and the
known part; `P_k` belongs to the place. With `trust` 0 the untrained policy's most probable list is
the greedy planner's, exactly. The residual can learn what the planner cannot know: that a track is
wanted less when its neighbour is in the list already.

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
from segue.tasks.playlist.agents.scorer import Scaling

__all__ = ["DYNAMIC", "PLAN_WEIGHTS", "NumpyPlanPolicy", "PlanInputs", "plan_inputs"]

Narrow = NDArray[np.float32]
Indices = NDArray[np.int64]

DYNAMIC = 4
"""Numbers of a candidate that change with the list: `d_n`."""
PLAN_WEIGHTS = (
    "plan.candidate",
    "plan.state",
    "plan.log_p",
    "plan.bias",
    "plan.dynamic",
    "plan.places",
    "plan.score",
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
    """Scaled numbers of the candidates, [B, N, F]."""
    state: Narrow
    """Scaled numbers of the queries, [B, S]."""
    p: Narrow
    """Softmax of the scorer, [B, N]."""
    log_p: Narrow
    """Its logarithm, at least -12, [B, N]."""
    known: Known
    cosines: Narrow
    """Of the candidates with each other, [B, N, N]."""
    mask: NDArray[np.bool_]
    """Where there is a candidate, [B, N]."""


def plan_inputs(
    logits: Narrow, questions: Questions, earnings: Earnings, scaling: Scaling
) -> PlanInputs:
    """Return what the policy looks at.

    Args:
        logits: of the scorer, [B, N].
        questions: B; their answers are not looked at.
        earnings: what is played for.
        scaling: of the scorer.
    """
    numbers, state = scaling(questions.candidates)
    p = softmax(logits)
    return PlanInputs(
        numbers=numbers,
        state=state,
        p=p,
        log_p=np.log(np.maximum(p, np.float32(np.exp(_LEAST)))),
        known=earnings.known(questions),
        cosines=cosines(earnings.vectors, questions.candidates.tracks),
        mask=questions.candidates.mask,
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

    def lists(
        self, logits: Narrow, questions: Questions, earnings: Earnings, scaling: Scaling
    ) -> Indices:
        """Return the most probable candidate of each place, given those before it, [B, K]."""
        found = np.zeros((len(questions), earnings.length), dtype=np.int64)
        for low in range(0, len(questions), _BATCH):
            rows = np.arange(low, min(low + _BATCH, len(questions)))
            inputs = plan_inputs(logits[rows], questions.take(rows), earnings, scaling)
            found[rows] = self._lists(inputs)
        return found

    def _lists(self, inputs: PlanInputs) -> Indices:
        a, known = self._arrays, inputs.known
        n, length = len(inputs.p), len(known.gains)
        fixed = inputs.numbers @ a["plan.candidate"].T
        fixed += (inputs.state @ a["plan.state"].T + a["plan.bias"])[:, None]
        fixed += inputs.log_p[..., None] * a["plan.log_p"]
        apart: Narrow = np.zeros_like(inputs.p)
        closest, newest, total = (np.zeros_like(inputs.p) for _ in range(3))
        closed, rows = ~inputs.mask, np.arange(n)
        lists = np.zeros((n, length), dtype=np.int64)
        for place in range(length):
            expected = self.strength * (known.base + known.slope * apart)
            dynamic = np.stack([closest, total / max(place, 1), newest, expected * 20], axis=2)
            shown: Narrow = np.asarray(fixed + dynamic @ a["plan.dynamic"].T, dtype=np.float32)
            shown += a["plan.places"][min(place, len(a["plan.places"]) - 1)]
            logits = a["plan.sharpness"] * (known.gains[place] * inputs.p + expected)
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
