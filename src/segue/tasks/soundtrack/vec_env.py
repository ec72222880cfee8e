"""Many soundtrack episodes at once, as a Stable-Baselines3 VecEnv over candidates.

`CandidateVecEnv` plays `B` episodes of videos drawn at random from a `CandidateStack`: different
films, libraries and settings side by side. Its observation is one row of numbers
(`rl.candidate_policy`), its actions are candidates and "continue", its masks say what is allowed.
Where an episode ends the next one begins, as the interface asks.

Rewards are those of `scoring.score`, the switch term paid at every switch. A user's own reward
terms (`rewards.extra_reward`), which no planner knows, are added on top.

All that decides the future is in `get_state`, so a training can be continued to the same bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from segue.core.errors import RunError, UsageError
from segue.core.seeding import generator
from segue.rl.candidate_policy import CandidateLayout
from segue.rl.rewards import WeightedSum
from segue.tasks.soundtrack.candidates import CandidateStack, Flags, Indices, Narrow
from segue.tasks.soundtrack.features import (
    CANDIDATE_NUMBERS,
    EPISODE_STATE,
    SHARPNESS,
    STATE_NUMBERS,
    CandidateEpisodes,
)
from segue.tasks.soundtrack.rewards import Steps
from segue.tasks.soundtrack.tables import Floats

__all__ = ["CandidateVecEnv", "candidate_layout", "decided_steps"]


def candidate_layout(n_candidates: int) -> CandidateLayout:
    """Return how observations of this task are laid out."""
    return CandidateLayout(
        n_actions=n_candidates + 1,
        candidate_numbers=len(CANDIDATE_NUMBERS),
        state_numbers=len(STATE_NUMBERS),
        prior_number=CANDIDATE_NUMBERS.index("immediate reward minus best"),
        sharpness=SHARPNESS,
    )


class CandidateVecEnv(VecEnv):  # type: ignore[misc]
    """B episodes over the videos of a stack.

    Args:
        stack: the videos; each is drawn with the same probability.
        n_envs: number of episodes, B.
        seed: of the draws.
        extra: reward terms besides those of the tables, see `rewards.extra_reward`.
    """

    def __init__(
        self, stack: CandidateStack, n_envs: int, seed: int, extra: WeightedSum | None = None
    ) -> None:
        if n_envs < 1:
            raise UsageError(f"{n_envs} episodes at once: at least 1 is needed")
        self.stack, self.extra_terms = stack, extra if extra and extra.parts else None
        self.layout = candidate_layout(stack.n_candidates)
        self.rng = generator(seed, "soundtrack episodes")
        self.render_mode = None
        super().__init__(
            n_envs,
            spaces.Box(-np.inf, np.inf, (self.layout.size,), np.float32),
            spaces.Discrete(self.layout.n_actions),
        )
        self.returns, self.steps = np.zeros(n_envs), np.zeros(n_envs, dtype=np.int64)
        self.extra_returns = np.zeros(n_envs)
        """What the extra terms paid so far in each episode."""
        self._after_end = np.zeros(self.layout.size, dtype=np.float32)
        self._after_end.flags.writeable = False
        self._actions: Indices = np.zeros(n_envs, dtype=np.int64)
        self.reset()

    def reset(self) -> Narrow:
        """Begin new episodes everywhere; return the observations."""
        self.episodes = CandidateEpisodes(self.stack, self._draw(self.num_envs))
        self.returns[:] = self.extra_returns[:] = self.steps[:] = 0
        return self.observe()

    def observe(self) -> Narrow:
        """Return the observations of what is to be decided now, [B, size]."""
        numbers = self.episodes.numbers()
        self._mask = numbers.mask
        return np.concatenate(
            [numbers.candidates.reshape(self.num_envs, -1), numbers.state], axis=1
        )

    def masks(self) -> Flags:
        """Return the allowed actions, [B, N]."""
        return self._mask

    def step_async(self, actions: Indices) -> None:
        """Take the decisions, [B]."""
        self._actions = np.asarray(actions, dtype=np.int64).reshape(-1)

    def step_wait(self) -> tuple[Narrow, Narrow, Flags, list[dict[str, Any]]]:
        """Return observations, rewards, ends and infos.

        Raises:
            UsageError: a decision is not allowed.
        """
        actions, lanes = self._actions, np.arange(self.num_envs)
        bad = ~self._mask[lanes, actions]
        if bad.any():
            lane = int(bad.argmax())
            raise UsageError(
                f"action {actions[lane]} of episode {lane} is not allowed",
                advice="Choose among masks(); plain PPO does not, MaskablePPO does",
            )
        decided = None
        if self.extra_terms is not None:
            decided = _before(self.episodes, actions)
        rewards, final = self.episodes.step(actions)
        if self.extra_terms is not None and decided is not None:
            paid, _ = self.extra_terms(_after(self.episodes, decided, final))
            rewards = rewards + paid
            self.extra_returns += paid
        self.returns += rewards
        self.steps += 1
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        ended = np.flatnonzero(final)
        for lane in ended.tolist():
            length = int(self.steps[lane])
            infos[lane] = {
                "episode": {"r": float(self.returns[lane]), "l": length, "t": 0.0},
                "extra_return": float(self.extra_returns[lane]),
                "terminal_observation": self._after_end,
            }
        if len(ended):
            self.episodes.restart(ended, self._draw(len(ended)))
            self.returns[ended] = self.extra_returns[ended] = self.steps[ended] = 0
        return self.observe(), rewards.astype(np.float32), final, infos

    def get_state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return arrays and JSON-like values that hold everything but the stack."""
        episodes = self.episodes
        arrays = {name: getattr(episodes, name).copy() for name in EPISODE_STATE}
        arrays |= {name: getattr(self, name).copy() for name in _LANES}
        return arrays, {"rng": self.rng.bit_generator.state}

    def set_state(self, arrays: Mapping[str, NDArray[Any]], state: Mapping[str, Any]) -> Narrow:
        """Undo `get_state`; return the observations.

        Raises:
            RunError: it is the state of an environment of another size.
        """
        episodes = CandidateEpisodes(self.stack, self.episodes.video)
        for name in (*EPISODE_STATE, *_LANES):
            holder = self if name in _LANES else episodes
            if name not in arrays or arrays[name].shape != getattr(holder, name).shape:
                raise RunError(f"the checkpoint's environment does not fit: '{name}'")
            setattr(holder, name, arrays[name].copy())
        if (episodes.video >= self.stack.n_videos).any():
            raise RunError("the checkpoint's environment has more videos")
        self.episodes = episodes
        self.rng.bit_generator.state = state["rng"]
        return self.observe()

    def close(self) -> None:
        """Do nothing: there are no processes."""

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed the draws of videos."""
        if seed is not None:
            self.rng = generator(seed, "soundtrack episodes")
        return [seed] * self.num_envs

    def has_attr(self, attr_name: str) -> bool:
        """Say whether the environment has an attribute."""
        return attr_name == "action_masks" or hasattr(self, attr_name)

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute once per episode; it is the same for all."""
        return [getattr(self, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refuse: an episode has no attributes of its own."""
        raise NotImplementedError("the episodes of a batch have no attributes of their own")

    def env_method(
        self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any
    ) -> list[Any]:
        """Call `action_masks`, the only method that an episode has."""
        if method_name != "action_masks":
            raise NotImplementedError(f"an episode of a batch has no method '{method_name}'")
        return [self._mask[i] for i in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Return False for each episode."""
        return [False for _ in self._get_indices(indices)]

    def get_images(self) -> Sequence[None]:
        """Return no images."""
        return [None] * self.num_envs

    def _get_indices(self, indices: Any) -> Iterable[int]:
        if indices is None:
            return range(self.num_envs)
        return [indices] if isinstance(indices, int) else list(indices)

    def _draw(self, count: int) -> Indices:
        return self.rng.integers(self.stack.n_videos, size=count)


_LANES = ("returns", "extra_returns", "steps")


def decided_steps(episodes: CandidateEpisodes, actions: Indices) -> tuple[Steps, Floats, Flags]:
    """Make the decisions and describe them for reward terms.

    Returns:
        The steps, in terms of the library; the table's rewards, [B]; the ends, [B].
    """
    before = _before(episodes, actions)
    rewards, final = episodes.step(actions)
    return _after(episodes, before, final), rewards, final


def _before(episodes: CandidateEpisodes, actions: Indices) -> dict[str, Any]:
    """Return what is known before the step."""
    stack, v, t = episodes.stack, episodes.video.copy(), episodes.segment.copy()
    previous = episodes.track.copy()
    goes_on = actions == stack.n_candidates
    chosen = stack.candidates[v, t, np.where(goes_on, 0, actions)]
    place = np.where(goes_on, previous, chosen)
    played = previous >= 0
    earlier = episodes.starts[np.arange(len(v)), place] + (played & (place == previous))
    pair = stack.pair_base[v] + place * stack.size[v] + np.maximum(previous, 0)
    return {
        "video": v,
        "segment": t,
        "place": place,
        "before": previous,
        "started": ~goes_on,
        "earlier": np.where(goes_on, 0.0, earlier).astype(np.float64),
        "start_s": np.where(goes_on, episodes.elapsed_s, 0.0),
        "transition": np.where(played, stack.transition.take(pair), 0.0),
    }


def _after(episodes: CandidateEpisodes, known: dict[str, Any], final: Flags) -> Steps:
    """Complete what was known before the step."""
    stack, v, t, place = episodes.stack, known["video"], known["segment"], known["place"]
    names, before = _library_names(stack), known["before"]
    base = stack.track_base[v]
    n_tracks = np.array([table.n_tracks for table in stack.tables])[v]
    norm = np.linalg.norm(episodes._vectors, axis=1)
    inner = (episodes._vectors * episodes._units).sum(axis=1)
    theme = inner / np.maximum(norm, 1e-300) / stack.n_segments[v]
    weight = np.array([table.weights.switch for table in stack.tables])[v]
    cost = stack.switch_cost[v, episodes.switches]
    return Steps(
        video=v,
        segment=t,
        track=names[base + place],
        previous=np.where(before >= 0, names[base + np.maximum(before, 0)], n_tracks),
        started=known["started"],
        earlier=known["earlier"],
        start_s=known["start_s"],
        length_s=stack.lengths_s[v, t],
        duration_s=stack.durations_s[base + place],
        fit=stack.fit.take(stack.cell_base[v] + t * stack.size[v] + place),
        transition=known["transition"],
        gate=stack.gate[v, t],
        illegal=np.zeros(len(v), dtype=np.bool_),
        final=final,
        switch_gap=np.where(final & (weight > 0), -cost / np.maximum(weight, 1e-300), 0.0),
        theme=np.where(final, theme, 0.0),
        fade_per_s=float(stack.fade_per_s[0]),
    )


def _library_names(stack: CandidateStack) -> Indices:
    """Return the track of each place of the concatenated universes."""
    return np.concatenate(stack.universe)
