"""The tuned runs of a run of pretraining: which share a row, and by what they were paid.

Runs that differ in nothing but their seed and device share a row. Its name is that of their
folders without the number at the end, `emotion-0` to `emotion-4` are `emotion`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segue.core.config import read_toml
from segue.core.errors import ConfigError
from segue.core.tables import Role
from segue.tasks.audio.config import TuneConfig
from segue.tasks.audio.players import adapters_of
from segue.tasks.audio.rewards.config import RewardConfig

__all__ = ["Tuned", "tuned_runs"]

_OF_ITSELF = ("seed", "device", "look")
"""Settings in which runs of one row may differ: how a run is watched says when it ends and which
adapter is kept, not what is learned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """Runs of `tune` that share a row."""

    name: str
    role: Role
    """`baseline` where the adapter learned by reward-weighted regression."""
    folders: tuple[Path, ...]
    config: TuneConfig | None
    """Of the first; None where it has none, as an adapter that was copied alone."""
    epochs: int | None
    """Most that one of them has done; None where it is not known."""

    @property
    def reward(self) -> dict[str, float]:
        """Weights of the terms that they were paid by."""
        return dict((self.config or TuneConfig()).reward)

    @property
    def terms(self) -> RewardConfig:
        """What those terms aim at."""
        return (self.config or TuneConfig()).terms


def tuned_runs(run: str | Path) -> list[Tuned]:
    """Return the tuned runs of a run, tuned rows before baselines.

    Raises:
        ConfigError: the configuration of one is damaged.
    """
    by_settings: dict[str, list[tuple[Path, TuneConfig | None]]] = {}
    for folder in adapters_of(run):
        config = _config(folder)
        kept = config.model_dump(mode="json", exclude=set(_OF_ITSELF)) if config else None
        key = json.dumps(kept, sort_keys=True) if kept else str(folder)
        by_settings.setdefault(key, []).append((folder, config))
    found: list[Tuned] = []
    for each in by_settings.values():
        folders, config = tuple(folder for folder, _ in each), each[0][1]
        weighted = config is not None and config.update.objective == "regression"
        name = re.sub(r"[-_.]?\d+$", "", folders[0].name) or folders[0].name
        if len(folders) == 1 or name in {one.name for one in found}:
            name = folders[0].name
        epochs = [e for folder in folders if (e := _epochs(folder)) is not None]
        found.append(
            Tuned(
                name=f"{name} (reward-weighted)" if weighted else name,
                role="baseline" if weighted else "tuned",
                folders=folders,
                config=config,
                epochs=max(epochs, default=None),
            )
        )
    return sorted(found, key=lambda one: one.role != "tuned")


def _config(folder: Path) -> TuneConfig | None:
    path = folder / "config.toml"
    if not path.is_file():
        return None
    try:
        return TuneConfig.parse(read_toml(path), str(path))
    except ConfigError as error:
        raise ConfigError(f"this run has other settings than ours: {error.what}", where=path,
                          advice="Move it away, or tune it again") from None  # fmt: skip


def _epochs(folder: Path) -> int | None:
    try:
        found: Any = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        return int(found["epochs"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
