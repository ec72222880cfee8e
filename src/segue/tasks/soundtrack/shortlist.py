"""A video against a library of a million tracks: a shortlist, a plan, and a certificate.

The alignment of track k with segment t is an inner product plus a constant,

    A[t, k] = (3/2 (v_t - rv), 5/4 (x_t - rx)) . (e_k, y_k) + 3/10 + 3/8

with all vectors at length 1 (`similarity` has the letters; without captions the second halves are
left out). So the M best tracks of every segment are found exactly (`search`), and the M-th score
is a ceiling on what any other track earns there. The planner solves the problem over the union of
the best. The certificate: replace all other tracks by one phantom for each segment that a run may
start at. A phantom earns the ceiling everywhere, never ends, hands over and continues perfectly,
and costs no repeat; theme counts in full. No plan that uses a track outside the shortlist can earn
more than the best relaxed plan through a phantom, so

    no plan over the whole library earns more than max(planner's bound, phantom bound).

Facts of a track in the index, in this order: duration_s, tempo_bpm, energy, centroid_hz, 13 MFCC.
Letters: `T` segments, `C` tracks in the shortlist, `M` best of each segment.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import UsageError
from segue.tasks.soundtrack.agents.plan import Plan
from segue.tasks.soundtrack.agents.planner import Planner
from segue.tasks.soundtrack.agents.relaxation import Prices, Relaxation
from segue.tasks.soundtrack.agents.runs import run_values
from segue.tasks.soundtrack.data import Dataset, Track, Video
from segue.tasks.soundtrack.prior import Prior
from segue.tasks.soundtrack.search import VectorIndex
from segue.tasks.soundtrack.similarity import units
from segue.tasks.soundtrack.tables import Tables, Weights, build_tables

__all__ = ["N_FACTS", "Shortlist", "plan_shortlist", "queries", "shortlist", "track_rows"]

Floats = NDArray[np.float64]

N_FACTS = 17
_ITERATIONS = 24


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shortlist:
    """What a plan for one video needs of a large library."""

    tracks: NDArray[np.int64]
    """[C] their rows in the index, ascending."""
    tables: Tables
    """The reward over these tracks."""
    ceiling: Floats
    """[T] no track outside the shortlist has more alignment at a segment."""


def track_rows(dataset: Dataset) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return (vectors [K, D + E], facts [K, N_FACTS]) of a library, for `search.build_index`."""
    parts = [units(dataset.track_embeddings)]
    if (texts := dataset.track_text_embeddings) is not None:
        parts.append(units(texts))
    facts = [
        [t.duration_s, t.tempo_bpm, t.energy, t.centroid_hz, *t.mfcc.tolist()]
        for t in dataset.tracks
    ]
    return np.concatenate(parts, axis=1).astype(np.float32), np.array(facts, np.float32)


def queries(video: Video, prior: Prior, dimension: int) -> tuple[Floats, float]:
    """Return ([T, D (+ E)], constant): alignment is the inner product with a row plus constant.

    Args:
        video: gives pictures and captions.
        prior: gives the reference vectors.
        dimension: of the rows of the index; tells whether they have captions.

    Raises:
        UsageError: neither form of the rows has this dimension.
    """
    pictures = 1.5 * (units(video.embeddings) - units(prior.picture_reference[None]))
    captions, reference = video.text_embeddings, prior.caption_reference
    if pictures.shape[1] == dimension:
        return pictures, 0.3
    if captions is not None and reference is not None:
        both = [pictures, 1.25 * (units(captions) - units(reference[None]))]
        if both[0].shape[1] + both[1].shape[1] == dimension:
            return np.concatenate(both, axis=1), 0.3 + 0.375
    raise UsageError(
        f"the rows of the index have {dimension} numbers, the pictures {pictures.shape[1]}",
        advice="Index and video must come from the same embedder",
    )


