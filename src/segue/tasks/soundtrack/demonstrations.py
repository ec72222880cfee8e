"""What a teacher shows: the planner's plans, and the value of every action in any state met.

Letters: `V` videos, `T` most segments, `N` decisions, `C` candidates, `F`, `S` numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from segue.core.progress import Advance, silent
from segue.rl.pointer import NumpyPointer, log_softmax
from segue.tasks.soundtrack.agents import make_agent
from segue.tasks.soundtrack.agents.returns import returns
from segue.tasks.soundtrack.candidates import CandidateStack, Flags, Indices, Narrow
from segue.tasks.soundtrack.features import CandidateEpisodes, Numbers
from segue.tasks.soundtrack.tables import Floats, Tables
from segue.tasks.soundtrack.values import ActionValues

__all__ = ["Decisions", "Teacher", "plan_actions"]

_BLOCK = 128
"""Videos labelled at a time: a few tens of megabytes of action values."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decisions:
    """Labelled decisions."""

    candidates: Narrow
    """[N, C + 1, F]."""
    state: Narrow
    """[N, S]."""
    mask: Flags
    """[N, C + 1]."""
    prior: Narrow
    """[N, C + 1]."""
    target: Narrow
    """[N, C + 1] probabilities that the policy should have."""

    def __len__(self) -> int:
        return len(self.state)

    @classmethod
    def of(cls, numbers: Numbers, target: Narrow) -> Self:
        """Return what a policy saw, with its labels."""
        return cls(
            candidates=numbers.candidates,
            state=numbers.state,
            mask=numbers.mask,
            prior=numbers.prior,
            target=target,
        )

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return all decisions of `parts`."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in names})


def plan_actions(tables: Sequence[Tables], advance: Advance = silent) -> Indices:
    """Return the planner's library actions, [V, T], -1 past the end of a video."""
    planner, rng = make_agent("planner"), np.random.default_rng(0)
    plans = np.full((len(tables), max(t.n_segments for t in tables)), -1, dtype=np.int64)
    for v, table in enumerate(tables):
        plans[v, : table.n_segments] = planner.plan(table, rng).actions
        advance(1 / len(tables))
    return plans


