"""Training of SASRec, in memory or in a run folder that can be continued.

Everything random comes from the seed, on one thread: a training that was killed and resumed ends on
the same bits. The run's steps are updates; its metrics are logged once an epoch.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from segue.core.errors import ConfigError, DataError
from segue.core.progress import Advance, silent
from segue.core.run import Run
from segue.core.seeding import generator, seed_everything
from segue.rl.torch_state import from_arrays, to_arrays
from segue.tasks.playlist.models.sasrec import SASRec
from segue.tasks.playlist.models.sasrec_batches import Batches
from segue.tasks.playlist.models.sasrec_config import SASRecConfig
from segue.tasks.playlist.models.sasrec_step import Learner
from segue.tasks.playlist.protocol import questions
from segue.tasks.playlist.sessions import Sessions

__all__ = ["TrainedSASRec", "train_sasrec"]

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class TrainedSASRec:
    """What a training made."""

    arrays: Arrays
    """For `SASRec.restore`."""
    curve: tuple[dict[str, float], ...] = ()
    """Of every epoch: `epoch`, `loss`, and with validation sessions `ndcg_at_10`."""
    epochs: int = 0
    """After how many epochs the weights were as they are kept."""


@dataclass(slots=True)
class _Progress:
    """Where a training stands; goes into checkpoints."""

    step: int = 0
    loss: float = 0.0
    """Sum over the updates of this epoch."""
    halvings: int = 0
    best: float = -1.0
    best_epoch: int = 0
    stopped: bool = False
    curve: list[dict[str, float]] = field(default_factory=list)


def train_sasrec(
    sessions: Sessions,
    n_tracks: int,
    config: SASRecConfig | None = None,
    *,
    folder: Path | None = None,
    validation: Sessions | None = None,
    resume: bool = False,
    advance: Advance = silent,
) -> TrainedSASRec:
    """Train SASRec on every place of the sessions.

    Args:
        sessions: [S]; unknown tracks are left out.
        n_tracks: V.
        config: settings; of the run itself when it is resumed.
        folder: a run folder; the model is written there, too. None keeps everything in memory.
        validation: sessions whose last track is asked for after every epoch.
        resume: go on from the last checkpoint in `folder`.
        advance: told the share of the work that is done, piece by piece.

    Raises:
        DataError: no session has two known tracks.
        ConfigError: to stop early or to halve the rate needs validation sessions.
        RunError: the run cannot be made or continued, or belongs to other data.
    """
    if folder is None:
        with _one_thread():
            return _Training(
                config or SASRecConfig(), sessions, n_tracks, validation, advance
            ).train()
    identity = _identity(sessions, n_tracks, validation)
    run = (
        Run.open(folder, SASRecConfig, data_hash=identity)
        if resume
        else Run.create(folder, config or SASRecConfig(), data_hash=identity)
    )
    with run, _one_thread():
        return _Training(run.config, sessions, n_tracks, validation, advance, run).train()


class _Training:
    """One training: batches, learner, and where it stands."""

    def __init__(
        self,
        config: SASRecConfig,
        sessions: Sessions,
        n_tracks: int,
        validation: Sessions | None,
        advance: Advance,
        run: Run[SASRecConfig] | None = None,
    ) -> None:
        self._config, self._n_tracks, self._run, self._advance = config, n_tracks, run, advance
        self._batches = Batches(
            sessions, config.length, config.batch, newest=config.windows == "newest"
        )
        if not len(self._batches):
            raise DataError(
                f"none of the {len(sessions)} sessions has two known tracks",
                advice="SASRec learns what follows what; give it longer sessions",
            )
        if (config.patience or config.schedule == "plateau") and not (
            validation is not None and len(validation)
        ):
            raise ConfigError(
                f"patience = {config.patience} and schedule = '{config.schedule}' "
                "need validation sessions",
                advice="Give some, or set patience = 0 and schedule = 'cosine'",
            )
        self._learner = Learner(config, sessions, n_tracks)
        self._asked = None
        if validation is not None and len(validation):
            queries, targets, _ = questions(validation, "last")
            some = slice(0, config.validate_at_most)
            self._asked = queries.part(0, min(len(queries), config.validate_at_most)), targets[some]
        self._progress = _Progress()
        self._best: Arrays = {}
        if run is not None:
            seed_everything(config.seed)  # nothing here draws from them, but checkpoints keep them
        if run is not None and run.checkpoint:
            self._restore(run)

    def train(self) -> TrainedSASRec:
        """Train to the end or to the next interruption."""
        run, progress, config = self._run, self._progress, self._config
        per_epoch = len(self._batches)
        total = per_epoch * config.epochs
        with run.interruptible() if run is not None else nullcontext() as stop:
            while progress.step < total and not progress.stopped:
                epoch, first = divmod(progress.step, per_epoch)
                order = generator(config.seed, "sasrec order", epoch)
                for batch in self._batches.epoch(order, first):
                    rate = self._rate(progress.step / total)
                    progress.step += 1
                    progress.loss += self._learner.update(batch, rate, progress.step)
                    self._advance(1 / total)
                    if stop:
                        break
                if progress.step % per_epoch == 0:
                    self._end_epoch(epoch + 1)
                if run is not None:
                    self._save(run)
                if stop:
                    break
        return self._finish()

    def _rate(self, done: float) -> float:
        """Return the learning rate after a share of all updates."""
        config = self._config
        if config.schedule == "cosine":
            return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
        return float(config.learning_rate * 0.5**self._progress.halvings)

    def _end_epoch(self, epoch: int) -> None:
        """Validate, log, and see whether it is time to stop."""
        config, progress = self._config, self._progress
        found = {"epoch": epoch, "loss": progress.loss / len(self._batches)}
        if self._asked is not None:
            found["ndcg_at_10"] = self._validate()
            if found["ndcg_at_10"] > progress.best:
                progress.best, progress.best_epoch = found["ndcg_at_10"], epoch
                if config.patience:
                    self._best = self._learner.arrays()
            since = epoch - progress.best_epoch
            progress.halvings += config.schedule == "plateau" and since > 0 and since % 2 == 0
            progress.stopped = bool(config.patience) and since >= config.patience
        progress.loss = 0.0
        progress.curve.append(found)
        if self._run is not None:
            self._run.log(progress.step, **found)

    def _validate(self) -> float:
        """Return NDCG@10 on the validation questions."""
        assert self._asked is not None
        queries, targets = self._asked
        ranks = self._model(self._learner.arrays()).ranks(
            queries, targets, repeats=self._config.validate_repeats
        )
        return float(np.where(ranks <= 10, 1 / np.log2(ranks + 1), 0.0).mean())

    def _model(self, arrays: Arrays) -> SASRec:
        model = SASRec(self._config)
        model.n_tracks = self._n_tracks
        model.restore(arrays)
        return model

    def _finish(self) -> TrainedSASRec:
        run, progress = self._run, self._progress
        arrays = self._best or self._learner.arrays()
        epochs = progress.best_epoch if self._best else len(progress.curve)
        if run is not None:
            self._model(arrays).save(run.folder)
            run.finish({"epochs": epochs, "curve": progress.curve}, limits=_LIMITS)
        return TrainedSASRec(arrays, tuple(progress.curve), epochs)

    def _save(self, run: Run[SASRecConfig]) -> None:
        arrays, layout = to_arrays(self._learner.state())
        progress = self._progress
        run.save(
            progress.step,
            {"torch": arrays} | ({"best": self._best} if self._best else {}),
            {
                "layout": layout,
                "progress": {name: getattr(progress, name) for name in _Progress.__slots__},
            },
            generators={"negatives": self._learner.objective.random},
        )

    def _restore(self, run: Run[SASRecConfig]) -> None:
        assert run.checkpoint is not None
        kept = run.checkpoint.arrays
        self._learner.load_state(from_arrays(kept["torch"], run.state["layout"]))
        self._best = dict(kept.get("best", {}))
        self._progress = _Progress(**run.state["progress"])
        run.restore_random({"negatives": self._learner.objective.random})


_LIMITS = (
    "It knows the tracks of its training sessions alone; others are left out of a history.",
    "It recommends what was played after similar sessions, not what is new or good.",
)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one thread: sums in another order would be other bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _identity(sessions: Sessions, n_tracks: int, validation: Sessions | None) -> str:
    """Return a fingerprint of what is trained and validated on."""
    digest = hashlib.sha256(str(n_tracks).encode())
    for part in (sessions, validation):
        for array in (part.tracks, part.offsets) if part is not None else ():
            digest.update(np.ascontiguousarray(array).tobytes())
    return f"sha256:{digest.hexdigest()}"
