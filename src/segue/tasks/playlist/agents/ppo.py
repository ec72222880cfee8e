"""An actor-critic that makes playlists and learns from what they earn: PPO, or A2C.

The policy is the pointer network of `rl`: a candidate's logit is the prior's plus a learned
residual that is zero at first, so the untrained agent is the prior without repeats. It plays
`batched.BatchedPlaylist` and sees what `episodes` says of candidates and of the list so far; with
`discount = 0` it learns to please now, and is the control for every claim that planning pays.

A2C is PPO with one pass over each rollout as one batch, where nothing is clipped (Huang et al.,
"A2C is a special case of PPO", 2022). The best network is chosen by the mean return of its most
probable lists on other queries. Checkpoints hold policy, optimiser, environment and generators: a
killed run ends on the same bits. Papers: Mnih et al., "Asynchronous Methods for Deep Reinforcement
Learning" (2016); Schulman et al., "Proximal Policy Optimization Algorithms" (2017).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segue.core.config import Config
from segue.core.errors import DataError
from segue.core.progress import Advance, silent
from segue.core.run import Run
from segue.core.seeding import generator, seed_everything
from segue.rl.pointer import Narrow, NumpyPointer, pointer_arrays
from segue.rl.rewards import WeightedSum
from segue.tasks.playlist.episodes import Situation, play_all
from segue.tasks.playlist.pool import Pool
from segue.tasks.playlist.rewards import playlist_reward

__all__ = ["PPOConfig", "PlaylistPolicy", "train_ppo"]

_BATCH = 512


class PPOConfig(Config):
    """How to learn; the defaults are those of the published results."""

    method: Literal["ppo", "a2c"] = "ppo"
    """`a2c` makes one pass over the whole rollout."""
    timesteps: int = Field(400_000, ge=1)
    """Decisions to learn from; whole rollouts, so a little more."""
    episodes: int = Field(128, ge=1)
    """Lists made side by side."""
    steps: int = Field(20, ge=1)
    """Decisions of each between two updates."""
    epochs: int = Field(4, ge=1)
    """Passes over a rollout."""
    minibatch: int = Field(512, ge=2)
    """Decisions per gradient step."""
    learning_rate: float = Field(2e-3, gt=0)
    """Of Adam at the start; it falls to 0 linearly."""
    discount: float = Field(1.0, ge=0, le=1)
    """1: lists are short, and what counts is their return."""
    trace: float = Field(0.95, ge=0, le=1)
    """Lambda of generalised advantage estimation."""
    clip: float = Field(0.2, gt=0)
    """Of the probability ratio."""
    entropy: float = Field(0.001, ge=0)
    """Weight of the entropy bonus; a list's reward is of the size of 1."""
    value_weight: float = Field(0.5, ge=0)
    """Weight of the squared error of the value."""
    max_gradient_norm: float = Field(0.5, gt=0)
    """Longer gradients are shortened."""
    width: int = Field(32, ge=1)
    """Units of every layer."""
    length: int = Field(5, ge=1)
    """Tracks of a list."""
    repeats: bool = False
    """Whether a track may stand in a list twice."""
    reward: dict[str, float] = Field(default_factory=lambda: {"hit": 1.0})
    """Reward term -> weight, see `rewards`."""
    validate_every: int = Field(20, ge=1)
    """Updates between validations, each of which also writes a checkpoint."""
    seed: int = Field(0, ge=0)
    """Of initial weights, queries drawn and actions."""


class PlaylistPolicy:
    """The trained network, without torch: a `Chooser` of its most probable candidates.

    Args:
        arrays: weights, of `pointer.pointer_arrays`.
        facts: what is known of the training.
    """

    def __init__(self, arrays: dict[str, Narrow], facts: dict[str, Any] | None = None) -> None:
        self.network = NumpyPointer(arrays)
        self.facts = facts or {}

    @property
    def arrays(self) -> dict[str, Narrow]:
        """The weights."""
        return self.network.arrays

    def logits(self, now: Situation) -> NDArray[np.float32]:
        """Return the logit of each candidate, [B, N]; -1e9 for what may not be chosen."""
        parts = []
        for low in range(0, len(now.state), _BATCH):
            rows = slice(low, low + _BATCH)
            mask = now.mask[rows] | ~now.mask[rows].any(axis=1, keepdims=True)  # ended lists
            found, _ = self.network(now.candidates[rows], now.state[rows], mask, now.prior[rows])
            parts.append(np.asarray(found, dtype=np.float32))
        return np.concatenate(parts)

    def probabilities(self, now: Situation, temperature: float = 1.0) -> NDArray[np.float64]:
        """Return the probability of each candidate, [B, N]."""
        logits = self.logits(now).astype(np.float64) / temperature
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))

    def __call__(self, now: Situation) -> NDArray[np.int64]:
        """Return the most probable candidate, [B]."""
        return np.asarray(self.logits(now).argmax(axis=1))


