"""Tune a captioner towards a reward, without losing what the warm start knows.

*self-critical* (Rennie et al., "Self-critical sequence training for image captioning", 2017; with
the mean of the other samples as the baseline, Luo, "A better variant of self-critical sequence
training", 2020): several captions of each segment are drawn at a temperature, each is paid by the
named terms, and the log-probability of a caption, at that temperature, rises with what it earned
more than the others. A share of the warm start's loss, and where wanted a divergence from the warm
start, keep the language.

*worker-manager* is the original's method; see `phases`.

Letters: `B` segments, `K` samples, `L` words.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from segue.core.errors import DataError, RunError
from segue.core.progress import Advance, silent
from segue.core.run import Run
from segue.core.seeding import generator, seed_everything
from segue.rl.devices import usable_device
from segue.rl.rewards import WeightedSum
from segue.rl.torch_state import from_arrays, to_arrays
from segue.tasks.captioning.batches import Batch, make_batch
from segue.tasks.captioning.config import TuneConfig
from segue.tasks.captioning.data.feature_manifest import features_in
from segue.tasks.captioning.data.prepared import Prepared
from segue.tasks.captioning.judging import judge_of, quick_metrics, say
from segue.tasks.captioning.models.stored import StoredCaptioner, save_captioner
from segue.tasks.captioning.rewards import REWARDS

__all__ = ["Method", "tune"]


class Method(Protocol):
    """How one update is made."""

    def update(self, batch: Batch, step: int) -> tuple[torch.Tensor, dict[str, float]]:
        """Return the loss of a batch and what is to be logged of it."""
        ...


def tune(
    warm: StoredCaptioner,
    data: Prepared,
    folder: Path,
    config: TuneConfig | None,
    *,
    resume: bool = False,
    advance: Advance = silent,
) -> dict[str, Any]:
    """Tune a captioner and keep it in `folder`.

    Args:
        warm: the captioner to start from.
        data: prepared captions and features.
        folder: of the run.
        config: settings; None takes the run's own, with `resume`.
        resume: go on with a run that was interrupted.
        advance: told the share of the work that is done.

    Returns:
        Validation metrics before and after.

    Raises:
        DataError: the captioner has another vocabulary than the data.
        RunError: the run cannot be made or continued, or a loss is not finite.
    """
    if warm.vocabulary.words != data.vocabulary.words:
        raise DataError(
            f"the captioner knows {len(warm.vocabulary)} words and the data '{data.name}' has "
            f"{len(data.vocabulary)}, or other ones",
            advice="Tune on the data that the captioner was trained on",
        )
    mark = f"{data.fingerprint}|{warm.sha256}"
    if resume:
        run = Run.open(folder, TuneConfig, data_hash=mark)
    else:
        run = Run.create(folder, config or TuneConfig(), data_hash=mark)
    with run:
        return _Tuner(run, warm, data, advance).tune()


class _Tuner:
    def __init__(
        self, run: Run[TuneConfig], warm: StoredCaptioner, data: Prepared, advance: Advance
    ) -> None:
        from segue.tasks.captioning.phases import WorkerManager
        from segue.tasks.captioning.self_critical import SelfCritical

        torch.set_num_threads(1)
        config = run.config
        seed_everything(config.seed)
        self._run, self._data, self._advance, self._warm = run, data, advance, warm
        self._network = warm.network.to(usable_device(config.device)).eval()
        if self._network.critic is not None:
            self._network.critic.requires_grad_(False)
        self._rng = generator(config.seed, "tune")
        reward = WeightedSum.from_names(REWARDS, config.weights)
        kind = SelfCritical if config.method == "self-critical" else WorkerManager
        self._method: Method = kind(
            self._network, judge_of(data, data.train), reward, config, self._rng
        )
        self._judge = judge_of(data, data.validation)
        self._weights = [w for w in self._network.parameters() if w.requires_grad]
        self._adam = torch.optim.Adam(self._weights, lr=config.learning_rate, fused=True)
        described = np.unique(data.validation.captions.segment)
        drawn = generator(0, "validation").permutation(described)[: config.evaluate_n]
        self._looked_at = np.sort(drawn)
        self._first: dict[str, float] = {}
        if run.checkpoint:
            tree = from_arrays(run.checkpoint.arrays["torch"], run.state["layout"])
            self._network.load_state_dict(tree["network"])
            self._adam.load_state_dict(tree["adam"])
            self._first = run.state["first"]
        run.restore_random({"tune": self._rng})

    def tune(self) -> dict[str, Any]:
        run, config = self._run, self._run.config
        if not self._first:
            self._first = self._look()
            run.log(0, **self._first)
        captions = len(self._data.train.captions)
        seen: dict[str, list[float]] = {}
        with run.interruptible() as stop:
            for step in range(run.step + 1, config.updates + 1):
                drawn = self._rng.integers(0, captions, config.batch)
                batch = make_batch(self._data, self._data.train, drawn, config.limit)
                for name, value in self._update(batch.to(config.device), step).items():
                    seen.setdefault(name, []).append(value)
                looked = step % config.evaluate_every == 0 or step == config.updates
                if looked or stop:
                    means = {name: float(np.mean(values)) for name, values in seen.items()}
                    run.log(step, **means, **(self._look() if looked else {}))
                    seen = {}
                    self._save(step)
                self._advance(1 / config.updates)
                if stop and step < config.updates:
                    return {"interrupted_at": step}
        return self._finish()

    def _update(self, batch: Batch, step: int) -> dict[str, float]:
        config = self._run.config
        done = step / config.updates
        rate = config.learning_rate * (1 - (1 - config.final_share) * done)
        if step <= config.warmup:
            rate *= step / config.warmup
        for group in self._adam.param_groups:
            group["lr"] = rate
        loss, found = self._method.update(batch, step)
        if not torch.isfinite(loss):
            raise RunError(
                f"the loss of update {step} is {loss.item()}",
                where=self._run.folder,
                advice="Lower learning_rate; the last checkpoint before it is kept",
            )
        self._adam.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if config.clip:
            torch.nn.utils.clip_grad_norm_(self._weights, config.clip)
        self._adam.step()
        return {"loss": loss.item(), **found}

    def _look(self) -> dict[str, float]:
        said = say(
            self._network, self._data.validation, self._looked_at, limit=self._run.config.limit
        )
        found = quick_metrics(self._judge, said)
        return {f"validation_{name}": float(values.mean()) for name, values in found.items()}

    def _save(self, step: int) -> None:
        tree = {"network": self._network.state_dict(), "adam": self._adam.state_dict()}
        arrays, layout = to_arrays(tree)
        self._run.save(
            step,
            {"torch": arrays},
            {"layout": layout, "first": self._first},
            generators={"tune": self._rng},
        )

    def _finish(self) -> dict[str, Any]:
        run = self._run
        last: Mapping[str, Any] = run.metrics()[-1]
        names = list(self._first)
        result = {
            "updates": run.step,
            "first": self._first,
            "last": {name: last[name] for name in names},
        }
        facts = {
            "data": self._data.fingerprint,
            "data_name": self._data.name,
            "features": self._warm.facts.get("features") or features_in(self._data),
            "warm_sha256": self._warm.sha256,
            "method": run.config.method,
            "seed": run.config.seed,
            "training": result,
        }
        if "proxy" in self._data.facts:
            facts["proxy"] = self._data.facts["proxy"]
        save_captioner(run.folder, self._network.cpu(), self._data.vocabulary, facts)
        run.finish(result, limits=_LIMITS)
        return result


_LIMITS = (
    "The reward compares words; it does not know what is seen.",
    "Gains on one warm start can be its luck: judge a recipe by several of them.",
)
