"""What a sample earned beyond its kind: rewards without what the prompt alone explains.

| mode | compared with |
|---|---|
| `batch` | all samples of the epoch |
| `prompt` | the last rewards of the same prompt, over epochs (DDPO's statistics per prompt) |
| `group` | the samples of the same prompt in this epoch (GRPO, Shao et al., 2024) |

All are (R - mean) / (std + epsilon). Letters: `B` samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["EPSILON", "PerPrompt", "by_batch", "by_group"]

Floats = NDArray[np.float64]

EPSILON = 1e-8
"""Added to standard deviations (original: 1e-8; ddpo-pytorch: 1e-6)."""


def by_batch(rewards: Floats, epsilon: float = EPSILON) -> Floats:
    """Return advantages among all samples, [B]."""
    return np.asarray((rewards - rewards.mean()) / (rewards.std() + epsilon))


def by_group(
    prompts: Sequence[str], rewards: Floats, *, spread: str = "group", epsilon: float = EPSILON
) -> Floats:
    """Return advantages among the samples of the same prompt, [B].

    Args:
        prompts: B texts.
        rewards: [B].
        spread: whose standard deviation divides: that of the `group`, or of the `batch` of what is
            left when each group's mean is taken off; the former makes prompts whose samples hardly
            differ count as much as the others.
        epsilon: added to it.
    """
    _, groups = np.unique(np.asarray(prompts), return_inverse=True)
    sizes = np.bincount(groups)
    beyond = rewards - (np.bincount(groups, rewards) / sizes)[groups]
    if spread == "batch":
        return np.asarray(beyond / (beyond.std() + epsilon))
    stds = np.sqrt(np.bincount(groups, beyond**2) / sizes)
    return np.asarray(beyond / (stds[groups] + epsilon))


class PerPrompt:
    """Means and deviations of each prompt's last rewards.

    New rewards are remembered first; a prompt with few of them is judged by the whole batch. This
    is `PerPromptStatTracker` of ddpo-pytorch.

    Args:
        size: rewards remembered of each prompt.
        least: with fewer, mean and deviation are those of the batch.
        epsilon: added to deviations.
    """

    def __init__(self, size: int, least: int, epsilon: float = EPSILON) -> None:
        self._size, self._least, self._epsilon = size, least, epsilon
        self._seen: dict[str, list[float]] = {}

    def __call__(self, prompts: Sequence[str], rewards: Floats) -> Floats:
        """Remember rewards and return advantages, [B]."""
        found = np.empty(len(rewards))
        texts = np.asarray(prompts)
        for text in dict.fromkeys(prompts):
            own = texts == text
            kept = (self._seen.get(text, []) + rewards[own].tolist())[-self._size :]
            self._seen[text] = kept
            compared = rewards if len(kept) < self._least else np.asarray(kept)
            found[own] = (rewards[own] - compared.mean()) / (compared.std() + self._epsilon)
        return found

    def state(self) -> dict[str, Any]:
        """Return all that is remembered, as JSON-like values."""
        return {text: list(kept) for text, kept in self._seen.items()}

    def load(self, state: dict[str, Any]) -> None:
        """Take what `state` returned."""
        self._seen = {text: list(kept) for text, kept in state.items()}
