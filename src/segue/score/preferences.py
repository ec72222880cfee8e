"""Notice what a person changed: locks that put one track in the place of another.

What was replaced is the track that the earlier result in the folder shows for the segment, and
without one, or where it is the chosen track already, what would play there without the lock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.files import read_json
from segue.core.seeding import generator
from segue.score.choose import policy_agent
from segue.score.mood import AXES
from segue.score.understand import FilmSegment
from segue.tasks.soundtrack.agents import make_agent
from segue.tasks.soundtrack.agents.plan import with_locks
from segue.tasks.soundtrack.preferences import Preference
from segue.tasks.soundtrack.tables import Tables

__all__ = ["notice", "shown_before"]

Floats = NDArray[np.float64]


def shown_before(result: Path) -> dict[tuple[float, float], str]:
    """Return (start, end) of a segment -> track, as an earlier result.json has them."""
    try:
        segments = read_json(result)["segments"]
        return {(s["start_s"], s["end_s"]): s["track"] for s in segments}
    except (OSError, ValueError, KeyError, TypeError):  # none, or not one of ours
        return {}


def notice(
    *,
    film: str,
    segments: Sequence[FilmSegment],
    names: Sequence[str],
    wanted: Floats,
    heard: Floats,
    embedder: str,
    tables: Tables,
    locks: Mapping[int, int],
    before: Mapping[tuple[float, float], str],
    policy: str,
    seed: int,
) -> list[Preference]:
    """Return a preference for each lock that replaced something.

    Args:
        film: SHA-256 of its file.
        segments: [T].
        names: [K] of the tracks.
        wanted: [T, D] vectors of the segments.
        heard: [K, D] vectors of the tracks.
        embedder: made the vectors.
        tables: the film against the library.
        locks: segment -> track.
        before: of `shown_before`.
        policy: who chooses the rest.
        seed: of the policy.
    """
    agent = make_agent(policy_agent(policy))

    def plan(fixed: dict[int, int]) -> Any:
        rng = generator(seed, "choose", policy)
        return agent.plan(with_locks(tables, fixed) if fixed else tables, rng)

    found = []
    place = {name: k for k, name in enumerate(names)}
    for t, chosen in sorted(locks.items()):
        segment = segments[t]
        key = (float(segment.span.start_s), float(segment.span.end_s))
        rejected = place.get(before.get(key, ""), chosen)
        if rejected == chosen and key in before:
            continue  # the lock of an earlier run, given again
        if rejected == chosen:
            rejected = int(plan({i: k for i, k in locks.items() if i != t}).tracks[t])
        if rejected == chosen:
            continue
        others = {i: k for i, k in locks.items() if i != t}
        gained = plan({**others, t: chosen}).return_ - plan({**others, t: rejected}).return_
        found.append(
            Preference(
                film=film,
                segment=t,
                start_s=key[0],
                end_s=key[1],
                mood=_moods(segment.mood),
                wanted=_moods(segment.scene.axes),
                embedder=embedder,
                segment_vector=tuple(map(float, wanted[t])),
                chosen=names[chosen],
                chosen_vector=tuple(map(float, heard[chosen])),
                rejected=names[rejected],
                rejected_vector=tuple(map(float, heard[rejected])),
                reward_difference=float(gained),
            )
        )
    return found


def _moods(axes: Floats) -> dict[str, float]:
    return {name: round(float(value), 4) for name, value in zip(AXES, axes, strict=True)}
