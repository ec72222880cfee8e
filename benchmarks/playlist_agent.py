"""Agents of the playlist task beside their prior, the supervised re-ranker and planners; 3 seeds.

    segue playlist prepare nowplaying_sessions.tsv.gz --out listening
    OMP_NUM_THREADS=1 python benchmarks/playlist_agent.py --data listening --run runs/playlist/bench

What the run lacks is made: the fused ranker (weights chosen on the validation sessions), re-rankers
and agents. Their questions are described once and shared by the seeds. Then two tables of the test
sessions are printed, with paired bootstrap intervals (1,000 draws, 95 %):

    one step        the last track of each session, repeats allowed, ranked among all tracks; what
                    is not among the 200 candidates of the fused ranker counts as missed
    five tracks     the last five tracks of each session of seven or more are hidden; a list of five
                    is made of 100 candidates and earns hits / 5 + .1 diversity - .1 just heard

CPU seconds are user and system of this process, one thread.
"""

from __future__ import annotations

import argparse
import functools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import numpy as np

from segue.tasks.playlist.agents import next_track, playlist
from segue.tasks.playlist.agents.blocks import ask_next, ask_playlists, describe
from segue.tasks.playlist.agents.config import TuneConfig
from segue.tasks.playlist.data.prepared import Prepared, load_prepared
from segue.tasks.playlist.models.fused import Fused
from segue.tasks.playlist.models.reranker import Reranker, RerankerConfig
from segue.tasks.playlist.run_folder import agent_folder
from segue.tasks.playlist.tune import tune

Floats = np.ndarray[Any, np.dtype[np.float64]]


