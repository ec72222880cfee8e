"""How sure a policy is, and how far it has gone from its prior.

Letters: `B` queries, `N` candidates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segue.rl.pointer import log_softmax
from segue.tasks.playlist.candidates import Candidates

__all__ = ["drift"]


def drift(logits: NDArray[np.float32], candidates: Candidates) -> dict[str, float]:
    """Return the mean entropy of the softmax, and its mean divergence KL(policy || prior).

    Args:
        logits: [B, N].
        candidates: B; their prior is what the policy began with.
    """
    here = candidates.mask.any(axis=1)
    ours = log_softmax(logits[here].astype(np.float64))
    theirs = log_softmax(candidates.prior[here].astype(np.float64))
    p = np.exp(ours)
    there = candidates.mask[here]
    entropy = -np.where(there, p * ours, 0.0).sum(axis=1)
    divergence = np.where(there, p * (ours - theirs), 0.0).sum(axis=1)
    return {"entropy": float(entropy.mean()), "divergence": float(divergence.mean())}
