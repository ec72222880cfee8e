"""The output folder: what may be written to, what is published, and what an interruption leaves.

    OUT/
      scored.mp4 soundtrack.wav stems/ timeline.* cues.csv report.html result.json
      composed/ midi/    where music was composed
      generated/         where music was generated
      run/       config.toml, versions.json, and the kept results of the steps

Products are made inside `run/` and appear in OUT together at the end, `result.json` last. A run
that was interrupted leaves OUT without them, and `run/` to continue from.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from segue.core.errors import RunError, UsageError
from segue.core.files import atomic_path
from segue.core.interrupt import undisturbed
from segue.core.lock import FolderLock

__all__ = ["OutputFolder"]

_PRODUCTS = (
    "soundtrack.wav",
    "stems",
    "composed",
    "generated",
    "midi",
    "cues.csv",
    "report.html",
    "result.json",
    *(f"timeline.{suffix}" for suffix in ("otio", "xml", "fcpxml", "edl")),
    *(f"scored.{suffix}" for suffix in ("mp4", "mov", "mkv", "webm", "avi", "ts")),
)
"""Everything that a run may publish; nothing else in the folder is ever touched."""


class OutputFolder:
    """An output folder that this process holds; use it as a context manager.

    Args:
        path: the folder; made when it does not exist.
        overwrite: whether products of an earlier run may be replaced.
        inputs: files that are read, none of which may lie where a product would be written.

    Raises:
        UsageError: the folder holds more than an unfinished run, and `overwrite` is off.
        RunError: the folder cannot be made or written, or another process is using it.
    """

    def __init__(self, path: Path, *, overwrite: bool, inputs: tuple[Path, ...] = ()) -> None:
        self.path = path
        self.run = path / "run"
        made_folder, made_run = not path.exists(), not self.run.exists()
        self._made = path if made_folder else self.run if made_run else None
        if path.exists() and not path.is_dir():
            raise UsageError("the output is not a folder", where=path, advice="Give another --out")
        try:
            held = {entry.name for entry in path.iterdir()} if path.exists() else set()
            unfinished = held <= {"run"}
            if held and not unfinished and not overwrite:
                raise UsageError(
                    "the output folder is not empty",
                    where=path,
                    advice="Give --overwrite to replace an earlier result, or another --out",
                )
            for source in inputs:
                if any((path / name).resolve() == source.resolve() for name in _PRODUCTS):
                    raise UsageError(
                        f"the result would overwrite the input {source.name}",
                        where=path,
                        advice="Give another --out",
                    )
            self.run.mkdir(parents=True, exist_ok=True)
            self._lock = FolderLock(self.run)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise RunError(
                f"cannot write to the output folder: {reason}",
                where=path,
                advice="Choose a folder that you may write to",
            ) from error

    def __enter__(self) -> OutputFolder:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._lock.release()
        # What a failure left must not look like a result; an interruption keeps the steps.
        if self._made and kind is not None and not issubclass(kind, KeyboardInterrupt):
            shutil.rmtree(self._made, ignore_errors=True)

    def publish(self, products: Mapping[str, Path]) -> None:
        """Put products where the user looks for them, after removing those of an earlier run.

        Args:
            products: name relative to the folder -> file in `run/`; the last one goes last.
        """
        with undisturbed():
            self._publish(products)

    def _publish(self, products: Mapping[str, Path]) -> None:
        (self.path / "result.json").unlink(missing_ok=True)
        for name in _PRODUCTS:
            self._remove(self.path / name)
        for name, source in products.items():
            target = self.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(source, target)
            except OSError:  # another file system, or one without links
                with atomic_path(target) as temporary:
                    shutil.copyfile(source, temporary)

    @staticmethod
    def _remove(path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
