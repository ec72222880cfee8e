"""Choosing the weights of the fused ranker on sessions that its components have not seen.

Every search has two halves. First the gradient of a smooth relative of the hit rate is followed
(see `search_smooth`); this finds the region. Then coordinates climb NDCG@10 itself: one weight at a
time is multiplied (a factor's is shifted) by a random step, and what raises NDCG@10 on the
validation questions stays. Steps shrink from round to round.

The best candidates of the questions are found once a search, with the weights found so far, so that
a trial costs milliseconds. A target that is not among them counts as missed. The search is bounded
by trials, not by a clock, and draws from its seed alone.

The second half fits the sessions that weights are chosen on, and others no better: chosen on a
random half of the #nowplaying validation sessions, from equal weights, NDCG@10 there and on the
other half (mean of six choices) is .1228 and .1200; for the gradient alone (`rounds = 0`, half the
time) .1210 and .1203; for coordinates alone with large steps .1223 and .1193.

`Q` questions with their target among the candidates, `N` candidates, `C` components, `G` factors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segue.core.config import Config
from segue.core.progress import Advance, silent
from segue.core.seeding import generator
from segue.tasks.playlist.models.kernels import compiled
from segue.tasks.playlist.models.search_smooth import smooth_weights
from segue.tasks.playlist.sessions import Sessions

if TYPE_CHECKING:
    from segue.tasks.playlist.models.fused import Fused

__all__ = ["Questions", "SearchConfig", "gather_questions", "mean_gain", "search_weights"]

Narrow = NDArray[np.float32]

_CUTOFF = 10
_FACTOR_STEP = 0.15
_LEAST = 0.3
"""Of a question: a step must earn as much, or it suits a few questions by chance."""
_NEW_WEIGHT = 0.3
"""A weight of 0 is tried again at up to about this."""


class SearchConfig(Config):
    """How weights are chosen."""

    searches: int = Field(2, ge=0)
    """How many searches follow each other; 0 keeps the weights that were given."""
    gradient_steps: int = Field(80, ge=0)
    """Steps along the gradient in a search."""
    rounds: int = Field(8, ge=0)
    """Times that every weight is tried in a search."""
    tries: int = Field(6, ge=1)
    """Steps tried for a weight in a round."""
    first_step: float = Field(0.3, gt=0)
    """Deviation of the logarithm of a step in the first round."""
    last_step: float = Field(0.05, gt=0)
    """The same in the last round."""
    candidates: int = Field(300, ge=10)
    """Best candidates of a question that are ranked in a trial."""
    seed: int = 0
    """Of the steps."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Questions:
    """Validation questions as trials want them: the target stands first."""

    components: Narrow
    """Scaled to 1 for the best track of a question, [C, Q, N]."""
    facts: Narrow
    """[G, Q, N]."""
    counts: NDArray[np.int64]
    """Candidates of each question, [Q]."""
    asked: int
    """Questions, those without their target among the candidates included."""


def search_weights(
    fused: Fused,
    queries: Sessions,
    targets: NDArray[np.int32],
    config: SearchConfig,
    advance: Advance = silent,
) -> tuple[Narrow, Narrow]:
    """Return the best weights found of the components, [C], and of the factors, [G].

    Args:
        fused: fitted; the search starts from its weights.
        queries: [B].
        targets: [B].
        config: how long to search.
        advance: told the share of the work that is done.
    """
    weights, factors = fused.weights, fused.factor_weights
    for part in range(config.searches):
        rng = generator(config.seed, "weights", part)
        ranker = fused.with_weights(weights, factors)
        found = gather_questions(ranker, queries, targets, config)
        if not len(found.counts):
            return weights, factors  # no target is among the candidates: nothing can be learned
        weights, factors = smooth_weights(
            found.components, found.facts, found.counts, weights, factors, config.gradient_steps
        )
        weights, factors = _climb(
            found, weights, factors, config, rng, lambda amount: advance(amount / config.searches)
        )
    return weights, factors


