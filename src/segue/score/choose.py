"""Choose: which track plays under which segment, and why.

The reward is the soundtrack task's, read from the same tables by every policy: fit of track to
segment, smooth hand-overs, as many of them as the picture turns its mood, one theme, no silence.
The number of hand-overs wanted is not known, so its distribution is used: each boundary between
two segments asks for one with probability (1 - cos) / 2 of their moods, independently.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.seeding import generator
from segue.media.segments import Span
from segue.score.captions import TERM as CAPTIONS
from segue.score.config import ChooseSettings
from segue.score.listener import apart, earned_by, with_favour
from segue.tasks.soundtrack.agents import make_agent
from segue.tasks.soundtrack.agents.alternatives import alternatives
from segue.tasks.soundtrack.agents.plan import Plan, with_locks
from segue.tasks.soundtrack.data import Dataset, Segment, Track, Video
from segue.tasks.soundtrack.prior import neutral_prior
from segue.tasks.soundtrack.similarity import cosines
from segue.tasks.soundtrack.tables import Tables, Weights, build_tables

__all__ = [
    "POLICIES",
    "build_product_tables",
    "choose",
    "hear_segments",
    "policy_agent",
    "reserve",
    "turn_probabilities",
]

Floats = NDArray[np.float64]

POLICIES = {"rl": "policy-beam/8"}
"""Names of agents that are for this product alone; any other name is one of the task's agents."""


def policy_agent(policy: str) -> str:
    """Return the task's name of the agent that a policy of the product stands for."""
    return POLICIES.get(policy, policy)


def turn_probabilities(vectors: Floats) -> Floats:
    """Return [T-1] the probability that each inner boundary wants a hand-over."""
    units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    cosines = np.einsum("td,td->t", units[1:], units[:-1])
    return np.asarray(np.clip((1.0 - cosines) / 2.0, 0.0, 1.0))


def build_product_tables(
    tracks: Sequence[Track],
    spans: Sequence[Span],
    vectors: Floats,
    settings: ChooseSettings,
) -> Tables:
    """Return the reward tables of one film against a library.

    Args:
        tracks: [K] the library, embedded.
        spans: [T] the segments.
        vectors: [T, D] their embeddings.
        settings: weights, and the wanted number of hand-overs if the user gave one.
    """
    segments = tuple(
        Segment(start_s=float(s.start_s), end_s=float(s.end_s), embedding=v)
        for s, v in zip(spans, vectors, strict=True)
    )
    dataset = Dataset(tracks=tuple(tracks), videos=(Video(name="film", segments=segments),))
    weights = Weights(
        alignment=settings.alignment,
        smoothness=settings.smoothness,
        switch=settings.switch,
        theme=settings.theme,
        silence=settings.silence,
    )
    tables = build_tables(dataset, neutral_prior(dataset), 0, weights, target=settings.switches)
    if settings.switches is None:
        probabilities = _count_distribution(turn_probabilities(vectors))
        tables = replace(
            tables,
            target_values=np.arange(len(probabilities), dtype=np.int64),
            target_probabilities=probabilities,
        )
    return tables


def reserve(tables: Tables, composed: Mapping[int, int]) -> Tables:
    """Return tables in which composed music plays only under the segments it was composed for.

    Args:
        tables: of the film.
        composed: segment -> track, for every track that was composed.
    """
    alignment = tables.alignment.copy()
    for track in set(composed.values()):
        elsewhere = [t for t in range(tables.n_segments) if composed.get(t) != track]
        alignment[elsewhere, track] = -np.inf
    return replace(tables, alignment=alignment)


def hear_segments(
    tables: Tables, wanted: Floats, heard: Mapping[tuple[int, int], NDArray[np.floating]]
) -> Tables:
    """Return tables that judge composed music under a segment by what is heard there alone.

    Args:
        tables: in which a track has one vector for all of it.
        wanted: [T, D] vectors of the segments.
        heard: (segment, track) -> [D] vector of the track's part under that segment.
    """
    alignment = tables.alignment.copy()
    for (t, k), vector in heard.items():
        cosine = cosines(wanted[t : t + 1], vector[None].astype(np.float64))[0, 0]
        alignment[t, k] = 1.5 * (cosine + 0.2)
    return replace(tables, alignment=alignment)


def choose(
    tables: Tables,
    locks: Mapping[int, int],
    settings: ChooseSettings,
    seed: int,
    composed: Mapping[int, int] | None = None,
    favour: Floats | None = None,
    said: Floats | None = None,
) -> Any:
    """Return the chosen plan as JSON-like values.

    The upper bound is the planner's, whichever policy chose, so that every policy shows how far it
    is from the best possible.

    Args:
        tables: of the film.
        locks: segment -> track, as the user fixed them.
        settings: who chooses.
        seed: of everything random.
        composed: segment -> track that was composed for it.
        favour: [K] what a listener's preference pays for a track in every segment.
        said: [T, K] what a segment's caption pays for a track by its tags.
    """
    plain = reserve(tables, composed or {})
    plain = plain if said is None else with_favour(plain, said)
    tables = plain if favour is None else with_favour(plain, favour)
    fixed = {**locks, **(composed or {})}
    agent = make_agent(policy_agent(settings.policy))

    def lock(free: Tables) -> Tables:
        return with_locks(free, fixed) if fixed else free

    def decide(free: Tables) -> Plan:
        return agent.plan(lock(free), generator(seed, "choose", settings.policy))

    locked, plan = lock(tables), decide(tables)
    bound = plan.upper_bound
    if bound is None:
        bound = make_agent("planner").plan(locked, generator(seed, "bound")).upper_bound
    others = alternatives(tables, plan, settings.alternatives)
    terms, step_terms = plan.terms, plan.step_terms
    listened: dict[str, Any] = {}
    if favour is not None:
        terms, step_terms = apart(plan, favour)
        without = decide(plain)
        fit = without.terms["alignment"]
        fit -= 0.0 if said is None else float(earned_by(without, said).sum())
        listened = {"without_listener": {"tracks": without.tracks.tolist(), "fit": fit}}
    if said is not None:
        heard = replace(plan, terms=terms, step_terms=step_terms)
        terms, step_terms = apart(heard, said, CAPTIONS)
    return {
        "policy": settings.policy,
        "reward": plan.return_,
        "upper_bound": bound,
        "switches": plan.switches,
        "terms": terms,
        "tracks": plan.tracks.tolist(),
        "offsets_s": plan.offsets_s.tolist(),
        "continued": _continued(plan, tables.n_tracks),
        "step_terms": [
            {name: float(values[t]) for name, values in step_terms.items()}
            for t in range(tables.n_segments)
        ],
        "alternatives": [
            [{"track": a.track, "reward": a.reward} for a in segment] for segment in others
        ],
        "locked": sorted(locks),
        **listened,
    }


def _continued(plan: Plan, n_tracks: int) -> list[bool]:
    """Return [T] whether the music of the segment before goes on: a restart sounds as a loop."""
    same = [False, *(plan.tracks[1:] == plan.tracks[:-1]).tolist()]
    return [bool(s or action == n_tracks) for s, action in zip(same, plan.actions, strict=True)]


def _count_distribution(probabilities: Floats) -> Floats:
    """Return the distribution of a sum of independent coin flips (Poisson binomial)."""
    distribution = np.ones(1)
    for p in probabilities:
        distribution = np.convolve(distribution, [1.0 - p, p])
    return np.asarray(distribution / distribution.sum())
