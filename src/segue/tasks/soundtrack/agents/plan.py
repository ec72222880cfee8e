"""A plan: what an agent decided for one video, with its exact reward; and the agents' protocol."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from segue.core.errors import DataError, UsageError
from segue.tasks.soundtrack.scoring import Indices, score
from segue.tasks.soundtrack.tables import Floats, Tables

__all__ = ["Agent", "Plan", "check", "finish", "with_locks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The music of one video, `T` segments."""

    actions: Indices
    """[T] index of the track started here, or K to continue."""
    tracks: Indices
    """[T] track heard in each segment."""
    offsets_s: Floats
    """[T] position in the track at which the segment starts."""
    return_: float
    """Total reward, by `scoring.score`."""
    terms: dict[str, float]
    """Weighted total of each reward term."""
    step_terms: dict[str, Floats]
    """[T] weighted reward terms of each segment."""
    switches: int
    """Number of hand-overs."""
    upper_bound: float | None = None
    """No complete legal plan earns more than this; None where the agent proves nothing."""
    seconds: float = 0.0
    """Wall time of the decision."""


class Agent(Protocol):
    """Decides the music of a video from its tables."""

    def plan(self, tables: Tables, rng: np.random.Generator) -> Plan:
        """Return a complete legal plan; all randomness comes from `rng`.

        Raises:
            DataError: a segment has no allowed track, or a table holds a NaN.
        """
        ...


def check(tables: Tables) -> None:
    """Refuse tables that no legal plan exists for.

    Raises:
        DataError: no segment or no track; a segment without an allowed track; a NaN or an
            infinity where a number is needed.
    """
    if tables.n_segments == 0:
        raise DataError("the video has no segment", advice="Give a video that lasts a second")
    if tables.n_tracks == 0:
        raise DataError("the library has no track", advice="Give a folder with music")
    names = ("lengths_s", "durations_s", "transition", "gate", "embeddings", "target_probabilities")
    bad = [name for name in names if not np.isfinite(getattr(tables, name)).all()]
    if np.isnan(tables.alignment).any() or np.isposinf(tables.alignment).any():
        bad.append("alignment")
    if bad:
        raise DataError(f"not a number in the reward tables: {', '.join(bad)}")
    if (tables.lengths_s <= 0).any():
        raise DataError("a segment without length in the reward tables")
    silent = np.flatnonzero(~np.isfinite(tables.alignment).any(axis=1))
    if silent.size:
        raise DataError(
            f"no track of the library is allowed in segment {', '.join(map(str, silent[:8]))}",
            advice="Loosen the locks or the exclusions for it, or add music",
        )


def finish(
    tables: Tables,
    actions: Sequence[int] | Indices,
    started: float,
    upper_bound: float | None = None,
) -> Plan:
    """Score `actions` and return the plan; `started` is the `time.perf_counter()` of its begin."""
    outcome = score(tables, actions)
    assert outcome.complete, "an agent planned an illegal continue"
    return Plan(
        actions=np.asarray(actions, dtype=np.int64),
        tracks=outcome.tracks,
        offsets_s=outcome.offsets_s,
        return_=outcome.return_,
        terms=outcome.terms,
        step_terms=outcome.step_terms,
        switches=outcome.switches,
        upper_bound=upper_bound,
        seconds=time.perf_counter() - started,
    )


def with_locks(tables: Tables, locks: Mapping[int, int]) -> Tables:
    """Return tables in which each locked segment allows only its track.

    Args:
        tables: the video against the library.
        locks: segment -> track.

    Raises:
        UsageError: there is no such segment or track.
        DataError: the track is forbidden in that segment for another reason.
    """
    alignment = tables.alignment.copy()
    for segment, track in locks.items():
        for kind, index, count in (
            ("segment", segment, tables.n_segments),
            ("track", track, tables.n_tracks),
        ):
            if not 0 <= index < count:
                raise UsageError(
                    f"no {kind} {index} to lock", advice=f"There are {count}: 0 to {count - 1}"
                )
        if not np.isfinite(tables.alignment[segment, track]):
            raise DataError(
                f"track {track} is locked to segment {segment} and excluded there",
                advice="Drop the lock or the exclusion",
            )
        alignment[segment] = -np.inf
        alignment[segment, track] = tables.alignment[segment, track]
    return replace(tables, alignment=alignment)
