"""The original's agents: one output for each track of one library.

PPO, A2C, DQN and MaskablePPO of Stable-Baselines3 with its multi-input policies, on
`SoundtrackEnv` or, with `environment = "MultiDiscrete"`, on the older environment. Presets hold the
original's settings (`presets/original*.toml`). Such a policy is of no use for another library;
`tune --set method=dagger` or `ppo` makes one that is.

Different from the original: the best model is chosen on validation videos rather than on test
videos, episodes have seeds, and a run can be killed and continued to the same bits.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segue.core.config import Config
from segue.core.errors import ConfigError, UsageError
from segue.core.names import unknown
from segue.core.progress import Advance, silent
from segue.core.run import Run
from segue.core.seeding import generator, seed_everything
from segue.tasks.soundtrack.config import SoundtrackConfig
from segue.tasks.soundtrack.data import Dataset
from segue.tasks.soundtrack.folder import load_dataset
from segue.tasks.soundtrack.multi_env import make_multi
from segue.tasks.soundtrack.pretrain import fingerprint_of
from segue.tasks.soundtrack.prior import Prior, default_prior, split_videos

__all__ = ["OriginalConfig", "make_env", "train_original"]

Algorithm = Literal["maskable-ppo", "ppo", "a2c", "dqn"]

_CLASSES = {
    "maskable-ppo": ("sb3_contrib", "MaskablePPO"),
    "ppo": ("stable_baselines3", "PPO"),
    "a2c": ("stable_baselines3", "A2C"),
    "dqn": ("stable_baselines3", "DQN"),
}
_OURS = {"policy", "env", "seed", "device", "verbose", "tensorboard_log", "_init_setup_model"}


class OriginalConfig(Config):
    """An agent with one output for each track; the defaults are those that shipped."""

    algorithm: Algorithm = "maskable-ppo"
    """Which class; all with MultiInputPolicy."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the class, such as n_steps; the library's defaults otherwise."""
    environments: int = Field(8, ge=1)
    """Episodes played side by side."""
    timesteps: int = Field(30_000_000, ge=1)
    """Decisions to learn from."""
    evaluate_every: int = Field(100_000, ge=1)
    """Decisions between validations, each of which also writes a checkpoint."""
    evaluation_episodes: int = Field(40, ge=1)
    """Episodes of a validation."""
    seed: int = Field(28, ge=0)
    """Of initial weights, videos and actions."""


def make_env(
    dataset: Dataset, config: SoundtrackConfig, videos: Sequence[int], prior: Prior, random: bool
) -> Any:
    """Return the environment that `config` names, over some videos."""
    if config.environment == "MultiDiscrete" and config.profile == "reference":
        return make_multi(dataset, config, videos=videos)
    from segue.tasks.soundtrack.env import SoundtrackEnv

    make: Callable[..., Any] = (
        make_multi if config.environment == "MultiDiscrete" else (SoundtrackEnv)
    )
    return make(dataset, config, prior=prior, videos=videos, random=random)


def train_original(
    run_folder: Path,
    whole: Config,
    data: Path,
    task: SoundtrackConfig,
    config: OriginalConfig,
    validation_share: float,
    *,
    resume: bool = False,
    advance: Advance = silent,
) -> dict[str, Any]:
    """Train an agent of the original in a run folder.

    Args:
        run_folder: new, or with `resume` one that was begun.
        whole: configuration to keep in the run, of which the following are parts.
        data: a prepared folder.
        task: environment, reward, mode and division of the videos.
        config: the agent.
        validation_share: share of the training videos that chooses the best model.
        resume: go on from the last checkpoint.
        advance: called with amounts that add up to 1.

    Returns:
        What came out, also in result.json: mean returns on validation and test videos of the best
        model, beside those of random and greedy decisions in the same episodes.

    Raises:
        ConfigError: a setting that the algorithm does not know.
        UsageError: the algorithm cannot act in the environment.
    """
    _check(task, config)
    dataset = load_dataset(data, task.profile)
    hash_ = fingerprint_of(dataset)
    run: Run[Any] = (
        Run.open(run_folder, type(whole), data_hash=hash_)
        if resume
        else Run.create(run_folder, whole, data_hash=hash_)
    )
    with run:
        trainer = _Trainer(run, dataset, task, config, validation_share, advance)
        return trainer.train()


