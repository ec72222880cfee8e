"""`tune`: make the soundtrack policy better by a reward.

| method | learns from | result |
|---|---|---|
| `dagger`, `clone` | the planner's plans and values (`imitation`) | a policy for any library |
| `ppo` | rewards alone, from nothing or from another policy (`ppo`) | the same kind of policy |
| `original` | rewards; one output per track (`original`) | a policy for this library only |

The data are a prepared folder, or problems drawn at random (`data = "generator"`). Test videos are
never touched: the best model is chosen on a part of the training videos.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from segue.core.config import Config, read_toml
from segue.core.errors import RunError, UsageError
from segue.core.presets import Presets
from segue.core.progress import AddBar, silent
from segue.core.run import Run
from segue.tasks.soundtrack.config import SoundtrackConfig
from segue.tasks.soundtrack.imitation import ImitationConfig, clone, dagger
from segue.tasks.soundtrack.original import OriginalConfig, train_original
from segue.tasks.soundtrack.ppo import PPOConfig, ppo
from segue.tasks.soundtrack.training_data import DrawnConfig, TrainingData, draw_data, read_data

__all__ = ["GENERATOR", "PRESETS", "TuneConfig", "tune"]

GENERATOR = "generator"
"""Value of `data` that stands for problems drawn at random."""
PRESETS = Presets(
    Path(__file__).parent / "presets",
    {
        name: name
        for name in ("original", "original-a2c", "original-dqn", "original-multi", "original-ppo")
    },
)

Method = Literal["dagger", "clone", "ppo", "original"]


class TuneConfig(Config):
    """What is learned from what."""

    method: Method = "dagger"
    """See the module."""
    data: str = ""
    """Prepared folder, or `generator`; the option --data says the same."""
    prior: str = ""
    """Run of `pretrain`; empty fits a prior on the training videos."""
    preferences: str = ""
    """preferences.jsonl of `segue score`: the choices of a person become part of the reward."""
    preferences_weight: float = Field(1.0, ge=0)
    """Of the preferences, per unit of log odds and segment."""
    validation_share: float = Field(0.15, gt=0, lt=1)
    """Share of the training videos that chooses the best model."""
    task: SoundtrackConfig = SoundtrackConfig(mode="test")
    """Reward and division of the videos of a folder. Mode `test`: the reward that is evaluated."""
    drawn: DrawnConfig = DrawnConfig()
    """Problems drawn at random."""
    imitation: ImitationConfig = ImitationConfig()
    """Of methods `clone` and `dagger`."""
    ppo: PPOConfig = PPOConfig()
    """Of method `ppo`."""
    original: OriginalConfig = OriginalConfig()
    """Of method `original`."""


def no_bars(label: str, total: float | None) -> Any:
    """Add no bar."""
    return silent


def tune(
    data: str | Path,
    run_folder: Path,
    config: TuneConfig | None = None,
    *,
    resume: bool = False,
    bars: AddBar = no_bars,
) -> dict[str, Any]:
    """Train a policy in a run folder.

    Args:
        data: a prepared folder, or `generator`; empty takes `config.data`.
        run_folder: new, or with `resume` one that was begun.
        config: what is learned and how; with `resume` None, for the run has its own.
        resume: go on from the last checkpoint.
        bars: adds a progress bar.

    Returns:
        What came out, as in result.json; `{"interrupted_at": step}` when it was stopped.

    Raises:
        ConfigError: a setting is wrong.
        DataError: the data cannot be read.
        RunError: the run folder is not empty, damaged, or belongs to other data.
        UsageError: no data, or settings that exclude each other.
    """
    config = _config_of(run_folder) if resume else config or TuneConfig()
    if data:
        config = config.model_copy(update={"data": str(data)})
    if not config.data:
        raise UsageError(
            "no data to learn from",
            advice="Give --data DIR, or --data generator for problems drawn at random",
        )
    _check(config)
    advance = bars(f"learning, {config.method}", 1.0)
    if config.method == "original":
        return train_original(
            run_folder,
            config,
            Path(config.data),
            config.task,
            config.original,
            config.validation_share,
            resume=resume,
            advance=advance,
        )
    found = _tables(config)
    fingerprint = found.fingerprint
    run = (
        Run.open(run_folder, TuneConfig, data_hash=fingerprint)
        if resume
        else Run.create(run_folder, config, data_hash=fingerprint)
    )
    with run:
        train, validation = found.train, found.validation
        if config.method == "ppo":
            result = ppo(run, config.ppo, train, validation, advance)
        elif config.method == "clone":
            result = clone(run, config.imitation, train, validation, advance)
        else:
            result = dagger(run, config.imitation, train, validation, advance)
    return result | {"notes": list(found.notes)}


def _check(config: TuneConfig) -> None:
    """Refuse settings that would be ignored."""
    if config.method != "original":
        if config.task.environment != "Discrete":
            raise UsageError(
                f"method '{config.method}' needs the environment 'Discrete'",
                where="task.environment",
                advice="Use method 'original' for the older environment",
            )
        if config.task.extra_terms:
            raise UsageError(
                "reward terms outside the tables are learned by PPO alone",
                where="task.extra_terms",
                advice="Set method = 'ppo' and ppo.extra_terms",
            )
    elif config.data == GENERATOR:
        raise UsageError(
            "the original's agents have one output for each track, and problems drawn at random "
            "have other libraries each",
            advice="Give --data DIR",
        )
    if config.prior and config.data == GENERATOR:
        raise UsageError("problems drawn at random have priors of their own", where="prior")
    if config.preferences and (config.data == GENERATOR or config.method == "original"):
        raise UsageError(
            "choices are about the videos and tracks of a prepared folder",
            where="preferences",
            advice="Give --data DIR, and a method other than original",
        )


def _tables(config: TuneConfig) -> TrainingData:
    if config.data == GENERATOR:
        return draw_data(config.drawn)
    prior = Path(config.prior) if config.prior else None
    choices = (Path(config.preferences), config.preferences_weight) if config.preferences else None
    return read_data(Path(config.data), config.task, config.validation_share, prior, choices)


def _config_of(run_folder: Path) -> TuneConfig:
    path = run_folder / "config.toml"
    if not path.is_file():
        raise RunError(
            "no run in this folder: it has no config.toml",
            where=run_folder,
            advice="Start one without --resume",
        )
    return TuneConfig.parse(read_toml(path), str(path))
