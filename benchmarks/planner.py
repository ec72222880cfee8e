"""The planner on 30 segments and 300 tracks: gap to its own bound, time, and what it gains.

    OMP_NUM_THREADS=1 python benchmarks/planner.py [--seeds 10] [--tracks 300] [--segments 30]

Two generators of reward tables (`soundtrack_tables`), modes test and train (alignment fades while
a track goes on). Times are of one call in a warm process; the first call is not counted.
"share" is (R - random) / (bound - random) of the means over the seeds.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from soundtrack_tables import hard, natural

from segue.tasks.soundtrack.agents import make_agent

AGENTS = ("random", "greedy", "margin", "beam/8", "beam/128", "planner")


def main() -> None:
    """Print one block per generator and mode."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--segments", type=int, default=30)
    parser.add_argument("--tracks", type=int, default=300)
    options = parser.parse_args()
    print(f"{options.segments} segments, {options.tracks} tracks, seeds 0..{options.seeds - 1}")
    make_agent("planner").plan(natural(np.random.default_rng(0), 5, 20), np.random.default_rng(0))

    for generator in (natural, hard):
        for mode, fade in (("test", 0.0), ("train", 0.01)):
            rewards: dict[str, list[float]] = {name: [] for name in AGENTS}
            seconds: dict[str, list[float]] = {name: [] for name in AGENTS}
            cpu: dict[str, list[float]] = {name: [] for name in AGENTS}
            bounds, gaps = [], []
            for seed in range(options.seeds):
                tables = generator(
                    np.random.default_rng(seed), options.segments, options.tracks, fade
                )
                for name in AGENTS:
                    begun = time.process_time()
                    plan = make_agent(name).plan(tables, np.random.default_rng(seed))
                    cpu[name].append(time.process_time() - begun)
                    rewards[name].append(plan.return_)
                    seconds[name].append(plan.seconds)
                assert plan.upper_bound is not None  # the planner is the last agent
                bounds.append(plan.upper_bound)
                gaps.append(100 * (plan.upper_bound - plan.return_) / abs(plan.upper_bound))
            print(f"\n{generator.__name__}, mode {mode}: mean bound {np.mean(bounds):.3f}")
            print(
                f"  gap of the planner: median {np.median(gaps):.3f} %, largest {max(gaps):.3f} %, "
                f"proved optimal {sum(gap < 1e-6 for gap in gaps)} of {len(gaps)}"
            )
            floor = np.mean(rewards["random"])
            for name in AGENTS:
                share = (np.mean(rewards[name]) - floor) / (np.mean(bounds) - floor)
                print(
                    f"  {name:10} return {np.mean(rewards[name]):7.3f}  share {share:6.4f}  "
                    f"ms median {np.median(seconds[name]) * 1e3:6.1f} (CPU "
                    f"{np.median(cpu[name]) * 1e3:6.1f})  largest {max(seconds[name]) * 1e3:6.1f} "
                    f"(CPU {max(cpu[name]) * 1e3:6.1f})"
                )


if __name__ == "__main__":
    main()
