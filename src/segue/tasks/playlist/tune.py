"""`tune`: train an agent that chooses among the candidates of a run's fused ranker.

The agent gets a run of its own in RUN/agents/<agent>-<seed>: checkpoints, metrics, a picture of its
learning, and the agent itself. It learns from training and validation sessions; test sessions are
never touched.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segue.core.errors import ConfigError, UsageError
from segue.core.files import fingerprint, read_json
from segue.core.names import resolve
from segue.core.progress import Advance, silent
from segue.core.run import Run
from segue.tasks.playlist.agents import AGENTS
from segue.tasks.playlist.agents.config import TuneConfig
from segue.tasks.playlist.data.prepared import Prepared
from segue.tasks.playlist.models.fused import Fused
from segue.tasks.playlist.run_folder import agent_folder

__all__ = ["agent_class", "tune"]

_LIMITS = (
    "It chooses among the candidates of the fused ranker; what is not among them is never played.",
    "A listener's next tracks are known to the log only: what was not played counts as wrong.",
)


def agent_class(name: str) -> Any:
    """Return the class of a short name or of a user's `package.module:Agent`.

    Raises:
        UnknownName: there is none.
        UsageError: it is not an agent.
    """
    from segue.tasks.playlist.agents.base import Agent

    found = resolve(AGENTS, name, "agent")
    if not (isinstance(found, type) and issubclass(found, Agent)):
        raise UsageError(
            f"'{name}' is not an Agent",
            advice="Derive it from segue.tasks.playlist.agents.base:Agent",
        )
    return found


def tune(
    data: Prepared,
    run_folder: Path,
    config: TuneConfig | None = None,
    *,
    resume: bool = False,
    advance: Advance = silent,
) -> dict[str, Any]:
    """Train an agent and keep it in the run.

    Args:
        data: that the run was made from.
        run_folder: of `pretrain`, with a fused ranker.
        config: which agent, and how; with `resume`, agent and seed say which one goes on.
        resume: go on from the agent's last checkpoint, with the settings that it was begun with.
        advance: told the share of the work that is done.

    Returns:
        What came out, as in result.json; `interrupted_at` instead when it was stopped.

    Raises:
        MissingModel: the run has no fused ranker.
        RunError: the agent's folder is not empty, damaged, or belongs to other data.
        ConfigError: a setting is wrong.
        DataError: there is nothing to learn from.
        UnknownName: there is no such agent.
    """
    config = config or TuneConfig()
    kind = agent_class(config.agent)
    place = run_folder / "models" / Fused.name
    prior = Fused.load(place)
    if prior.n_tracks != len(data.vocabulary):
        raise UsageError(
            f"the run knows {prior.n_tracks} tracks, {data.name} has {len(data.vocabulary)}",
            where=run_folder,
            advice="Give the folder that `segue playlist pretrain --data` was given",
        )
    identity = fingerprint([data.fingerprint, read_json(place / "model.json")["sha256"]])
    folder = agent_folder(run_folder, config.agent, config.seed)
    agent = _make(kind, config)  # a wrong setting fails before there is a folder
    if resume:
        run = Run.open(folder, TuneConfig, data_hash=identity)
        agent = _make(kind, run.config)
    else:
        run = Run.create(folder, config, data_hash=identity)
    with run:
        result: dict[str, Any] = agent.train(run, prior, data, advance)
        if "interrupted_at" in result:
            return result
        agent.save(folder)
        _draw(run, config.agent)
        run.finish(result, limits=_LIMITS)
    return result


def _make(kind: Any, config: TuneConfig) -> Any:
    if "seed" in config.settings:
        raise ConfigError("the seed is given by itself", where="settings.seed", advice="Set seed")
    settings = {**config.settings, "seed": config.seed}
    return kind(kind.config_type.parse(settings, "settings"))


_SHOWN = (
    "step",
    "ndcg",
    "return",
    "validation_return",
    "hit",
    "diversity",
    "entropy",
    "divergence",
)


def _draw(run: Run[Any], name: str) -> None:
    """Draw one curve for each stage."""
    from segue.tasks.playlist.figures import draw_learning

    logs: dict[str, list[dict[str, Any]]] = {}
    for line in run.metrics():
        shown = {key: line[key] for key in _SHOWN if key in line}
        logs.setdefault(f"{name}, {line.get('stage', 'learning')}", []).append(shown)
    draw_learning(run.folder / "learning.png", logs)
