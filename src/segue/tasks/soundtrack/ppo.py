"""Learn the policy from rewards: PPO over candidates, from nothing or from an imitated policy.

The untrained policy is the greedy agent that counts switches (`features`). PPO improves it by
playing, with no planner; it is the way where the reward cannot be planned: `extra_terms` are any
functions of decided steps, paid on top of the tables. What a policy knows already can be kept by
an `anchor`, a penalty on the divergence from the policy that it started from.

The best model is chosen by the mean return of its most probable actions on validation videos.
Checkpoints hold policy, optimiser, environment and generators: a killed run ends on the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from segue.core.config import Config
from segue.core.errors import UsageError
from segue.core.progress import Advance, silent
from segue.core.run import Run
from segue.core.seeding import seed_everything
from segue.rl.pointer import Narrow, NumpyPointer, pointer_arrays
from segue.rl.rewards import WeightedSum
from segue.tasks.soundtrack.candidates import CandidateStack
from segue.tasks.soundtrack.features import CandidateEpisodes
from segue.tasks.soundtrack.imitation import mean_return
from segue.tasks.soundtrack.models import StoredPolicy, load_policy, save_policy, shipped_policy
from segue.tasks.soundtrack.rewards import extra_reward
from segue.tasks.soundtrack.tables import Floats, Tables

__all__ = ["SHIPPED", "PPOConfig", "greedy_returns", "ppo"]

SHIPPED = "shipped"
"""Value of `start` that stands for the policy of the package."""


class PPOConfig(Config):
    """How to learn from rewards; the defaults are those of the published results."""

    timesteps: int = Field(2_500_000, ge=1)
    """Decisions to learn from; whole rollouts, so a little more."""
    episodes: int = Field(256, ge=1)
    """Episodes played side by side."""
    steps: int = Field(32, ge=1)
    """Decisions of each between two updates."""
    epochs: int = Field(3, ge=1)
    """Passes over a rollout."""
    minibatch: int = Field(2048, ge=2)
    """Decisions per gradient step."""
    learning_rate: float = Field(1e-3, gt=0)
    """Of Adam at the start; it falls to 0 linearly."""
    discount: float = Field(1.0, ge=0, le=1)
    """1: episodes are short, and what counts is their return."""
    trace: float = Field(0.95, ge=0, le=1)
    """Lambda of generalised advantage estimation."""
    clip: float = Field(0.2, gt=0)
    """Of the probability ratio."""
    entropy: float = Field(0.03, ge=0)
    """Weight of the entropy bonus."""
    value_weight: float = Field(0.1, ge=0)
    """Weight of the squared error of the value."""
    max_gradient_norm: float = Field(0.5, gt=0)
    """Longer gradients are shortened."""
    width: int = Field(64, ge=1)
    """Units of every layer; with `start` that of the start."""
    n_candidates: int = Field(20, ge=4, le=1000)
    """Candidates of a segment; with `start` that of the start."""
    start: str = ""
    """Folder of a policy to start from, or `shipped`; empty starts from nothing."""
    anchor: float = Field(0.0, ge=0)
    """Weight of KL(policy || start), per decision."""
    value_updates: int = Field(0, ge=0)
    """First updates, in which the value alone learns: an imitated policy comes without one."""
    extra_terms: dict[str, float] = Field(default_factory=dict)
    """More reward terms, `package.module:term` -> weight, which no planner knows."""
    validate_every: int = Field(10, ge=1)
    """Updates between validations, each of which also writes a checkpoint."""
    seed: int = Field(0, ge=0)
    """Of initial weights, videos drawn and actions."""


def ppo(
    run: Run[Any],
    config: PPOConfig,
    train: Sequence[Tables],
    validation: Sequence[Tables],
    advance: Advance = silent,
) -> dict[str, Any]:
    """Train a policy and write it to the run folder.

    Args:
        run: new, or continued from a checkpoint of the same function.
        config: how.
        train: videos to play.
        validation: videos that the best model is chosen on.
        advance: called with amounts that add up to 1.

    Returns:
        What came out, as JSON-like values; also given to `run.finish`.

    Raises:
        UnknownName: an extra term cannot be loaded.
        UsageError: an anchor without a start.
    """
    return _Trainer(run, config, train, validation, advance).train()


def greedy_returns(
    policy: StoredPolicy, stack: CandidateStack, extra: WeightedSum | None = None
) -> tuple[Floats, Floats]:
    """Play every video of a stack by the policy's most probable actions.

    Returns:
        [V] what the tables pay, and [V] what the extra terms pay.
    """
    from segue.tasks.soundtrack.vec_env import decided_steps

    lanes = np.arange(stack.n_videos)
    episodes = CandidateEpisodes(stack, lanes)
    returns, extras = np.zeros(len(lanes)), np.zeros(len(lanes))
    while len(lanes):
        numbers = episodes.numbers()
        logits, _ = policy.network(numbers.candidates, numbers.state, numbers.mask, numbers.prior)
        steps, rewards, final = decided_steps(episodes, logits.argmax(axis=1))
        returns[lanes] += rewards
        if extra is not None:
            extras[lanes] += extra(steps)[0]
        if final.any():
            going = np.flatnonzero(~final)
            lanes, episodes = lanes[going], episodes.take(going)
    return returns, extras


class _Trainer:
    """One training: environment, model, best weights."""

    def __init__(
        self,
        run: Run[Any],
        config: PPOConfig,
        train: Sequence[Tables],
        validation: Sequence[Tables],
        advance: Advance,
    ) -> None:
        import torch

        from segue.rl.candidate_policy import CandidatePolicy
        from segue.rl.fast_ppo import FastMaskablePPO
        from segue.tasks.soundtrack.vec_env import CandidateVecEnv, candidate_layout

        if config.anchor and not config.start:
            raise UsageError(
                "an anchor needs a policy to hold on to",
                where="ppo.anchor",
                advice="Set ppo.start to the folder of a policy, or to shipped",
            )
        torch.set_num_threads(1)  # spinning threads cost more than such small products gain
        self._run, self._config, self._advance = run, config, advance
        self._extra = extra_reward(config.extra_terms) if config.extra_terms else None
        begun_with = _start_of(config)
        self._n_candidates = begun_with.n_candidates if begun_with else config.n_candidates
        width = begun_with.network.width if begun_with else config.width
        self._stack = CandidateStack(train, self._n_candidates)
        self._validation = CandidateStack(validation, self._n_candidates)
        seed_everything(config.seed)
        self._env = CandidateVecEnv(self._stack, config.episodes, config.seed, self._extra)
        rate = config.learning_rate
        self._model = FastMaskablePPO(
            CandidatePolicy,
            self._env,
            learning_rate=lambda left: rate * left,
            n_steps=config.steps,
            batch_size=config.minibatch,
            n_epochs=config.epochs,
            gamma=config.discount,
            gae_lambda=config.trace,
            clip_range=config.clip,
            ent_coef=config.entropy,
            vf_coef=config.value_weight,
            max_grad_norm=config.max_gradient_norm,
            policy_kwargs={"layout": candidate_layout(self._n_candidates), "width": width},
            seed=config.seed,
            device="cpu",
        )
        self._network: Any = self._model.policy.network
        if begun_with is not None:
            self._network.load_state_dict(
                {k: torch.from_numpy(v.copy()) for k, v in begun_with.network.arrays.items()}
            )
        self._model.set_anchor(config.anchor)
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

    def train(self) -> dict[str, Any]:
        """Train to the end or to the next interruption."""
        run, config, model = self._run, self._config, self._model
        last = -(-config.timesteps // (config.episodes * config.steps))
        self._advance(run.step / last)
        with run.interruptible() as stop:
            if self._first is None:
                self._first = self._judge()
                self._keep(self._first, 0)
            for update in range(run.step + 1, last + 1):
                self._free(update > config.value_updates)
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
                if stop and update < last:
                    return {"interrupted_at": run.step}
        return self._finish()

    def _free(self, everything: bool) -> None:
        """Let all weights learn, or those of the value alone."""
        for name, weight in self._network.named_parameters():
            weight.requires_grad_(everything or name.startswith("value"))

    def _judge(self) -> float:
        """Return the mean return on the validation videos."""
        if self._extra is None:
            return mean_return(self._stored(), self._validation)
        returns, extras = greedy_returns(self._stored(), self._validation, self._extra)
        return float((returns + extras).mean())

    def _keep(self, score: float, update: int) -> None:
        self._best, self._best_step = score, update
        self._best_weights = pointer_arrays(self._network)

    def _stored(self) -> StoredPolicy:
        network = NumpyPointer(pointer_arrays(self._network))
        return StoredPolicy(network=network, n_candidates=self._n_candidates, facts={})

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

    def _finish(self) -> dict[str, Any]:
        config, run = self._config, self._run
        result = {
            "method": "ppo",
            "validation_return": self._best,
            "validation_return_at_start": self._first,
            "best_update": self._best_step,
            "timesteps": self._model.num_timesteps,
            "train_videos": self._stack.n_videos,
            "train_libraries": len(self._stack.universe),
            "validation_videos": self._validation.n_videos,
        }
        facts = {"training": result, "settings": config.model_dump(mode="json")}
        save_policy(run.folder, self._best_weights, self._n_candidates, facts)
        limits = ["Trained on rewards; nobody has listened to what it chooses."]
        if self._best_step == 0:
            limits.append("No update was better on the validation videos than the start.")
        run.finish(result, limits=limits)
        return result


def _start_of(config: PPOConfig) -> StoredPolicy | None:
    if not config.start:
        return None
    return shipped_policy() if config.start == SHIPPED else load_policy(Path(config.start))
