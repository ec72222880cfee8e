"""Watching a tuning: is it getting better, or only better at pleasing its reward?

At every look the same prompts are played from the same noise. The judge, which no reward has
learned from, says how well they are met, and how far the clips of a prompt lie from each other says
how much variety is left. The best adapter is the one that the judge likes most among those that
keep enough variety and, where real clips are given, stay as near to them as the base model. When
no look has been better for some time while training goes on, tuning ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from segue.core.errors import RunError
from segue.core.seeding import generator
from segue.tasks.audio.evaluate_metrics import frechet_distance, mean_distance, outlines
from segue.tasks.audio.rollout import clips_of
from segue.tasks.audio.sampling import sample

if TYPE_CHECKING:
    from segue.rl.rewards import WeightedSum
    from segue.tasks.audio.config import TuneConfig
    from segue.tasks.audio.distributed import World
    from segue.tasks.audio.models.base import Denoiser
    from segue.tasks.audio.rewards.clips import Clips
    from segue.tasks.audio.vocabulary import Prompt

__all__ = ["JudgeLike", "Monitor"]

Floats = NDArray[np.float64]

_RATE_HZ = 16000
_HEADS = ("mood", "instrument")


class JudgeLike(Protocol):
    """What the monitor needs of a judge; `listeners.judge.Judge` is one."""

    def probabilities(self, audio: torch.Tensor, /) -> Mapping[str, torch.Tensor]:
        """Return probabilities of moods, [B, 4], and instruments, [B, 10], of 16 kHz sound."""
        ...

    def embed(self, audio: torch.Tensor, /) -> torch.Tensor:
        """Return features, [B, d], of 16 kHz sound, [B, T]."""
        ...


class Monitor:
    """Looks at a denoiser now and then, and remembers which look was best.

    Args:
        prompts: what is tuned on; some of it is looked at, always the same.
        reward: what is paid.
        judge: who judges; without one the reward does, and the latents tell the diversity.
        reference: the judge's features of real clips, [m, d]; without, realism is not watched.
        config: settings.
        world: the processes that share the work.
    """

    def __init__(
        self,
        prompts: Sequence[Prompt],
        reward: WeightedSum,
        judge: JudgeLike | None,
        reference: Floats | None,
        config: TuneConfig,
        world: World,
    ) -> None:
        look = config.look
        rng = generator(config.seed, "look")
        drawn = rng.permutation(len(prompts))[: look.prompts]
        self._prompts = [prompts[i] for i in np.sort(drawn) for _ in range(look.per_prompt)]
        self._seeds = rng.integers(0, 2**63 - 1, len(self._prompts))
        self._reward, self._judge, self._reference = reward, judge, reference
        self._config, self._world = config, world
        self.best_epoch = -1
        """Epoch of the best look; -1 before the first."""
        self.first: dict[str, float] = {}
        """What was found of the base model."""
        self.best: dict[str, float] = {}
        """What was found at the best look."""
        self._since = 0

    @property
    def over(self) -> bool:
        """Whether no look has been better for as long as patience lasts."""
        return self._since >= self._config.look.patience

    def look(self, denoiser: Denoiser) -> dict[str, float]:
        """Play and judge; returns name -> value, the same in every process.

        Raises:
            RunError: something that was heard is not a finite number.
        """
        n, world = len(self._prompts), self._world
        mine = np.arange(world.rank, n, world.size)
        columns = [self._heard(denoiser, mine[i : i + 64]) for i in range(0, len(mine), 64)]
        whole: dict[str, Floats] = {}
        for name in columns[0] if columns else ():
            own = np.concatenate([part[name] for part in columns])
            whole[name] = world.merge(own, mine, n)
        bad = [name for name, values in whole.items() if not np.isfinite(values).all()]
        if bad:
            raise RunError(f"a look found numbers that are not finite: {', '.join(bad)}")
        return self._numbers(whole)

    def consider(self, epoch: int, found: Mapping[str, float]) -> bool:
        """Remember a look; returns whether it is the best one so far."""
        if not self.first:
            self.first = dict(found)
        look, first = self._config.look, self.first
        good = found["diversity"] >= look.least_diversity * first["diversity"]
        if "distance" in found:
            good &= found["distance"] <= look.most_distance * first["distance"]
        better = not self.best or found["score"] > self.best["score"]
        # the base model itself is the first best: what is worse than no tuning is not kept
        if better and (good or not self.best):
            self.best, self.best_epoch, self._since = dict(found), epoch, 0
            return True
        self._since += 1
        return False

    def state(self) -> dict[str, Any]:
        """Return what is remembered, as JSON-like values."""
        return {
            "best_epoch": self.best_epoch,
            "first": self.first,
            "best": self.best,
            "since": self._since,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Take what `state` returned."""
        self.best_epoch, self._since = state["best_epoch"], state["since"]
        self.first, self.best = dict(state["first"]), dict(state["best"])

    def _heard(self, denoiser: Denoiser, index: NDArray[np.int64]) -> dict[str, Floats]:
        from segue.tasks.audio.rewards.table import needs_audio

        how = self._config.sample
        prompts = [self._prompts[i] for i in index]
        latents = sample(
            denoiser, [p.text for p in prompts], how.seconds, how.steps, how.eta, how.guidance,
            how.negative, self._seeds[index].tolist(), precision=self._config.precision,
        )  # fmt: skip
        tells = hasattr(self._judge, "probabilities_of_mel") and not self._config.look.sound
        audio = needs_audio(self._reward) or not (self._judge is None or tells)
        clips = clips_of(denoiser, latents, how.seconds, prompts, audio=audio)
        with torch.no_grad():
            found = {"reward": np.asarray(self._reward(clips)[0], dtype=np.float64)}
        if self._judge is None:
            flat = latents.flatten(1).double().cpu().numpy()
            return found | {"embedding": flat, "outline": flat}
        return found | _judged(self._judge, clips)

    def _numbers(self, heard: Mapping[str, Floats]) -> dict[str, float]:
        found = {"reward": float(heard["reward"].mean())}
        scores = []
        for head in _HEADS if self._judge is not None else ():
            wanted = [getattr(prompt, head) for prompt in self._prompts]
            named = np.array([i for i, w in enumerate(wanted) if w is not None], dtype=np.int64)
            if not len(named):
                continue
            target = np.array([wanted[i] for i in named])
            table = heard[head][named]
            probability = table[np.arange(len(named)), target]
            found[f"{head}_probability"] = float(probability.mean())
            found[f"{head}_accuracy"] = float((table.argmax(1) == target).mean())
            scores.append(found[f"{head}_probability"])
        rows, shape = heard["embedding"], heard["outline"]
        groups = shape.reshape(-1, self._config.look.per_prompt, shape.shape[1])
        found["diversity"] = float(np.mean([mean_distance(group) for group in groups]))
        if self._reference is not None and self._judge is not None:
            found["distance"] = frechet_distance(rows, self._reference)
        found["score"] = float(np.mean(scores)) if scores else found["reward"]
        return found


def _judged(judge: Any, clips: Clips) -> dict[str, Floats]:
    with torch.inference_mode():
        if clips.has_audio:
            sound = clips.at(_RATE_HZ)
            table, features = judge.probabilities(sound), judge.embed(sound)
        else:
            mel = clips.log_mel()
            table, features = judge.probabilities_of_mel(mel), judge.embed_mel(mel)
    named = {name: table[name] for name in _HEADS} | {"embedding": features}
    told = {name: np.asarray(value.double().cpu().numpy()) for name, value in named.items()}
    return told | {"outline": outlines(clips.log_mel())}
