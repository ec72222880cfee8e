"""A video of 20 segments against 1,000,000 synthetic tracks: time, memory, certificate.

    OMP_NUM_THREADS=1 python benchmarks/soundtrack_million.py [--tracks 1000000] [--folder DIR]

Vectors have 256 numbers: tracks lie around 1,000 random centres, the video's scenes drift between
some of them. Building the index happens in one process (told, not counted); each measurement in a
fresh one, so that its peak memory is its own. "memory" is the peak resident set of that process,
the interpreter and numpy included. The index has just been written or checked, so it is in the page
cache as far as that is large enough.
"choose" is the planner on the shortlist and the certificate for the whole library.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.tasks.soundtrack.budget import unlabelled_budget
from segue.tasks.soundtrack.data import Segment, Video
from segue.tasks.soundtrack.prior import Prior
from segue.tasks.soundtrack.search import VectorIndex, build_index
from segue.tasks.soundtrack.shortlist import N_FACTS, plan_shortlist, shortlist
from segue.tasks.soundtrack.similarity import units

DIMENSION = 256
CENTRES = 1000
BLOCK = 20_000


def centres() -> NDArray[np.float64]:
    """Return [CENTRES, DIMENSION] unit vectors."""
    return units(np.random.default_rng(1).normal(size=(CENTRES, DIMENSION)))


def library(n_tracks: int) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Yield blocks of (vectors, facts)."""
    middles = centres()
    for start in range(0, n_tracks, BLOCK):
        rng, n = np.random.default_rng([2, start]), min(BLOCK, n_tracks - start)
        noise = rng.normal(size=(n, DIMENSION)) / np.sqrt(DIMENSION)
        vectors = units(middles[rng.integers(CENTRES, size=n)] + 0.8 * noise)
        facts = np.empty((n, N_FACTS))
        facts[:, 0] = rng.uniform(30, 300, n)
        facts[:, 1] = rng.normal(110, 25, n).clip(40, 220)
        facts[:, 2] = rng.uniform(0.02, 0.3, n)
        facts[:, 3] = rng.normal(2000, 500, n).clip(300, 6000)
        facts[:, 4:] = rng.normal(size=(n, 13)) * 20 - 150 * np.eye(13)[0]
        yield vectors.astype(np.float32), facts.astype(np.float32)


def video(seed: int, n_segments: int = 20) -> Video:
    """Return a video of scenes near the centres."""
    rng = np.random.default_rng([3, seed])
    middles, start_s, segments = centres(), 0.0, []
    here = middles[rng.integers(CENTRES)]
    for _ in range(n_segments):
        if rng.random() < 0.25:
            here = middles[rng.integers(CENTRES)]
        vector = here + rng.normal(size=DIMENSION) / np.sqrt(DIMENSION)
        length_s = float(np.clip(rng.lognormal(np.log(9.5), 0.5), 2, 42))
        segments.append(Segment(start_s=start_s, end_s=start_s + length_s, embedding=vector))
        start_s += length_s
    return Video(name=f"video {seed}", segments=tuple(segments))


def measure(folder: Path, seed: int, m: int) -> None:
    """Score and plan one video, and print what it took as JSON."""
    prior = Prior(
        picture_reference=units(centres().mean(axis=0)[None])[0],
        caption_reference=None,
        budget=unlabelled_budget(0.105),
    )
    film = video(seed)
    started = time.perf_counter(), time.process_time()
    index = VectorIndex.open(folder)
    short = shortlist(index, film, prior, m)
    scored = time.perf_counter(), time.process_time()
    plan = plan_shortlist(short)
    planned = time.perf_counter(), time.process_time()
    assert plan.upper_bound is not None
    result = {
        "score_s": scored[0] - started[0],
        "score_cpu_s": scored[1] - started[1],
        "choose_s": planned[0] - scored[0],
        "candidates": len(short.tracks),
        "return": plan.return_,
        "bound": plan.upper_bound,
        "memory_mb": peak_memory_mb(),
    }
    print(json.dumps(result))


def peak_memory_mb() -> float:
    """Return this process's peak resident set; `getrusage` would count the parent's as well."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("the peak memory is read from /proc/self/status, which Linux has")


def check(folder: Path, seed: int) -> None:
    """Compare the answer with the full product, block by block."""
    index, film = VectorIndex.open(folder), video(seed)
    wanted = 1.5 * units(film.embeddings)
    found = index.top(wanted, 100)
    best = np.empty((len(wanted), 0))
    for start in range(0, len(index), BLOCK):
        scores = wanted @ index.vectors.block(start, start + BLOCK).astype(np.float64).T
        best = -np.sort(-np.concatenate([best, scores], axis=1), axis=1)[:, :100]
    print(f"the 100 best of each segment: largest difference {np.abs(found.scores - best).max():g}")
    print(f"rows scored exactly: {found.n_scored} for {found.indices.size} results")


def main() -> None:
    """Build the index, then measure videos in fresh processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tracks", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where to keep the index (1.4 GB)")
    parser.add_argument("--videos", type=int, default=5)
    parser.add_argument("--best", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--measure", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        return measure(options.folder, *options.measure)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary) / "index"
        if not (folder / "index.json").is_file():
            started = time.perf_counter()
            build_index(folder, library(options.tracks), options.tracks, DIMENSION, N_FACTS)
            print(f"built in {time.perf_counter() - started:.0f} s")
        check(folder, 0)
        for m in options.best:
            rows = []
            for seed in range(options.videos):
                command = [sys.executable, __file__, "--folder", str(folder), "--measure"]
                output = subprocess.run(
                    [*command, str(seed), str(m)], check=True, capture_output=True, text=True
                ).stdout
                rows.append(json.loads(output))
            gaps = [100 * (r["bound"] - r["return"]) / abs(r["bound"]) for r in rows]
            print(f"M = {m}: " + ", ".join(
                f"{name} {np.median([r[name] for r in rows]):.2f} "
                f"(largest {max(r[name] for r in rows):.2f})"
                for name in ("score_s", "score_cpu_s", "choose_s", "candidates", "memory_mb")
            ))  # fmt: skip
            print(f"  certified gap over the whole library: median {np.median(gaps):.2f} %, "
                  f"largest {max(gaps):.2f} %")  # fmt: skip


if __name__ == "__main__":
    main()
