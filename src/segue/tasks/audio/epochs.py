"""One epoch of tuning: draw prompts, play clips, pay them, and learn from what each earned.

Rewards become advantages (`advantages`), and a few optimiser steps follow on the adapter (`ddpo`,
or `regression` as a baseline). Where it is possible, gradients are gathered while clips are played
(`one_pass`). Everything that is drawn comes from the seed and the number of the
epoch alone.

Letters: `n` clips of an epoch over all processes, `T` trained steps of each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from segue.core.errors import RunError
from segue.core.seeding import generator
from segue.tasks.audio import ddpo, one_pass, regression
from segue.tasks.audio.advantages import PerPrompt, by_batch, by_group
from segue.tasks.audio.evaluate_metrics import outlines
from segue.tasks.audio.onpolicy import Played
from segue.tasks.audio.rollout import Rollout, collect, paid
from segue.tasks.audio.variety import Variety

if TYPE_CHECKING:
    from segue.rl.rewards import WeightedSum
    from segue.tasks.audio.config import TuneConfig
    from segue.tasks.audio.distributed import World
    from segue.tasks.audio.learner import Learner
    from segue.tasks.audio.models.base import Denoiser
    from segue.tasks.audio.vocabulary import Prompt

__all__ = ["Epochs"]

Floats = NDArray[np.float64]


class Epochs:
    """What an epoch needs.

    Args:
        denoiser: the policy, with an adapter.
        reward: takes `Clips`.
        prompts: what is tuned on.
        learner: changes the adapter.
        config: settings.
        world: the processes that tune together.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        reward: WeightedSum,
        prompts: Sequence[Prompt],
        learner: Learner,
        config: TuneConfig,
        world: World,
    ) -> None:
        self._denoiser, self._reward, self._prompts = denoiser, reward, prompts
        self._learner, self._config, self._world = learner, config, world
        self._at_once = one_pass.applies(denoiser, config, world)
        self.remembered = PerPrompt(config.advantage.buffer, config.advantage.least)
        """Rewards of earlier epochs; with `variety`, all that an epoch knows of those before."""
        self.variety = Variety(config.advantage.variety)
        """Remembers how far apart clips lay at first."""

    def play_and_learn(self, epoch: int) -> dict[str, float]:
        """Run one epoch, counted from 1; returns what is logged, the same in every process.

        Raises:
            RunError: a reward or a gradient is not finite.
        """
        config, world = self._config, self._world
        n, size = config.clips, config.update.batch
        order = self._rng("order", epoch, 0).permutation(n).reshape(-1, size)
        # clips are made by the process that learns from them, so none has to travel
        mine = np.sort(world.owned(order).ravel())
        prompts = self._draw(epoch)
        seeds = self._rng("noise", epoch).integers(0, 2**63 - 1, n)
        own = [prompts[i] for i in mine]
        played = self._play(own, seeds[mine].tolist(), epoch)
        columns = paid(self._denoiser, self._reward, played.clean, own, config.sample)
        earned = world.merge(columns, mine, n)
        self._refuse_odd(earned, prompts, epoch)
        texts = [p.text for p in prompts]
        gains = self._advantages(texts, earned[:, 0])
        found = {
            "reward": float(earned[:, 0].mean()),
            "reward_std": float(earned[:, 0].std()),
        }
        if config.advantage.variety:
            apart, told = self.variety(texts, world.merge(self._outlines(played), mine, n))
            gains, found = gains + apart, found | told
        if len(self._reward.parts) > 1:
            for name, column in zip(self._reward.parts, earned[:, 1:].T, strict=True):
                found[f"reward_{name}"] = float(column.mean())
        return found | self._learn(played, mine, gains, order, epoch)

    def _play(self, prompts: list[Prompt], seeds: list[int], epoch: int) -> Rollout | Played:
        config = self._config
        if self._at_once:
            steps = np.unique(self._trained(epoch, 0)).tolist()
            return one_pass.play(self._denoiser, prompts, seeds, config, steps)
        weights = ddpo.element_weights(self._denoiser, config.update)
        return collect(self._denoiser, prompts, seeds, config.sample, config.precision, weights)

    def _outlines(self, played: Rollout | Played) -> Floats:
        """Return what own clips are like, [own, d]: their spectra, or latents without a meaning."""
        tell = getattr(self._denoiser, "predict_mel", None)
        if tell is None:
            return np.asarray(played.clean.flatten(1).double().cpu().numpy())
        with torch.no_grad():
            return outlines(tell(played.clean, self._config.sample.seconds))

    def _learn(
        self,
        played: Rollout | Played,
        mine: NDArray[np.int64],
        gains: Floats,
        order: NDArray[np.int64],
        epoch: int,
    ) -> dict[str, float]:
        update = self._config.update
        n, norms = len(gains), []
        sums: dict[str, float] = {}
        rows, first = 0, 0.0
        for inner in range(update.inner_epochs):
            if inner:
                order = self._rng("order", epoch, inner).permutation(n).reshape(order.shape)
            trained = self._trained(epoch, inner)
            noise = self._rng("levels", epoch, inner).integers(0, 2**63 - 1, n)
            for number, members in enumerate(order):
                own = members[np.isin(members, mine)]
                local = torch.from_numpy(np.searchsorted(mine, own)).to(played.clean.device)
                total = update.batch * trained.shape[1]
                parts = self._parts(played, local, own, trained, noise, gains, total)
                where = f"epoch {epoch}, update {inner * len(order) + number + 1}"
                told = self._learner.learn(parts, where, self._rate_share(epoch))
                norms.append(told.pop("grad_norm"))
                for name, value in told.items():
                    sums[name] = sums.get(name, 0.0) + value
                if not rows:
                    first = told.get("ratio_deviation", 0.0)
                rows += total
        if update.objective == "ddpo":
            # of the epoch's first update, made by the policy that played: 0 but for rounding
            sums["first_deviation"] = first * rows / (update.batch * trained.shape[1])
            sums.setdefault("loss", 0.0)
        means = {name: value / rows for name, value in self._world.sums(sums).items()}
        return means | {"grad_norm": float(np.mean(norms)), "updates": self._learner.updates}

    def _parts(
        self,
        played: Rollout | Played,
        local: torch.Tensor,
        own: NDArray[np.int64],
        trained: NDArray[np.int64],
        noise: NDArray[np.int64],
        gains: Floats,
        total: int,
    ) -> Iterable[ddpo.Part]:
        config, device = self._config, played.clean.device
        update, precision = config.update, config.precision
        if isinstance(played, Played):
            # its clips are all in this update, in the order in which they were played
            earned = torch.from_numpy(gains[np.sort(own)]).to(device)
            return one_pass.losses(self._denoiser, played, earned, total)
        if update.objective == "regression":
            weights = regression.weights_of(gains, update.temperature)[own]
            return regression.losses(
                self._denoiser, played, local, noise[own].tolist(), trained.shape[1],
                torch.from_numpy(weights).to(device), total, update, precision,
            )  # fmt: skip
        return ddpo.losses(
            self._denoiser, played, local, torch.from_numpy(trained[own]).to(device),
            torch.from_numpy(gains[own]).to(device), total, update, precision,
        )  # fmt: skip

    def _rate_share(self, epoch: int) -> float:
        """Return what is left of the learning rate in an epoch."""
        last, epochs = self._config.update.final_share, self._config.epochs
        return 1.0 if epochs < 2 else 1.0 - (1.0 - last) * (epoch - 1) / (epochs - 1)

    def _trained(self, epoch: int, inner: int) -> NDArray[np.int64]:
        """Return the steps of every clip that an inner epoch learns from, [n, T]."""
        config = self._config
        rng = self._rng("steps", epoch, inner)
        return ddpo.trained_steps(config.update, config.sample.steps, config.clips, rng)

    def _draw(self, epoch: int) -> list[Prompt]:
        """Return the prompt of every clip of an epoch."""
        rng, count = self._rng("prompts", epoch), self._config.sample.prompts
        drawn: list[int] = []
        while len(drawn) < count:  # all once before any comes twice
            drawn += rng.permutation(len(self._prompts)).tolist()
        each = self._config.sample.per_prompt
        return [self._prompts[i] for i in drawn[:count] for _ in range(each)]

    def _advantages(self, texts: list[str], rewards: Floats) -> Floats:
        how = self._config.advantage
        if how.mode == "prompt":
            found = self.remembered(texts, rewards)
        elif how.mode == "group":
            found = by_group(texts, rewards, spread=how.spread)
        else:
            found = by_batch(rewards)
        return np.clip(found, -how.clip, how.clip)

    def _refuse_odd(self, earned: Floats, prompts: list[Prompt], epoch: int) -> None:
        odd = np.argwhere(~np.isfinite(earned[:, 1:]))
        if not len(odd):
            return
        clip, term = odd[0]
        raise RunError(
            f"the reward '{list(self._reward.parts)[term]}' of epoch {epoch} is "
            f"{earned[clip, 1 + term]} for '{prompts[clip].text}'",
            advice="The last checkpoint before it is kept; mend the reward, or leave it out",
        )

    def _rng(self, *labels: str | int) -> np.random.Generator:
        return generator(self._config.seed, *labels)
