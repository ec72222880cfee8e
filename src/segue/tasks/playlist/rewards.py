"""What a decision in a playlist earns: named terms over a batch of decisions.

A playlist is chosen track by track. Every term pays what one decision adds to a figure of the whole
list, so that the payments of a list add up to that figure:

    hit          share of the list that the listener wanted (precision)
    ndcg         the same, discounted by place (Jarvelin and Kekalainen, 2002)
    familiarity  share of the list that the listener had heard before
    diversity    mean of 1 - cosine over all pairs of the list, by vectors of the tracks
    novelty      mean surprisal of the tracks, of 0..1: rare tracks surprise
    near_3       share of the list that was among the last 3 tracks heard; near_5 and near_10 too
    nearness     mean of 1 / (how many tracks ago it was heard), 0 where it was not
    skip         share of the list that was broken off
    original     the reward of the original system, see `original`

With a list of one track the figures are those of one decision. A term of your own is a function of
`Decisions`, named as `package.module:term`. Letters: `B` decisions, `K` tracks of a list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segue.core.errors import UsageError
from segue.core.names import unknown
from segue.rl.rewards import WeightedSum, term

__all__ = ["PRESETS", "REWARDS", "Decisions", "playlist_reward", "surprisals"]

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]

_HERE = "segue.tasks.playlist.rewards"
REWARDS = {
    name: f"{_HERE}:{name}"
    for name in (
        "hit",
        "ndcg",
        "familiarity",
        "diversity",
        "novelty",
        "near_3",
        "near_5",
        "near_10",
        "nearness",
        "skip",
        "original",
    )
}
"""Short name -> term."""

PRESETS: dict[str, dict[str, float]] = {
    "playlist": {"hit": 1.0, "diversity": 0.1, "near_3": -0.1},
    "original": {"original": 1.0},
}
"""Weights by name: those of a playlist (own choice), and the original's."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decisions:
    """A batch of decided tracks, [B] each; make one with `make`."""

    tracks: Indices
    hits: Flags
    """The listener wanted it: it is among those hidden and not yet hit, or was heard to the end."""
    places: Indices
    """Place in the list, from 0."""
    wanted: Indices
    """How many tracks could be hit when the list began."""
    heard: Indices
    """How often the listener had heard the track before this decision, in all that is known."""
    ago: Indices
    """How many tracks ago it was last heard in this session: 1 is the newest, 0 is never."""
    apart: Floats
    """Sum of 1 - cosine between it and each earlier track of the list."""
    surprisal: Floats
    """Of `surprisals`."""
    skipped: Flags
    """It was broken off; False where the data does not say."""
    queries: Indices
    """Number of the query (whose playlist it is), for terms of your own."""
    length: int
    """Tracks of a whole list, K."""

    @classmethod
    def make(cls, *, tracks: ArrayLike, hits: ArrayLike, length: int = 1, **given: Any) -> Self:
        """Return decisions; what is not given is 0 (`wanted` is 1).

        Args:
            tracks: [B].
            hits: [B].
            length: of the list.
            given: other fields by name, [B] or one value for all.
        """
        chosen = np.asarray(tracks, dtype=np.int64)
        values: dict[str, Any] = {"tracks": chosen, "hits": np.asarray(hits, dtype=np.bool_)}
        for name, kind in _KINDS.items():
            value = given.pop(name, 1 if name == "wanted" else 0)
            values[name] = np.broadcast_to(np.asarray(value, dtype=kind), chosen.shape)
        assert not given, f"no such fields: {sorted(given)}"
        return cls(length=length, **values)

    def take(self, which: ArrayLike) -> Self:
        """Return some of the decisions."""
        rows = np.asarray(which)
        parts = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "length"}
        return type(self)(
            length=self.length, **{name: value[rows] for name, value in parts.items()}
        )


_KINDS: dict[str, type] = {
    "places": np.int64,
    "wanted": np.int64,
    "heard": np.int64,
    "ago": np.int64,
    "apart": np.float64,
    "surprisal": np.float64,
    "skipped": np.bool_,
    "queries": np.int64,
}