class Teacher:
    """Labels for the states of many videos.

    Args:
        stack: the videos.
        plans: [V, T] of `plan_actions` on the same videos; each gives the theme of its video.
    """

    def __init__(self, stack: CandidateStack, plans: Indices) -> None:
        self._stack, self._plans = stack, plans
        self._values: dict[int, ActionValues] = {}

    def cloned(self) -> tuple[Decisions, int]:
        """Return the decisions of the plans, and how many plans were left early.

        A plan is left where it starts a track that is no candidate.
        """
        stack, skipped = self._stack, 0
        parts: list[Decisions] = []
        lanes = np.arange(stack.n_videos)
        episodes = CandidateEpisodes(stack, lanes)
        while len(lanes):
            actions = self._candidate_actions(episodes)
            known = np.flatnonzero(actions >= 0)
            skipped += len(actions) - len(known)
            lanes, episodes, actions = lanes[known], episodes.take(known), actions[known]
            if not len(lanes):
                break
            numbers = episodes.numbers()
            target = np.zeros(numbers.mask.shape, dtype=np.float32)
            target[np.arange(len(lanes)), actions] = 1.0
            parts.append(Decisions.of(numbers, target))
            _, final = episodes.step(actions)
            going = np.flatnonzero(~final)
            lanes, episodes = lanes[going], episodes.take(going)
        return Decisions.joined(parts), skipped

    def shortfall(self) -> Floats:
        """Return [V] how much less than the plan one earns by following the action values.

        They forget repetitions, so a small library, where every plan repeats, misleads them.
        """
        stack = self._stack
        earned = np.zeros(stack.n_videos)
        for lanes in self._blocks(np.arange(stack.n_videos)):
            episodes = CandidateEpisodes(stack, lanes)
            while len(lanes):
                values = self.values(episodes, episodes.numbers().mask)
                reward, final = episodes.step(values.argmax(axis=1))
                earned[lanes] += reward
                going = np.flatnonzero(~final)
                lanes, episodes = lanes[going], episodes.take(going)
        planned = [
            returns(table, plan[None, : table.n_segments])[0]
            for table, plan in zip(stack.tables, self._plans, strict=True)
        ]
        return np.array(planned) - earned

    def play(
        self,
        policy: NumpyPointer,
        rng: np.random.Generator,
        videos: Indices,
        expert_share: float = 0.0,
    ) -> Indices:
        """Return sampled actions of a policy, [V, T], -1 past the end and for other videos.

        Args:
            policy: plays.
            rng: of the samples.
            videos: to be played.
            expert_share: probability that the teacher decides instead.
        """
        stack = self._stack
        played = np.full((stack.n_videos, stack.longest), -1, dtype=np.int64)
        for lanes in self._blocks(videos):
            episodes = CandidateEpisodes(stack, lanes)
            while len(lanes):
                seen = episodes.numbers()
                logits, _ = policy(seen.candidates, seen.state, seen.mask, seen.prior)
                chance = np.exp(log_softmax(logits)) * seen.mask
                edges = np.cumsum(chance, axis=1, dtype=np.float64)
                draws = rng.random(len(lanes)) * edges[:, -1]
                actions = (edges <= draws[:, None]).sum(axis=1)
                if expert_share:
                    rows = np.flatnonzero(rng.random(len(lanes)) < expert_share)
                    if rows.size:
                        values = self.values(episodes.take(rows), seen.mask[rows])
                        actions[rows] = values.argmax(axis=1)
                played[lanes, episodes.segment] = actions
                _, final = episodes.step(actions)
                going = np.flatnonzero(~final)
                lanes, episodes = lanes[going], episodes.take(going)
        return played

    def labelled(self, played: Indices, temperature: float) -> Decisions:
        """Return the decisions met by playing `played`, labelled softmax(Q / temperature)."""
        stack, decisions = self._stack, []
        for lanes in self._blocks(np.flatnonzero(played[:, 0] >= 0)):
            episodes = CandidateEpisodes(stack, lanes)
            while len(lanes):
                seen = episodes.numbers()
                values = self.values(episodes, seen.mask)
                values = (values - values.max(axis=1, keepdims=True)) / temperature
                target = np.exp(np.maximum(values, -80.0)) * seen.mask
                target /= target.sum(axis=1, keepdims=True)
                decisions.append(Decisions.of(seen, target.astype(np.float32)))
                _, final = episodes.step(played[lanes, episodes.segment])
                going = np.flatnonzero(~final)
                lanes, episodes = lanes[going], episodes.take(going)
        return Decisions.joined(decisions)

    def values(self, episodes: CandidateEpisodes, mask: Flags) -> Floats:
        """Return the value of every action, [B, C + 1], minus infinity where it is forbidden."""
        values = np.empty(mask.shape)
        order = np.argsort(episodes.video, kind="stable")
        edges = np.flatnonzero(np.diff(episodes.video[order], prepend=-1))
        for rows in np.split(order, edges[1:]):
            v = int(episodes.video[rows[0]])
            if v not in self._values:
                self._values[v] = self._action_values(v)
            values[rows] = self._values[v].of(
                episodes.segment[rows],
                episodes.track[rows],
                episodes.elapsed_s[rows],
                episodes.switches[rows],
                episodes.starts[rows].astype(np.int64),
                mask[rows],
            )
        return values

    def _blocks(self, videos: Indices) -> Iterator[Indices]:
        """Give videos in blocks; the action values of one block are in memory at a time."""
        for first in range(0, len(videos), _BLOCK):
            yield videos[first : first + _BLOCK]
            self._values.clear()

    def _action_values(self, v: int) -> ActionValues:
        stack = self._stack
        table, universe = stack.tables[v], stack.universe[stack.library[v]]
        actions = self._plans[v, : table.n_segments]
        starts = np.where(actions < table.n_tracks, np.arange(len(actions)), 0)
        heard = actions[np.maximum.accumulate(starts)]
        places = np.searchsorted(universe, heard).clip(0, len(universe) - 1)
        direction = stack.units[stack.track_base[v] + places].sum(axis=0)
        norm = float(np.linalg.norm(direction))
        return ActionValues(stack, v, direction / norm if norm > 0 else direction)

    def _candidate_actions(self, episodes: CandidateEpisodes) -> Indices:
        """Return the plan's next action in terms of the candidates, [B], -1 where it is none."""
        stack = self._stack
        actions = np.full(len(episodes.video), -1, dtype=np.int64)
        for b, (v, t) in enumerate(zip(episodes.video, episodes.segment, strict=True)):
            wanted = self._plans[v, t]
            if wanted == stack.tables[v].n_tracks:
                actions[b] = stack.n_candidates
                continue
            tracks = stack.universe[stack.library[v]][stack.candidates[v, t]]
            hits = np.flatnonzero((tracks == wanted) & stack.valid[v, t])
            if hits.size:
                actions[b] = hits[0]
        return actions
