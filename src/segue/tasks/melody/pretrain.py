"""`pretrain`: the note RNN, the prior that knows what tunes are like.

It learns to predict the next symbol of real tunes (N. Jaques et al. 2016, section 4). The paper
trains on its own corpus for 30,000 iterations; the defaults here are ours, for collections of a
thousand tunes: windows that begin at bar lines, Adam with a rate that falls as a cosine, and the
weights of the best validation.

Letters: `T` steps of a window, `B` windows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segue.core.config import Config
from segue.core.errors import DataError
from segue.core.progress import Advance, silent
from segue.core.run import Run
from segue.core.seeding import generator, seed_everything
from segue.core.tables import Data, EvaluationTable
from segue.music.events import FIRST_ONSET, NO_EVENT
from segue.tasks.melody.data import PreparedData, load
from segue.tasks.melody.models import NetworkConfig, make_network, save_model

__all__ = ["LIMITS", "PretrainConfig", "judge_tunes", "pretrain"]

Ints = NDArray[np.int64]

_BAR = 16
_AT_ONCE = 64
"""Melodies that are judged together."""


class PretrainConfig(Config):
    """How the note RNN is trained."""

    network: NetworkConfig = NetworkConfig()
    steps: int = Field(3000, ge=1)
    """Updates; the paper made 30,000 on a corpus thirty times as large."""
    batch: int = Field(64, ge=1)
    """Windows per update (paper: 128)."""
    window: int = Field(96, ge=8, le=512)
    """Steps of a window: six bars of 4/4."""
    from_start: float = Field(0.2, ge=0, le=1)
    """Share of the windows that begin where their tune does."""
    learning_rate: float = Field(6e-3, gt=0)
    """Of Adam at the start; it falls to 0 as a cosine (paper: 0.5, times 0.85 every 1000)."""
    clip: float = Field(5.0, gt=0)
    """Largest norm of the gradient of each weight tensor (paper: 5)."""
    l2: float = Field(0.0, ge=0)
    """Weight of the squared weights in the loss (paper: 2.5e-5)."""
    validate_every: int = Field(200, ge=1)
    """Updates between validations; the best weights so far are kept."""
    seed: int = Field(0, ge=0)
    """Of initial weights and windows."""


def pretrain(
    data: Path,
    run_folder: Path,
    config: PretrainConfig | None = None,
    *,
    resume: bool = False,
    advance: Advance = silent,
) -> dict[str, Any]:
    """Train a note RNN and write it to the run folder.

    Args:
        data: folder made by `prepare`.
        run_folder: new, or with `resume` an unfinished run.
        config: settings; of the run itself when it is resumed.
        resume: go on from the last checkpoint.
        advance: told the share of the work that is done, piece by piece.

    Returns:
        Losses in nats and bits per step, bits per note and accuracy, on validation and test tunes.

    Raises:
        DataError: the folder cannot be used, or has no validation tunes.
        RunError: the run cannot be made or continued.
    """
    prepared = load(data)
    if not prepared.train or not prepared.validation:
        raise DataError(
            "training and validation tunes are needed",
            where=data,
            advice="Prepare more tunes, or give validation a share with --set validation_share=0.1",
        )
    run = (
        Run.open(run_folder, PretrainConfig, data_hash=prepared.fingerprint)
        if resume
        else Run.create(run_folder, config or PretrainConfig(), data_hash=prepared.fingerprint)
    )
    with run:
        return _Trainer(run, prepared, advance).train()


class _Trainer:
    """One training: data, network, optimiser and generator."""

    def __init__(self, run: Run[PretrainConfig], data: PreparedData, advance: Advance) -> None:
        import torch

        from segue.tasks.melody.networks import TensorFlowAdam

        torch.set_num_threads(1)  # spinning threads cost more than such small products gain
        config = run.config
        seed_everything(config.seed)
        self._run, self._data, self._advance = run, data, advance
        self._network = make_network(config.network)
        self._adam = TensorFlowAdam([p for group in self._network.groups() for p in group])
        self._rng = generator(config.seed, "windows")
        lengths = np.array([len(melody) for melody in data.train], dtype=np.float64)
        self._shares = lengths / lengths.sum()
        self._best, self._best_step = np.inf, 0
        self._best_arrays = self._network.arrays()
        if run.checkpoint:
            from segue.rl.torch_state import from_arrays

            tree = from_arrays(run.checkpoint.arrays["torch"], run.state["layout"])
            self._network.load_state_dict(tree["network"])
            self._adam.load_state(tree["adam"])
            self._best, self._best_step = run.state["best"], run.state["best_step"]
            self._best_arrays = {
                name.replace("|", "/"): a for name, a in run.checkpoint.arrays["best"].items()
            }
        run.restore_random({"windows": self._rng})

    def train(self) -> dict[str, Any]:
        """Train to the end or to the next interruption."""
        run, config = self._run, self._run.config
        losses: list[float] = []
        with run.interruptible() as stop:
            for step in range(run.step + 1, config.steps + 1):
                losses.append(self._update(step))
                validated = step % config.validate_every == 0 or step == config.steps
                if validated:
                    found = self._judge("validation")
                    run.log(step, loss=float(np.mean(losses)), **found)
                    losses = []
                    if found["nats_per_step"] < self._best:
                        self._best, self._best_step = found["nats_per_step"], step
                        self._best_arrays = self._network.arrays()
                if validated or stop:
                    if not validated:  # the mean since the last line would not survive the stop
                        run.log(step, loss=losses[-1])
                    self._save(step)
                self._advance(1 / config.steps)
                if stop and step < config.steps:
                    return {"interrupted_at": step}
        return self._finish()

    def _update(self, step: int) -> float:
        import torch

        from segue.tasks.melody.networks import clip_each

        config, network = self._run.config, self._network
        self._adam.rate = config.learning_rate * 0.5 * (1 + np.cos(np.pi * step / config.steps))
        classes, real = self._windows()
        notes, known = torch.from_numpy(classes), torch.from_numpy(real)
        scores, _ = network.unroll(notes[:-1])
        loss = torch.nn.functional.cross_entropy(scores[known], notes[1:][known])
        whole = loss
        if config.l2:
            for group in network.groups():
                whole = whole + config.l2 * sum(p.square().sum() for p in group if p.ndim > 1)
        self._adam.zero()
        whole.backward()  # type: ignore[no-untyped-call]
        clip_each(network.groups(), config.clip)
        self._adam.step()
        return loss.item()

    def _windows(self) -> tuple[Ints, NDArray[np.bool_]]:
        """Draw windows: classes [T + 1, B], and which of the T predictions are real ones."""
        config, tunes = self._run.config, self._data.train
        classes = np.full((config.window + 1, config.batch), NO_EVENT, dtype=np.int64)
        real = np.zeros((config.window, config.batch), dtype=bool)
        for column, which in enumerate(self._rng.choice(len(tunes), config.batch, p=self._shares)):
            tune = tunes[which]
            bars = max(1, (len(tune) - config.window) // _BAR + 1)
            begin = int(self._rng.integers(bars)) * _BAR
            if self._rng.random() < config.from_start:
                begin = 0
            part = tune[begin : begin + config.window + 1]
            classes[: len(part), column] = part
            real[: len(part) - 1, column] = True
        return classes, real

    def _judge(self, split: Any) -> dict[str, float]:
        return judge_tunes(self._network, self._data.split(split))

    def _save(self, step: int) -> None:
        from segue.rl.torch_state import to_arrays

        tree = {"network": self._network.state_dict(), "adam": self._adam.state()}
        arrays, layout = to_arrays(tree)
        self._run.save(
            step,
            {
                "torch": arrays,
                "best": {name.replace("/", "|"): a for name, a in self._best_arrays.items()},
            },
            {"layout": layout, "best": self._best, "best_step": self._best_step},
            generators={"windows": self._rng},
        )

    def _finish(self) -> dict[str, Any]:
        run, data = self._run, self._data
        self._network.load_arrays(self._best_arrays)
        result: dict[str, Any] = {
            "best_step": self._best_step,
            "validation": self._judge("validation"),
            "test": self._judge("test") if data.test else None,
        }
        facts = {"data": data.fingerprint, "training": result,
                 "settings": run.config.model_dump(mode="json")}  # fmt: skip
        save_model(run.folder, run.config.network, self._best_arrays, facts)
        table = None
        if data.test:
            scores = {"note-rnn": _per_tune(self._network, data.test)}
            table = EvaluationTable.from_scores(
                "melody",
                Data(
                    name=f"{data.name}, test tunes", n=len(data.test), fingerprint=data.fingerprint
                ),
                scores,
                {"note-rnn": "prior"},
                seeds=(run.config.seed,),
                lower_is_better=("bits_per_step",),
            )
        run.finish(result, table=table, limits=LIMITS)
        return result


LIMITS = (
    "One voice in C major or its relative minor, C3 to B5, in sixteenths: no triplets.",
    "It knows what its tunes were like, and nothing else.",
)


def judge_tunes(network: Any, tunes: Any) -> dict[str, float]:
    """Return what a network makes of tunes: losses per step and per note, and accuracy.

    Bits per note are the bits of all symbols over the number of onsets.
    """
    import torch

    nats, right, steps, notes = 0.0, 0, 0, 0
    with torch.no_grad():
        for group in _groups(tunes):
            length = max(len(t) for t in group)
            classes = np.full((length, len(group)), NO_EVENT, dtype=np.int64)
            for column, tune in enumerate(group):
                classes[: len(tune), column] = tune
            scores, _ = network.unroll(torch.from_numpy(classes[:-1]))
            log_p = torch.log_softmax(scores, dim=-1)
            wanted = torch.from_numpy(classes[1:])
            of_tune = log_p.gather(-1, wanted[..., None])[..., 0].numpy()
            best = (log_p.argmax(dim=-1) == wanted).numpy()
            for column, tune in enumerate(group):
                nats -= float(of_tune[: len(tune) - 1, column].sum(dtype=np.float64))
                right += int(best[: len(tune) - 1, column].sum())
                steps += len(tune) - 1
                notes += int((tune[1:] >= FIRST_ONSET).sum())
    return {
        "nats_per_step": nats / steps,
        "bits_per_step": float(nats / steps / np.log(2)),
        "bits_per_note": float(nats / max(notes, 1) / np.log(2)),
        "accuracy": right / steps,
    }


def _per_tune(network: Any, tunes: Any) -> dict[str, list[float]]:
    judged = [judge_tunes(network, [tune]) for tune in tunes]
    return {name: [j[name] for j in judged] for name in ("bits_per_step", "accuracy")}


def _groups(tunes: Any) -> list[list[Ints]]:
    ordered = sorted(tunes, key=len)
    return [ordered[i : i + _AT_ONCE] for i in range(0, len(ordered), _AT_ONCE)]
