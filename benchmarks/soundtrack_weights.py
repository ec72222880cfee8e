"""Train the soundtrack policy that the package ships, and write it to the package.

    OMP_NUM_THREADS=1 python benchmarks/soundtrack_weights.py [--run FOLDER] [--out FOLDER]

DAgger on a mixture of random problems: the benchmark and its shifted settings, and problems like
those of `segue score` (six dimensions, no captions, silence costs, 1 to 300 tracks, 1 to 30
segments). About 4 minutes of one core; the same command writes the same bytes on the same machine.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from segue.core.run import Run
from segue.tasks.soundtrack.generator import PRESETS, GeneratorConfig, draw_tables
from segue.tasks.soundtrack.imitation import ImitationConfig, dagger
from segue.tasks.soundtrack.models import WEIGHTS_FOLDER, load_policy, save_policy
from segue.tasks.soundtrack.tables import Tables

WORLD = 11
"""Seed of the problems; results are stated on another one."""
MIXTURE: tuple[tuple[str, dict[str, object], int, int], ...] = (
    ("benchmark", {}, 20, 15),
    ("benchmark", {"weight_range": 2.0, "silence": 1.0}, 15, 12),
    ("easy", {}, 10, 12),
    ("full-spread", {}, 10, 12),
    ("hardest", {}, 10, 12),
    ("target-4.3", {}, 8, 12),
    ("product", {}, 60, 8),
    ("product", {"weight_range": 2.0}, 30, 8),
    ("product", {"tracks": (1, 30)}, 30, 8),
    ("product", {"length_s": 20.0, "short_share": 0.2}, 20, 8),
)
"""(preset, differences from it, libraries, videos of each)."""
COMMAND = "python benchmarks/soundtrack_weights.py"


def mixture(split: str, part: int = 1) -> list[Tables]:
    """Return the tables of the whole mixture, or of one library in `part`."""
    tables: list[Tables] = []
    for i, (name, changes, n_libraries, n_videos) in enumerate(MIXTURE):
        config = GeneratorConfig.parse({**PRESETS[name], **changes})
        tables += draw_tables(config, WORLD + i, split, -(-n_libraries // part), n_videos)
    return tables


def main() -> None:
    """Train, then write the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path("runs/soundtrack/shipped"))
    parser.add_argument("--out", type=Path, default=WEIGHTS_FOLDER)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    config = ImitationConfig(seed=options.seed)
    resume = (options.run / "config.toml").is_file()
    run = Run.open(options.run, ImitationConfig) if resume else Run.create(options.run, config)
    with run:
        result = dagger(run, config, mixture("train"), mixture("validation", part=6))
    if "interrupted_at" in result:
        return
    stored = load_policy(options.run)
    from safetensors.numpy import load_file

    save_policy(
        options.out,
        load_file(options.run / "policy.safetensors"),
        stored.n_candidates,
        {
            "command": COMMAND,
            "world_seed": WORLD,
            "mixture": [list(entry) for entry in MIXTURE],
            "training": stored.facts["training"],
            "settings": stored.facts["settings"],
        },
    )
    print(result)


if __name__ == "__main__":
    main()
