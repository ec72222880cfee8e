"""MaskablePPO without what makes it slow on a batched environment, and exactly resumable.

`FastMaskablePPO` is sb3-contrib's MaskablePPO with the same objective, for `CandidatePolicy` and a
VecEnv that steps all episodes at once. It differs in how, not in what:

- the rollout is kept in memory that is made once, and shuffled by torch;
- probabilities come from one log-softmax, without distribution objects;
- a minibatch is computed in parts of `part` decisions, whose layers stay in the cache; their
  gradients add up to that of the minibatch.

One thing is added, and off by default: an anchor, `anchor_weight` times KL(policy || reference),
which holds the policy near a given one (Jaques et al., "Sequence Tutor", 2017; Ziegler et al.,
"Fine-Tuning Language Models from Human Preferences", 2019).

`get_state` and `set_state` carry everything but the environment and the global generators through
a checkpoint, between two updates. SB3's own save and load, which pickle, are not used.

Paper: Schulman et al., "Proximal Policy Optimization Algorithms" (2017), equations 7, 9 and 11, 12;
Huang and Ontanon, "A Closer Look at Invalid Action Masking" (2022).
Letters: `B` episodes, `H` steps of a rollout, `N` actions.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.buffers import MaskableRolloutBuffer
from torch import Tensor

from segue.core.errors import RunError
from segue.rl.candidate_policy import sample

__all__ = ["FastMaskablePPO", "FastRollout"]


class FastRollout(MaskableRolloutBuffer):  # type: ignore[misc]
    """A rollout of H steps of B episodes in torch memory; row h B + b is step h of episode b."""

    def reset(self) -> None:
        """Begin to fill it again; the memory is kept."""
        n = self.buffer_size * self.n_envs
        if not hasattr(self, "seen"):
            self.seen = torch.zeros(n, *self.obs_shape)
            self.mask = torch.zeros(n, self.action_space.n, dtype=torch.bool)
            self.chosen = torch.zeros(n, dtype=torch.int64)
            self.log_p, self.value, self.reward = torch.zeros(3, n).unbind()
            self.advantage, self.return_, self.first = torch.zeros(3, n).unbind()
        self.pos, self.full, self.generator_ready = 0, False, False

    def rows(self) -> slice:
        """Return the rows of the step that is to be filled next."""
        return slice(self.pos * self.n_envs, (self.pos + 1) * self.n_envs)

    def judge(self, last_values: Tensor, last_dones: Tensor) -> None:
        """Compute advantages (generalised advantage estimation) and returns.

        Args:
            last_values: [B] of the states after the last step.
            last_dones: [B] whether these begin an episode.
        """
        shape = (self.buffer_size, self.n_envs)
        value, reward, first = (x.view(shape) for x in (self.value, self.reward, self.first))
        advantage = self.advantage.view(shape)
        ahead, next_value, goes_on = torch.zeros(self.n_envs), last_values, 1.0 - last_dones.float()
        for step in reversed(range(self.buffer_size)):
            delta = reward[step] + self.gamma * next_value * goes_on - value[step]
            ahead = delta + self.gamma * self.gae_lambda * goes_on * ahead
            advantage[step] = ahead
            next_value, goes_on = value[step], 1.0 - first[step]
        torch.add(self.advantage, self.value, out=self.return_)
        self.full = True


class FastMaskablePPO(MaskablePPO):  # type: ignore[misc]
    """See the module; the arguments are those of MaskablePPO.

    Args:
        part: decisions whose gradient is computed at once.
    """

    _last_obs: Any
    _last_episode_starts: Any

    def __init__(self, policy: Any, env: Any, *, part: int = 512, **rest: Any) -> None:
        rest.setdefault("rollout_buffer_class", FastRollout)
        super().__init__(policy, env, **rest)
        self.part = part
        self.anchor_weight = 0.0
        self.anchor: Any = None
        self.episode_returns: list[float] = []
        """Of the episodes that ended in the last rollout."""
        self.train_metrics: dict[str, float] = {}
        """Means over the last update."""

    def set_anchor(self, weight: float) -> None:
        """Hold the policy near what it is now."""
        self.anchor_weight = weight
        self.anchor = copy.deepcopy(self.policy).requires_grad_(False) if weight else None

    def begin(self, total_timesteps: int) -> None:
        """Prepare for `update`; afterwards `set_state` may continue an earlier training."""
        if self.env is None:
            raise RunError("no environment to train in")
        self._setup_learn(total_timesteps, None)

    def update(self) -> None:
        """Play one rollout and learn from it."""
        self.play(self.env, self.rollout_buffer, self.n_steps)
        self._update_current_progress_remaining(self.num_timesteps, self._total_timesteps)
        self.train()

    def collect_rollouts(
        self,
        env: Any,
        callback: Any,
        rollout_buffer: Any,
        n_rollout_steps: int,
        use_masking: bool = True,
    ) -> bool:
        """Fill the rollout; called by `learn`."""
        callback.on_rollout_start()
        self.play(env, rollout_buffer, n_rollout_steps)
        callback.update_locals(locals())
        goes_on = bool(callback.on_step())
        callback.on_rollout_end()
        return goes_on

    @torch.no_grad()
    def play(self, env: Any, rollout: FastRollout, n_steps: int) -> None:
        """Fill the rollout."""
        self.policy.set_training_mode(False)
        rollout.reset()
        self.episode_returns = []
        for _ in range(n_steps):
            rows = rollout.rows()
            rollout.seen[rows] = torch.from_numpy(self._last_obs)
            rollout.mask[rows] = torch.from_numpy(env.masks())
            rollout.first[rows] = torch.from_numpy(self._last_episode_starts)
            logits, values = self.policy.logits_and_values(rollout.seen[rows], rollout.mask[rows])
            log_p = torch.log_softmax(logits, dim=1)
            actions = sample(log_p)
            rollout.chosen[rows], rollout.value[rows] = actions, values
            rollout.log_p[rows] = log_p.gather(1, actions[:, None])[:, 0]
            self._last_obs, rewards, dones, infos = env.step(actions.numpy())
            rollout.reward[rows] = torch.from_numpy(rewards)
            rollout.pos += 1
            self._last_episode_starts = dones
            self.num_timesteps += env.num_envs
            self.episode_returns += [infos[b]["episode"]["r"] for b in np.flatnonzero(dones)]
        mask = torch.from_numpy(env.masks())
        _, values = self.policy.logits_and_values(torch.from_numpy(self._last_obs), mask)
        rollout.judge(values, torch.from_numpy(self._last_episode_starts))

    def train(self) -> None:
        """Update the policy by the rollout."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        clip = float(self.clip_range(self._current_progress_remaining))
        rollout, n = self.rollout_buffer, self.n_steps * self.n_envs
        sums, updates = torch.zeros(len(_METRICS)), 0
        reference = self._reference(rollout) if self.anchor is not None else None
        for _ in range(self.n_epochs):
            order = torch.randperm(n)
            for begin in range(0, n, self.batch_size):
                rows = order[begin : begin + self.batch_size]
                advantage = rollout.advantage[rows]
                if self.normalize_advantage and len(rows) > 1:
                    advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
                self.policy.optimizer.zero_grad()
                for first in range(0, len(rows), self.part):
                    part = slice(first, first + self.part)
                    sums += self._learn(
                        rollout, rows[part], advantage[part], len(rows), clip, reference
                    )
                torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
                self.policy.optimizer.step()
                updates += 1
            self._n_updates += 1
        self.train_metrics = dict(zip(_METRICS, (sums / updates).tolist(), strict=True))
        for name, value in self.train_metrics.items():
            self.logger.record(f"train/{name}", value)

    def _learn(
        self,
        rollout: FastRollout,
        rows: Tensor,
        advantage: Tensor,
        count: int,
        clip: float,
        reference: Tensor | None,
    ) -> Tensor:
        """Add the gradient of some of the `count` decisions of a minibatch; return metrics."""
        logits, values = self.policy.logits_and_values(
            rollout.seen.index_select(0, rows), rollout.mask.index_select(0, rows)
        )
        log_p = torch.log_softmax(logits, dim=1)
        chosen = log_p.gather(1, rollout.chosen[rows][:, None])[:, 0]
        log_ratio = chosen - rollout.log_p[rows]
        ratio = log_ratio.exp()
        gain = torch.min(advantage * ratio, advantage * ratio.clamp(1 - clip, 1 + clip)).sum()
        error = (values - rollout.return_[rows]).square().sum()
        p = log_p.exp()
        entropy = -(p * log_p).sum()
        loss = -gain + self.vf_coef * error - self.ent_coef * entropy
        drift = torch.zeros(())
        if reference is not None:
            drift = (p * (log_p - reference.index_select(0, rows))).sum()
            loss = loss + self.anchor_weight * drift
        (loss / count).backward()
        with torch.no_grad():
            kl = (ratio - 1 - log_ratio).sum()
            clipped = ((ratio - 1).abs() > clip).sum()
            return torch.stack([gain, error, entropy, kl, clipped, drift]).detach() / count

    @torch.no_grad()
    def _reference(self, rollout: FastRollout) -> Tensor:
        """Return the anchor's log-probabilities for the whole rollout."""
        parts = [
            torch.log_softmax(self.anchor.logits_and_values(seen, mask)[0], dim=1)
            for seen, mask in zip(
                torch.split(rollout.seen, self.part),
                torch.split(rollout.mask, self.part),
                strict=True,
            )
        ]
        return torch.cat(parts)

    def get_state(self) -> dict[str, Any]:
        """Return the state between two updates, for `torch_state.to_arrays`."""
        return {
            "policy": self.policy.state_dict(),
            "optimizer": self.policy.optimizer.state_dict(),
            "anchor": self.anchor.state_dict() if self.anchor is not None else None,
            "num_timesteps": self.num_timesteps,
            "n_updates": self._n_updates,
            "episode_starts": np.asarray(self._last_episode_starts),
        }

    def set_state(self, state: dict[str, Any], observations: Any) -> None:
        """Undo `get_state`, after `begin`.

        Args:
            state: of `get_state`.
            observations: what the environment, restored itself, shows now.

        Raises:
            RunError: it is the state of another kind of policy.
        """
        try:
            self.policy.load_state_dict(state["policy"])
            self.policy.optimizer.load_state_dict(state["optimizer"])
            if state["anchor"] is not None:
                self.anchor.load_state_dict(state["anchor"])
            self.num_timesteps = int(state["num_timesteps"])
            self._n_updates = int(state["n_updates"])
            self._last_episode_starts = state["episode_starts"]
        except (KeyError, RuntimeError, ValueError, AttributeError) as error:
            raise RunError(f"the checkpoint is of another policy: {error}") from None
        self._last_obs = observations


_METRICS = ("policy_gain", "value_error", "entropy", "approx_kl", "clip_fraction", "anchor_kl")
