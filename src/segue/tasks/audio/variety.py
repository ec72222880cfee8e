"""What holds the clips of a prompt apart while a reward pulls them together.

The clips that please a reward most are alike, and a policy that is paid for them alone ends with
one clip for each prompt. Here a clip's distance from its siblings, the other clips of its prompt in
this epoch, counts beside what it earned. How much it counts follows from what is lost: nothing
while the clips lie as far apart as those of the first epoch, which the untuned model played, and
more the closer they come. A fixed weight would be too much for a model that has not changed yet,
which would learn to be odd, and too little in the end.

Letters: `B` clips, `d` numbers of an outline.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segue.tasks.audio.advantages import by_group
from segue.tasks.audio.evaluate_metrics import pairwise_distances

__all__ = ["Variety", "from_siblings"]

Floats = NDArray[np.float64]

_MEMORY = 0.8
"""Decay of the mean over epochs: each draws other prompts, some of which are more varied."""
_MOST = 1.0
"""Weight of the distances at most: then they count as much as the reward."""


class Variety:
    """Advantages for clips that are unlike their siblings.

    Args:
        strength: weight for each share of the first epoch's variety that is lost.
    """

    def __init__(self, strength: float) -> None:
        self._strength = strength
        self._first = self._lately = 0.0

    def __call__(self, prompts: Sequence[str], outlines: Floats) -> tuple[Floats, dict[str, float]]:
        """Return advantages, [B], and what is logged.

        Args:
            prompts: B texts.
            outlines: [B, d] of the clips.
        """
        apart = from_siblings(prompts, outlines)
        mean = float(apart.mean())
        if not self._first:
            self._first = self._lately = mean
        self._lately = _MEMORY * self._lately + (1.0 - _MEMORY) * mean
        lost = 1.0 - self._lately / self._first if self._first else 0.0
        weight = float(np.clip(self._strength * lost, 0.0, _MOST))
        return weight * by_group(prompts, apart), {"variety": mean, "variety_weight": weight}

    def state(self) -> dict[str, float]:
        """Return what is remembered: mean distances of the first epoch, and of late."""
        return {"first": self._first, "lately": self._lately}

    def load(self, state: dict[str, float]) -> None:
        """Take what `state` returned."""
        self._first, self._lately = state["first"], state["lately"]


def from_siblings(prompts: Sequence[str], outlines: Floats) -> Floats:
    """Return each clip's mean distance to the other clips of its prompt, [B]; 0 without any."""
    found = np.zeros(len(outlines))
    texts = np.asarray(prompts)
    for text in dict.fromkeys(prompts):
        own = np.flatnonzero(texts == text)
        found[own] = pairwise_distances(outlines[own]).sum(axis=1) / max(len(own) - 1, 1)
    return found
