"""The exact return of many plans of one video at once.

Letters: `B` plans, `T` segments, `K` tracks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import UsageError
from segue.tasks.soundtrack.episodes import Episodes, TableStack
from segue.tasks.soundtrack.rewards import soundtrack_reward
from segue.tasks.soundtrack.tables import Tables

__all__ = ["score_plans"]

Floats = NDArray[np.float64]


def score_plans(
    tables: Tables, actions: NDArray[np.int64] | Sequence[Sequence[int]]
) -> tuple[Floats, dict[str, Floats]]:
    """Return what each plan earns.

    A plan ends at its first decision that is not allowed: a continue without a running track, or
    a track that the tables forbid at that segment. What follows is not read.

    Args:
        tables: the video against the library.
        actions: [B, T], 0..K-1 starts that track, K continues.

    Returns:
        The returns, [B], and the weighted total of each term, [B] each.

    Raises:
        UsageError: the plans are not T actions long, or an action is outside 0..K.
    """
    plans = np.asarray(actions, dtype=np.int64)
    if plans.ndim != 2 or plans.shape[1] != tables.n_segments:
        raise UsageError(f"plans have shape {plans.shape}, ({'B'}, {tables.n_segments}) is needed")
    if plans.size and not (plans.min() >= 0 and plans.max() <= tables.n_tracks):
        raise UsageError(f"an action is outside 0..{tables.n_tracks}")
    reward = soundtrack_reward(tables.weights)
    totals = np.zeros(len(plans))
    parts = {name: np.zeros(len(plans)) for name in reward.parts}
    if not len(plans):
        return totals, parts
    episodes = Episodes(TableStack([tables]), np.zeros(len(plans), dtype=np.int64))
    playing = np.ones(len(plans), dtype=np.bool_)
    for segment in range(tables.n_segments):
        steps = episodes.advance(plans[:, segment])
        paid, terms = reward(steps)
        totals += np.where(playing, paid, 0.0)
        for name, value in terms.items():
            parts[name] += np.where(playing, value, 0.0)
        playing &= ~steps.illegal
    return totals, parts
