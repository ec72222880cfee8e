"""Settings that ship with a task: files that state differences from the defaults, by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from segue.core.errors import UsageError
from segue.core.names import unknown

__all__ = ["Presets"]


class Presets:
    """The presets of one command.

    Args:
        folder: folder of the TOML files.
        files: name of a preset -> its file, without the ending.
    """

    def __init__(self, folder: Path, files: Mapping[str, str]) -> None:
        self._folder, self._files = folder, dict(files)

    @property
    def names(self) -> tuple[str, ...]:
        """What can be asked for."""
        return tuple(self._files)

    def file(self, name: str) -> Path:
        """Return the file of a preset; raises UnknownName when there is none of that name."""
        if name not in self._files:
            raise unknown("preset", name, self._files)
        return self._folder / f"{self._files[name]}.toml"

    def choose(self, preset: str | None, config: Path | None) -> Path | None:
        """Return the file that --preset and --config ask for, or None when neither is given.

        --config takes the name of a preset, too, where no file of that name exists.

        Raises:
            UsageError: both are given.
            UnknownName: there is no such preset.
        """
        if preset is None:
            named = config is not None and str(config) in self._files and not config.exists()
            return self.file(str(config)) if named else config
        if config is not None:
            raise UsageError("--preset and --config are both given", advice="Give one of them")
        return self.file(preset)
