"""Judge a policy by a log that another policy made, without asking a listener.

    found = evaluate_off_policy(Path("log.parquet"), my_policy)
    for estimate in found:
        print(estimate.name, estimate.value, estimate.low, estimate.high)

`my_policy(histories, candidates)` gets n histories and the [n, N] candidates that were offered and
returns its probability of each, [n, N]; `recommender_policy` makes one of any model or agent.

What is estimated is the mean reward of one decision in situations like the logged ones. That a
policy also changes which situations come is not in it: one that gives up something now for the
rest of the session looks worse here than it is.

A model of the reward helps `dr` and `switch-dr`, which stay right on average when it is wrong. The
default is the mean reward of each track in the other half of the sessions, drawn towards the mean
of all. Letters: `n` decisions, `N` candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from segue.core.errors import DataError, UsageError
from segue.core.seeding import generator
from segue.tasks.playlist.decision_log import DecisionLog, read_log
from segue.tasks.playlist.estimators import ESTIMATORS, Estimate, Interval, Logged, estimates
from segue.tasks.playlist.models.base import Recommender
from segue.tasks.playlist.sessions import Sessions

__all__ = [
    "Policy",
    "evaluate_off_policy",
    "logged_decisions",
    "recommender_policy",
    "track_means",
]

Floats = NDArray[np.float64]
Policy = Callable[[Sessions, NDArray[np.int32]], NDArray[Any]]
"""Histories [n] and candidates [n, N] (-1 where there is none) to numbers [n, N]."""

_BATCH = 4096
_SHRINKAGE = 5.0
"""Decisions' worth of weight that the mean of all has against a track's own (own choice)."""


def evaluate_off_policy(
    log: DecisionLog | Path,
    policy: Policy,
    names: Sequence[str] = tuple(ESTIMATORS),
    *,
    model: Policy | None = None,
    clip: float | None = None,
    switch: float | None = None,
    interval: Interval = "normal",
    seed: int = 0,
) -> list[Estimate]:
    """Estimate what a policy earns in a decision like the logged ones.

    Args:
        log: the log, or its file, see `decision_log`.
        policy: the policy that is judged; returns probabilities.
        names: of `estimators.ESTIMATORS`.
        model: returns the modelled reward of each candidate; by default `track_means`.
        clip: greatest weight; None clips nothing.
        switch: tau of switch-dr; None chooses it.
        interval: how intervals are made; whole sessions are what varies.
        seed: of the bootstrap, and of the halves of the default model.

    Raises:
        DataError: the log cannot be read, or a row cannot be.
        UsageError: the policy or the model returns what it must not.
    """
    found = read_log(log) if isinstance(log, Path) else log
    logged = logged_decisions(found, policy, model, seed=seed)
    return estimates(logged, names, clip=clip, switch=switch, interval=interval, seed=seed)


def logged_decisions(
    log: DecisionLog, policy: Policy, model: Policy | None = None, *, seed: int = 0
) -> Logged:
    """Return what estimators need: see `evaluate_off_policy`."""
    bad = np.flatnonzero(~((log.propensities > 0) & (log.propensities <= 1)))
    if len(bad):
        raise DataError(
            f"propensity {log.propensities[bad[0]]:g}",
            where=f"decision {bad[0]}",
            advice="A propensity is the probability of what was drawn: above 0 and at most 1",
        )
    n = len(log)
    means = track_means(log, seed) if model is None else None
    targets, modelled, expected = np.empty((3, n))
    for low in range(0, n, _BATCH):
        rows = np.arange(low, min(low + _BATCH, n))
        histories, tracks = log.histories.take(rows), log.candidates[rows]
        there = tracks >= 0
        odds = _checked("policy", policy(histories, tracks), there, low)
        total = np.where(there, odds, 0.0).sum(axis=1)
        wrong = np.flatnonzero(
            (np.abs(total - 1) > 1e-4) | (np.where(there, odds, 0.0) < 0).any(axis=1)
        )
        if len(wrong):
            raise UsageError(
                f"the policy's numbers for decision {low + wrong[0]} are not probabilities: "
                f"they add up to {total[wrong[0]]:g}"
            )
        if means is not None:
            values = means[rows]
        else:
            assert model is not None
            values = _checked("model", model(histories, tracks), there, low)
        at = (np.arange(len(rows)), log.places[rows])
        targets[rows], modelled[rows] = odds[at], values[at]
        expected[rows] = np.where(there, odds * values, 0.0).sum(axis=1)
    return Logged(
        rewards=log.rewards,
        propensities=log.propensities,
        targets=targets,
        modelled=modelled,
        expected=expected,
        groups=log.sessions,
    )


def recommender_policy(model: Recommender, temperature: float = 1.0) -> Policy:
    """Return the policy that draws candidates by softmax of a recommender's scores.

    A candidate without a score is drawn only where none has one, and then each alike.

    Args:
        model: fitted; an agent, too.
        temperature: greater is more uniform.

    Raises:
        UsageError: the temperature is not positive.
    """
    if not temperature > 0:
        raise UsageError(f"temperature {temperature:g}: it must be above 0")

    def policy(histories: Sessions, candidates: NDArray[np.int32]) -> Floats:
        there = (candidates >= 0) & (candidates < model.n_tracks)
        rows = np.arange(len(candidates))[:, None]
        columns = np.where(there, candidates, 0)
        scores = model.score(histories)
        if sparse.issparse(scores):
            stored = scores.tocsr().copy()
            values = np.asarray(stored[rows, columns].todense(), dtype=np.float64)
            stored.data = np.ones_like(stored.data)
            scored = there & (np.asarray(stored[rows, columns].todense()) > 0)
        else:
            values, scored = np.asarray(scores, dtype=np.float64)[rows, columns], there
        nothing = ~scored.any(axis=1, keepdims=True)
        scored = np.where(nothing, candidates >= 0, scored)
        logits = np.where(scored, np.where(nothing, 0.0, values) / temperature, -np.inf)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))

    return policy


def track_means(log: DecisionLog, seed: int = 0) -> Floats:
    """Return a modelled reward of each candidate, [n, N]: what the track earned elsewhere.

    Sessions are divided into two halves at random, and each half is modelled by the other, so that
    no reward models itself. Rewards are not weighted: the model may be wrong, and `dr` may not.
    """
    names, group = np.unique(log.sessions, return_inverse=True)
    half = generator(seed, "halves of a log").permutation(len(names))[group] % 2
    n_tracks = int(log.candidates.max(initial=0)) + 1
    values = np.empty(log.candidates.shape)
    chosen = log.chosen
    for side in (0, 1):
        others = half != side
        if not others.any():  # one session alone: nothing to model by
            others = np.ones(len(log), dtype=np.bool_)
        count = np.bincount(chosen[others], minlength=n_tracks)
        total = np.bincount(chosen[others], weights=log.rewards[others], minlength=n_tracks)
        mean = float(log.rewards[others].mean())
        model = (total + _SHRINKAGE * mean) / (count + _SHRINKAGE)
        values[half == side] = model[log.candidates[half == side]]
    return values


def _checked(name: str, given: Any, there: NDArray[np.bool_], low: int) -> Floats:
    values = np.asarray(given, dtype=np.float64)
    if values.shape != there.shape:
        raise UsageError(f"the {name} returned {values.shape} numbers for {there.shape} candidates")
    bad = np.flatnonzero((~np.isfinite(values) & there).any(axis=1))
    if len(bad):
        raise UsageError(f"the {name}'s numbers for decision {low + bad[0]} are not finite")
    return values