class _Trainer:
    """One training of one agent."""

    def __init__(
        self,
        run: Run[Any],
        dataset: Dataset,
        task: SoundtrackConfig,
        config: OriginalConfig,
        validation_share: float,
        advance: Advance,
    ) -> None:
        import torch
        from stable_baselines3.common.vec_env import DummyVecEnv

        from segue.rl.sb3_state import ReplayableEnv
        from segue.tasks.soundtrack.training_data import training_split

        torch.set_num_threads(1)
        self._run, self._config, self._advance = run, config, advance
        self._dataset, self._task = dataset, task
        self._prior = default_prior(dataset, task)
        train, validation, self._notes = training_split(dataset, task, validation_share)
        _, test = split_videos(len(dataset.videos), task.data.split_ratio, task.data.split_seed)
        self._videos = {"train": train, "validation": validation, "test": sorted(test)}
        self._judges: dict[str, Any] = {}
        seed_everything(config.seed)
        self._envs = [
            ReplayableEnv(make_env(dataset, task, train, self._prior, True), config.seed, index)
            for index in range(config.environments)
        ]
        self._model = self._algorithm(DummyVecEnv([lambda env=env: env for env in self._envs]))
        self._best, self._best_step = -np.inf, 0
        self._best_weights: dict[str, NDArray[Any]] = {}
        self._best_layout: Any = None
        self._model._setup_learn(config.timesteps, None)
        self._restore()

    def _algorithm(self, env: Any) -> Any:
        config = self._config
        kind = _class_of(config.algorithm)
        with warnings.catch_warnings():
            # They advise on hardware and on batch sizes, which the original's settings fix.
            warnings.simplefilter("ignore", UserWarning)
            return kind("MultiInputPolicy", env, seed=config.seed, device="cpu", **config.settings)

    def _restore(self) -> None:
        run = self._run
        if not run.checkpoint:
            return
        from segue.rl.sb3_state import restore_algorithm
        from segue.rl.torch_state import from_arrays

        arrays, state = run.checkpoint.arrays, run.state
        restore_algorithm(self._model, from_arrays(arrays["torch"], state["layout"]))
        for env, kept in zip(self._envs, state["environments"], strict=True):
            env.set_state(kept)
        self._best, self._best_step = state["best"], state["best_step"]
        self._best_weights, self._best_layout = dict(arrays["best"]), state["best_layout"]
        run.restore_random()

    def train(self) -> dict[str, Any]:
        """Train to the end or to the next interruption."""
        run, config, model = self._run, self._config, self._model
        done = model.num_timesteps
        self._advance(min(done / config.timesteps, 1.0))
        with run.interruptible() as stop:
            update = run.step
            while done < config.timesteps and not stop:
                begun = done
                self._update()
                update, done = update + 1, model.num_timesteps
                values: dict[str, float] = {}
                better = False
                if done // config.evaluate_every > begun // config.evaluate_every or (
                    done >= config.timesteps
                ):
                    values["validation_return"] = score = float(self._play("validation").mean())
                    better = score > self._best
                    if better:
                        self._keep(score, update)
                    run.log(update, timesteps=done, **values)
                if stop or values:
                    self._save(update, better)
                self._advance((min(done, config.timesteps) - begun) / config.timesteps)
            if stop and done < config.timesteps:
                return {"interrupted_at": run.step}
        return self._finish()

    def _update(self) -> None:
        """Collect one rollout and learn from it, as `learn` does."""
        from stable_baselines3.common.callbacks import ConvertCallback

        model = self._model
        callback = ConvertCallback(None)
        callback.init_callback(model)
        if self._config.algorithm == "dqn":
            model.collect_rollouts(
                model.env,
                callback,
                train_freq=model.train_freq,
                replay_buffer=model.replay_buffer,
                learning_starts=model.learning_starts,
                log_interval=None,
            )
            model._update_current_progress_remaining(model.num_timesteps, model._total_timesteps)
            if model.num_timesteps > max(model.learning_starts, 0):
                steps = model.gradient_steps
                steps = steps if steps >= 0 else model.train_freq.frequency * model.n_envs
                if steps > 0:
                    model.train(gradient_steps=steps, batch_size=model.batch_size)
            return
        model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)
        model._update_current_progress_remaining(model.num_timesteps, model._total_timesteps)
        model.train()

    def _play(self, split: str, agent: str = "model") -> NDArray[np.float64]:
        """Return the returns of episodes whose seeds are the same for every agent."""
        config = self._config
        if split not in self._judges:
            self._judges[split] = make_env(
                self._dataset, self._task, self._videos[split], self._prior, False
            )
        env, returns = self._judges[split], np.zeros(config.evaluation_episodes)
        rng = generator(config.seed, "random agent", split)
        for episode in range(config.evaluation_episodes):
            seen, _ = env.reset(seed=episode, options={"video_idx": episode})
            over = False
            while not over:
                seen, reward, over, _, _ = env.step(self._act(agent, env, seen, rng))
                returns[episode] += reward
        return returns

    def _act(self, agent: str, env: Any, seen: Any, rng: np.random.Generator) -> Any:
        multi = self._task.environment == "MultiDiscrete"
        if agent == "model":
            if self._config.algorithm == "maskable-ppo":
                return self._model.predict(
                    seen, deterministic=True, action_masks=env.action_masks()
                )[0]
            return self._model.predict(seen, deterministic=True)[0]
        n_tracks = len(self._dataset.tracks)
        mask = np.ones(n_tracks + 2, dtype=np.bool_)
        if hasattr(env, "action_masks"):
            mask = env.action_masks()
        if agent == "greedy":
            best = int(np.asarray(env.get_action_rewards()).argmax())
            return [min(best, n_tracks - 1), int(best == n_tracks)] if multi else best
        if multi:
            goes_on = rng.integers(2) if mask[-1] else 0
            return [int(rng.choice(np.flatnonzero(mask[:n_tracks]))), int(goes_on)]
        return int(rng.choice(np.flatnonzero(mask)))

    def _keep(self, score: float, update: int) -> None:
        from segue.rl.torch_state import to_arrays

        self._best, self._best_step = score, update
        self._best_weights, self._best_layout = to_arrays(self._model.policy.state_dict())

    def _save(self, update: int, best: bool) -> None:
        from segue.rl.sb3_state import algorithm_state
        from segue.rl.torch_state import to_arrays

        arrays, layout = to_arrays(algorithm_state(self._model))
        self._run.save(
            update,
            {"torch": arrays, "best": self._best_weights},
            {
                "layout": layout,
                "environments": [env.get_state() for env in self._envs],
                "best": self._best,
                "best_step": self._best_step,
                "best_layout": self._best_layout,
            },
            best=best,
        )

    def _finish(self) -> dict[str, Any]:
        from segue.rl.torch_state import from_arrays

        self._model.policy.load_state_dict(from_arrays(self._best_weights, self._best_layout))
        returns: dict[str, dict[str, float]] = {}
        for split in ("validation", "test"):
            if self._videos[split]:
                agents = ["model", "random"]
                judge = self._play(split)
                found = {"model": float(judge.mean())}
                if hasattr(self._judges[split], "get_action_rewards"):
                    agents.append("greedy")
                found |= {a: float(self._play(split, a).mean()) for a in agents[1:]}
                returns[split] = found
        config = self._config
        result = {
            "method": "original",
            "algorithm": config.algorithm,
            "timesteps": self._model.num_timesteps,
            "best_update": self._best_step,
            "validation_return": self._best,
            "returns": returns,
            "evaluation_episodes": config.evaluation_episodes,
            "notes": [*self._dataset.warnings, *self._notes],
        }
        limits = ["One output for each track: it serves the library that it was trained on alone."]
        self._run.finish(result, limits=limits)
        return result


