"""`tune`: move a text-to-music model towards a reward, by what its own clips earn.

Epochs of playing and learning (`epochs`), with looks at what was learned between them (`monitor`).
All that is drawn comes from the seed and the number of the epoch, so a run that is resumed ends on
the same bits, and several processes (`distributed`) do what one does.

Black et al., "Training diffusion models with reinforcement learning" (2024).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from segue.core.checkpoint import load_checkpoint
from segue.core.checkpoint_format import Checkpoint
from segue.core.config import read_toml
from segue.core.errors import UsageError
from segue.core.files import fingerprint
from segue.core.interrupt import interruptible
from segue.core.progress import Advance, silent
from segue.core.run import Run
from segue.core.seeding import seed_everything
from segue.rl.torch_state import from_arrays, to_arrays
from segue.tasks.audio.adapter_file import write_adapter
from segue.tasks.audio.config import TuneConfig
from segue.tasks.audio.distributed import World
from segue.tasks.audio.epochs import Epochs
from segue.tasks.audio.learner import Learner
from segue.tasks.audio.monitor import JudgeLike, Monitor

if TYPE_CHECKING:
    from segue.rl.rewards import WeightedSum
    from segue.tasks.audio.models.base import Denoiser
    from segue.tasks.audio.vocabulary import Prompt

__all__ = ["tune"]

Floats = NDArray[np.float64]


def tune(
    denoiser: Denoiser,
    reward: WeightedSum,
    prompts: Sequence[Prompt],
    run_folder: Path,
    config: TuneConfig | None = None,
    *,
    judge: JudgeLike | None = None,
    reference: Floats | None = None,
    resume: bool = False,
    mark: str = "",
    notes: dict[str, Any] | None = None,
    world: World | None = None,
    advance: Advance = silent,
) -> dict[str, Any]:
    """Tune a model and keep the adapter in the run folder.

    Args:
        denoiser: the model; it gets a new adapter, and keeps the one that was best.
        reward: takes `Clips`.
        prompts: what it is tuned on.
        run_folder: new, or with `resume` an unfinished run.
        config: settings; of the run itself when it is resumed.
        judge: who says which adapter is best; without one the reward does.
        reference: the judge's features of real clips, [m, d].
        resume: go on from the last checkpoint.
        mark: identity of whatever else a result depends on, as the listeners' weights.
        notes: what else `adapter.json` says.
        world: the processes that tune together.
        advance: told the share of the work that is done.

    Returns:
        What came out, as JSON-like values; `interrupted_at` instead when it was stopped.

    Raises:
        UsageError: no prompts, a reward that is missing, or steps that cannot be trained.
        RunError: the run cannot be made or continued, or a reward or gradient is not finite; the
            last checkpoint before it stays.
    """
    torch.set_num_threads(1) if denoiser.device.type == "cpu" else None
    world = world or World(device=denoiser.device)
    if not prompts:
        raise UsageError("there are no prompts to tune on", advice="Give at least one")
    identity = fingerprint([denoiser.identity, [p.text for p in prompts], mark])
    if resume and not world.first:
        path = run_folder / "config.toml"
        config = TuneConfig.parse(read_toml(path), str(path))
    elif not resume:
        config = config or TuneConfig()
        _check(denoiser, config, world)
    with _opened(run_folder, config, identity, resume, world) as (run, config, checkpoint):
        _check(denoiser, config, world)
        work = (denoiser, reward, list(prompts), judge, reference, notes or {}, advance)
        return _Tuner(run, config, world, *work).tune(checkpoint)


@contextmanager
def _opened(
    folder: Path, config: TuneConfig | None, identity: str, resume: bool, world: World
) -> Iterator[tuple[Run[TuneConfig] | None, TuneConfig, Checkpoint | None]]:
    """Open the run in the first process; the others read the checkpoint that it continues from."""
    if world.first:
        if resume:
            run = Run.open(folder, TuneConfig, data_hash=identity)
        else:
            assert config is not None
            run = Run.create(folder, config, data_hash=identity)
        with run:
            world.from_first(run.step)
            yield run, run.config, run.checkpoint
        return
    assert config is not None
    step = world.from_first(0)
    found = load_checkpoint(folder / "checkpoints", f"step-{step:06d}") if step else None
    yield None, config, found


def _check(denoiser: Denoiser, config: TuneConfig, world: World) -> None:
    """Refuse what cannot be tuned before a folder is made."""
    denoiser.latent_shape(config.sample.seconds)
    update, steps = config.update, config.sample.steps
    sigmas = denoiser.schedule.sigmas(steps, config.sample.eta)[: update.trainable(steps)]
    if update.objective == "ddpo" and not (sigmas > 0).all():
        raise UsageError(
            f"step {int((sigmas > 0).argmin()) + 1} of {steps} has no noise, so no probability",
            where="update.skip_last",
            advice="Leave the last step out: set it to 1 or more",
        )
    if update.batch % world.size:
        raise UsageError(
            f"updates of {update.batch} clips cannot be divided among {world.size} processes",
            where="update.batch",
            advice=f"Give a multiple of {world.size}",
        )
    if config.look.every and config.look.per_prompt < world.size:
        raise UsageError(
            f"{config.look.per_prompt} clips of a look are fewer than the {world.size} processes",
            where="look.per_prompt",
        )
    if denoiser.device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = config.tf32
        torch.backends.cudnn.allow_tf32 = config.tf32


class _Tuner:
    """One tuning, in one process."""

    def __init__(
        self,
        run: Run[TuneConfig] | None,
        config: TuneConfig,
        world: World,
        denoiser: Denoiser,
        reward: WeightedSum,
        prompts: list[Prompt],
        judge: JudgeLike | None,
        reference: Floats | None,
        notes: dict[str, Any],
        advance: Advance,
    ) -> None:
        self._run, self._config, self._world = run, config, world
        self._denoiser, self._notes, self._advance = denoiser, notes, advance
        seed_everything(config.seed)
        denoiser.add_adapter(config.adapter.rank, config.adapter.alpha, config.seed)
        self._learner = Learner(denoiser, config, world)
        self._monitor = Monitor(prompts, reward, judge, reference, config, world)
        self._epochs = Epochs(denoiser, reward, prompts, self._learner, config, world)
        self._best: dict[str, torch.Tensor] = {}

    def tune(self, checkpoint: Checkpoint | None) -> dict[str, Any]:
        """Tune to the end, to where it no longer gets better, or to the next interruption."""
        config, world = self._config, self._world
        done = 0
        if checkpoint:
            done = checkpoint.step
            self._restore(checkpoint)
        with self._run.interruptible() if self._run else interruptible() as stop:
            if checkpoint is None and config.look.every:
                self._log(0, self._look(0))
            while done < config.epochs and not self._over:
                found = self._epochs.play_and_learn(done + 1)
                done += 1
                looked = bool(config.look.every) and (
                    done % config.look.every == 0 or done == config.epochs
                )
                found |= self._look(done) if looked else {}
                self._log(done, found)
                stopped = world.any(bool(stop))
                due = looked or done % config.save_every == 0 or done == config.epochs
                if due or stopped:
                    self._save(done)
                self._advance(1 / config.epochs)
                if stopped and done < config.epochs and not self._over:
                    return {"interrupted_at": done}
        return self._finish(done)

    @property
    def _over(self) -> bool:
        return bool(self._config.look.every) and self._monitor.over

    def _look(self, epoch: int) -> dict[str, float]:
        with self._learner.averaged():
            found = self._monitor.look(self._denoiser)
        if self._monitor.consider(epoch, found):
            self._best = self._learner.kept()
        return {f"look_{name}": value for name, value in found.items()}

    def _log(self, epoch: int, found: dict[str, float]) -> None:
        if self._run:
            self._run.log(epoch, **found)

    def _save(self, epoch: int) -> None:
        if not self._run:
            return
        arrays, layout = to_arrays(self._learner.state())
        best, best_layout = to_arrays(self._best)
        state = {
            "layout": layout,
            "best_layout": best_layout,
            "monitor": self._monitor.state(),
            "remembered": self._epochs.remembered.state(),
            "variety": self._epochs.variety.state(),
        }
        self._run.save(epoch, {"torch": arrays, "best": best}, state)
        self._write(epoch)  # so that a run that fails later can be played up to here

    def _restore(self, checkpoint: Checkpoint) -> None:
        state = checkpoint.state["run"]
        self._learner.load(from_arrays(checkpoint.arrays["torch"], state["layout"]))
        self._best = from_arrays(checkpoint.arrays.get("best", {}), state["best_layout"])
        self._monitor.load(state["monitor"])
        self._epochs.remembered.load(state["remembered"])
        self._epochs.variety.load(state["variety"])

    def _write(self, epoch: int) -> dict[str, Any]:
        """Write the adapter that is best so far; returns what is said of it."""
        config, monitor = self._config, self._monitor
        kept = self._best or self._learner.kept()
        result: dict[str, Any] = {
            "epochs": epoch,
            "updates": self._learner.updates,
            "kept": monitor.best_epoch if self._best else epoch,
            "first": monitor.first,
            "best": monitor.best,
        }
        assert self._run is not None
        how = config.sample
        facts = {
            "sampling": {
                "steps": how.steps,
                "guidance": how.guidance,
                "eta": how.eta,
                "negative": how.negative,
            },
            "seconds": how.seconds,
            "reward": config.reward,
            "seed": config.seed,
            "objective": config.update.objective,
            "training": result,
        }
        adapter = config.adapter
        write_adapter(
            self._run.folder, self._denoiser, kept, adapter.rank, adapter.alpha,
            facts | self._notes,
        )  # fmt: skip
        return result

    def _finish(self, epoch: int) -> dict[str, Any]:
        result = self._write(epoch) if self._run else {}
        self._learner.put(self._best or self._learner.kept())
        if self._run:
            self._run.finish(result, limits=_LIMITS)
        return result


_LIMITS = (
    "What is learned is to please the reward; listen, and look at a judge that is no reward.",
    "Seeds differ: judge a recipe by several of them.",
)
