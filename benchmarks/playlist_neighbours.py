"""The neighbour models of the playlist task: what they reach, and their speed beside implicit.

    segue playlist prepare nowplaying_sessions.tsv.gz --out listening
    OMP_NUM_THREADS=1 python benchmarks/playlist_neighbours.py --data listening [--repeats 5]

*Quality*: fitted on everything before the test, asked for the last track of every test session,
ranked among all tracks, ties in the middle. No setting is chosen here; all are defaults, but for
the rows that say so.

*Speed*: CPU seconds (user and system) of this process, one thread, least of the repeats, Segue and
implicit in turn. implicit's CosineRecommender gets the same binary matrix of sessions and tracks,
made beforehand, while Segue's time starts from the sessions. `implicit` is installed with
`pip install implicit`; without it Segue's times are printed alone. The neighbours of both are
compared: the share of tracks whose sorted similarities agree to 1e-5.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import numpy as np
from scipy import sparse

from segue.tasks.playlist.data.prepared import load_prepared
from segue.tasks.playlist.metrics import rank_metrics
from segue.tasks.playlist.models.base import Recommender
from segue.tasks.playlist.models.item_cf import ItemCF, ItemCFConfig
from segue.tasks.playlist.models.markov import Markov
from segue.tasks.playlist.models.popularity import Popularity
from segue.tasks.playlist.models.user_cf import SessionKNN, UserCF
from segue.tasks.playlist.protocol import questions
from segue.tasks.playlist.sessions import Sessions


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="prepared folder")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    data = load_prepared(options.data)
    train, n_tracks = data.before_test, len(data.vocabulary)
    report_quality(train, data.test, n_tracks)
    report_speed(train, data.test, n_tracks, options.repeats)


def report_quality(train: Sessions, test: Sessions, n_tracks: int) -> None:
    """Print Hit@10, NDCG@10, Hit@20 and MRR@20 of every model."""
    rows: list[tuple[str, Recommender]] = [
        ("popularity", Popularity()),
        ("Item-CF", ItemCF()),
        ("Item-CF, no self, no order", ItemCF(ItemCFConfig(keep_self=False, decay=1.0))),
        ("User-CF", UserCF()),
        ("session-kNN", SessionKNN()),
        ("Markov", Markov()),
    ]
    queries, targets, _ = questions(test, "last")
    print(f"{len(train)} training sessions, {len(targets)} questions, {n_tracks} tracks")
    print(f"{'model':30}{'repeats':>9}{'Hit@10':>9}{'NDCG@10':>9}{'Hit@20':>9}{'MRR@20':>9}")
    for name, model in rows:
        model.fit(train, n_tracks)
        for repeats in ("allowed", "masked"):
            ranks = model.ranks(queries, targets, repeats=repeats)
            found = rank_metrics(ranks)
            mrr = np.where(ranks <= 20, 1 / ranks, 0).mean()
            values = [found[key].mean() for key in ("hit@10", "ndcg@10", "hit@20")]
            print(f"{name:30}{repeats:>9}" + "".join(f"{v:9.4f}" for v in (*values, mrr)))


def report_speed(train: Sessions, test: Sessions, n_tracks: int, repeats: int) -> None:
    """Print CPU seconds of fitting, recommending and ranking, beside implicit's."""
    prefixes, targets, _ = questions(test, "prefixes")
    model = ItemCF().fit(train, n_tracks)
    model.recommend(test.part(0, 10), 20, repeats="masked")
    model.ranks(prefixes.part(0, 10), targets[:10])  # everything is compiled by now
    measures: dict[str, Callable[[], Any]] = {
        "fit": lambda: ItemCF().fit(train, n_tracks),
        "recommend": lambda: model.recommend(train, 20, repeats="masked"),
        "rank": lambda: model.ranks(prefixes, targets),
    }
    peer = _peer(train, n_tracks)
    if peer is None:
        print("\nimplicit is not installed (pip install implicit): no comparison")
    else:
        matrix, theirs = peer
        everyone = np.arange(len(train))
        measures["implicit fit"] = lambda: theirs.fit(matrix, show_progress=False)
        measures["implicit recommend"] = lambda: theirs.recommend(
            everyone, matrix, N=20, filter_already_liked_items=True
        )
    times: dict[str, list[float]] = {name: [] for name in measures}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # implicit warns of a conversion of its own
        for _ in range(repeats):
            for name, measure in measures.items():
                start = time.process_time()
                measure()
                times[name].append(time.process_time() - start)
    best = {name: min(values) for name, values in times.items()}
    print(f"\n{'CPU seconds, least of ' + str(repeats):44}{'Segue':>8}{'implicit':>10}{'ratio':>8}")
    for name, label in (
        ("fit", f"Item-CF fit, {len(train)} sessions"),
        ("recommend", f"best 20 for {len(train)} sessions"),
        ("rank", f"rank of {len(targets)} targets among all"),
    ):
        other = best.get(f"implicit {name}")
        beside = f"{other:10.3f}{best[name] / other:8.2f}" if other else ""
        print(f"{label:44}{best[name]:8.3f}{beside}")
    walls = [_wall(lambda i=i: model.recommend(test.part(i, i + 1), 20)) for i in range(2000)]
    middle, late = np.percentile(walls, [50, 99]) * 1e3
    print(f"one query, best 20, wall time: median {middle:.3f} ms, 99th percentile {late:.3f} ms")
    if peer is not None:
        print(f"tracks with the same neighbours: {_agreement(model, peer[1]):.4f}")


def _peer(train: Sessions, n_tracks: int) -> tuple[Any, Any] | None:
    try:
        from implicit.nearest_neighbours import CosineRecommender
    except ImportError:
        return None
    known = train.tracks >= 0
    cells = (np.ones(int(known.sum())), (train.owners()[known], train.tracks[known]))
    matrix = sparse.csr_matrix(cells, shape=(len(train), n_tracks))
    matrix.data[:] = 1
    return matrix, CosineRecommender(K=ItemCFConfig().neighbours, num_threads=1)


def _agreement(model: ItemCF, peer: Any) -> float:
    theirs = peer.similarity.tocsr()
    agree = 0
    for track in range(model.n_tracks):
        own = np.sort(model.similar(track)[1])
        other = theirs.data[theirs.indptr[track] : theirs.indptr[track + 1]]
        other = np.sort(other[other > 0])
        agree += len(own) == len(other) and bool(np.allclose(own, other, atol=1e-5))
    return agree / model.n_tracks


def _wall(measure: Callable[[], Any]) -> float:
    start = time.perf_counter()
    measure()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