def train_ppo(
    run: Run[Any],
    config: PPOConfig,
    train: Pool,
    validation: Pool,
    advance: Advance = silent,
) -> PlaylistPolicy:
    """Train an agent and leave its best weights in the run's checkpoints.

    Args:
        run: new, or continued from a checkpoint of the same function.
        config: how.
        train: queries to make lists for.
        validation: other queries, on which the best network is chosen.
        advance: called with amounts that add up to 1.

    Returns:
        The best policy so far. Its facts are "validation_return", the same "at_start" (of the
        prior), the "best_update", and "interrupted_at" when a signal asked to stop.

    Raises:
        DataError: the two pools describe candidates differently.
    """
    if train.layout != validation.layout:
        raise DataError("training and validation queries are described by different numbers")
    return _Trainer(run, config, train, validation, advance).train()


class _Trainer:
    """One training: environment, model, best weights."""

    def __init__(
        self, run: Run[Any], config: PPOConfig, train: Pool, validation: Pool, advance: Advance
    ) -> None:
        import torch

        from segue.rl.candidate_policy import CandidatePolicy
        from segue.rl.fast_ppo import FastMaskablePPO
        from segue.tasks.playlist.batched import BatchedPlaylist

        torch.set_num_threads(1)  # spinning threads cost more than such small products gain
        self._run, self._config, self._advance = run, config, advance
        self._reward: WeightedSum = playlist_reward(config.reward)
        self._validation = validation
        # The same listeners' chances in every validation: policies differ, luck does not.
        rng = generator(config.seed, "validation noise")
        self._noise = rng.integers(2**62, size=len(validation))
        seed_everything(config.seed)
        self._env = BatchedPlaylist(
            train,
            config.episodes,
            config.seed,
            self._reward,
            length=config.length,
            repeats=config.repeats,
        )
        rollout = config.episodes * config.steps
        once = config.method == "a2c"
        rate = config.learning_rate
        self._model = FastMaskablePPO(
            CandidatePolicy,
            self._env,
            learning_rate=lambda left: rate * left,
            n_steps=config.steps,
            batch_size=rollout if once else config.minibatch,
            n_epochs=1 if once else config.epochs,
            gamma=config.discount,
            gae_lambda=config.trace,
            clip_range=config.clip,
            ent_coef=config.entropy,
            vf_coef=config.value_weight,
            max_grad_norm=config.max_gradient_norm,
            policy_kwargs={"layout": train.layout, "width": config.width},
            seed=config.seed,
            device="cpu",
        )
        self._network: Any = self._model.policy.network
        self._model.begin(config.timesteps)
        self._best, self._best_step = -np.inf, 0
        self._first: float | None = None
        self._best_weights: dict[str, Narrow] = {}
        self._restore()

    def _restore(self) -> None:
        """Go on from the run's checkpoint, if it has one."""
        run = self._run
        if not run.checkpoint:
            return
        from segue.rl.torch_state import from_arrays

        arrays, state = run.checkpoint.arrays, run.state
        observations = self._env.set_state(arrays["environment"], state["environment"])
        self._model.set_state(from_arrays(arrays["torch"], state["layout"]), observations)
        self._best, self._best_step = state["best"], state["best_step"]
        self._first, self._best_weights = state["first"], dict(arrays["best"])
        run.restore_random()  # last: building everything drew numbers

    def train(self) -> PlaylistPolicy:
        """Train to the end or to the next interruption."""
        run, config, model = self._run, self._config, self._model
        last = -(-config.timesteps // (config.episodes * config.steps))
        self._advance(run.step / last)
        with run.interruptible() as stop:
            if self._first is None:
                self._first = self._judge()
                self._keep(self._first, 0)
            for update in range(run.step + 1, last + 1):
                model.update()
                values: dict[str, float] = {}
                better = False
                if update == last or update % config.validate_every == 0:
                    values["validation_return"] = score = self._judge()
                    better = score > self._best
                    if better:
                        self._keep(score, update)
                if model.episode_returns:
                    values["return"] = float(np.mean(model.episode_returns))
                run.log(update, timesteps=model.num_timesteps, **model.train_metrics, **values)
                if stop or "validation_return" in values:
                    self._save(update, better)
                self._advance(1 / last)
                if stop:
                    break
        facts: dict[str, Any] = {
            "validation_return": self._best,
            "at_start": self._first,
            "best_update": self._best_step,
        }
        if run.step < last:
            facts["interrupted_at"] = run.step
        return PlaylistPolicy(self._best_weights, facts)

    def _judge(self) -> float:
        """Return the mean return of the most probable lists on the validation queries."""
        sums, _ = play_all(
            self._validation,
            PlaylistPolicy(pointer_arrays(self._network)),
            self._reward,
            length=self._config.length,
            noise=self._noise,
            repeats=self._config.repeats,
        )
        return float(sums["return"].mean())

    def _keep(self, score: float, update: int) -> None:
        self._best, self._best_step = score, update
        self._best_weights = pointer_arrays(self._network)

    def _save(self, update: int, best: bool) -> None:
        from segue.rl.torch_state import to_arrays

        arrays, layout = to_arrays(self._model.get_state())
        environment, random = self._env.get_state()
        self._run.save(
            update,
            {"torch": arrays, "best": self._best_weights, "environment": environment},
            {
                "layout": layout,
                "environment": random,
                "best": self._best,
                "best_step": self._best_step,
                "first": self._first,
            },
            best=best,
        )
