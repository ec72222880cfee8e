"""Does the reward put a video's own music first? Synthetic videos at several levels of noise.

    OMP_NUM_THREADS=1 python benchmarks/soundtrack_confusion.py [--seeds 20]

Seven videos and the 61 pieces cut from them, drawn anew for every seed, with the group sizes of the
matrix that the original published (top-1 6/7, mean rank 1.14). Chance: top-1 1/7, mean rank 4.
"""

from __future__ import annotations

import argparse

import numpy as np

from segue.tasks.soundtrack.confusion import confusion, synthetic_pairs


def main() -> None:
    """Print one line for each level of noise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    seeds = range(parser.parse_args().seeds)
    print("noise  top-1  mean rank  seeds with 6/7 or more")
    for noise in (0.5, 1.0, 2.0, 4.0, 8.0):
        found = [confusion(synthetic_pairs(seed, noise), seed=seed) for seed in seeds]
        good = sum(sum(rank == 1 for rank in f.ranks) >= 6 for f in found)
        top_1, rank = np.mean([f.top_1 for f in found]), np.mean([f.mean_rank for f in found])
        print(f"{noise:5g}  {top_1:5.2f}  {rank:9.2f}  {good} of {len(seeds)}")


if __name__ == "__main__":
    main()