def shortlist(
    index: VectorIndex,
    video: Video,
    prior: Prior,
    m: int = 16,
    *,
    weights: Weights | None = None,
    mode: Literal["train", "test"] = "test",
    target: int | None = None,
    kappa: float = 1.0,
) -> Shortlist:
    """Find the `m` best tracks for every segment of `video`; see `build_tables` for the rest.

    Raises:
        UsageError: the index is of another embedder or has no facts.
    """
    if index.facts.shape[1] != N_FACTS:
        raise UsageError(f"the index has {index.facts.shape[1]} facts a track, not {N_FACTS}")
    wanted, constant = queries(video, prior, index.dimension)
    top = index.top(wanted, m)
    rows = np.unique(top.indices)
    n_pictures = video.embeddings.shape[1]
    vectors = index.vectors.take(rows).astype(np.float64)
    facts = index.facts.take(rows).astype(np.float64)
    has_text = index.dimension > n_pictures
    tracks = tuple(
        Track(
            name=f"track {row}",
            embedding=vector[:n_pictures],
            text_embedding=vector[n_pictures:] if has_text else None,
            duration_s=fact[0],
            tempo_bpm=fact[1],
            energy=fact[2],
            centroid_hz=fact[3],
            mfcc=fact[4:],
        )
        for row, vector, fact in zip(rows.tolist(), vectors, facts, strict=True)
    )
    if not has_text:
        plain = tuple(replace(segment, text_embedding=None) for segment in video.segments)
        video, prior = replace(video, segments=plain), replace(prior, caption_reference=None)
    tables = build_tables(
        Dataset(tracks=tracks, videos=(video,), name="shortlist"),
        prior,
        0,
        weights,
        mode,
        target,
        kappa,
    )
    everything = len(index) == len(rows)
    # Rows are stored in single precision: 1e-5 covers what their rounding changes.
    ceiling = np.full(len(wanted), -np.inf) if everything else top.scores[:, -1] + constant + 1e-5
    return Shortlist(tracks=rows, tables=tables, ceiling=ceiling)


def plan_shortlist(short: Shortlist) -> Plan:
    """Return the planner's plan over the shortlist, its bound one for the whole library.

    `tracks` and `actions` of the plan count within the shortlist.
    """
    plan = Planner().plan(short.tables, np.random.default_rng(0))
    assert plan.upper_bound is not None
    outside = _phantom_bound(short, plan.return_)
    return replace(plan, upper_bound=max(plan.upper_bound, outside))


def _phantom_bound(short: Shortlist, known: float) -> float:
    """Return a bound on plans that use a track outside the shortlist."""
    if not np.isfinite(short.ceiling).any():
        return -np.inf
    tables = _with_phantoms(short)
    n_tracks, n_segments = short.tables.n_tracks, short.tables.n_segments
    relaxed = Relaxation.of(tables, run_values(tables))
    theme = abs(short.tables.weights.theme)  # the most that it can be
    limit = abs(tables.weights.switch)
    prices = Prices(repeat=np.zeros(tables.n_tracks))
    lowest, trust = np.inf, 1.0
    # Subgradient steps, as in the planner: repeats and switches at the price of least bound.
    for _ in range(_ITERATIONS):
        solution = relaxed.solve(prices)
        runs = relaxed.run_bounds(prices, solution)
        outside = max(float(rows[:, n_tracks:].max(initial=-np.inf)) for rows in runs) + theme
        trust = trust if outside < lowest - 1e-6 else 0.75 * trust
        lowest = min(lowest, outside)
        if lowest <= known:
            break
        starts = np.bincount([track for _, _, track in solution.runs], minlength=tables.n_tracks)
        over = starts - relaxed.starts_paid(prices)
        over[(over < 0) & (prices.repeat <= 0)] = 0.0
        best = int((relaxed.end + prices.switch * np.arange(n_segments)).argmax())
        over_switch = len(solution.runs) - 1 - best
        norm = float(over @ over) + over_switch**2
        if norm == 0:
            break
        step = trust * max(solution.bound + theme - known, 0.01) / max(norm, 1.0)
        prices = Prices(
            repeat=np.maximum(prices.repeat + step * over, 0.0),
            switch=float(np.clip(prices.switch + step * over_switch, -limit, limit)),
        )
    return lowest


def _with_phantoms(short: Shortlist) -> Tables:
    """Return tables with a phantom for each segment, which may play from that segment on."""
    tables, ceiling = short.tables, short.ceiling
    n_segments, n_tracks = tables.n_segments, tables.n_tracks
    earlier = np.arange(n_segments)[:, None] < np.arange(n_segments)[None, :]
    phantom = np.where(earlier, -np.inf, ceiling[:, None])
    transition = np.ones((n_tracks + n_segments, n_tracks + n_segments))
    transition[:n_tracks, :n_tracks] = tables.transition
    forever = float(tables.lengths_s.sum()) + 1.0
    return replace(
        tables,
        alignment=np.concatenate([tables.alignment, phantom], axis=1),
        transition=transition,
        durations_s=np.append(tables.durations_s, np.full(n_segments, forever)),
        embeddings=np.concatenate(
            [tables.embeddings, np.zeros((n_segments, tables.embeddings.shape[1]))]
        ),
        weights=replace(tables.weights, theme=0.0),
        track_names=(),
    )
