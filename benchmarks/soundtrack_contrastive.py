"""How many pairs a learned space needs: retrieval on videos that it never saw.

    OMP_NUM_THREADS=1 python benchmarks/soundtrack_contrastive.py [--seeds 5]
    OMP_NUM_THREADS=1 python benchmarks/soundtrack_contrastive.py --data FOLDER [--seeds 10]

Without --data: pairs drawn at random. A latent mood of 5 numbers is seen through one random map and
heard through another, 24 numbers each, with noise larger than itself; the vectors of both sides say
nothing about each other before learning. Videos have 4 segments of moods around the video's own; 25
other videos are held out. These numbers are synthetic: they show that it works and what it needs.

With --data: the pairs of a prepared folder. Its videos are divided anew for each seed (60 % to
train). "rank" is (rank - 1) / (n - 1) of the own sound among the n held-out ones: 0 is best, chance
is .5. Intervals: bootstrap of the mean over the seeds' divisions, which share videos and so are
narrower than the truth.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from segue.core.run import Run
from segue.core.tables import bootstrap_interval
from segue.media.embed import make, unit
from segue.tasks.soundtrack.contrastive import ContrastiveConfig, train_towers
from segue.tasks.soundtrack.folder import load_dataset
from segue.tasks.soundtrack.inputs import read_inputs
from segue.tasks.soundtrack.layout import Layout
from segue.tasks.soundtrack.pairs import Pairs, collect_pairs
from segue.tasks.soundtrack.prior import split_videos
from segue.tasks.soundtrack.retrieval import ranks

VIDEOS = (5, 10, 25, 50, 100, 400)
HELD_OUT = 25
N_SEGMENTS = 4
NOISE = 4.0
"""Per number; the mood itself has a spread of 2.7."""


def synthetic(n_videos: int, seed: int) -> Pairs:
    """Return the pairs of `n_videos` videos; see the module."""
    rng = np.random.default_rng([11, seed])
    seen, heard = rng.normal(size=(2, 5, 24))
    videos = np.repeat(np.arange(n_videos), N_SEGMENTS)
    moods = rng.normal(size=(n_videos, 5))[videos] + 0.7 * rng.normal(size=(len(videos), 5))
    pictures, sounds = (
        unit(moods @ view + NOISE * rng.normal(size=(len(moods), 24))) for view in (seen, heard)
    )
    return Pairs(
        pictures=pictures,
        sounds=sounds,
        videos=videos,
        sound_ids=np.arange(len(videos)),
        dimension=24,
    )


def real(folder: Path) -> Pairs:
    """Return the pairs of a prepared folder."""
    dataset, name = load_dataset(folder), Layout(folder).manifest().get("embedder")
    inputs = read_inputs(dataset, folder)
    return collect_pairs(dataset, folder, inputs, make(name) if name else None)


def measure(
    pairs: Pairs, train: list[int], test: list[int], seed: int
) -> dict[str, tuple[float, float]]:
    """Return name -> (relative rank, recall@5) on the pairs of the held-out videos."""
    config = ContrastiveConfig()
    with (
        tempfile.TemporaryDirectory() as temporary,
        Run.create(Path(temporary) / "run", config) as run,
    ):
        towers = train_towers(run, pairs, train, config, seed)
    rows = np.flatnonzero(np.isin(pairs.videos, test))
    d, ids = pairs.dimension, pairs.sound_ids[rows]
    pictures, sounds = pairs.pictures[rows], pairs.sounds[rows]
    n = len(np.unique(ids))
    found = {
        "embedder": ranks(pictures[:, :d], sounds[:, :d], ids),
        "learned": ranks(towers.embed_pictures(pictures), towers.embed_sounds(sounds), ids),
    }
    return {k: (float((r - 1).mean() / (n - 1)), float((r <= 5).mean())) for k, r in found.items()}


def report(label: str, rows: list[dict[str, tuple[float, float]]], chance: float) -> None:
    """Print one line."""
    parts = []
    for name in ("embedder", "learned"):
        rank = bootstrap_interval([row[name][0] for row in rows], np.random.default_rng(0))
        recall = np.mean([row[name][1] for row in rows])
        parts.append(
            f"{name} rank {rank.value:.3f} [{rank.low:.3f}, {rank.high:.3f}] R@5 {recall:.2f}"
        )
    gain = bootstrap_interval(
        [row["learned"][0] - row["embedder"][0] for row in rows], np.random.default_rng(0)
    )
    parts.append(f"chance .5 and {chance:.2f}")
    difference = f"{gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
    print(f"{label}: {', '.join(parts)}; difference {difference}", flush=True)


def main() -> None:
    """Print one line for every number of videos, or one for the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    if options.data:
        pairs, rows, sizes = real(options.data), [], []
        known = np.unique(pairs.videos)
        for seed in range(options.seeds):
            train, test = (known[part].tolist() for part in split_videos(len(known), 0.6, seed))
            rows.append(measure(pairs, train, test, seed))
            sizes.append(int(np.isin(pairs.videos, test).sum()))
        label = f"{len(pairs.videos)} pairs of {len(known)} videos"
        return report(label, rows, float(np.mean([min(5, n) / n for n in sizes])))
    for n_videos in VIDEOS:
        rows, started = [], time.process_time()
        for seed in range(options.seeds):
            pairs = synthetic(n_videos + HELD_OUT, seed)
            train = list(range(n_videos))
            test = list(range(n_videos, n_videos + HELD_OUT))
            rows.append(measure(pairs, train, test, seed))
        seconds = (time.process_time() - started) / options.seeds
        label = f"{n_videos:4d} videos, {n_videos * N_SEGMENTS} pairs, {seconds:.1f} CPU s"
        report(label, rows, 5 / (HELD_OUT * N_SEGMENTS))


if __name__ == "__main__":
    main()