def main() -> None:
    """Make what is missing, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="prepared folder")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--agents", default="next-track,playlist,actor-critic")
    options = parser.parse_args()
    data = load_prepared(options.data)
    seeds = [int(seed) for seed in options.seeds.split(",")]
    prior = _prior(data, options.run)
    agents = options.agents.split(",")
    if "next-track" in agents:
        _one_step(data, prior, options.run, seeds)
    for name in agents:
        if name != "next-track":
            _five_tracks(data, prior, options.run, name, seeds)


def _prior(data: Prepared, run: Path) -> Fused:
    place = run / "models" / "fused"
    if not (place / "model.json").is_file():
        with _timed("fused ranker: weights chosen, fitted"):
            n = len(data.vocabulary)
            prior = Fused().fit(data.train, n, validation=data.validation)
            prior.refit(data.before_test)
        prior.save(place)
    return Fused.load(place)


def _one_step(data: Prepared, prior: Fused, run: Path, seeds: list[int]) -> None:
    models: dict[str, list[Any]] = {"supervised re-ranker": [], "next-track agent": []}
    with _shared("segue.tasks.playlist.agents.blocks", "question_blocks"):
        for seed in seeds:
            place = run / "models" / f"reranker-{seed}"
            if not (place / "model.json").is_file():
                model = Reranker(RerankerConfig(seed=seed))
                model.workspace = place / "training"
                with _timed(f"re-ranker, seed {seed}"):
                    model.fit(data.before_test, len(data.vocabulary))
                model.save(place)
            models["supervised re-ranker"].append(Reranker.load(place))
    with _shared(next_track.__name__, "learning_questions"):
        for seed in seeds:
            _tuned(data, run, "next-track", seed)
            place = agent_folder(run, "next-track", seed)
            models["next-track agent"].append(next_track.NextTrack.load(place))
    queries, hidden = ask_next(data.test, 0, 0)
    with _timed("test questions described"):
        asked = describe(prior, queries, hidden, 200)
    first = _ndcg(asked.candidates.prior, asked.hits)
    recall = asked.hits.any(axis=1).mean()
    print(f"\none step, {len(asked)} questions, recall of the candidates {recall:.3f}")
    print(f"{'model':34}{'NDCG@10':>9}{'Hit@10':>9}  minus tuned fused")
    print(f"{'tuned fused':34}{first.mean():9.4f}{_hit(asked.candidates.prior, asked.hits):9.4f}")
    found: dict[str, list[Floats]] = {}
    for name, several in models.items():
        for seed, model in zip(seeds, several, strict=True):
            logits = model.scorer(asked.candidates)
            values = _ndcg(logits, asked.hits)
            found.setdefault(name, []).append(values)
            _line(f"{name}, seed {seed}", values, _hit(logits, asked.hits), values - first)
    print("next-track agent minus supervised re-ranker, seed by seed:")
    for seed, (a, b) in zip(seeds, zip(*reversed(found.values()), strict=True), strict=True):
        print(f"  {seed}: {_interval(a - b)}")


def _five_tracks(data: Prepared, prior: Fused, run: Path, name: str, seeds: list[int]) -> None:
    with _shared(playlist.__name__, "learning_questions"):
        for seed in seeds:
            _tuned(data, run, name, seed)
    described = None
    for seed in seeds:
        kind = playlist.Playlist if name == "playlist" else playlist.ActorCritic
        agent = kind.load(agent_folder(run, name, seed))
        config = agent.config
        queries, hidden = ask_playlists(data.test, config.length, config.least)
        described = described or agent.candidates(queries)
        with mock.patch.object(kind, "candidates", return_value=described):
            made = agent.playlists(queries, hidden)
        questions, earnings = made.pop("questions"), agent.earnings()
        print(f"\n{name} agent, seed {seed}, {len(questions)} playlists")
        print(f"{'playlist of':24}{'return':>9}{'prec@5':>9}{'diverse':>9}{'near':>7}")
        returns, hits = {}, {}
        for label, lists in made.items():
            total, parts = earnings.of(questions, lists[:, None])
            returns[label], hits[label] = total.sum(axis=2)[:, 0], parts["hit"][:, 0]
            diverse, near = 10 * parts["diversity"].mean(), -10 * parts["near_3"].mean()
            print(
                f"{label:24}{returns[label].mean():9.4f}{hits[label].mean():9.4f}"
                f"{diverse:9.3f}{near:7.3f}"
            )
        others = {label: values.mean() for label, values in returns.items() if label != name}
        best = max(others, key=lambda label: others[label])
        print(f"{name} minus {best} (strength {agent._weights['plan.strengths'][1]:.2f}):")
        print(f"  return {_interval(returns[name] - returns[best])}")
        print(f"  precision@5 {_interval(hits[name] - hits[best])}")


def _tuned(data: Prepared, run: Path, name: str, seed: int) -> None:
    place = agent_folder(run, name, seed)
    if (place / "model.json").is_file():
        return
    with _timed(f"{name}, seed {seed}"):
        config = TuneConfig(agent=name, seed=seed)
        result = tune(data, run, config, resume=(place / "config.toml").is_file())
    print(f"  {result}")


def _ndcg(logits: Any, hits: Any) -> Floats:
    places = _places(logits, hits)
    return np.asarray(np.where(places < 10, 1 / np.log2(places + 2.0), 0.0))


def _hit(logits: Any, hits: Any) -> float:
    return float((_places(logits, hits) < 10).mean())


def _places(logits: Any, hits: Any) -> Floats:
    """Return the place of each answer, from 0, middle of ties; infinity outside the candidates."""
    own = np.where(hits, logits, -np.inf).max(axis=1)[:, None]
    places = (logits > own).sum(axis=1) + ((logits == own).sum(axis=1) - 1) / 2
    return np.asarray(np.where(hits.any(axis=1), places, np.inf))


def _line(label: str, values: Floats, hit: float, difference: Floats) -> None:
    print(f"{label:34}{values.mean():9.4f}{hit:9.4f}  {_interval(difference)}", flush=True)


def _interval(difference: Floats) -> str:
    rng = np.random.default_rng(0)
    n = len(difference)
    means = [difference[rng.integers(n, size=n)].mean() for _ in range(1000)]
    low, high = np.percentile(means, [2.5, 97.5])
    return f"{difference.mean():+.4f} [{low:+.4f}, {high:+.4f}]"


@contextmanager
def _timed(label: str) -> Iterator[None]:
    began = time.process_time()
    yield
    print(f"{label}: {time.process_time() - began:.0f} CPU s", flush=True)


@contextmanager
def _shared(module: str, name: str) -> Iterator[None]:
    """Describe questions once for all seeds."""
    kept: list[Any] = []
    original: Callable[..., Any] = getattr(__import__(module, fromlist=[name]), name)

    @functools.wraps(original)
    def once(*given: Any, **named: Any) -> Any:
        if not kept:
            with _timed("  questions described"):
                kept.append(original(*given, **named))
        return kept[0]

    with mock.patch(f"{module}.{name}", once):
        yield


if __name__ == "__main__":
    main()
