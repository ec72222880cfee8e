"""Logs of simulated listeners: what a policy of known probabilities did, and what was true.

Letters: `n` decisions, `B` episodes, `N` candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.seeding import generator
from segue.tasks.playlist.decision_log import DecisionLog
from segue.tasks.playlist.episodes import Episodes, Situation
from segue.tasks.playlist.pool import Pool
from segue.tasks.playlist.rewards import playlist_reward
from segue.tasks.playlist.sessions import UNKNOWN, Sessions

__all__ = ["Probabilities", "SimulatedLog", "simulated_log", "softmax_policy"]

Floats = NDArray[np.float64]
Probabilities = Callable[[Situation], Floats]
"""Returns the probability of each candidate, [B, N]; 0 for what may not be chosen."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SimulatedLog:
    """What happened."""

    sessions: Sessions
    """History and list of every listener, `skipped` known (False in the history)."""
    decisions: DecisionLog
    """All decisions; the reward is 1 for a track that was heard to its end."""
    extra: dict[str, Floats]
    """What was asked about every candidate at every decision, [n, N] each."""


def softmax_policy(
    logits: Callable[[Situation], NDArray[Any]], *, temperature: float = 1.0, uniform: float = 0.0
) -> Probabilities:
    """Return a policy that draws by logits, and now and then anything.

    Args:
        logits: of each candidate, [B, N].
        temperature: greater is more uniform.
        uniform: probability of a uniform draw; above 0 every candidate can be logged.
    """

    def probabilities(now: Situation) -> Floats:
        values = np.where(now.mask, logits(now) / temperature, -np.inf).astype(np.float64)
        best = values.max(axis=1, keepdims=True)
        odds = np.exp(values - np.where(np.isfinite(best), best, 0.0))
        odds /= np.maximum(odds.sum(axis=1, keepdims=True), 1e-300)
        count = np.maximum(now.mask.sum(axis=1, keepdims=True), 1)
        return np.asarray((1 - uniform) * odds + uniform * now.mask / count)

    return probabilities


def simulated_log(
    pool: Pool,
    policy: Probabilities,
    *,
    length: int,
    seed: int,
    ask: Mapping[str, Callable[[Situation], NDArray[Any]]] | None = None,
    batch: int = 500,
) -> SimulatedLog:
    """Let a policy make one list for every listener of a pool, and log it.

    Args:
        pool: of `simulator.simulated_pool`.
        policy: what is drawn from.
        length: most tracks of a list.
        seed: of draws and of the listeners' chances.
        ask: name -> function of a situation, kept in `extra` for every decision.
        batch: lists that are made at once.
    """
    rng = generator(seed, "simulated log")
    asked = dict(ask or {})
    rows: dict[str, list[NDArray[Any]]] = {
        name: []
        for name in ("queries", "steps", "places", "propensities", "rewards", "mask", *asked)
    }
    reward = playlist_reward({"hit": 1.0})
    for start in range(0, len(pool), batch):
        queries = np.arange(start, min(start + batch, len(pool)))
        noise = rng.integers(2**62, size=len(queries))
        episodes = Episodes(pool, queries, noise, reward, length=length)
        going = np.arange(len(queries))
        while len(going):
            now = episodes.situation()
            odds = policy(now)[going]
            edges = np.cumsum(odds, axis=1)
            drawn = rng.random(len(going)) * edges[:, -1]
            places = (edges <= drawn[:, None]).sum(axis=1)
            rows["mask"].append(now.mask[going].copy())
            for name, function in asked.items():
                rows[name].append(np.array(function(now)[going], dtype=np.float64))
            decisions, _, _, ended = episodes.step(places, going)
            rows["queries"].append(queries[going])
            rows["steps"].append(decisions.places)
            rows["places"].append(places)
            rows["propensities"].append(odds[np.arange(len(going)), places])
            rows["rewards"].append(decisions.hits.astype(np.float64))
            going = going[~ended]
    joined = {name: np.concatenate(parts) for name, parts in rows.items()}
    order = np.lexsort((joined["steps"], joined["queries"]))
    return _put_together(pool, {name: value[order] for name, value in joined.items()}, list(asked))


def _put_together(pool: Pool, rows: dict[str, NDArray[Any]], asked: list[str]) -> SimulatedLog:
    queries, steps = rows["queries"], rows["steps"]
    offered = np.where(rows["mask"], pool.candidates.tracks[queries], UNKNOWN).astype(np.int32)
    chosen = offered[np.arange(len(offered)), rows["places"]]
    known = (pool.recent >= 0).sum(axis=1)
    lengths = np.bincount(queries, minlength=len(pool))
    before = np.repeat(np.cumsum(known + lengths) - lengths, lengths)  # where each list begins
    tracks = np.empty(int((known + lengths).sum()), dtype=np.int32)
    skipped = np.zeros(len(tracks), dtype=np.bool_)
    tracks[before + steps] = chosen
    skipped[before + steps] = rows["rewards"] == 0
    begin = np.cumsum(known + lengths) - (known + lengths)
    for query in range(len(pool)):
        old = pool.recent[query, : known[query]][::-1]
        tracks[begin[query] : begin[query] + known[query]] = old
    sessions = Sessions.from_flat(
        tracks,
        known + lengths,
        users=np.arange(len(pool)),
        first_targets=np.maximum(known, 1),
        skipped=skipped,
    )
    decisions = DecisionLog(
        sessions=queries,
        histories=sessions.prefixes(queries, known[queries] + steps),
        candidates=offered,
        places=rows["places"],
        propensities=rows["propensities"],
        rewards=rows["rewards"],
    )
    return SimulatedLog(
        sessions=sessions, decisions=decisions, extra={name: rows[name] for name in asked}
    )
