"""Training in stages, each of which starts from what the one before has learned.

A stage makes updates; after each epoch it is judged on validation questions and a line is logged.
The run keeps the state of every stage so far, so that a training which was killed goes on from its
last checkpoint to the same bits. Steps of the run are updates, counted through all stages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from segue.core.progress import Advance
from segue.core.run import Run

__all__ = ["Stage", "train_stages"]

Arrays = dict[str, NDArray[Any]]

_SAVE_EVERY = 200
"""Updates between checkpoints within an epoch: some seconds."""


class Stage(Protocol):
    """One part of a training."""

    @property
    def name(self) -> str:
        """In the log."""
        ...

    @property
    def updates(self) -> int:
        """In all."""
        ...

    @property
    def per_epoch(self) -> int:
        """Of them."""
        ...

    @property
    def done(self) -> int:
        """Of them so far."""
        ...

    def update(self) -> dict[str, float]:
        """Make one update; return numbers whose mean over the epoch is logged."""
        ...

    def report(self) -> dict[str, float]:
        """Return what is measured on validation questions."""
        ...

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Return arrays and JSON-like facts from which `restore` continues."""
        ...

    def restore(self, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        ...


Making = Callable[[Sequence[Stage]], Stage]
"""Makes a stage from the finished ones."""


def train_stages(
    run: Run[Any], makings: Sequence[Making], advance: Advance
) -> tuple[list[Stage], bool]:
    """Train all stages, from the last checkpoint of `run` if there is one.

    Args:
        run: whose checkpoints and metrics these are.
        makings: one for each stage.
        advance: told the share of the work that is done.

    Returns:
        The stages, and whether they are finished; if not, a signal asked to stop.
    """
    stages: list[Stage] = []
    before = 0
    with run.interruptible() as stop:
        for number, making in enumerate(makings):
            stage = making(stages)
            stages.append(stage)
            sums: dict[str, float] = {}
            kept = run.state.get("stages", []) if run.checkpoint else []
            if number < len(kept) and run.checkpoint:
                stage.restore(run.checkpoint.arrays[_group(number)], kept[number])
                sums = dict(run.state["sums"]) if number == len(kept) - 1 else {}
            else:
                run.log(before, stage=stage.name, epoch=0, **stage.report())
            share = 1 / (len(makings) * max(stage.updates, 1))
            advance(share * stage.done)
            while stage.done < stage.updates:
                for name, value in stage.update().items():
                    sums[name] = sums.get(name, 0.0) + value
                advance(share)
                within = stage.done % stage.per_epoch
                ended = within == 0 or stage.done == stage.updates
                if ended:
                    count = within or stage.per_epoch
                    means = {name: total / count for name, total in sums.items()}
                    epoch = -(-stage.done // stage.per_epoch)
                    facts = means | stage.report()
                    run.log(before + stage.done, stage=stage.name, epoch=epoch, **facts)
                    sums = {}
                if ended or stop or within % _SAVE_EVERY == 0:
                    _save(run, before + stage.done, stages, sums)
                if stop and not (stage.done == stage.updates and number == len(makings) - 1):
                    return stages, False
            before += stage.updates + 1  # its first line has a step of its own
    return stages, True


def _group(number: int) -> str:
    return f"stage{number}"


def _save(run: Run[Any], step: int, stages: Sequence[Stage], sums: Mapping[str, float]) -> None:
    states = [stage.state() for stage in stages]
    run.save(
        step,
        {_group(number): arrays for number, (arrays, _) in enumerate(states)},
        {"stages": [facts for _, facts in states], "sums": dict(sums)},
    )
