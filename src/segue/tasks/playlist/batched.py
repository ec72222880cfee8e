"""Many playlists at once, as a Stable-Baselines3 VecEnv over the candidates of the prior.

`BatchedPlaylist` plays `B` episodes of queries drawn at random from a pool. Its observation is one
row of numbers (`rl.candidate_policy`), its masks say what is allowed; where an episode ends the
next one begins, as the interface asks. All that decides the future is in `get_state`, so a training
can be continued to the same bits. Each episode is what `env.PlaylistEnv` plays.
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
from segue.rl.rewards import WeightedSum
from segue.tasks.playlist.env import bounds
from segue.tasks.playlist.episodes import Episodes, Flags, Indices, Narrow
from segue.tasks.playlist.pool import Pool
from segue.tasks.playlist.rewards import playlist_reward

__all__ = ["BatchedPlaylist"]

_NOISE = 2**62


class BatchedPlaylist(VecEnv):  # type: ignore[misc]
    """B lists in the making.

    Args:
        pool: queries; each is drawn with the same probability.
        n_envs: number of episodes, B.
        seed: of the draws.
        reward: what is paid; by default the preset `playlist`.
        length: tracks of a list.
        repeats: whether a track may stand in a list twice.
    """

    def __init__(
        self,
        pool: Pool,
        n_envs: int,
        seed: int,
        reward: WeightedSum | None = None,
        *,
        length: int = 5,
        repeats: bool = False,
    ) -> None:
        if n_envs < 1:
            raise UsageError(f"{n_envs} episodes at once: at least 1 is needed")
        self.pool, self.layout = pool, pool.layout
        self.rng = generator(seed, "playlist episodes")
        self.render_mode = None
        super().__init__(n_envs, bounds(pool), spaces.Discrete(pool.n_candidates))
        self.returns, self.steps = np.zeros(n_envs), np.zeros(n_envs, dtype=np.int64)
        self._actions: Indices = np.zeros(n_envs, dtype=np.int64)
        queries, noise = self._draw(n_envs)
        self.episodes = Episodes(
            pool, queries, noise, reward or playlist_reward(), length=length, repeats=repeats
        )

    def reset(self) -> Narrow:
        """Begin new episodes everywhere; return the observations."""
        self.episodes.restart(np.arange(self.num_envs), *self._draw(self.num_envs))
        self.returns[:] = self.steps[:] = 0
        return self.episodes.observe()

    def masks(self) -> Flags:
        """Return the allowed actions, [B, N]."""
        return self.episodes.open

    def step_async(self, actions: Indices) -> None:
        """Take the decisions, [B]."""
        self._actions = np.asarray(actions, dtype=np.int64).reshape(-1)

    def step_wait(self) -> tuple[Narrow, NDArray[np.float32], Flags, list[dict[str, Any]]]:
        """Return observations, rewards, ends and infos.

        Raises:
            UsageError: a decision is not allowed.
        """
        actions, lanes = self._actions, np.arange(self.num_envs)
        bad = ~self.episodes.open[lanes, actions]
        if bad.any():
            lane = int(bad.argmax())
            raise UsageError(
                f"action {actions[lane]} of episode {lane} is not allowed",
                advice="Choose among masks(); plain PPO does not, MaskablePPO does",
            )
        _, rewards, _, final = self.episodes.step(actions)
        self.returns += rewards
        self.steps += 1
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        ended = np.flatnonzero(final)
        if len(ended):
            last = self.episodes.observe()[ended]
            for row, lane in enumerate(ended.tolist()):
                length = int(self.steps[lane])
                infos[lane] = {
                    "episode": {"r": float(self.returns[lane]), "l": length, "t": 0.0},
                    "list": self.episodes.lists[lane, :length].tolist(),
                    "terminal_observation": last[row],
                }
            self.episodes.restart(ended, *self._draw(len(ended)))
            self.returns[ended] = self.steps[ended] = 0
        return self.episodes.observe(), rewards.astype(np.float32), final, infos

    def get_state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return arrays and JSON-like values that hold everything but the pool."""
        arrays = self.episodes.get_state()
        arrays |= {"returns": self.returns.copy(), "steps": self.steps.copy()}
        return arrays, {"rng": self.rng.bit_generator.state}

    def set_state(self, arrays: Mapping[str, NDArray[Any]], state: Mapping[str, Any]) -> Narrow:
        """Undo `get_state`; return the observations.

        Raises:
            RunError: it is the state of an environment of another size.
        """
        for name in ("returns", "steps"):
            if name not in arrays or arrays[name].shape != (self.num_envs,):
                raise RunError(f"the checkpoint's environment does not fit: '{name}'")
        self.episodes.set_state(arrays)
        self.returns, self.steps = arrays["returns"].copy(), arrays["steps"].copy()
        self.rng.bit_generator.state = state["rng"]
        return self.episodes.observe()

    def close(self) -> None:
        """Do nothing: there are no processes."""

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed the draws of queries and of chances."""
        if seed is not None:
            self.rng = generator(seed, "playlist episodes")
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
        return [self.episodes.open[i] for i in self._get_indices(indices)]

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

    def _draw(self, count: int) -> tuple[Indices, Indices]:
        queries = self.rng.integers(len(self.pool), size=count)
        return queries, self.rng.integers(_NOISE, size=count)