def playlist_reward(weights: str | Mapping[str, float] = "playlist") -> WeightedSum:
    """Return the reward of these weights; a term of weight 0 is left out.

    Args:
        weights: name of a preset, or name of a term -> weight, names as in `REWARDS` or
            `package.module:term`.

    Raises:
        UnknownName: there is no such preset or term.
        UsageError: nothing is paid for, or two terms share a name.
    """
    if isinstance(weights, str):
        if weights not in PRESETS:
            raise unknown("reward preset", weights, PRESETS)
        weights = PRESETS[weights]
    chosen = {name: weight for name, weight in weights.items() if weight}
    if not chosen:
        raise UsageError(
            "the reward has no term with a weight", advice=f"Weigh some of {', '.join(REWARDS)}"
        )
    return WeightedSum.from_names(REWARDS, chosen)


def surprisals(plays: ArrayLike) -> Floats:
    """Return -log p of each track divided by the greatest possible, 0..1, from plays [V].

    One play is added to each, so that a track that nobody played has a surprisal, too: the
    greatest.
    """
    counts = np.asarray(plays, dtype=np.float64) + 1.0
    total = counts.sum()
    return np.asarray(np.log(total / counts) / max(float(np.log(total)), 1e-12))


@term("hit", low=0.0, high=1.0)
def hit(decisions: Decisions) -> Floats:
    """Pay for a track that the listener wanted."""
    return decisions.hits / decisions.length


@term("ndcg", low=0.0, high=1.0)
def ndcg(decisions: Decisions) -> Floats:
    """Pay for a wanted track 1 / log2(place + 2), divided by the sum of the best list."""
    gains = 1.0 / np.log2(np.arange(decisions.length) + 2.0)
    best = np.cumsum(gains)[np.clip(decisions.wanted, 1, decisions.length) - 1]
    return np.asarray(decisions.hits * gains[decisions.places] / best)


@term("familiarity", low=0.0, high=1.0)
def familiarity(decisions: Decisions) -> Floats:
    """Pay for a track that the listener had heard before."""
    return (decisions.heard > 0) / decisions.length


@term("diversity", low=0.0, high=2.0)
def diversity(decisions: Decisions) -> Floats:
    """Pay the distances to the earlier tracks of the list, over the number of all pairs."""
    pairs = decisions.length * (decisions.length - 1) / 2
    return decisions.apart / max(pairs, 1.0)


@term("novelty", low=0.0, high=1.0)
def novelty(decisions: Decisions) -> Floats:
    """Pay the surprisal of the track."""
    return decisions.surprisal / decisions.length


def _near(decisions: Decisions, n: int) -> Floats:
    return ((decisions.ago >= 1) & (decisions.ago <= n)) / decisions.length


@term("near_3", low=0.0, high=1.0)
def near_3(decisions: Decisions) -> Floats:
    """Count a track that is among the last 3 heard; weigh it negatively."""
    return _near(decisions, 3)


@term("near_5", low=0.0, high=1.0)
def near_5(decisions: Decisions) -> Floats:
    """Count a track that is among the last 5 heard; weigh it negatively."""
    return _near(decisions, 5)


@term("near_10", low=0.0, high=1.0)
def near_10(decisions: Decisions) -> Floats:
    """Count a track that is among the last 10 heard; weigh it negatively."""
    return _near(decisions, 10)


@term("nearness", low=0.0, high=1.0)
def nearness(decisions: Decisions) -> Floats:
    """Count 1 / (how many tracks ago it was heard); weigh it negatively."""
    near = np.where(decisions.ago > 0, 1.0 / np.maximum(decisions.ago, 1), 0.0)
    return np.asarray(near / decisions.length)


@term("skip", low=0.0, high=1.0)
def skip(decisions: Decisions) -> Floats:
    """Count a track that was broken off; weigh it negatively."""
    return decisions.skipped / decisions.length


@term("original", low=-0.35, high=1.0)
def original(decisions: Decisions) -> Floats:
    """Pay as the original system does.

    1 for the next track; for any other .35 if the listener knows it and -.05 if not, .1 if it is
    not among the last 10, -.3 if it is among the last 3, else -.1 among the last 5. A familiar
    track that was not heard lately so earns .45 without ever being wanted: the reward can be
    collected without a single hit.
    """
    ago = decisions.ago
    recent = (ago >= 1) & (ago <= 10)
    paid = np.where(decisions.heard > 0, 0.35, -0.05) + np.where(recent, 0.0, 0.1)
    paid = paid - np.where(recent & (ago <= 3), 0.3, np.where(recent & (ago <= 5), 0.1, 0.0))
    return np.asarray(np.where(decisions.hits, 1.0, paid) / decisions.length)
