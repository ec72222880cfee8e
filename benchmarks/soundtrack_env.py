"""How fast are the soundtrack environments?

    OMP_NUM_THREADS=1 python benchmarks/soundtrack_env.py [--repeats 15] [--json]

A synthetic dataset: 47 videos of 15 to 25 segments, 300 tracks, 1024-d embeddings, 384-d captions.
Every number is steps per CPU second of this process (user and system), one thread, median over the
repeats; random actions, an illegal continue replaced by track 0. Resets are part of the time.

- *single*: one environment, profile `default`, full observation and info; bar 100,000. The profile
  `reference`, which shows as much as the original did, is printed beside it.
- *batched*: 2048 episodes at once, index observations, every reward term; bar 2,000,000.
- *look-ahead*: the rewards of all 301 actions, microseconds, worst segment of an episode; bar 50.

The original's own environment reached 19,900 steps and 10,300 microseconds on a machine of this
class. On a machine that is busy with other work expect a fifth less.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from segue.tasks.soundtrack.batched import BatchedSoundtrack
from segue.tasks.soundtrack.config import SoundtrackConfig
from segue.tasks.soundtrack.data import Dataset, Segment, Track, Video
from segue.tasks.soundtrack.env import SoundtrackEnv
from segue.tasks.soundtrack.prior import fit_prior
from segue.tasks.soundtrack.tables import build_tables

N_VIDEOS, N_TRACKS, DIMENSION, TEXT_DIMENSION = 47, 300, 1024, 384
BATCH = 2048
BARS = {"single": 100_000, "batched": 2_000_000, "look-ahead": 50}


def main() -> None:
    """Measure, and print the medians beside the bars."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    arguments = parser.parse_args()

    dataset = synthetic()
    measures: dict[str, Callable[[], float]] = {
        "single": _single(dataset, "default"),
        "single, reference": _single(dataset, "reference"),
        "batched": _batched(dataset),
        "look-ahead": _look_ahead(dataset),
    }
    found: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(arguments.repeats):  # in turn, so that all meet the same load
        for name, measure in measures.items():
            found[name].append(measure())
    result = {name: statistics.median(values) for name, values in found.items()}
    if arguments.json:
        print(json.dumps({"median": result, "bars": BARS, "repeats": arguments.repeats}))
        return
    for name, value in result.items():
        unit = "us" if name == "look-ahead" else "steps per CPU second"
        low, high = min(found[name]), max(found[name])
        bar = f"   bar {BARS[name]:,}" if name in BARS else ""
        print(f"{name:18s} {value:12,.1f} {unit:21s} ({low:,.1f} to {high:,.1f}){bar}")


def synthetic(seed: int = 0) -> Dataset:
    """Return the dataset of Gaussian vectors."""
    rng = np.random.default_rng(seed)
    tracks = []
    for index in range(N_TRACKS):
        vector = rng.normal(size=DIMENSION)
        tracks.append(
            Track(
                name=f"track {index}.mp3",
                embedding=20.0 * vector / np.linalg.norm(vector),
                text_embedding=rng.normal(size=TEXT_DIMENSION),
                mfcc=rng.normal(size=13) * 20.0,
                tempo_bpm=float(rng.uniform(60, 180)),
                energy=float(rng.uniform(0, 0.3)),
                centroid_hz=float(rng.uniform(500, 4000)),
                duration_s=float(rng.uniform(30, 240)),
            )
        )
    videos = []
    for index in range(N_VIDEOS):
        start, segments = 0.0, []
        for _ in range(int(rng.integers(15, 26))):
            end = start + float(rng.integers(2, 30))
            segments.append(
                Segment(
                    start_s=start,
                    end_s=end,
                    embedding=rng.normal(size=DIMENSION),
                    text_embedding=rng.normal(size=TEXT_DIMENSION),
                    music_change=bool(rng.random() < 0.15),
                )
            )
            start = end
        videos.append(Video(name=f"video {index}.mp4", segments=tuple(segments)))
    return Dataset(tracks=tuple(tracks), videos=tuple(videos), name="synthetic")


def _single(dataset: Dataset, profile: str, n_steps: int = 10_000) -> Callable[[], float]:
    env = SoundtrackEnv(dataset, SoundtrackConfig.preset(profile))
    for index in range(N_VIDEOS * 5):  # every video's tables are made at its first episode
        env.reset(seed=index)
    actions = np.random.default_rng(1).integers(0, N_TRACKS + 1, n_steps).tolist()

    def measure() -> float:
        env.reset()
        begin = time.process_time()
        for action in actions:
            if action == N_TRACKS and env.now.ended:
                action = 0
            _, _, terminated, _, _ = env.step(action)
            if terminated:
                env.reset()
        return n_steps / (time.process_time() - begin)

    return measure


def _batched(dataset: Dataset, n_steps: int = 100) -> Callable[[], float]:
    prior = fit_prior(dataset)
    tables = [build_tables(dataset, prior, v, mode="train") for v in range(N_VIDEOS)]
    env = BatchedSoundtrack(tables, BATCH)
    actions = np.random.default_rng(1).integers(0, N_TRACKS + 1, (n_steps, BATCH))

    def measure() -> float:
        seen = env.reset()
        begin = time.process_time()
        for row in actions:
            legal = np.where((row == N_TRACKS) & ~seen.can_continue, 0, row)
            seen = env.step(legal).observation
        return n_steps * BATCH / (time.process_time() - begin)

    return measure


def _look_ahead(dataset: Dataset, n_calls: int = 200) -> Callable[[], float]:
    env: Any = SoundtrackEnv(dataset)

    def measure() -> float:
        env.reset(seed=0)
        slowest, terminated = 0.0, False
        while not terminated:
            begin = time.process_time()
            for _ in range(n_calls):
                env.get_action_rewards()
            slowest = max(slowest, (time.process_time() - begin) / n_calls * 1e6)
            terminated = env.step(env.now.segment)[2]
        return slowest

    return measure


if __name__ == "__main__":
    main()
