"""How well a space finds the music that belongs to a picture.

For every picture of the held-out pairs all their different sounds are sorted by cosine; the rank of
its own one is 1 at best. Of equal cosines the own one stands in the middle.

    recall@k     share of the pictures whose rank is at most k
    median rank  median of the ranks; (n + 1) / 2 by chance among n sounds
    mean rank    their mean

Letters: `N` pairs, `n` different sounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from segue.core.tables import Data, EvaluationTable, Role, Value
from segue.tasks.soundtrack.similarity import cosines

__all__ = ["RECALLS", "ranks", "retrieval_table"]

Floats = NDArray[np.float64]

RECALLS = (1, 5, 10)


def ranks(pictures: Floats, sounds: Floats, sound_ids: NDArray[np.int64]) -> Floats:
    """Return the rank of each picture's own sound, [N].

    Args:
        pictures: [N, E].
        sounds: [N, E].
        sound_ids: [N] equal for equal sounds, each of which stands in the list once.
    """
    unique, first, own = np.unique(sound_ids, return_index=True, return_inverse=True)
    similar = cosines(np.asarray(pictures, np.float64), np.asarray(sounds, np.float64)[first])
    mine = similar[np.arange(len(own)), own][:, None]
    better, equal = (similar > mine).sum(axis=1), (similar == mine).sum(axis=1) - 1
    assert len(unique) == similar.shape[1]
    return np.asarray(1.0 + better + 0.5 * equal)


def retrieval_table(
    name: str,
    fingerprint: str,
    spaces: Mapping[str, tuple[Floats, Floats, Role]],
    sound_ids: NDArray[np.int64],
    seed: int = 0,
) -> EvaluationTable:
    """Return the table of several spaces on the same pairs, chance first.

    Args:
        name: of the data.
        fingerprint: of the data.
        spaces: name -> (pictures [N, E], sounds [N, E], role).
        sound_ids: [N].
        seed: shown in the table.
    """
    n_pairs, n_sounds = len(sound_ids), len(np.unique(sound_ids))
    found = {space: ranks(p, s, sound_ids) for space, (p, s, _) in spaces.items()}
    scores: dict[str, dict[str, Floats]] = {
        "chance": {
            **{f"recall@{k}": np.full(n_pairs, min(k, n_sounds) / n_sounds) for k in RECALLS},
            "mean rank": np.full(n_pairs, (n_sounds + 1) / 2),
        }
    }
    for space, rank in found.items():
        scores[space] = {f"recall@{k}": (rank <= k).astype(float) for k in RECALLS}
        scores[space]["mean rank"] = rank
    roles: dict[str, Role] = {"chance": "random"}
    roles |= {space: role for space, (_, _, role) in spaces.items()}
    table = EvaluationTable.from_scores(
        "soundtrack retrieval",
        Data(name=f"{name}, {n_sounds} sounds", n=n_pairs, fingerprint=fingerprint),
        scores,
        roles,
        seeds=(seed,),
        lower_is_better=("mean rank",),
    )
    medians = {s: _median(rank) for s, rank in found.items()}
    medians["chance"] = Value(value=(n_sounds + 1) / 2)
    rows = tuple(
        replace(row, metrics=row.metrics | {"median rank": medians[row.model]})
        for row in table.rows
    )
    return replace(table, rows=rows)


def _median(rank: Floats) -> Value:
    rng = np.random.default_rng(0)
    drawn = np.median(rank[rng.integers(0, len(rank), (2000, len(rank)))], axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Value(value=float(np.median(rank)), low=float(low), high=float(high))
