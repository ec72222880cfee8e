"""A run: one folder that holds everything about one piece of training.

    runs/<task>/<name>/
      config.toml      the resolved configuration
      versions.json    what it was run with, and the command
      metrics.jsonl    one line of metrics for each logged step
      checkpoints/     see `checkpoint`
      result.json      what came out
      README.md        the model card

A run can be killed at any moment. `Run.open` continues it from its last good checkpoint: it checks
that configuration and data are the same, cuts the metrics back to the checkpoint, and gives back
arrays, state and generators, so that the end is the same to the bit as without interruption.
For that, metrics must not hold wall-clock times.

    run = Run.open(folder, Settings) if resume else Run.create(folder, Settings())
    with run, run.interruptible() as stop:
        if run.checkpoint: ...load run.checkpoint.arrays...
        run.restore_random({"sampler": generator})       # after everything else is built
        for step in range(run.step + 1, n + 1):
            run.log(step, loss=train())
            if stop or step % 100 == 0:
                run.save(step, arrays, generators={"sampler": generator})
            if stop:
                break
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import numpy as np

from segue.core.card import model_card
from segue.core.checkpoint import load_checkpoint, prune_checkpoints, save_checkpoint
from segue.core.checkpoint_format import Arrays, Checkpoint
from segue.core.config import Config, read_toml
from segue.core.errors import RunError, UsageError
from segue.core.files import atomic_write, fingerprint, read_json, sync_directory, write_json
from segue.core.interrupt import Stop, interruptible
from segue.core.lock import FolderLock
from segue.core.seeding import global_state, restore_global_state
from segue.core.tables import EvaluationTable
from segue.core.versions import versions

__all__ = ["Run", "new_folder"]

C = TypeVar("C", bound=Config)

log = logging.getLogger(__name__)


def new_folder(task: str, name: str, root: Path = Path("runs")) -> Path:
    """Return `root/task/name`, or the first of `name-2`, `name-3`... that does not exist.

    Raises:
        UsageError: `name` cannot be a folder name.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise UsageError(
            f"'{name}' cannot be the name of a run",
            advice="Use letters, digits, dots, hyphens and underscores.",
        )
    folder, count = root / task / name, 1
    while folder.exists():
        count += 1
        folder = root / task / f"{name}-{count}"
    return folder


