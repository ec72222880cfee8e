"""Training of the three listeners, one after the other: CLAP, emotion, judge.

The steps of the log are epochs, counted over all three. A run can be killed at any moment and goes
on from its last epoch; a listener that is done lies in its own files and is not trained again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from segue.core.errors import DataError, RunError
from segue.core.progress import Advance, silent
from segue.core.run import Run
from segue.core.seeding import generator, seed_everything
from segue.rl.torch_state import from_arrays, to_arrays
from segue.tasks.audio.data.prepared import Prepared
from segue.tasks.audio.listeners.config import ListenersConfig
from segue.tasks.audio.listeners.stages import (
    ClapStage,
    EmotionStage,
    JudgeStage,
    Material,
    Stage,
)
from segue.tasks.audio.listeners.stored import read_facts

__all__ = ["train_listeners"]

_KINDS: tuple[Callable[[Material], Stage], ...] = (ClapStage, EmotionStage, JudgeStage)
_NAMES = ("clap", "emotion", "judge")
_LOOK_EVERY = 5
"""Epochs between looks at the validation clips; the last is always followed by one."""
_WARM_UP = 0.1
_LARGEST_GRADIENT = 5.0


def train_listeners(
    data: Prepared,
    run: Run[Any],
    config: ListenersConfig,
    advance: Advance = silent,
    *,
    first: int = 0,
    folder: Path | None = None,
) -> dict[str, Any]:
    """Train the listeners and keep them in the folder of a run.

    Args:
        data: prepared clips.
        run: open; its steps after `first` are the epochs.
        config: settings; the same when the run goes on.
        advance: told the share of the work that is done.
        first: steps of the run that others have logged before.
        folder: where the listeners go; the run's own by default.

    Returns:
        For each listener its accuracies on the validation clips, by true labels.

    Raises:
        DataError: too few clips.
        RunError: a loss is not finite.
    """
    return _Trainer(data, run, config, advance, first, folder or run.folder).train()


class _Trainer:
    def __init__(
        self,
        data: Prepared,
        run: Run[Any],
        config: ListenersConfig,
        advance: Advance,
        first: int,
        folder: Path,
    ) -> None:
        self._data, self._run, self._config = data, run, config
        self._advance, self._first, self._folder = advance, first, folder
        learning = (config.clap_learning, config.emotion_learning, config.judge_learning)
        self._epochs = [each.epochs for each in learning]

    def train(self) -> dict[str, Any]:
        done = self._run.step - self._first
        if done < sum(self._epochs):
            torch.set_num_threads(1)  # one seed, one result
            material = Material(self._data, self._config)
            for half in (0, 1):
                n = int((material.half == half).sum())
                if n < 2:
                    raise DataError(
                        f"{n} training clips in one of the halves are too few",
                        where=self._data.name,
                        advice="Prepare more clips, or more files",
                    )
            with self._run.interruptible() as stop:
                before = 0
                for kind, epochs in zip(_KINDS, self._epochs, strict=True):
                    if done < before + epochs and not stop:
                        self._stage(kind, material, before, max(done - before, 0), stop)
                    before += epochs
        return {name: read_facts(self._folder, name)["training"] for name in _NAMES}

    def _stage(
        self,
        kind: Callable[[Material], Stage],
        material: Material,
        before: int,
        done: int,
        stop: Any,
    ) -> None:
        """Train one listener; `before` epochs of others and `done` of its own are done."""
        # 1. the network, as it was or anew; each stage has its own seed, whatever came before
        run, number = self._run, _KINDS.index(kind)
        seed_everything(self._config.seed * len(_KINDS) + number)
        stage = kind(material)
        # The same numbers in another order: convolutions are a quarter faster on processors.
        stage.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        learning = stage.learning
        # Not fused: that one takes parameters and a state that was read back for equally laid out.
        adam = torch.optim.AdamW(
            stage.network.parameters(), learning.learning_rate, weight_decay=learning.weight_decay
        )
        rng = generator(self._config.seed, "listeners", stage.name)
        if done and run.checkpoint is not None:
            tree = from_arrays(run.checkpoint.arrays["torch"], run.state["layout"])
            stage.network.load_state_dict(tree["network"])
            adam.load_state_dict(tree["adam"])
            run.restore_random({"listeners": rng})
        # 2. epochs
        found: dict[str, float] = {}
        loss = math.nan
        for epoch in range(done + 1, learning.epochs + 1):
            loss = self._epoch(stage, adam, epoch, rng, stop)
            if stop:  # the epoch is done again when the run goes on
                return
            found = {}
            if epoch == learning.epochs or epoch % _LOOK_EVERY == 0:
                stage.network.eval()
                found = stage.accuracies("val")
            if epoch == learning.epochs:
                stage.save(self._folder, {"epochs": epoch, "loss": loss, **found})
            step = self._first + before + epoch
            run.log(step, **{f"{stage.name}_{k}": v for k, v in {"loss": loss, **found}.items()})
            arrays, layout = to_arrays(
                {"network": stage.network.state_dict(), "adam": adam.state_dict()}
            )
            run.save(step, {"torch": arrays}, {"layout": layout}, generators={"listeners": rng})

    def _epoch(
        self,
        stage: Stage,
        adam: torch.optim.Optimizer,
        epoch: int,
        rng: np.random.Generator,
        stop: Any,
    ) -> float:
        learning = stage.learning
        stage.network.train()
        order: NDArray[np.int64] = rng.permutation(stage.clips)
        total = learning.epochs * stage.n_batches
        losses = []
        for i in range(stage.n_batches):
            if stop:
                break
            rate = learning.learning_rate * _share((epoch - 1) * stage.n_batches + i, total)
            for group in adam.param_groups:
                group["lr"] = rate
            chosen = order[i * learning.batch : (i + 1) * learning.batch]
            loss = stage.loss(chosen, rng)
            if not torch.isfinite(loss):
                raise RunError(
                    f"the loss of epoch {epoch} of '{stage.name}' is {loss.item()}",
                    where=self._run.folder,
                    advice=f"Lower {stage.name}_learning.learning_rate; the last epoch is kept",
                )
            adam.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(stage.network.parameters(), _LARGEST_GRADIENT)
            adam.step()
            losses.append(loss.item())
            self._advance(1 / stage.n_batches / sum(self._epochs))
        return float(np.mean(losses)) if losses else math.nan


def _share(update: int, total: int) -> float:
    """Return the share of the learning rate at an update: a rise, then half a cosine."""
    warm = max(1, round(_WARM_UP * total))
    if update < warm:
        return (update + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (update - warm) / max(1, total - warm)))
