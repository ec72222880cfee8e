"""What every action of every state is worth, from the reward tables alone.

A plan is a sequence of runs (a track and the segments it plays on). Without the memory of which
tracks were used before, the best rest of an episode depends on the segment, the number of switches
so far and the track only, and one backward recursion finds it for all of them:

    begin[s, c, k]  = max over n of  run(s, n, k) + follow[s + n, c, k]
    follow[e, c, j] = max over k of  w gate[e] transition[k, j] + begin[e, c + 1, k]  (- 2, k = j)
    follow[T, c, j] = -w E|c - target|

over the candidates k of each segment. The theme is added as w / T times the cosine of each
segment's track with one given direction, that of a good plan. The value of an action in a state is
then exact but for repetitions and the change of the theme's direction; the repetition that the
action itself is gets charged. This is the teacher of DAgger (`imitation`).

Letters: `T` segments, `C` candidates, `U` universe, `N` states of one video, `M` most switches.
"""

from __future__ import annotations

import numpy as np

from segue.tasks.soundtrack.candidates import CandidateStack, Flags, Indices
from segue.tasks.soundtrack.scoring import REPEAT
from segue.tasks.soundtrack.tables import Floats

__all__ = ["ActionValues"]


class ActionValues:
    """The recursion for one video.

    Args:
        stack: the videos.
        video: which of them.
        direction: [D] of the theme, in the base of `stack.units`; length 1, or 0 for no theme.
    """

    def __init__(self, stack: CandidateStack, video: int, direction: Floats) -> None:
        self._stack, self._video = stack, video
        n, size = int(stack.n_segments[video]), int(stack.size[video])
        tracks = slice(stack.track_base[video], stack.track_base[video] + size)
        pairs = slice(stack.pair_base[video], stack.pair_base[video] + size**2)
        cells = slice(stack.cell_base[video], stack.cell_base[video] + n * size)
        smoothness, theme, self._silence = stack.weights[video].tolist()
        self._n, self._size = n, size
        self._durations_s = stack.durations_s[tracks]
        self._smooth = smoothness * stack.transition[pairs].reshape(size, size)
        self._fit = stack.fit[cells].reshape(n, size)
        self._allowed = stack.last[cells].reshape(n, size) > 0
        self._theme = theme / n * (stack.units[tracks] @ direction)
        self._gate, self._lengths_s = stack.gate[video], stack.lengths_s[video]
        self._end = stack.switch_cost[video, : n + 2]
        self._solve()

    def _solve(self) -> None:
        stack, n, size = self._stack, self._n, self._size
        self._begin = np.full((n, n + 2, stack.n_candidates), -np.inf)
        self._follow = np.full((n + 1, n + 2, size), -np.inf)
        self._follow[n] = self._end[:, None]
        for s in reversed(range(n)):
            places = stack.candidates[self._video, s]
            valid = stack.valid[self._video, s]
            runs = self._runs(s, places, np.zeros(len(places)))  # [C, T - s]
            after = self._follow[s + 1 :, :, places]  # [T - s, M, C]
            begin = (runs.T[:, None] + after).max(axis=0)
            self._begin[s] = np.where(valid, begin, -np.inf)
            if s:
                step = self._gate[s] * self._smooth[places]  # [C, U]
                step[np.arange(len(places)), places] += 2 * REPEAT
                rest = self._begin[s, 1:, :, None] + step  # one switch more
                self._follow[s, :-1] = rest.max(axis=1)

    def of(
        self,
        segment: Indices,
        track: Indices,
        elapsed_s: Floats,
        switches: Indices,
        starts: Indices,
        mask: Flags,
    ) -> Floats:
        """Return the value of every action, [N, C + 1]; minus infinity where `mask` is False.

        Args:
            segment: [N] of the decision.
            track: [N] place in the universe of the track that plays, -1 before the first one.
            elapsed_s: [N] how much of it has been heard.
            switches: [N] so far.
            starts: [N, >= U] how often each track was started.
            mask: [N, C + 1] allowed actions.
        """
        stack, n_states = self._stack, len(segment)
        places = stack.candidates[self._video, segment]  # [N, C]
        playing, current = track >= 0, np.maximum(track, 0)
        rows = np.arange(n_states)[:, None]
        values = np.empty((n_states, stack.n_candidates + 1))
        after = np.minimum(switches + playing, self._n + 1)
        smooth = self._gate[segment][:, None] * self._smooth[places, current[:, None]]
        again = starts[rows, places] + ((places == track[:, None]) & playing[:, None])
        values[:, :-1] = self._begin[segment, after] + REPEAT * again
        values[:, :-1] += np.where(playing[:, None], smooth, 0.0)
        for i in range(n_states):
            s = int(segment[i])
            values[i, -1] = -np.inf
            if mask[i, -1]:
                runs = self._runs(s, current[i : i + 1], elapsed_s[i : i + 1])[0]
                runs = runs + self._gate[s] * self._smooth[current[i], current[i]]
                follow = self._follow[s + 1 :, min(int(switches[i]), self._n + 1), current[i]]
                values[i, -1] = (runs + follow).max()
        return np.where(mask, values, -np.inf)

    def _runs(self, s: int, places: Indices, elapsed_s: Floats) -> Floats:
        """Return [P, T - s] what tracks earn in 1, 2, ... segments from s.

        They are taken to be allowed in s; the hand-over into s is left out.
        """
        lengths = self._lengths_s[s : self._n]
        before = np.concatenate([[0.0], np.cumsum(lengths)[:-1]])
        elapsed = elapsed_s[:, None] + before  # [P, T - s]
        durations = self._durations_s[places][:, None]
        gains = self._fit[s:, places].T + self._theme[places][:, None]
        fade = float(self._stack.fade_per_s[self._video])
        if fade:
            gains = gains + self._fit[s:, places].T * (np.exp(-fade * elapsed) - 1.0)
        if self._silence:
            silent = np.clip(elapsed + lengths - durations, 0.0, lengths) / lengths
            gains = gains - self._silence * silent
        stay = self._gate[s + 1 : self._n] * self._smooth[places, places][:, None]
        gains[:, 1:] += stay
        gone = (elapsed >= durations) | ~self._allowed[s:, places].T
        gone[:, 0] = False
        gains = np.where(np.logical_or.accumulate(gone, axis=1), -np.inf, gains)
        return np.asarray(np.cumsum(gains, axis=1))
