"""Which tracks a policy chooses among, and what is known about them before an episode starts.

A policy that had one output for each track would serve one library only. Here it chooses among a
few candidates per segment, described by numbers that mean the same in every library, and
"continue". Candidates are found by the reward's own outlook: of `n_candidates`, a quarter each earn
most now, over three and over five segments, and the rest over nine, where a track that has ended
counts as `LOSS` below the best.

`CandidateStack` holds the candidates of many videos of any libraries side by side, with all
numbers that do not depend on what was chosen before; `features.CandidateEpisodes` plays on it.

Letters: `V` videos, `T` most segments of a video, `C` candidates, `K` tracks of a library, `U`
tracks of a library that are a candidate somewhere (its *universe*), `D` dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import UsageError
from segue.tasks.soundtrack.scoring import fading, unit_embeddings, weighted_alignment
from segue.tasks.soundtrack.tables import Floats, Tables

__all__ = ["FIXED_NUMBERS", "CandidateStack", "Outlook", "choose_candidates", "outlook"]

Indices = NDArray[np.int64]
Narrow = NDArray[np.float32]
Flags = NDArray[np.bool_]

DEPTH = 9
"""Segments that an outlook looks ahead, the present one included."""
LOSS = 0.45
"""What a segment costs, in the choice of candidates, where the track has ended."""
MILD_LOSS = 0.35
"""The same in the numbers that the policy sees."""
HORIZONS = (1, 3, 5, 9)
"""Segments over which candidates compete, a quarter of the places each."""
FIXED_NUMBERS = (
    *(f"fit minus best, +{i}" for i in range(4)),
    *(f"fit minus best, sum of {n}" for n in (2, 4, 8)),
    "segments it lasts / 8",
    "lasts to the end",
    "seconds left / 60",
    "fit",
    "silence",
    "best hand-over at +1",
    "best hand-over at +2",
    "best hand-over at its end",
)
"""Numbers of a candidate that do not depend on the past; in units of reward unless said."""
THEME_DIMENSIONS = 32
"""Embeddings of more dimensions are projected on their first principal ones for the features."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What every track earns if it is started at a segment and goes on."""

    gains: Floats
    """[T, DEPTH, K] reward of the i-th segment after the start less `best` there; NaN where the
    track has ended or is forbidden; 0 past the end of the video."""
    best: Floats
    """[T] best reward of starting any track, hand-over left out."""
    lasts: Indices
    """[T, K] segments that the track can play, at least 1 where it is allowed at all, not past the
    end of the video."""


def outlook(tables: Tables) -> Outlook:
    """Return the outlook of every track from every segment."""
    n_segments, n_tracks = tables.n_segments, tables.n_tracks
    fits, silence = weighted_alignment(tables), tables.weights.silence
    lengths, durations = tables.lengths_s, tables.durations_s
    now = fits
    if silence:
        now = fits - silence * np.maximum(1.0 - durations / lengths[:, None], 0.0)
    best = now.max(axis=1)
    clock = np.concatenate([[0.0], np.cumsum(lengths)])
    # First forbidden segment at or after t, T when there is none.
    barrier = np.full((n_segments + 1, n_tracks), n_segments)
    for t in reversed(range(n_segments)):
        barrier[t] = np.where(np.isfinite(fits[t]), barrier[t + 1], t)
    gains = np.zeros((n_segments, DEPTH, n_tracks))
    lasts = np.empty((n_segments, n_tracks), dtype=np.int64)
    for t in range(n_segments):
        elapsed = clock[t:n_segments] - clock[t]
        unforbidden = np.maximum(np.searchsorted(elapsed, durations), 1)
        lasts[t] = np.minimum(unforbidden, barrier[t] - t)
        gains[t, 0] = np.where(np.isfinite(now[t]), now[t] - best[t], np.nan)
        for i in range(1, min(DEPTH, n_segments - t)):
            gain = fits[t + i] * fading(tables.fade_per_s, elapsed[i]) - best[t + i]
            if silence:
                length = lengths[t + i]
                gain -= silence * np.clip(elapsed[i] + length - durations, 0, length) / length
            gains[t, i] = np.where(lasts[t] > i, gain, np.nan)
    return Outlook(gains=gains, best=best, lasts=lasts)


