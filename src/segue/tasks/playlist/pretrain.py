"""Fit recommenders: the baselines, the fused ranker that is the agent's prior, the networks.

Each model is one step of the run. A run that was interrupted goes on with the first model that is
not finished; a network inside continues from its own last checkpoint. What a model chooses (the
weights of the fused ranker) it chooses on the validation sessions; then it learns once more from
everything before the test.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segue.core.errors import ConfigError, DataError
from segue.core.progress import Advance, silent
from segue.core.run import Run
from segue.tasks.playlist.config import PretrainConfig
from segue.tasks.playlist.data.prepared import Prepared
from segue.tasks.playlist.metrics import rank_metrics
from segue.tasks.playlist.models.base import Recommender
from segue.tasks.playlist.protocol import questions
from segue.tasks.playlist.run_folder import model_class, model_folder, write_vocabulary
from segue.tasks.playlist.sessions import Sessions

__all__ = ["pretrain"]

Job = tuple[str, int | None]


def pretrain(
    data: Prepared,
    folder: Path,
    config: PretrainConfig | None,
    *,
    resume: bool = False,
    advance: Advance = silent,
) -> dict[str, Any]:
    """Fit the models that `config` names on `data` and keep them in `folder`.

    Args:
        data: prepared listening.
        folder: of the run.
        config: what to fit; None takes the run's own, with `resume`.
        resume: go on with a run that was interrupted.
        advance: told the share of the work that is done.

    Returns:
        Model -> what was measured of it on the validation sessions, where it chose something there.

    Raises:
        RunError: the folder holds something, or belongs to other data.
        ConfigError: a setting of a model is wrong.
        DataError: nothing to learn from.
    """
    if resume:
        run = Run.open(folder, PretrainConfig, data_hash=data.fingerprint)
    else:
        run = Run.create(folder, config or PretrainConfig(), data_hash=data.fingerprint)
    with run, run.interruptible() as stop:
        whole = data.before_test
        if not len(whole.tracks):
            raise DataError("there is no play to learn from", where=data.name)
        jobs = _jobs(run.config)
        models = {job: _make(run.config, *job) for job in jobs}  # a wrong setting fails at once
        write_vocabulary(folder, data.vocabulary)
        found: dict[str, Any] = run.state.get("models", {})
        advance(run.step / len(jobs))
        for step, job in enumerate(jobs[run.step :], start=run.step + 1):
            if stop:
                break
            name, seed = job
            target = model_folder(folder, name, seed)
            model = models.pop(job)
            model.workspace = target / "training"
            found[target.name] = _fit(model, data, whole, lambda x: advance(x / len(jobs)))
            model.save(target)
            run.log(step, model=target.name, **found[target.name])
            run.save(step, {}, {"models": found})
        if not stop:
            run.finish({"models": found, "data": data.name}, limits=_LIMITS)
    return found


_LIMITS = (
    "A listener's next track is known to the log only: what was not played counts as wrong.",
    "Tracks that nobody in the training data played are never recommended.",
)


def _jobs(config: PretrainConfig) -> list[Job]:
    jobs: list[Job] = []
    for name in config.models:
        seeded = model_class(name).seeded
        jobs += [(name, seed) for seed in config.seeds] if seeded else [(name, None)]
    return jobs


def _make(config: PretrainConfig, name: str, seed: int | None) -> Recommender:
    kind = model_class(name)
    settings = dict(config.settings.get(name, {}))
    if seed is not None:
        if "seed" in settings:
            raise ConfigError("seeds are given once for all models", where=f"settings.{name}.seed")
        settings["seed"] = seed
    return kind(kind.config_type.parse(settings, f"settings.{name}"))


def _fit(model: Recommender, data: Prepared, whole: Sessions, advance: Advance) -> dict[str, float]:
    """Fit; return what was measured on the validation sessions before they were learned from."""
    n_tracks = len(data.vocabulary)
    if not (model.chooses and len(data.validation)):
        model.fit(whole, n_tracks, advance=advance)
        return {}
    model.fit(data.train, n_tracks, validation=data.validation, advance=lambda x: advance(x / 2))
    queries, targets, _ = questions(data.validation, "last")
    scores = rank_metrics(model.ranks(queries, targets))
    model.refit(whole, advance=lambda x: advance(x / 2))
    return {f"validation_{name}": float(scores[name].mean()) for name in ("hit@10", "ndcg@10")}
