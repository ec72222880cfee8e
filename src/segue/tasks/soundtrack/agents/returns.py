"""The exact return of many plans of one video at once, or of many changes to one plan.

The same reward as `scoring.score`, for arrays. A change replaces the actions of a few consecutive
segments; only those are played again, so its cost does not grow with the length of the film.

Letters: `N` plans or changes, `T` segments, `W` segments changed, `K` tracks, `D` dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segue.tasks.soundtrack.scoring import (
    REPEAT,
    Indices,
    fading,
    score,
    unit_embeddings,
    weighted_alignment,
)
from segue.tasks.soundtrack.tables import Floats, Tables

__all__ = ["Changes", "returns"]

_STEPS = ("alignment", "smoothness", "silence")


def returns(tables: Tables, actions: Indices) -> Floats:
    """Return what action sequences earn, [N]; minus infinity for one that is not legal.

    Args:
        tables: the video against the library.
        actions: [N, T].
    """
    nothing = np.zeros(tables.embeddings.shape[1])
    played = _play(tables, weighted_alignment(tables), actions, 0)
    total = played.earned + tables.switch_cost(played.starts - 1)
    return total + _themes(tables, played.tracks, tables.n_segments, nothing, nothing)


class Changes:
    """Scores changes of one plan.

    Args:
        tables: the video against the library.
        actions: [T] a complete legal plan.
    """

    def __init__(self, tables: Tables, actions: Indices) -> None:
        self._tables, self._actions = tables, actions
        outcome = score(tables, actions)
        self._tracks = outcome.tracks
        self._steps = np.sum([outcome.step_terms[name] for name in _STEPS], axis=0)
        self._smoothness = outcome.step_terms["smoothness"]
        self._fits = weighted_alignment(tables)
        self._units = unit_embeddings(tables)

    def returns(self, rows: Indices, first: int) -> Floats:
        """Return what the plan earns with other actions from segment `first` on, [N].

        Args:
            rows: [N, W] the new actions; each row starts a track first, and the plan starts a
                track at segment first + W if it has one.
            first: the first segment that changes.
        """
        tables, n_segments = self._tables, len(self._actions)
        stop = first + rows.shape[1]
        assert stop == n_segments or self._actions[stop] < tables.n_tracks
        played = _play(tables, self._fits, rows, first)

        # 1. Steps and repetitions outside, as they are.
        outside = np.r_[0:first, stop:n_segments]
        total: Floats = played.earned + self._steps[outside].sum()
        started = self._actions[outside] < tables.n_tracks
        counts = np.bincount(self._actions[outside][started], minlength=tables.n_tracks)
        total += REPEAT * float((counts * (counts - 1) / 2).sum())
        total += REPEAT * (self._restarts(1, first) + self._restarts(stop + 1, n_segments))
        # 2. Between inside and outside: repetitions and the two hand-overs at the edges.
        new = rows < tables.n_tracks
        total += REPEAT * np.where(new, counts[np.where(new, rows, 0)], 0).sum(axis=1)
        if first:
            total += self._hand_over(first, rows[:, 0], self._tracks[first - 1])
        if stop < n_segments:
            total -= self._smoothness[stop]
            total += self._hand_over(stop, self._tracks[stop], played.tracks[:, -1])
        # 3. The end.
        total += tables.switch_cost(played.starts + int(started.sum()) - 1)
        heard = self._tracks[outside]
        return total + _themes(
            tables,
            played.tracks,
            n_segments,
            self._units[heard].sum(axis=0),
            tables.embeddings[heard].sum(axis=0),
        )

    def _hand_over(self, segment: int, track: Indices, previous: Indices) -> Floats:
        tables = self._tables
        smooth = tables.weights.smoothness * tables.gate[segment]
        return np.asarray(
            smooth * tables.transition[track, previous] + REPEAT * (track == previous)
        )

    def _restarts(self, first: int, stop: int) -> int:
        """Return how often the track that plays is started again in first..stop - 1."""
        again = self._tracks[first:stop] == self._tracks[first - 1 : max(stop - 1, 0)]
        return int((again & (self._actions[first:stop] < self._tables.n_tracks)).sum())


@dataclass(frozen=True, slots=True)
class _Played:
    earned: Floats  # [N] without the first hand-over, switches and theme
    tracks: Indices  # [N, W]
    starts: Indices  # [N]


def _play(tables: Tables, fits: Floats, actions: Indices, first: int) -> _Played:
    """Play actions [N, W] from segment `first` on, as if nothing had played before."""
    weights, n_tracks = tables.weights, tables.n_tracks
    earned = np.zeros(len(actions))
    tracks = np.zeros(actions.shape, dtype=np.int64)
    offset = np.full(len(actions), np.inf)  # as if a track had ended: no continue at first
    new = actions < n_tracks
    for w in range(actions.shape[1]):
        t, length = first + w, float(tables.lengths_s[first + w])
        previous = tracks[:, w - 1]  # not read at w = 0
        track = np.where(new[:, w], actions[:, w], previous)
        earned[~new[:, w] & (offset >= tables.durations_s[track])] = -np.inf
        offset[new[:, w]] = 0.0
        fit = fits[t, track]
        if tables.fade_per_s:
            fit = fit * fading(tables.fade_per_s, np.where(offset < np.inf, offset, 0.0))
        earned += fit
        if weights.silence:
            unfilled = np.clip(offset + length - tables.durations_s[track], 0.0, length)
            earned -= weights.silence * unfilled / length
        if w:
            earned += weights.smoothness * tables.gate[t] * tables.transition[track, previous]
            again = (actions[:, :w] == track[:, None]).sum(axis=1) + (track == previous)
            earned += np.where(new[:, w], REPEAT * again, 0.0)
        tracks[:, w] = track
        offset += length
    return _Played(earned, tracks, new.sum(axis=1))


def _themes(
    tables: Tables, tracks: Indices, n_segments: int, units_more: Floats, vectors_more: Floats
) -> Floats:
    """Return the theme of `tracks` [N, W] and more segments, given their sums [D]."""
    themes = np.zeros(len(tracks))
    if not tables.weights.theme or not tracks.size:
        return themes
    used = np.unique(tracks)
    place = np.searchsorted(used, tracks)
    units, vectors = unit_embeddings(tables)[used], tables.embeddings[used]
    if vectors.shape[1] > len(used) + 1:
        # In a base of what is heard, so that few numbers a track are added up.
        base = np.linalg.qr(np.vstack((vectors, vectors_more)).T)[0]
        units, vectors, vectors_more = units @ base, vectors @ base, vectors_more @ base
        units_more = units_more @ base
    block = max(1, 2_000_000 // (tracks.shape[1] * vectors.shape[1]))  # tens of megabytes
    for first in range(0, len(tracks), block):
        rows = place[first : first + block]
        mean = (vectors[rows].sum(axis=1) + vectors_more) / n_segments
        inner = np.einsum("nd,nd->n", units[rows].sum(axis=1) + units_more, mean) / n_segments
        norm = np.linalg.norm(mean, axis=1)
        worth = norm / (norm + 1e-6) > 1e-6
        themes[first : first + block] = np.where(worth, inner / np.where(worth, norm, 1.0), 0.0)
    return tables.weights.theme * themes