def choose_candidates(outlook: Outlook, n_candidates: int = 20) -> Indices:
    """Return the candidates of every segment, [T, C] track indices, -1 for an empty place.

    Every track that a segment allows is a candidate where there are not more than `n_candidates`.
    """
    n_segments, _, n_tracks = outlook.gains.shape
    chosen = np.full((n_segments, n_candidates), -1, dtype=np.int64)
    for t in range(n_segments):
        gains = outlook.gains[t]
        allowed = np.isfinite(gains[0])
        values = np.where(np.isnan(gains), -LOSS, gains)
        free, count = allowed.copy(), 0
        for place, horizon in enumerate(HORIZONS):
            wanted = n_candidates * (place + 1) // len(HORIZONS) - count
            scores = np.where(free, values[:horizon].sum(axis=0), -np.inf)
            wanted = min(wanted, int(free.sum()))
            if wanted <= 0:
                continue
            if wanted < n_tracks:
                top = np.argpartition(-scores, wanted - 1)[:wanted]
            else:
                top = np.arange(n_tracks)
            top = top[np.argsort(-scores[top], kind="stable")]
            chosen[t, count : count + wanted] = top
            free[top], count = False, count + wanted
    return chosen


class CandidateStack:
    """Candidates of many videos, padded to the longest one.

    Args:
        tables: one for each video; those that share the array `transition` share a library.
        n_candidates: candidates for each segment, C.

    Raises:
        UsageError: there is no video.
    """

    def __init__(self, tables: Sequence[Tables], n_candidates: int = 20) -> None:
        if not tables:
            raise UsageError("no video to choose candidates for")
        self.tables, self.n_candidates = tuple(tables), n_candidates
        self.n_videos = n_videos = len(tables)
        self.n_segments = np.array([table.n_segments for table in tables])
        self.longest = longest = int(self.n_segments.max())
        libraries = _libraries(tables)
        self.library = np.empty(n_videos, dtype=np.int64)
        self.universe: list[Indices] = []
        """Of each library: the track that each place of the universe stands for."""
        outlooks: list[Outlook] = []
        chosen: list[Indices] = []
        for index, members in enumerate(libraries):
            picks = []
            for v in members:
                self.library[v] = index
                view = outlook(tables[v])
                picks.append((v, view, choose_candidates(view, n_candidates)))
            used = np.unique(np.concatenate([pick.ravel() for _, _, pick in picks]))
            self.universe.append(used[used >= 0])
            for v, view, pick in picks:
                _put(outlooks, v, _narrowed(view, self.universe[-1]))
                _put(chosen, v, pick)

        # 1. Per library: hand-overs, durations and directions, one after the other.
        sizes = np.array([len(places) for places in self.universe])
        self.size = sizes[self.library]  # [V] U of each video
        self.track_base = np.concatenate([[0], np.cumsum(sizes)])[:-1][self.library]
        self.pair_base = np.concatenate([[0], np.cumsum(sizes**2)])[:-1][self.library]
        firsts = [tables[members[0]] for members in libraries]
        shared = list(zip(firsts, self.universe, strict=True))
        self.durations_s = np.concatenate([t.durations_s[u] for t, u in shared])
        self.transition = np.concatenate([t.transition[np.ix_(u, u)].ravel() for t, u in shared])
        spaces = [_span(t, u) for t, u in shared]
        self.vectors = _padded([vectors for vectors, _ in spaces])  # [sum U, D]
        self.units = _padded([units for _, units in spaces])
        self.directions = _padded([_principal(units) for _, units in spaces]).astype(np.float32)

        # 2. Per video, short rows.
        rows = (n_videos, longest + DEPTH)
        self.lengths_s, self.gate = np.ones(rows), np.zeros(rows)
        self.best = np.zeros(rows)
        self.clock_s = np.full((n_videos, longest + 1), np.inf)
        self.switch_cost = np.zeros((n_videos, longest + 6))
        self.target = np.zeros((n_videos, 2))
        self.weights = np.zeros((n_videos, 3))
        self.fade_per_s = np.array([table.fade_per_s for table in tables])
        for v, table in enumerate(tables):
            n = table.n_segments
            self.lengths_s[v, :n], self.gate[v, :n] = table.lengths_s, table.gate
            self.best[v, :n] = outlooks[v].best
            self.clock_s[v, : n + 1] = np.concatenate([[0.0], np.cumsum(table.lengths_s)])
            self.switch_cost[v] = table.switch_cost(np.arange(longest + 6))
            mean = float(table.target_values @ table.target_probabilities)
            square = float(table.target_values**2 @ table.target_probabilities)
            self.target[v] = mean, np.sqrt(max(square - mean**2, 0.0))
            weights = table.weights
            self.weights[v] = weights.smoothness, weights.theme, weights.silence
        left = np.arange(longest)[None] < self.n_segments[:, None]
        cuts = np.where(left, 1.0 - self.gate[:, :longest], 0.0)
        self.cuts_left = cuts[:, ::-1].cumsum(axis=1)[:, ::-1]

        # 3. Per video, segment and place of the universe: one video after the other.
        self.cell_base = np.concatenate([[0], np.cumsum(self.n_segments * self.size)])[:-1]
        self.fit = np.empty(int((self.n_segments * self.size).sum()))
        self.last = np.empty(len(self.fit), dtype=np.int16)
        """Segments a track may go on from here, by what is forbidden alone."""
        self.hand_over = np.empty(len(self.fit), dtype=np.float32)
        """Best reward of handing over from a track, less `best`."""
        self.candidates = np.zeros((n_videos, longest, n_candidates), dtype=np.int64)
        """Places in the universe."""
        self.valid = np.zeros((n_videos, longest, n_candidates), dtype=np.bool_)
        self.fixed = np.zeros((n_videos, longest, n_candidates, len(FIXED_NUMBERS)), np.float32)
        for v, table in enumerate(tables):
            self._fill(v, table, outlooks[v], chosen[v])

    def _fill(self, v: int, table: Tables, view: Outlook, chosen: Indices) -> None:
        universe, n = self.universe[self.library[v]], table.n_segments
        cells = slice(self.cell_base[v], self.cell_base[v] + n * len(universe))
        fits = weighted_alignment(table)[:, universe]
        self.fit[cells] = np.where(np.isfinite(fits), fits, 0.0).ravel()
        barrier = np.zeros((n + 1, len(universe)), dtype=np.int16)
        for t in reversed(range(n)):
            barrier[t] = np.where(np.isfinite(fits[t]), barrier[t + 1] + 1, 0)
        self.last[cells] = barrier[:n].ravel()
        valid = chosen >= 0
        places = np.where(valid, np.searchsorted(universe, np.maximum(chosen, universe[0])), 0)
        self.candidates[v, :n], self.valid[v, :n] = places, valid

        # Hand-overs from every place to the candidates of each segment, [T, U].
        smooth = table.weights.smoothness * table.transition[np.ix_(universe, universe)]
        hand_over = np.zeros((n + 3, len(universe)))
        now = np.take_along_axis(view.gains[:, 0], places, axis=1)
        now = np.where(valid, now, -np.inf)
        for t in range(1, n):
            reach = table.gate[t] * smooth[places[t]] + now[t][:, None]
            hand_over[t] = reach.max(axis=0)
        self.hand_over[cells] = hand_over[:n].ravel()

        # The fixed numbers of the candidates.
        steps = np.arange(n)[:, None]
        gains = view.gains[steps, :, places]  # [T, C, DEPTH]
        lasts = view.lasts[steps, places]
        shown = np.where(np.isnan(gains), -MILD_LOSS, gains)
        durations, lengths = table.durations_s[universe][places], table.lengths_s[:, None]
        silence = table.weights.silence * np.maximum(1.0 - durations / lengths, 0.0)
        numbers = [
            *(shown[..., i] for i in range(4)),
            *(shown[..., :i].sum(axis=-1) for i in (2, 4, 8)),
            np.minimum(lasts, 8) / 8,
            lasts >= n - steps,
            np.clip(durations - lengths, -60.0, 120.0) / 60,
            fits[steps, places],
            silence,
            hand_over[np.minimum(steps + 1, n), places],
            hand_over[np.minimum(steps + 2, n), places],
            hand_over[np.minimum(steps + lasts, n), places],
        ]
        fixed = np.stack(numbers, axis=-1)
        self.fixed[v, :n] = np.where(valid[..., None], fixed, 0.0)


