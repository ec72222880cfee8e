"""State of Stable-Baselines3 algorithms for checkpoints, without pickles.

`algorithm_state` gives all that an algorithm needs to go on exactly between two updates, as a tree
for `torch_state.to_arrays`; `restore_algorithm` puts it back. Global generators are the run's
matter, environments are `ReplayableEnv`'s: an environment is brought back by playing the
decisions of its running episodes again.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from segue.core.errors import RunError
from segue.core.seeding import generator

__all__ = ["ReplayableEnv", "algorithm_state", "restore_algorithm"]

_COUNTERS = ("num_timesteps", "_n_updates", "_episode_num", "_n_calls", "exploration_rate")
_BUFFER = ("actions", "rewards", "dones", "timeouts")


class ReplayableEnv(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment that can be brought to the state in which another one was.

    Every episode is reset with a seed of its own, drawn from the wrapper's generator, and its
    decisions are remembered. Infos of last steps hold the episode's return and length.

    Args:
        env: deterministic once it is seeded.
        seed: of the episodes' seeds.
        label: tells environments of one seed apart.
    """

    def __init__(self, env: Any, seed: int, label: int) -> None:
        super().__init__(env)
        self._rng = generator(seed, "episodes", label)
        self._seed, self._decisions, self._return = 0, [], 0.0  # type: ignore[var-annotated]

    def action_masks(self) -> Any:
        """Return the allowed actions of the environment."""
        return self.env.get_wrapper_attr("action_masks")()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode with a seed of its own; `seed` is not used."""
        self._seed = int(self._rng.integers(2**31))
        return self._begin()

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Make a decision."""
        self._decisions.append(np.asarray(action).tolist())
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._return += float(reward)
        if terminated or truncated:
            count = len(self._decisions)
            info = info | {"episode": {"r": self._return, "l": count, "t": 0.0}}
        return observation, reward, terminated, truncated, info

    def get_state(self) -> dict[str, Any]:
        """Return the state as JSON-like values."""
        return {
            "rng": self._rng.bit_generator.state,
            "seed": self._seed,
            "decisions": list(self._decisions),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Undo `get_state` by playing the running episode again."""
        self._rng.bit_generator.state = state["rng"]
        self._seed = state["seed"]
        self._begin()
        for decision in state["decisions"]:
            self.step(np.asarray(decision))

    def _begin(self) -> tuple[Any, dict[str, Any]]:
        self._decisions, self._return = [], 0.0
        return self.env.reset(seed=self._seed)


def algorithm_state(model: Any) -> dict[str, Any]:
    """Return the state of PPO, A2C, DQN or MaskablePPO between two updates."""
    state = {
        "policy": model.policy.state_dict(),
        "optimizer": model.policy.optimizer.state_dict(),
        "counters": {n: float(getattr(model, n)) for n in _COUNTERS if hasattr(model, n)},
        "observation": dict(model._last_obs),
        "starts": model._last_episode_starts,
        "exploration": model.action_space.np_random.bit_generator.state,
        "buffer": None,
    }
    if buffer := getattr(model, "replay_buffer", None):
        filled = slice(0, buffer.buffer_size if buffer.full else buffer.pos)
        state["buffer"] = {
            "pos": buffer.pos,
            "full": buffer.full,
            "seen": {k: v[filled] for k, v in buffer.observations.items()},
            "next": {k: v[filled] for k, v in buffer.next_observations.items()},
            **{name: getattr(buffer, name)[filled] for name in _BUFFER},
        }
    return state


def restore_algorithm(model: Any, state: dict[str, Any]) -> None:
    """Undo `algorithm_state`, on a model of the same settings after `_setup_learn`.

    Raises:
        RunError: the state is of another kind of model.
    """
    try:
        model.policy.load_state_dict(state["policy"])
        model.policy.optimizer.load_state_dict(state["optimizer"])
        for name, value in state["counters"].items():
            setattr(model, name, type(getattr(model, name))(value))
        model._last_obs = state["observation"]
        model._last_episode_starts = state["starts"]
        model.action_space.np_random.bit_generator.state = state["exploration"]
        kept = state["buffer"]
        if kept is not None:
            buffer = model.replay_buffer
            buffer.pos, buffer.full = kept["pos"], kept["full"]
            for name in _BUFFER:
                getattr(buffer, name)[: len(kept[name])] = kept[name]
            for key, seen in kept["seen"].items():
                buffer.observations[key][: len(seen)] = seen
                buffer.next_observations[key][: len(seen)] = kept["next"][key]
    except (KeyError, RuntimeError, ValueError, AttributeError, TypeError) as error:
        raise RunError(f"the checkpoint is of another agent: {error}") from None