def gather_questions(
    fused: Fused, queries: Sessions, targets: NDArray[np.int32], config: SearchConfig
) -> Questions:
    """Find the best candidates of every query and what each component says of them."""
    components, facts, counts = [], [], []
    for start in range(0, len(queries), 1024):
        stop = min(start + 1024, len(queries))
        batch, wanted = queries.part(start, stop), targets[start:stop]
        best = fused.best(batch, config.candidates)
        hit = (best.tracks == wanted[:, None]) & (best.tracks >= 0)
        which = np.flatnonzero(hit.any(axis=1))
        tracks, hit = best.tracks[which], hit[which]
        raw = best.components[which] / np.maximum(best.maxima[which], 1e-12)[:, None]
        heard = np.zeros(tracks.shape, dtype=np.float32)
        for row, query in enumerate(which):
            heard[row] = np.isin(tracks[row], batch[int(query)])
        known = np.concatenate([fused.facts[np.maximum(tracks, 0)], heard[:, :, None]], axis=2)
        order = np.argsort(~hit, axis=1, kind="stable")[:, :, None]  # the target first
        components.append(np.take_along_axis(raw, order, axis=1))
        facts.append(np.take_along_axis(known, order, axis=1))
        counts.append((tracks >= 0).sum(axis=1))
    return Questions(
        components=np.ascontiguousarray(np.concatenate(components).transpose(2, 0, 1)),
        facts=np.ascontiguousarray(np.concatenate(facts).transpose(2, 0, 1)),
        counts=np.concatenate(counts).astype(np.int64),
        asked=len(queries),
    )


def mean_gain(found: Questions, weights: Narrow, factors: Narrow) -> float:
    """Return NDCG@10 over all questions asked."""
    sums = np.tensordot(weights, found.components, 1).astype(np.float32)
    gains = np.exp(np.tensordot(factors, found.facts, 1)).astype(np.float32)
    nothing = np.zeros_like(sums)
    earned = _earned(sums, nothing, np.float32(0), gains, found.counts)
    return earned / max(found.asked, 1)


def _climb(
    found: Questions,
    weights: Narrow,
    factors: Narrow,
    config: SearchConfig,
    rng: np.random.Generator,
    advance: Advance,
) -> tuple[Narrow, Narrow]:
    weights, factors = weights.copy(), factors.copy()
    sums = np.tensordot(weights, found.components, 1).astype(np.float32)
    gains = np.exp(np.tensordot(factors, found.facts, 1)).astype(np.float32)
    nothing = np.zeros_like(sums)
    best = _earned(sums, nothing, np.float32(0), gains, found.counts)
    told = [bool(values.any()) for values in found.components]  # a silent one is left alone
    steps = np.geomspace(config.first_step, config.last_step, config.rounds)
    for step in steps:
        for k in rng.permutation(len(weights) + len(factors)):
            for _ in range(config.tries):
                draw = np.float32(rng.normal())
                if k < len(weights):
                    if not told[k]:
                        continue
                    old = weights[k]
                    new = old * np.exp(step * draw) if old > 0 else _NEW_WEIGHT * abs(draw)
                    if old > 0 and rng.random() < 1 / 16:
                        new = 0.0
                    change = np.float32(new - old)
                    trial = _earned(sums, found.components[k], change, gains, found.counts)
                    if trial > best + _LEAST:
                        best = trial
                        weights[k] = new
                        sums += change * found.components[k]
                else:
                    j = k - len(weights)
                    change = np.float32(_FACTOR_STEP * step * draw)
                    changed = gains * np.exp(change * found.facts[j])
                    trial = _earned(sums, nothing, np.float32(0), changed, found.counts)
                    if trial > best + _LEAST:
                        best = trial
                        factors[j] += change
                        gains = changed
        advance(1 / config.rounds)
    return weights, factors


@compiled
def _earned(
    sums: Narrow,
    component: Narrow,
    change: np.float32,
    gains: Narrow,
    counts: NDArray[np.int64],
) -> float:
    """Return the summed NDCG@10 after a change of one component's weight."""
    earned = 0.0
    for q in range(len(counts)):
        own = (sums[q, 0] + change * component[q, 0]) * gains[q, 0]
        better, equal = 0, 0
        for k in range(1, counts[q]):
            value = (sums[q, k] + change * component[q, k]) * gains[q, k]
            if value > own:
                better += 1
                if better >= _CUTOFF:
                    break
            elif value == own:
                equal += 1
        rank = 1 + better + equal / 2
        if rank <= _CUTOFF:
            earned += 1 / np.log2(rank + 1)
    return earned