def _libraries(tables: Sequence[Tables]) -> list[list[int]]:
    """Return the videos of each library."""
    groups: dict[tuple[int, int, int], list[int]] = {}
    for v, table in enumerate(tables):
        key = (id(table.transition), id(table.embeddings), id(table.durations_s))
        groups.setdefault(key, []).append(v)
    return list(groups.values())


def _put(rows: list, index: int, value: object) -> None:  # type: ignore[type-arg]
    """Write into a list that may still be too short."""
    rows.extend([None] * (index + 1 - len(rows)))
    rows[index] = value


def _narrowed(view: Outlook, universe: Indices) -> Outlook:
    return Outlook(gains=view.gains[:, :, universe], best=view.best, lasts=view.lasts[:, universe])


def _span(table: Tables, universe: Indices) -> tuple[Floats, Floats]:
    """Return embeddings and their directions in a base of at most U dimensions."""
    vectors, units = table.embeddings[universe], unit_embeddings(table)[universe]
    if vectors.shape[1] > len(universe):
        base = np.linalg.qr(vectors.T)[0]
        vectors, units = vectors @ base, units @ base
    return vectors, units


def _principal(units: Floats) -> Floats:
    if units.shape[1] <= THEME_DIMENSIONS:
        return units
    _, _, axes = np.linalg.svd(units, full_matrices=False)
    return np.asarray(units @ axes[:THEME_DIMENSIONS].T)


def _padded(parts: list[Floats]) -> Floats:
    width = max(part.shape[1] for part in parts)
    return np.concatenate([np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in parts])
