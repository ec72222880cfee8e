"""The fused ranker: what choosing weights is worth, what each component is worth, what it costs.

    segue playlist prepare nowplaying_sessions.tsv.gz --out listening
    OMP_NUM_THREADS=1 python benchmarks/playlist_fused.py --data listening [--without]

Weights are chosen on the validation sessions with components fitted on the training sessions; then
everything before the test is indexed with these weights and the last track of every test session is
asked for, repeats allowed, ranked among all tracks, ties in the middle. A target that no component
found counts as missed. Beside it, under the same protocol: its parts alone, the equal-weight sum of
Item-CF, kNN and Markov, and the weights that ship, which were found on the newest tenth of the
#nowplaying training sessions. Intervals are paired percentile bootstraps over the questions, 1,000
draws, 95 %.

`--without` leaves out one component at a time, with all other weights chosen again along the
gradient, and prints NDCG@10 on the validation sessions; a diagnosis, not a choice.

Costs are CPU seconds (user and system) of this process, one thread.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import numpy as np

from segue.tasks.playlist.data.prepared import Prepared, load_prepared
from segue.tasks.playlist.metrics import rank_metrics
from segue.tasks.playlist.models.base import Recommender
from segue.tasks.playlist.models.components import COMPONENTS
from segue.tasks.playlist.models.features import make_candidates
from segue.tasks.playlist.models.fused import FACTORS, Fused, FusedConfig
from segue.tasks.playlist.models.item_cf import ItemCF
from segue.tasks.playlist.models.markov import Markov
from segue.tasks.playlist.models.popularity import Popularity
from segue.tasks.playlist.models.search import SearchConfig, gather_questions, mean_gain
from segue.tasks.playlist.models.search_smooth import smooth_weights
from segue.tasks.playlist.models.user_cf import SessionKNN
from segue.tasks.playlist.protocol import questions

Floats = np.ndarray[Any, np.dtype[np.float64]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="prepared folder")
    parser.add_argument("--without", action="store_true", help="leave out one component at a time")
    options = parser.parse_args()
    data = load_prepared(options.data)
    _compile(data)
    fused = report_quality(data)
    report_cost(data, fused)
    if options.without:
        report_without(data)


def report_quality(data: Prepared) -> Fused:
    """Print the table of the test sessions; return the tuned ranker."""
    n_tracks, before = len(data.vocabulary), data.before_test
    fused = Fused()
    with _timed("components fitted, weights chosen"):
        fused.fit(data.train, n_tracks, validation=data.validation)
    asked, wanted, _ = questions(data.validation, "last")
    ranks = fused.ranks(asked, wanted)
    print(
        f"validation NDCG@10 {rank_metrics(ranks)['ndcg@10'].mean():.4f}, {len(wanted)} questions"
    )
    print("weights", _named(COMPONENTS, fused.weights))
    print("factors", _named(FACTORS, fused.factor_weights))
    with _timed("components fitted on everything before the test"):
        fused.refit(before)
    models: dict[str, Recommender] = {
        "popularity": Popularity().fit(before, n_tracks),
        "Item-CF": ItemCF().fit(before, n_tracks),
        "session-kNN": SessionKNN().fit(before, n_tracks),
        "Markov": Markov().fit(before, n_tracks),
        "equal weights": _weighted(fused, {"item_cf": 1.0, "knn": 1.0, "lag1": 1.0}),
        "weights that ship": fused.with_weights(Fused().weights, Fused().factor_weights),
        "tuned fused": fused,
    }
    queries, targets, _ = questions(data.test, "last")
    print(f"\ntest, {len(targets)} questions among {n_tracks} tracks")
    print(
        f"{'model':20}{'Hit@10':>9}{'NDCG@10':>9}{'Hit@20':>9}{'MRR@20':>9}  tuned fused minus it"
    )
    gains: dict[str, Floats] = {}
    lines = {}
    for name, model in models.items():
        ranks = model.ranks(queries, targets)
        found = rank_metrics(ranks)
        gains[name] = found["ndcg@10"]
        mrr = np.where(ranks <= 20, 1 / ranks, 0).mean()
        values = (found["hit@10"].mean(), gains[name].mean(), found["hit@20"].mean(), mrr)
        lines[name] = f"{name:20}" + "".join(f"{value:9.4f}" for value in values)
    for name, line in lines.items():
        difference = gains["tuned fused"] - gains[name]
        print(line + ("" if name == "tuned fused" else f"  {_interval(difference)}"))
    return fused


def report_cost(data: Prepared, fused: Fused) -> None:
    """Print CPU seconds of scoring and describing, and wall time of one query."""
    queries, targets, _ = questions(data.test, "last")
    print()
    with _timed(f"ranks of {len(targets)} targets among all tracks"):
        fused.ranks(queries, targets)
    with _timed(f"the best 200 candidates of {len(targets)} queries described"):
        found = make_candidates(fused, queries, 200)
    recall = (found.places(targets) >= 0).mean()
    print(f"{found.numbers.shape[2]} numbers of a candidate, {found.state.shape[1]} of a query")
    print(f"targets among the best 200: {recall:.4f}")
    walls = []
    for i in range(2000):
        start = time.perf_counter()
        fused.recommend(queries.part(i, i + 1), 20)
        walls.append(time.perf_counter() - start)
    middle, late = np.percentile(walls, [50, 99]) * 1e3
    print(f"one query, best 20, wall time: median {middle:.2f} ms, 99th percentile {late:.2f} ms")


def report_without(data: Prepared) -> None:
    """Print NDCG@10 on the validation sessions without one component at a time."""
    fused = Fused().fit(data.train, len(data.vocabulary))
    queries, targets, _ = questions(data.validation, "last")
    config = SearchConfig()
    found = gather_questions(fused, queries, targets, config)
    whole = 0.0
    print("\nvalidation NDCG@10 without a component (gradient alone)")
    for name in ("", *COMPONENTS[:-1]):
        start = np.where(np.array(COMPONENTS) == name, 0, fused.weights).astype(np.float32)
        weights, factors = smooth_weights(
            found.components, found.facts, found.counts, start, fused.factor_weights,
            config.gradient_steps,
        )  # fmt: skip
        gain = mean_gain(found, weights, factors)
        whole = whole or gain
        print(f"{name or 'all':20}{gain:9.4f}{gain - whole:+9.4f}")


def _weighted(fused: Fused, weights: dict[str, float]) -> Fused:
    chosen = dict.fromkeys(COMPONENTS, 0.0) | weights
    plain = Fused(FusedConfig(weights=chosen, factors=dict.fromkeys(FACTORS, 0.0)))
    return fused.with_weights(plain.weights, plain.factor_weights)


def _compile(data: Prepared) -> None:
    few = data.train.part(0, min(200, len(data.train)))
    small = Fused(FusedConfig(search=SearchConfig(searches=1, rounds=1, gradient_steps=1)))
    small.fit(few, len(data.vocabulary), validation=few)
    make_candidates(small, few.part(0, 2), 10)
    small.recommend(few.part(0, 2), 10)
    small.ranks(few.part(0, 2), few.tracks[:2])


def _interval(difference: Floats) -> str:
    rng = np.random.default_rng(0)
    n = len(difference)
    means = [difference[rng.integers(0, n, n)].mean() for _ in range(1000)]
    low, high = np.percentile(means, [2.5, 97.5])
    return f"{difference.mean():+.4f} [{low:+.4f}, {high:+.4f}]"


def _named(names: tuple[str, ...], values: Any) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in zip(names, values, strict=True))


@contextmanager
def _timed(what: str) -> Iterator[None]:
    start = time.process_time()
    yield
    print(f"{what}: {time.process_time() - start:.2f} CPU s", flush=True)


if __name__ == "__main__":
    main()