class Run(Generic[C]):
    """An open run folder, locked against other writers; make one with `create` or `open`."""

    def __init__(self, folder: Path, config: C, *, data_hash: str, keep: int) -> None:
        self.folder = folder
        self.config = config
        self.checkpoint: Checkpoint | None = None
        """What the run was continued from; None at the start."""
        self.step = 0
        """Step of the last checkpoint, saved or loaded; 0 when there is none."""
        self.warnings: list[str] = []
        """What was wrong on opening; also logged."""
        self._config_hash = fingerprint(read_toml(folder / "config.toml"))
        self._data_hash = data_hash
        self._keep = keep
        self._logged = -1  # step of the last line of metrics
        self._parent = ""  # name of the checkpoint that the next one continues
        self._lock = FolderLock(folder)
        self._metrics = (folder / "metrics.jsonl").open("ab")

    @classmethod
    def create(
        cls,
        folder: Path,
        config: C,
        *,
        data_hash: str = "",
        command: Sequence[str] | None = None,
        keep: int = 2,
    ) -> Self:
        """Start a new run in `folder`, which must not exist or be empty.

        Args:
            folder: usually `runs/<task>/<name>`; see `new_folder`.
            config: the resolved configuration.
            data_hash: fingerprint of the data; resuming with other data is refused.
            command: what was typed; default: this process's own arguments.
            keep: checkpoints to keep, at least 2.

        Raises:
            RunError: the folder holds something, or cannot be written.
        """
        if folder.is_dir() and any(folder.iterdir()):
            raise RunError(
                "this folder is not empty",
                where=folder,
                advice="Continue the run with --resume, or choose another folder.",
            )
        facts = versions() | {"command": " ".join(command or ["segue", *sys.argv[1:]])}
        temporary = None
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=".tmp-", dir=folder.parent))
            atomic_write(temporary / "config.toml", config.to_toml())
            write_json(temporary / "versions.json", facts)
            temporary.chmod(0o755)
            temporary.rename(folder)  # from here on the folder is a run, complete at step 0
            sync_directory(folder.parent)
        except OSError as error:
            if temporary:
                shutil.rmtree(temporary, ignore_errors=True)
            raise RunError(
                f"cannot make this run: {error.strerror or error}",
                where=folder,
                advice="Choose a folder that can be written to.",
            ) from error
        return cls(folder, config, data_hash=data_hash, keep=keep)

    @classmethod
    def open(
        cls,
        folder: Path,
        config_type: type[C],
        *,
        which: str = "last",
        data_hash: str = "",
        keep: int = 2,
    ) -> Self:
        """Continue the run in `folder` from a checkpoint.

        Args:
            folder: made by `create`.
            config_type: class of its configuration.
            which: "last", "best", or the name of a checkpoint.
            data_hash: must be what `create` was given.
            keep: checkpoints to keep, at least 2.

        Raises:
            RunError: no run there, another process writes to it, no checkpoint is intact, or
                configuration or data have changed since.
            ConfigError: its configuration is not one of this version of Segue.
        """
        if not (folder / "config.toml").is_file():
            raise RunError(
                "no run in this folder: it has no config.toml",
                where=folder,
                advice="Give a folder like runs/<task>/<name>, or start a run without --resume.",
            )
        path = folder / "config.toml"
        run = cls(
            folder, config_type.parse(read_toml(path), str(path)), data_hash=data_hash, keep=keep
        )
        try:
            run._continue(which)
        except BaseException:
            run.close()
            raise
        return run

    def log(self, step: int, /, **metrics: float | int | str | bool | None) -> None:
        """Add one line to metrics.jsonl.

        A step is logged once; log all of its metrics together. JSON has no words for numbers that
        are not finite, so they are written as the texts "nan", "inf" and "-inf".

        Raises:
            ValueError: `step` is not later than the last logged one.
            RunError: the disk is full, or the folder is gone.
        """
        if step <= self._logged:
            raise ValueError(f"step {step} comes after step {self._logged} in the log")
        line = json.dumps({"step": int(step)} | {k: _plain(v) for k, v in metrics.items()})
        try:
            self._metrics.write(line.encode() + b"\n")
            self._metrics.flush()
        except OSError as error:
            raise RunError(f"cannot log: {error.strerror}", where=self.folder) from error
        self._logged = step

    def save(
        self,
        step: int,
        arrays: Arrays,
        state: Mapping[str, Any] | None = None,
        *,
        generators: Mapping[str, np.random.Generator] | None = None,
        best: bool = False,
    ) -> Path:
        """Write a checkpoint after `step`; the global generators are kept without being named.

        Args:
            step: number of training steps done.
            arrays: group -> name -> array.
            state: anything else, as JSON-like values.
            generators: the run's own generators (PCG64, numpy's default).
            best: also make it the best one.

        Raises:
            RunError: it cannot be written; earlier checkpoints are untouched.
        """
        try:
            self._metrics.flush()
            os.fsync(self._metrics.fileno())  # the log must not be behind its checkpoint
        except OSError as error:
            raise RunError(f"cannot log: {error.strerror}", where=self.folder) from error
        whole = {
            "run": dict(state or {}),
            "generators": {k: g.bit_generator.state for k, g in (generators or {}).items()},
            "global_generators": global_state(),
            "metrics": {"bytes": self._metrics.tell(), "step": self._logged},
        }
        path = save_checkpoint(
            self.folder / "checkpoints",
            step,
            arrays,
            whole,
            parent=self._parent if step > self.step else "",
            config_hash=self._config_hash,
            data_hash=self._data_hash,
            best=best,
            keep=self._keep,
        )
        self.step, self._parent = step, path.name
        return path

    @property
    def state(self) -> dict[str, Any]:
        """The `state` given to `save` for the checkpoint that the run was continued from."""
        return dict(self.checkpoint.state["run"]) if self.checkpoint else {}

    def restore_random(self, generators: Mapping[str, np.random.Generator] | None = None) -> None:
        """Put all generators where the checkpoint had them; without one, leave them alone.

        Call it last, when networks and iterators are built: building them draws numbers.

        Raises:
            RunError: the checkpoint has other generators than `generators`.
        """
        if self.checkpoint is None:
            return
        kept, given = self.checkpoint.state["generators"], generators or {}
        if set(kept) != set(given):
            raise RunError(
                f"the checkpoint has the generators {sorted(kept)}, not {sorted(given)}",
                where=self.checkpoint.path,
            )
        for name, generator in given.items():
            generator.bit_generator.state = kept[name]
        restore_global_state(self.checkpoint.state["global_generators"])

    def metrics(self) -> list[dict[str, Any]]:
        """Return the lines of metrics.jsonl."""
        text = (self.folder / "metrics.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def interruptible(self) -> AbstractContextManager[Stop]:
        """Give a block in which Ctrl-C and SIGTERM ask to stop; see `interrupt`."""
        return interruptible(
            lambda: (
                f"stopped; {self.folder} is complete to step {self.step}. "
                "Continue with the same command and --resume"
            )
        )

    def finish(
        self,
        result: Mapping[str, Any],
        *,
        table: EvaluationTable | None = None,
        limits: Sequence[str] = (),
    ) -> None:
        """Write result.json and the model card README.md.

        Args:
            result: what came out, as JSON-like values.
            table: the evaluation, shown in the card.
            limits: what the model cannot do, one sentence each.
        """
        write_json(self.folder / "result.json", dict(result))
        facts = read_json(self.folder / "versions.json")
        config = (self.folder / "config.toml").read_text(encoding="utf-8")
        card = model_card(self.folder.name, facts, config, table=table, limits=limits)
        atomic_write(self.folder / "README.md", card)

    def close(self) -> None:
        """Close the files and let other processes write to the folder."""
        self._metrics.close()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _continue(self, which: str) -> None:
        found = load_checkpoint(
            self.folder / "checkpoints",
            which,
            config_hash=self._config_hash,
            data_hash=self._data_hash,
        )
        self._compare_versions()
        size, kept = self._metrics.tell(), 0
        if found:
            if which == "last" and not found.warnings:  # killed after a save, before its tidying
                with contextlib.suppress(OSError):
                    prune_checkpoints(found.path.parent, found.step, self._keep)
            self.checkpoint, self.step, self._parent = found, found.step, found.path.name
            self.warnings += found.warnings
            kept, self._logged = found.state["metrics"]["bytes"], found.state["metrics"]["step"]
        if size < kept:
            self._warn(f"metrics.jsonl has {size} bytes, {kept} were written: lines are lost")
        self._metrics.truncate(min(size, kept))
        self._metrics.seek(0, os.SEEK_END)

    def _compare_versions(self) -> None:
        try:
            before = read_json(self.folder / "versions.json")
        except (OSError, ValueError):
            self._warn("versions.json cannot be read")
            return
        changed = [
            f"{name} {before.get(name, 'absent')} is now {text}"
            for name, text in versions().items()
            if before.get(name) != text
        ]
        if changed:
            self._warn(f"other versions, so perhaps not the same bits: {', '.join(changed)}")

    def _warn(self, text: str) -> None:
        log.warning("%s: %s", self.folder, text)
        self.warnings.append(text)


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value  # numpy and torch scalars
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
