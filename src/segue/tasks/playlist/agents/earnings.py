"""What a playlist made of candidates earns, and what of it is known before the listener answers.

The reward is a weighted sum of the terms of `rewards`. Part of it depends on the listener (a hit),
the rest does not: how far apart the tracks of the list are, whether a track was just heard. That
rest is known for every candidate at every step, which is what a planner plans with.

    gain_k              what a hit at place k adds
    known_n(apart)      what candidate n earns if it is no hit, `apart` from the list so far

The second is taken to be linear in `apart`, the sum of 1 - cosine to each track of the list, as the
term `diversity` is.

Letters: `B` questions, `N` candidates, `L` lists for each, `K` places, `D` numbers of a vector.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.rl.rewards import WeightedSum
from segue.tasks.playlist.agents.questions import Questions
from segue.tasks.playlist.rewards import Decisions, playlist_reward

__all__ = ["Earnings", "Known", "cosines", "distances_so_far"]

Narrow = NDArray[np.float32]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Known:
    """What is known before the listener answers."""

    gains: Narrow
    """What a hit adds at each place, [K]."""
    base: Narrow
    """What a candidate earns that is no hit and as near as can be to the list, [B, N]."""
    slope: Narrow
    """What each unit of `apart` adds, [B, N]."""


class Earnings:
    """The reward of lists of `length` tracks.

    Args:
        weights: preset or weights of the terms; see `rewards.playlist_reward`.
        length: tracks of a list, K.
        vectors: of every track, of length 1, [V, D].
        surprisal: of every track, [V]; see `rewards.surprisals`.

    Raises:
        UnknownName: there is no such preset or term.
        UsageError: nothing is paid for, or two terms share a name.
    """

    def __init__(
        self,
        weights: str | Mapping[str, float],
        length: int,
        vectors: Narrow,
        surprisal: NDArray[np.float64],
    ) -> None:
        self.reward: WeightedSum = playlist_reward(weights)
        self.length, self.vectors, self._surprisal = length, vectors, surprisal

    def known(self, questions: Questions) -> Known:
        """Return what is known of the candidates."""
        shape = questions.hits.shape
        nowhere = np.arange(shape[1])[None, None].repeat(shape[0], axis=0)

        def paid(apart: float) -> Narrow:
            decisions = self._decisions(questions, nowhere, apart, hits=False)
            return self.reward(decisions)[0].reshape(shape).astype(np.float32)

        base = paid(0.0)
        return Known(gains=self._gains(), base=base, slope=paid(1.0) - base)

    def of(
        self, questions: Questions, lists: Indices
    ) -> tuple[Narrow, dict[str, NDArray[np.float64]]]:
        """Return what each place earns, [B, L, K], and the parts of each whole list, [B, L].

        Args:
            questions: B.
            lists: numbers of candidates, [B, L, K].
        """
        apart = distances_so_far(self.vectors, _pick(questions.candidates.tracks, lists))
        decisions = self._decisions(questions, lists, apart, hits=True)
        total, parts = self.reward(decisions)
        return total.reshape(lists.shape).astype(np.float32), {
            name: values.reshape(lists.shape).sum(axis=2) for name, values in parts.items()
        }

    def _decisions(
        self,
        questions: Questions,
        lists: Indices,
        apart: NDArray[np.float64] | float,
        *,
        hits: bool,
    ) -> Decisions:
        tracks = _pick(questions.candidates.tracks, lists)
        ago = _pick(questions.ago, lists).astype(np.int64)
        n, _, k = lists.shape
        places = np.arange(k) if k == self.length else np.zeros(k, dtype=np.int64)
        values = {
            "tracks": tracks,
            "hits": _pick(questions.hits, lists) if hits else np.zeros(lists.shape, np.bool_),
            "places": np.broadcast_to(places, lists.shape),
            "wanted": np.full(lists.shape, self.length),
            "heard": ago > 0,
            "ago": ago,
            "apart": np.broadcast_to(apart, lists.shape),
            "surprisal": self._surprisal[np.maximum(tracks, 0)],
            "queries": np.broadcast_to(np.arange(n)[:, None, None], lists.shape),
        }
        return Decisions.make(
            length=self.length, **{name: value.reshape(-1) for name, value in values.items()}
        )

    def _gains(self) -> Narrow:
        """Return what a hit adds at each place, [K]."""
        places = np.arange(self.length)
        both = [
            self.reward(
                Decisions.make(
                    tracks=np.zeros(self.length),
                    hits=np.full(self.length, hit),
                    places=places,
                    wanted=self.length,
                    length=self.length,
                )
            )[0]
            for hit in (True, False)
        ]
        return np.asarray(both[0] - both[1], dtype=np.float32)


def cosines(vectors: Narrow, tracks: NDArray[np.int32]) -> Narrow:
    """Return the cosines of all pairs of the candidates [B, N] of a question, [B, N, N]."""
    own = vectors[np.maximum(tracks, 0)]
    # a copy: the product of an array with a view of itself takes a slow way through numpy
    return np.asarray(own @ np.ascontiguousarray(own.transpose(0, 2, 1)))


def distances_so_far(vectors: Narrow, lists: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the sum of 1 - cosine from each track of a list to the earlier ones, [..., K]."""
    own = vectors[np.maximum(lists, 0)]
    apart = 1.0 - np.einsum("...id,...jd->...ij", own, own).astype(np.float64)
    k = lists.shape[-1]
    return np.asarray((apart * np.tri(k, k, -1)).sum(axis=-1))


def _pick(values: NDArray[Any], lists: Indices) -> NDArray[Any]:
    """Return values [B, N] of the candidates in lists [B, L, K]."""
    return np.take_along_axis(values[:, None], lists, axis=2)