def _check(task: SoundtrackConfig, config: OriginalConfig) -> None:
    if config.algorithm == "dqn" and task.environment == "MultiDiscrete":
        raise UsageError(
            "DQN cannot decide on two things at once",
            where="original.algorithm",
            advice="Use ppo, a2c or maskable-ppo, or task.environment = 'Discrete'",
        )
    if config.algorithm == "maskable-ppo" and (
        task.environment == "MultiDiscrete" and task.profile == "reference"
    ):
        raise UsageError(
            "the original's environment MultiDiscrete masks nothing",
            where="original.algorithm",
            advice="Use ppo or a2c, or task.profile = 'default'",
        )
    known = set(inspect.signature(_class_of(config.algorithm).__init__).parameters) - {"self"}
    for name in config.settings:
        if name in _OURS or name not in known:
            raise unknown("setting", name, sorted(known - _OURS), "original.settings")
    n_steps, batch = config.settings.get("n_steps", 2048), config.settings.get("batch_size", 64)
    if config.algorithm in ("ppo", "maskable-ppo") and n_steps * config.environments < 2:
        raise ConfigError(f"a rollout of {n_steps} decisions cannot be learned from")
    if not isinstance(batch, int) or batch < 1:
        raise ConfigError(f"original.settings.batch_size = {batch!r} is not a number of decisions")


def _class_of(algorithm: str) -> Any:
    import importlib

    module, name = _CLASSES[algorithm]
    return getattr(importlib.import_module(module), name)
