"""The first half of choosing weights: follow the gradient of a smooth relative of the hit rate.

    p_q = softmax over candidates of  t log score,  at the target
    loss = mean over questions of (1 - p_q^0.3) / 0.3  +  prior

This loss (Zhang and Sabuncu 2018) lies between cross-entropy, which spends itself on targets that
no weights can lift into the first ten, and the chance of naming the target at once. Its minimum
over the logarithms of the weights, the factors and the sharpness `t` is found by L-BFGS. The prior
is a normal distribution of deviation 1/2 around the weights at the start: with a handful of
questions they stay near it, with thousands it is not felt.

`Q` questions with their target first among `N` candidates, `C` components, `G` factors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

__all__ = ["smooth_weights"]

Narrow = NDArray[np.float32]
Wide = NDArray[np.float64]

_POWER = 0.3
_SHARPNESS = 3.0
_SMALLEST = 1e-6
_DEVIATION = 0.5
_PRECISION = 1 / _DEVIATION**2


def smooth_weights(
    components: Narrow,
    facts: Narrow,
    counts: NDArray[np.int64],
    weights: Narrow,
    factors: Narrow,
    steps: int,
) -> tuple[Narrow, Narrow]:
    """Return weights [C] and factors [G]; a weight of 0 stays 0.

    Args:
        components: scaled, [C, Q, N].
        facts: [G, Q, N].
        counts: candidates of each question, [Q].
        weights: where to start, [C].
        factors: where to start, [G].
        steps: at most so many of L-BFGS.
    """
    used = np.flatnonzero(weights > 0)
    n_questions = max(len(counts), 1)
    there = np.arange(components.shape[2]) < counts[:, None]
    start = np.concatenate([np.log(weights[used]), factors, [np.log(_SHARPNESS)]]).astype(float)

    def loss(x: Wide) -> tuple[float, Wide]:
        w = np.exp(x[: len(used)])
        sharpness = np.exp(x[-1])
        # 1. The chance of every candidate.
        sums = np.full(there.shape, _SMALLEST, dtype=np.float32)
        for weight, k in zip(w, used, strict=True):
            sums += np.float32(weight) * components[k]
        logits = np.log(sums) + np.tensordot(x[len(used) : -1].astype(np.float32), facts, 1)
        logits = np.where(there, np.float32(sharpness) * logits, -np.inf)
        chances = np.exp(logits - logits.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        powered = chances[:, 0].astype(np.float64) ** _POWER
        # 2. Its derivative by the logits, and from there by everything.
        slope = chances * (powered[:, None] / n_questions).astype(np.float32)
        slope[:, 0] -= powered / n_questions
        gradient = np.empty_like(x)
        by_sum = np.float32(sharpness) * slope / sums
        for i, k in enumerate(used):
            gradient[i] = w[i] * np.vdot(by_sum, components[k])
        for j in range(len(facts)):
            gradient[len(used) + j] = sharpness * np.vdot(slope, facts[j])
        gradient[-1] = np.vdot(slope[there], logits[there])
        away = x - start
        value = (1 - powered).sum() / (_POWER * n_questions) + _PRECISION * (away @ away) / (
            2 * n_questions
        )
        return float(value), gradient + _PRECISION * away / n_questions

    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": steps}).x
    chosen = np.zeros_like(weights)
    chosen[used] = np.exp(found[: len(used)])
    return chosen, found[len(used) : -1].astype(np.float32)
